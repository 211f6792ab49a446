"""`mien probe`: a table of faces and a few labels in, a probe out, and what to label next."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Overwrite
from mien.cli.terminal import say, show
from mien.errors import MienError
from mien.media.outputs import check_outputs
from mien.media.spreadsheet import safe_cell

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mien.probes.labels import Labels
    from mien.probes.match import MatchedLabels
    from mien.probes.probe import Prediction, Probe

__all__ = ["probe"]

_MOST_CLASSES = 10
_ADDED = ("", "_prob", "_std")


def probe(
    table: Annotated[str, typer.Argument(help="A table that mien embed wrote; or its address.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="CSV: path (frame, face_id), a label, and person if it is known; again for more."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The probe to write, JSON.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Column of the labels; not needed if there is only one it can be."),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            help="Column with the name of the person.", show_default="person, if it is there"
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Codes and factors of the table that the probe sees, by commas.")
    ] = "identity,expression",
    kind: Annotated[
        str, typer.Option(help="class, number; auto: number if labels are many numbers.")
    ] = "auto",
    suggest: Annotated[
        int, typer.Option(min=0, help="Print that many faces, as CSV, to be labelled next.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is left out and held out.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Learn from a few labelled faces to predict any label: classes, or numbers.

    At least eight labels are needed. The score printed is that on faces held out of everything,
    people apart where they are named. Apply the probe with mien embed --probe.
    """
    if not labels:
        raise MienError("no labels are given; give --labels FILE.csv")
    if out is None:
        raise MienError("no probe is named; give --out FILE.json")
    check_outputs([out], inputs=[table, *labels], overwrite=overwrite)
    import numpy as np

    from mien.probes.face_rows import KEYS
    from mien.probes.fit import fit_probe
    from mien.probes.labels import read_labels
    from mien.probes.match import check_columns, match_labels
    from mien.probes.samples import KINDS
    from mien.probes.suggest import suggest as choose
    from mien.table.read import some_columns
    from mien.table.schema import COLUMNS

    if kind not in KINDS:
        raise MienError(f"there is no kind {kind}; give one of {', '.join(KINDS)}")
    seen = [name.strip() for name in columns.split(",") if name.strip()]
    check_columns(seen)
    given = read_labels(labels, label=label, person=person)
    taken = {column.name for column in COLUMNS} & {f"{given.name}{end}" for end in _ADDED}
    if taken:
        raise MienError(
            f"{taken.pop()} is a column of every table: give the label {given.name} another name"
        )
    faces = some_columns(table, (*KEYS, *seen))  # `match_labels` names those that are missing
    matched = match_labels(faces, given, seen)
    made = fit_probe(matched, rng=np.random.default_rng(seed), kind=kind)
    next_ones = choose(made, matched, suggest) if suggest else None
    made.save(out, overwrite=overwrite)
    say(*_lines(made, matched, given))
    if next_ones is not None:
        _print_suggestions(faces.iloc[next_ones[0]], next_ones[1], made, given)


def _lines(made: Probe, matched: MatchedLabels, given: Labels) -> list[str]:
    """Return what was made, for a person."""
    people = "" if matched.people is None else f" of {len(set(matched.people))} people"
    what = "numbers" if made.numbers else f"{len(made.classes)} classes"
    lines = [
        f"{made.samples} labels{people}: {made.label}, {what}, from "
        f"{' and '.join(name for name, _ in made.columns)}",
        *_score(made),
        "with fewer labels: "
        + ", ".join(f"{point.labels}: {_show(made, point.score)}" for point in made.curve),
    ]
    if given.empty:
        lines.append(f"not filled in: {given.empty} rows of the labels")
    if matched.without_codes:
        lines.append(
            f"left out: {len(matched.without_codes)} labelled faces without codes, "
            f"first {matched.without_codes[0]}"
        )
    return lines


def _score(made: Probe) -> list[str]:
    held = made.held_out
    name = "mean error" if made.numbers else "accuracy"
    usual = "the median label is off by" if made.numbers else "the most frequent class alone has"
    line = (
        f"{name} on held-out {held.by}: {_show(made, held.score)} (95 % interval "
        f"{_show(made, held.low, unit=False)} to {_show(made, held.high, unit=False)}); "
        f"{usual} {_show(made, held.baseline)}"
    )
    if made.balanced is None:
        known = held.correlation
        return [line, f"correlation {'unknown' if known is None else format(known, '.2f')}"]
    each = ", ".join(
        f"{c} {r:.0f}" for c, r in zip(made.classes[:_MOST_CLASSES], held.recall, strict=False)
    )
    more = len(made.classes) - _MOST_CLASSES
    tail = f" and {more} more" if more > 0 else ""
    return [line, f"recognised of each class, mean {made.balanced:.1f} %: {each}{tail}"]


def _show(made: Probe, score: float, *, unit: bool = True) -> str:
    return f"{score:.3g}" if made.numbers else f"{score:.1f}" + " %" * unit


def _print_suggestions(
    rows: pd.DataFrame, prediction: Prediction, made: Probe, given: Labels
) -> None:
    """Print the faces as a file of labels that are yet to be filled in."""
    who = [] if given.person is None else [given.person]
    second = made.added[1]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "frame", "face_id", made.label, *who, f"{made.label}_guess", second])
    values: np.ndarray = prediction.values
    for i, (path, frame, face_id) in enumerate(
        zip(rows["path"], rows["frame"], rows["face_id"], strict=True)
    ):
        guess = f"{values[i]:.4g}" if made.numbers else safe_cell(values[i])
        empty = [""] * (1 + len(who))
        certainty = f"{prediction.certainty[i]:.3g}"
        writer.writerow([safe_cell(path), frame, face_id, *empty, guess, certainty])
    show(text.getvalue().removesuffix("\n"))
