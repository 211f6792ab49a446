"""What was measured, as JSON and as one Markdown table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.methods import Method

from mien.evaluate.protocol import Score
from mien.evaluate.report.report import Run
from mien.version import VERSION

__all__ = ["Comparison", "as_json", "as_markdown"]

FORMAT = 1


@dataclass(frozen=True)
class Comparison:
    """All methods on all protocols."""

    methods: Sequence[Method]
    times: Mapping[str, float]
    """Method => milliseconds a face, in batches of 32."""
    runs: Sequence[Mapping[str, Run]]
    """For each protocol: method => what came of it."""
    shapes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Published encoders of which only the speed is measured."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What decides the numbers: weights, seed, device, threads."""


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything; numbers that are none are null."""
    return {
        "format": FORMAT,
        "mien": VERSION,
        **comparison.about,
        "methods": [
            {
                "name": method.name,
                "parameters": method.parameters,
                "ms_a_face": _number(comparison.times.get(method.name)),
                "training_images": method.images,
                "training_images_shown": method.shown,
                "training_minutes": _number(method.minutes),
                "settings": {
                    factor: {
                        "chosen": choice.best,
                        "tried": {name: _number(score) for name, score in choice.scores.items()},
                    }
                    for factor, choice in method.settings.items()
                },
            }
            for method in comparison.methods
        ],
        "protocols": [_protocol(runs) for runs in comparison.runs],
        "speed_only": [dict(row) for row in comparison.shapes],
    }


def as_markdown(comparison: Comparison) -> str:
    """Return a row a method; of each protocol the scores of `_columns`, with their intervals."""
    heads = ["method", "parameters", "ms a face", "training images (shown)"]
    columns = [(runs, score) for runs in comparison.runs for score in _columns(runs)]
    heads += [f"{_name_of(runs)}: {_titled(score)}" for runs, score in columns]
    rows = []
    for method in comparison.methods:
        shown = _training(method)
        time = _cell(comparison.times.get(method.name), 2)
        row = [method.name, _millions(method.parameters), time, shown]
        row += [_shown(runs.get(method.name), score.name) for runs, score in columns]
        rows.append(row)
    lines = [_line(heads), _line(["---"] * len(heads)), *map(_line, rows)]
    if comparison.shapes:
        heads = ["speed only", "parameters", "crop", "ms a face"]
        lines += ["", _line(heads), _line(["---"] * len(heads))]
        for row in comparison.shapes:
            cells = [row["name"], _millions(row["parameters"]), f"{row['crop_px']} px"]
            lines.append(_line([*cells, _cell(row["ms_a_face"], 2)]))
    failed = [
        f"- {_name_of(runs)}, {name}: {run.error}"
        for runs in comparison.runs
        for name, run in runs.items()
        if run.error
    ]
    return "\n".join([*lines, *(["", *failed] if failed else [])]) + "\n"


def _training(method: Method) -> str:
    """Return how many images a method has learned from, and how many it was shown."""
    if not method.images:
        return "none" if method.model is None else "–"
    return f"{method.images:,}" + (f" ({method.shown:,})" if method.shown else "")


def _protocol(runs: Mapping[str, Run]) -> dict[str, Any]:
    first = next(iter(runs.values()))
    results = {}
    for name, run in runs.items():
        if run.result is None:
            results[name] = {"error": run.error}
            continue
        results[name] = {
            "data": run.result.data,
            "seconds": round(run.seconds, 1),
            "notes": list(run.result.notes),
            "scores": [_score(score) for score in run.result.scores],
        }
    return {
        "protocol": first.protocol.name,
        "factor": first.protocol.factor,
        "folder": first.folder,
        "results": results,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "value": _number(score.value),
        "low": _number(score.low),
        "high": _number(score.high),
        "unit": score.unit,
        "count": int(score.count),
        "higher_is_better": score.higher_is_better,
        "main": score.main,
    }


def _columns(runs: Mapping[str, Run]) -> list[Score]:
    """Return the main scores of a protocol, of whichever method has them.

    Where some method lacks them (no peer says where the light is, without a probe), the first score
    follows that all have and in which they differ.
    """
    given = [
        {score.name: score for score in run.result.scores if math.isfinite(score.value)}
        for run in runs.values()
        if run.result
    ]
    found = {name: score for each in given for name, score in each.items() if score.main}
    if given and not any(all(name in each for each in given) for name in found):
        for name, score in given[0].items():
            if len({each[name].value for each in given if name in each}) < 2:
                continue
            if all(name in each for each in given):
                return [*found.values(), score]
    return list(found.values())


def _shown(run: Run | None, name: str) -> str:
    scores = run.result.scores if run is not None and run.result is not None else ()
    for score in scores:
        if score.name == name and math.isfinite(score.value):
            digits = 1 if score.unit == "%" else 2 if abs(score.value) >= 1 else 3
            low, high = _number(score.low), _number(score.high)
            interval = (
                "" if low is None or high is None else f" ({low:.{digits}f}-{high:.{digits}f})"
            )
            return f"{score.value:.{digits}f}{interval}"
    return "–"


def _titled(score: Score) -> str:
    return f"{score.name}, {score.unit}" if score.unit else score.name


def _name_of(runs: Mapping[str, Run]) -> str:
    return next(iter(runs.values())).protocol.name


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M" if parameters else "0"


def _cell(value: float | None, digits: int) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
