"""`mien search`: an index of faces, who looks like this one, and who is who."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Detector, Device, Overwrite
from mien.cli.terminal import one_line, say, show
from mien.errors import MienError
from mien.media.outputs import check_outputs

if TYPE_CHECKING:
    import pyarrow as pa

    from mien.search.index import Index
    from mien.search.query import Answer

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_IndexFile = Annotated[Path, typer.Argument(metavar="INDEX", help="A file of mien search build.")]
_Code = Annotated[str, typer.Option("--code", help="Column of vectors to search by.")]
_Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Those that made the table; else the package's are tried."),
]


@app.callback()
def _search() -> None:
    """Find faces like this one in an index of up to a million and more; find who is who."""


@app.command()
def build(
    tables: Annotated[list[Path], typer.Argument(help="Tables of mien embed, of one weights.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The index to write: people.mien.")],
    code: _Code = "face_embedding",
    person_column: Annotated[
        str | None,
        typer.Option(help="Column with who it is: person, in a table of mien search cluster."),
    ] = None,
    weights: _Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Make an index of all faces in some tables.

    Where thresholds were measured for the weights (verification.json), codes are centred as mien
    verify does and hits come with false match rates.
    """
    from mien.search.index import build as make

    index = make(
        tables, out, code=code, person_column=person_column, weights=weights, overwrite=overwrite
    )
    assert index.added is not None
    say(f"{index.added.faces:,} faces, {index.added.left_out:,} rows without one left out: {out}")
    if not index.info().centred:
        say(
            f"no thresholds are known for {code} of weights {index.weights_id}: plain cosine, no "
            "false match rates; --weights gives theirs"
        )


@app.command()
def query(
    index: _IndexFile,
    asked: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE|TABLE...", help="Every face in them is looked for."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Nearest faces shown for each.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write hits: .csv, .parquet, .jsonl or .feather."),
    ] = None,
    detector: Detector = "auto",
    weights: Annotated[
        str | None, typer.Option("--weights", help="Those of the index; else the package's.")
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Show the nearest faces of an index, for every face in images or tables.

    A hit's false match rate is the lowest measured one whose threshold its similarity reaches; the
    chance beside it is that of any false match among all faces of the index.
    """
    from mien.search.index import open_index
    from mien.search.query import hits_table, is_table, query_images, query_table
    from mien.table.formats import check_format

    if out is not None:
        check_outputs([out], inputs=[index, *asked], overwrite=overwrite)
        check_format(out)
    opened = open_index(index)
    answers: list[Answer] = []
    for path in asked:
        if is_table(path):
            answers += query_table(opened, path, top=top)
        else:
            answers += query_images(
                opened, [path], top=top, weights=weights, device=device, detector=detector
            )
    if out is None:
        say(_thresholds(opened))
        show(*_lines(answers))
        return
    _write(hits_table(answers), out, overwrite=overwrite)
    say(_thresholds(opened))
    say(f"{len(answers):,} faces, {sum(len(a.hits) for a in answers):,} hits: {out}")


@app.command()
def add(
    index: _IndexFile,
    tables: Annotated[list[Path], typer.Argument(help="Tables by the index's weights.")],
) -> None:
    """Add the faces of tables to an index; those that are in it already are passed over."""
    from mien.search.index import open_index

    with open_index(index) as opened:
        done = [opened.add(table) for table in tables]
        opened.save()
    faces, left_out, already = (
        sum(getattr(one, name) for one in done) for name in ("faces", "left_out", "already")
    )
    say(
        f"{faces:,} faces added, {already:,} there before, {left_out:,} rows without one; "
        f"{len(opened):,} in {index}"
    )


@app.command()
def delete(
    index: _IndexFile,
    person: Annotated[
        str | None,
        typer.Option(help="All faces of this name in the person column; without one, this path."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="All faces of this file; *, ? and [...] match; may be repeated."),
    ] = None,
    row: Annotated[
        list[int] | None, typer.Option(help="The face of this number; may be repeated.")
    ] = None,
) -> None:
    """Take faces out of an index; nothing of them is left in the file.

    Tables that the index was built from still have them: mien forget takes them out there.
    """
    from mien.search.index import open_index

    if person is None and not path and not row:
        raise MienError("nobody to delete is named; give --person, --path or --row")
    with open_index(index) as opened:
        count = opened.delete(person=person, paths=path or (), rows=row or ())
        opened.save()
    say(f"{count:,} faces deleted, {len(opened):,} left: {index}")


@app.command()
def info(index: _IndexFile) -> None:
    """Say what an index holds, by which weights, and how often it is wrong; check its checksum."""
    from mien.search.index import open_index

    opened = open_index(index)
    found = opened.info()
    people = "" if found.people is None else f" of {found.people:,} people ({found.person_column})"
    show(f"{found.faces:,} faces{people}, {found.bytes:,} bytes")
    show(f"{found.code} [{found.dim}] of weights {found.weights_id}")
    show("centred cosine, as mien verify" if found.centred else "plain cosine, not centred")
    engine = "" if found.engine == "faiss" else " (slower; pip install 'mien[search]' for faiss)"
    show(f"searched by {found.engine}{engine}")
    for one in found.thresholds:
        chance = opened.false_match_chance(one.false_match_rate)
        show(
            f"from {one.similarity:.4f} on: false match rate {one.false_match_rate:.4%} a pair, "
            f"{chance:.2%} among all faces; true match rate {one.true_match_rate:.1%}"
        )
    if found.measured_on:
        show(f"measured on {found.measured_on}")


@app.command()
def cluster(
    table: Annotated[Path, typer.Argument(help="A table that mien embed wrote.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The table with a column person: .parquet, .csv, ..."),
    ],
    code: _Code = "face_embedding",
    min_size: Annotated[int, typer.Option(help="Faces of the least person.")] = 2,
    min_samples: Annotated[
        int, typer.Option(help="Near faces that make a place dense; more: fewer, surer people.")
    ] = 1,
    epsilon: Annotated[
        float, typer.Option(help="Clusters nearer than this (1 - cosine) are one person.")
    ] = 0.0,
    weights: _Weights = None,
    overwrite: Overwrite = False,
) -> None:
    """Find who is who in an album or a video: the table again, with a column person.

    A track of a video counts as one face. At most 200,000 faces are clustered at a time. Faces that
    are near no others have no person.
    """
    from mien.search.clusters import cluster as find

    done = find(
        table,
        out,
        code=code,
        weights=weights,
        min_size=min_size,
        min_samples=min_samples,
        epsilon=epsilon,
        overwrite=overwrite,
    )
    say(f"{done.faces:,} faces: {done.people:,} people, {done.alone:,} faces of nobody: {out}")


def _thresholds(index: Index) -> str:
    """Return what the strictest threshold that was measured means among so many faces."""
    found = index.info()
    if not found.thresholds:
        return f"{found.faces:,} faces; no thresholds are known for {found.code} of these weights"
    one = found.thresholds[-1]
    chance = index.false_match_chance(one.false_match_rate)
    return (
        f"{found.faces:,} faces; from {one.similarity:.4f} on the false match rate is "
        f"{one.false_match_rate:.4%} a pair: a stranger has a false match among all with chance "
        f"{chance:.2%}"
    )


def _lines(answers: Iterable[Answer]) -> list[str]:
    lines = []
    for answer in answers:
        lines.append(one_line(answer.name))
        for hit in answer.hits:
            rate = ""
            if hit.false_match_rate is not None:
                rate = (
                    f"  false match rate {hit.false_match_rate:.2%} a pair, "
                    f"{hit.false_match_chance:.2%} among all"
                )
            person = "" if hit.person is None else f"{one_line(hit.person)}  "
            frame = f" frame {hit.frame}" if hit.frame else ""
            who = f"{person}{one_line(hit.path)}{frame} row {hit.row}"
            lines.append(f"{hit.rank:4}  {hit.similarity:7.4f}  {who}{rate}")
    return lines


def _write(table: pa.Table, out: Path, *, overwrite: bool) -> None:
    from mien.media.atomic import replacing
    from mien.table.formats import write_table

    with replacing(out, overwrite=overwrite) as unfinished:
        write_table(table, unfinished, out.suffix.lower())
