"""What protocols gave, as JSON and as a CSV of scores: the same wherever it was measured.

No path, host or user name is kept; of the data the name of its folder, and the hash of its labels.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.evaluate.protocol import Plot, Protocol, Result, Score
from mien.version import VERSION

__all__ = ["FORMAT", "Report", "Run", "main_scores", "report_json", "scores_csv"]

FORMAT = 2
"""Number of the layout of report.json; another when a reader of this one would go wrong."""
DIGITS = 6
"""That many significant digits of a number are kept: more are noise, and differ by machine."""
_COLUMNS = (
    *("protocol", "factor", "folder", "data", "score", "value", "unit", "low", "high"),
    *("count", "higher_is_better", "main", "weights", "mien", "seed", "trials", "date"),
)


@dataclass(frozen=True)
class Run:
    """One protocol on one data set: what came of it, or why nothing did."""

    protocol: Protocol
    folder: str
    """Name of the data set's folder or zip, without the way there."""
    seconds: float
    result: Result | None = None
    error: str = ""
    """Why there is no result."""


@dataclass(frozen=True)
class Report:
    """All runs of one command."""

    runs: tuple[Run, ...]
    weights: str
    """First 12 hex digits of the weights' SHA-256."""
    factors_from: str
    """Where the factors come from: "weights, detector haar", or "table faces.parquet"."""
    date: str
    """Year-month-day, as the caller gives it."""
    seed: int
    trials: int
    """Repetitions where a protocol sampled training rows."""
    version: str = VERSION

    @property
    def failed(self) -> tuple[Run, ...]:
        """Return the runs without a result."""
        return tuple(run for run in self.runs if run.result is None)


def main_scores(result: Result) -> tuple[Score, ...]:
    """Return the scores that the data set is known for; the first where none is marked."""
    return tuple(score for score in result.scores if score.main) or result.scores[:1]


def report_json(report: Report) -> str:
    """Return the report as JSON, without the images of its failures; NaN becomes null."""
    values = {
        "format": FORMAT,
        "mien": report.version,
        "date": report.date,
        "weights": report.weights,
        "factors_from": report.factors_from,
        "seed": report.seed,
        "trials": report.trials,
        "protocols": [_run_values(run) for run in report.runs],
    }
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def scores_csv(report: Report) -> str:
    """Return one row a score, with all that makes it comparable."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    made = (report.weights, report.version, report.seed, report.trials, report.date)
    for run in report.runs:
        if run.result is None:
            continue
        where = (run.protocol.name, run.protocol.factor, run.folder, run.result.data)
        for score in run.result.scores:
            values = _plain(score.value), score.unit, _plain(score.low), _plain(score.high)
            kind = score.count, int(score.higher_is_better), int(score.main)
            rows.writerow((*where, score.name, *values, *kind, *made))
    return text.getvalue()


def _run_values(run: Run) -> dict[str, Any]:
    result, protocol = run.result, run.protocol
    values: dict[str, Any] = {
        "protocol": protocol.name,
        "factor": protocol.factor,
        "title": protocol.title,
        "folder": run.folder,
        "seconds": round(run.seconds, 1),
    }
    if result is None:
        return values | {"error": run.error}
    return values | {
        "data": result.data,
        "scores": _json([asdict(score) for score in result.scores]),
        "notes": list(result.notes),
        "tables": _json([asdict(table) for table in result.tables]),
        "plots": _json([_plot_values(plot) for plot in result.plots]),
        "failures": [failure.caption for failure in result.failures],
    }


def _plot_values(plot: Plot) -> dict[str, Any]:
    lines = {name: dict(zip("xy", points, strict=True)) for name, points in plot.lines.items()}
    return {"title": plot.title, "x": plot.x_label, "y": plot.y_label, "lines": lines}


def _json(value: object) -> Any:
    """Return what JSON knows, inside lists and dictionaries too."""
    if isinstance(value, dict):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_json(inner) for inner in value]
    return value if isinstance(value, bool) else _plain(value)


def _plain(value: object) -> str | float | int | None:
    """Return what JSON knows: numbers of NumPy become Python's, NaN and infinity None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return int(value)
    if not isinstance(value, float | np.floating):
        raise TypeError(f"a number or a text is wanted, not {type(value).__name__}")
    return float(f"{float(value):.{DIGITS}g}") if math.isfinite(value) else None
