"""Rows of the table that were chosen in the page: as a CSV file, and as labels of a probe."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from mien.errors import MienError
from mien.media.spreadsheet import safe_cell
from mien.probes.fit import fit_probe
from mien.probes.match import DEFAULT, MatchedLabels
from mien.probes.probe import Prediction, Probe
from mien.probes.suggest import suggest
from mien.serve.errors import ApiError
from mien.serve.explore import MAX_POINTS, Explorer
from mien.serve.schemas import Given, Name

__all__ = ["ExportBody", "LabelsBody", "export", "learn"]

_KEYS = ("path", "frame", "face_id")
Point = Annotated[int, Field(ge=0, lt=MAX_POINTS)]


class ExportBody(Given):
    """Which rows, and what was said of them."""

    points: list[Point] = Field(min_length=1, max_length=MAX_POINTS)
    label: Name | None = None
    values: dict[str, str] = Field(default={}, max_length=MAX_POINTS)
    """Numbers of points => label."""


class Labelled(Given):
    """One label."""

    point: Point
    value: str = Field(min_length=1, max_length=100)


class LabelsBody(Given):
    """Labels to learn from."""

    label: Name
    labels: list[Labelled] = Field(min_length=1, max_length=5000)
    suggest: int = Field(default=12, ge=0, le=100)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


def export(explorer: Explorer, asked: ExportBody) -> str:
    """Return rows as CSV: path, frame, face_id, the label, then the table's other columns.

    It is what `mien probe --labels` reads; text that a spreadsheet would compute has an apostrophe
    before it.

    Raises:
        ApiError: there is no such row, or the label has the name of a column.
    """
    frame = explorer.rows(asked.points)
    keys = [name for name in _KEYS if name in frame]
    others = [str(name) for name in frame.columns if name not in keys]
    named = [] if asked.label is None else [asked.label]
    if asked.label in (*keys, *others):
        raise ApiError("invalid", "label: the table has a column of this name; give another")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*keys, *named, *others])
    for point, cells in zip(asked.points, frame.to_dict("records"), strict=True):
        said = [safe_cell(asked.values.get(str(point), ""))] if named else []
        first, last = ([_cell(cells[name]) for name in names] for names in (keys, others))
        writer.writerow([*first, *said, *last])
    return file.getvalue()


def _cell(value: Any) -> Any:
    if pd.isna(value):
        return ""
    return safe_cell(value) if isinstance(value, str) else value


def learn(explorer: Explorer, asked: LabelsBody) -> tuple[Probe, dict[str, Any]]:
    """Return a probe that was learned from labels, what it says of all rows, and what to label.

    Returns:
        The probe; `predictions`, a column as `Explorer.column` gives it, and `suggestions`, each
        with `point`, `value` (predicted) and `certainty`.

    Raises:
        ApiError: a label is of no row, or two are of one.
        MienError: nothing can be learned of these labels, with the reason.
    """
    columns = [name for name in DEFAULT if name in explorer.factors]
    if not columns:
        raise MienError("the table has neither identity nor expression: embed again")
    points = [one.point for one in asked.labels]
    if len(set(points)) < len(points):
        raise ApiError("invalid", "labels: a point has two")
    rows = explorer.rows(points)
    codes, lengths = explorer.columns(columns)
    named = tuple(zip(columns, lengths, strict=True))
    matched = _matched(explorer, asked, named, codes, rows["path"].astype(str).tolist())
    probe = fit_probe(matched, rng=np.random.default_rng(asked.seed))
    more: dict[str, Any] = {"predictions": _column(probe.predict_codes(codes)), "suggestions": []}
    if asked.suggest and len(matched.others):
        chosen, guessed = suggest(probe, matched, asked.suggest)
        more["suggestions"] = [
            {"point": int(point), "value": str(value), "certainty": round(float(sure), 4)}
            for point, value, sure in zip(chosen, guessed.values, guessed.certainty, strict=True)
        ]
    return probe, more


def _matched(
    explorer: Explorer,
    asked: LabelsBody,
    columns: tuple[tuple[str, int], ...],
    codes: np.ndarray,
    paths: Sequence[str],
) -> MatchedLabels:
    """Return the labels with their codes, and the rows that have none."""
    seen = np.asarray(np.isfinite(codes).all(axis=1))
    kept = [i for i, one in enumerate(asked.labels) if seen[one.point]]
    points = [asked.labels[i].point for i in kept]
    unlabelled = seen.copy()
    unlabelled[[one.point for one in asked.labels]] = False
    return MatchedLabels(
        label=asked.label,
        columns=columns,
        codes=codes[points].astype(np.float64),
        texts=tuple(asked.labels[i].value for i in kept),
        files=tuple(paths[i] for i in kept),
        people=None,
        names=tuple(f"point {point}" for point in points),
        model_id=explorer.model_id,
        without_codes=tuple(f"point {o.point}" for o in asked.labels if not seen[o.point]),
        others=np.flatnonzero(unlabelled),
        other_codes=codes[unlabelled],
    )


def _column(found: Prediction) -> Mapping[str, Any]:
    """Return what is predicted of all rows, as a column."""
    if found.probabilities is None:
        values = [float(f"{v:.6g}") if np.isfinite(v) else None for v in found.values.tolist()]
        return {"kind": "numbers", "values": values}
    text = np.array([str(value) for value in found.values])
    classes, index = np.unique(text, return_inverse=True)
    return {"kind": "classes", "classes": classes.tolist(), "values": index.tolist()}
