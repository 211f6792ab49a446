"""`mien forget`: take people out of a table of faces, or of an index of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.terminal import say
from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["forget"]


def forget(
    table: Annotated[
        Path, typer.Argument(help="A table of mien embed, or an index of mien search.")
    ],
    path: Annotated[
        list[str] | None,
        typer.Option(help="File as in the column path; *, ? and [...] match; may be repeated."),
    ] = None,
    track: Annotated[
        int | None, typer.Option(min=0, help="Only this track_id of the files.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the rest here.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the table by the rest.")
    ] = False,
) -> None:
    """Take all rows of some files, or of one track in them, out of a table or an index.

    Copies of the table, indexes made of it (forget them there, too), the images themselves, and
    models trained on them are not touched.
    """
    if not path:
        raise MienError("nothing to forget is named; give --path, once or more often")
    if (out is None) != in_place:
        raise MienError("give either --out FILE or --in-place")
    from mien.embedding.job import JobFolder
    from mien.search.file import is_index
    from mien.table.forget import forget_rows

    if is_index(table):
        _forget_in_index(table, path, track, out)
        return
    unfinished = JobFolder(table)
    if unfinished.is_begun():
        raise MienError(
            f"{unfinished.path} still holds rows of an unfinished run: finish it with mien embed "
            "--resume, or delete that folder"
        )
    done = forget_rows(table, out or table, paths=path, track=track, overwrite=in_place)
    say(f"{done.removed:,} rows taken out, {done.kept:,} left: {to_text(out or table)}")


def _forget_in_index(path: Path, paths: list[str], track: int | None, out: Path | None) -> None:
    from mien.media.outputs import check_outputs
    from mien.search.index import open_index

    if out is not None:
        check_outputs([out], inputs=[path])
    with open_index(path) as index:
        count = index.delete(paths=paths, track=track)
        index.save(out)
    say(f"{count:,} faces taken out, {len(index):,} left: {to_text(out or path)}")
