"""Rows of the table that were chosen in the page: as a CSV file, and as labels of a probe."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
from numpy.typing import NDArray
from pydantic import Field

from mien.errors import MienError
from mien.media.spreadsheet import FORMULA, safe_cell
from mien.probes.fit import fit_probe
from mien.probes.match import DEFAULT, MatchedLabels
from mien.probes.probe import Probe
from mien.probes.suggest import most_doubtful, suggest, uncertainty
from mien.serve.errors import ApiError
from mien.serve.explore import MAX_POINTS, Explorer
from mien.serve.schemas import Given, Name
from mien.serve.table_rows import chosen_by_bits, existing

__all__ = ["MAX_LABELS", "ExportBody", "LabelsBody", "export", "learn"]

pc: Any = pyarrow.compute  # most of whose functions are made when it is imported

MAX_LABELS = 5000
"""Labels that a probe is fitted to."""
_KEYS = ("path", "frame", "face_id")
_ROWS = 20_000
"""Rows that are written at a time."""
Point = Annotated[int, Field(ge=0, lt=MAX_POINTS)]
Text = Annotated[str, Field(min_length=1, max_length=100)]


class ExportBody(Given):
    """Which rows, and what was said of them."""

    bits: str = Field(min_length=1, max_length=MAX_POINTS // 4)
    """One for each row of the table that is shown, a byte's lowest first; base64."""
    label: Name | None = None
    texts: list[Text] = Field(default=[], max_length=65_535)
    """Labels, counted from 1."""
    given: str = Field(default="", max_length=4 * MAX_POINTS)
    """Number of each chosen row's label, 0: none; uint16, base64. Empty: no row has one."""


class Labelled(Given):
    """One label."""

    point: Point
    value: Text


class LabelsBody(Given):
    """Labels to learn from."""

    label: Name
    labels: list[Labelled] = Field(min_length=1, max_length=MAX_LABELS)
    suggest: int = Field(default=12, ge=0, le=100)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


def export(explorer: Explorer, asked: ExportBody) -> Iterator[bytes]:
    """Return rows as CSV: path, frame, face_id, the label, then the table's other columns.

    It is what `mien probe --labels` reads; text that a spreadsheet would compute has an apostrophe
    before it. All is checked before the first part is written.

    Raises:
        ApiError: there is no such row, or the label has the name of a column.
    """
    rows = explorer.rows
    points = chosen_by_bits(_bytes(asked.bits, "bits"), len(rows))
    names = rows.table(points[:0]).column_names
    if asked.label in names:
        raise ApiError("invalid", "label: the table has a column of this name; give another")
    labels = None if asked.label is None else _labels(asked, len(points))
    keys = [name for name in _KEYS if name in names]
    order = [*keys, *(name for name in names if name not in keys)]

    def parts() -> Iterator[bytes]:
        for start in range(0, len(points), _ROWS):
            some = slice(start, start + _ROWS)
            table = rows.table(points[some]).select(order)
            if labels is not None:
                table = table.add_column(len(keys), asked.label, [labels[some]])
            yield _csv(table, header=start == 0)

    return parts()


def _labels(asked: ExportBody, count: int) -> pa.Array:
    """Return the label of each chosen row as text, null where it has none."""
    numbers = np.frombuffer(_bytes(asked.given, "given") or bytes(2 * count), "<u2")
    if len(numbers) != count or (count and numbers.max() > len(asked.texts)):
        raise ApiError("invalid", "given: a number for each row, of the texts or 0")
    texts = pa.array([None, *asked.texts], pa.string())
    return texts.take(pa.array(numbers.astype(np.int64)))


def _bytes(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("invalid", f"{name}: this is not base64") from error


def _csv(table: pa.Table, *, header: bool) -> bytes:
    columns = [_safe(column) for column in table.columns]
    names = [safe_cell(name) for name in table.column_names]
    file = io.BytesIO()
    options = pacsv.WriteOptions(include_header=header, quoting_style="needed")
    pacsv.write_csv(pa.Table.from_arrays(columns, names), file, options)
    return file.getvalue()


def _safe(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as CSV takes it: `safe_cell` of text, nothing for NaN."""
    kind = column.type
    if pa.types.is_string(kind):
        risky = pc.match_substring_regex(column, f"^[{''.join(FORMULA)}]".replace("-", r"\-"))
        return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    if pa.types.is_nested(kind):
        return pa.chunked_array([pa.array([str(one) for one in column.to_pylist()], pa.string())])
    return column


def learn(explorer: Explorer, asked: LabelsBody) -> tuple[Probe, dict[str, Any]]:
    """Return a probe that was learned from labels, and what to label next.

    What the probe says of all rows becomes the column `predicted <label>` of the explorer. The
    codes are read from the file, a part at a time.

    Returns:
        The probe; `column`, the name of what it predicts, and `suggestions`, each with `point`,
        `value` (predicted) and `certainty`.

    Raises:
        ApiError: a label is of no row, or two are of one.
        MienError: nothing can be learned of these labels, with the reason.
    """
    columns = [name for name in DEFAULT if name in explorer.factors]
    if not columns:
        raise MienError("the table has neither identity nor expression: embed again")
    points = existing([one.point for one in asked.labels], len(explorer.rows))
    if len(np.unique(points)) < len(points):
        raise ApiError("invalid", "labels: a point has two")
    lengths = tuple(_length(explorer, name) for name in columns)
    named = tuple(zip(columns, lengths, strict=True))
    matched = _matched(explorer, asked, named, points)
    probe = fit_probe(matched, rng=np.random.default_rng(asked.seed))
    said, doubt = _predicted(explorer, probe, columns, points)
    name = f"predicted {asked.label}"
    explorer.add(name, said)
    more: dict[str, Any] = {"column": name, "suggestions": []}
    pool = most_doubtful(doubt, asked.suggest)
    pool = pool[np.isfinite(doubt[pool])]
    if asked.suggest and len(pool):
        others = dataclasses.replace(
            matched, others=pool, other_codes=_codes(explorer, columns, pool)
        )
        chosen, guessed = suggest(probe, others, asked.suggest)
        more["suggestions"] = [
            {"point": int(point), "value": str(value), "certainty": round(float(sure), 4)}
            for point, value, sure in zip(chosen, guessed.values, guessed.certainty, strict=True)
        ]
    return probe, more


def _length(explorer: Explorer, name: str) -> int:
    return next((codes.shape[1] for _, codes in explorer.codes.batches([name])), 0)


def _codes(
    explorer: Explorer, columns: Sequence[str], points: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return codes of some rows, side by side, NaN: none. [K, F]."""
    order = np.argsort(points, kind="stable")
    ordered = points[order]
    found: NDArray[np.float32] | None = None
    for rows, codes in explorer.codes.batches(columns):
        if found is None:
            found = np.full((len(points), codes.shape[1]), np.nan, np.float32)
        first, last = np.searchsorted(ordered, (rows.start, rows.stop))
        found[order[first:last]] = codes[ordered[first:last] - rows.start]
    assert found is not None  # a table that is shown has rows
    return found


def _predicted(
    explorer: Explorer, probe: Probe, columns: Sequence[str], labelled: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return what a probe says of all rows, and its doubt; NaN of those labelled and without codes.

    Doubt of numbers is their standard deviation. Each [N].
    """
    said, doubts = [], []
    for _, codes in explorer.codes.batches(columns):
        found = probe.predict_codes(codes)
        numbers = found.probabilities is None
        said.append(found.values)
        doubt = found.certainty if numbers else uncertainty(found)
        doubts.append(np.where(np.isfinite(codes).all(axis=1), doubt, np.nan))
    doubt = np.concatenate(doubts)
    doubt[labelled] = np.nan
    return np.concatenate(said), doubt


def _matched(
    explorer: Explorer,
    asked: LabelsBody,
    columns: tuple[tuple[str, int], ...],
    points: NDArray[np.int64],
) -> MatchedLabels:
    """Return the labels with their codes; of no row without a label."""
    codes = _codes(explorer, [name for name, _ in columns], points)
    seen = np.asarray(np.isfinite(codes).all(axis=1))
    kept = np.flatnonzero(seen)
    paths = explorer.rows.values("path").take(pa.array(points)).to_pylist()
    return MatchedLabels(
        label=asked.label,
        columns=columns,
        codes=codes[kept].astype(np.float64),
        texts=tuple(asked.labels[i].value for i in kept),
        files=tuple(paths[i] for i in kept),
        people=None,
        names=tuple(f"point {points[i]}" for i in kept),
        model_id=explorer.model_id,
        without_codes=tuple(f"point {points[i]}" for i in np.flatnonzero(~seen)),
        others=points[:0],
        other_codes=codes[:0],
    )
