"""What came out of a job, counted in its finished table: also what an earlier run had written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from mien.columns import EYES_FOUND, FACE_FOUND
from mien.media.names import to_text
from mien.table.read import open_table

__all__ = ["LEFT_OUT", "NO_FACE", "Status", "Summary", "summarise"]

NO_FACE = "no face found"
"""The reason of a frame that was read and searched and shows no face."""
LEFT_OUT = "no face is as large and as certain as asked for"
"""The reason of a frame whose faces are all left out."""

_MAX_REASONS = 10


@dataclass(frozen=True)
class Status:
    """How far a running job is."""

    total: int
    """Number of inputs."""
    done: float
    """Inputs done, parts of one counted."""
    frames: int
    """Frames and images read in this run."""
    faces: int
    """Faces encoded in this run."""


@dataclass(frozen=True)
class Summary:
    """What the table holds."""

    out: Path | str
    """The table; a text where that is an address."""
    inputs: int
    """Images and videos that were found."""
    rows: int
    """Rows of the table."""
    faces: int
    """Rows with a face."""
    without_face: int
    """Frames that were read and show no face, or none that is as large and certain as asked."""
    without_eyes: int
    """Rows with a face, or an eye-region crop, whose eyes are not found; 0 where not looked for."""
    failures: Mapping[str, int]
    """How often a reading failed, by reason."""
    resumed_at: int
    """Inputs that an earlier run had done; all of them if nothing was left to do."""

    def lines(self) -> list[str]:
        """Return it for a person, the reasons of failures most frequent first."""
        text = (
            f"{to_text(self.out)}: {_count(self.faces, 'face')} in {_count(self.inputs, 'input')}"
        )
        if self.without_face:
            text += f"; {_count(self.without_face, 'frame')} without a face"
        if self.without_eyes:
            text += f"; {_count(self.without_eyes, 'face')} without eyes"
        if self.resumed_at:
            text += f"; {self.resumed_at:,} were done before"
        failed = sum(self.failures.values())
        if not failed:
            return [text]
        ordered = sorted(self.failures.items(), key=lambda item: (-item[1], item[0]))
        lines = [f"{text}; {failed:,} could not be read:"]
        lines += [f"  {count:,} x {reason}" for reason, count in ordered[:_MAX_REASONS]]
        if len(ordered) > _MAX_REASONS:
            lines.append(f"  and {len(ordered) - _MAX_REASONS:,} other reasons")
        return lines


def summarise(out: Path | str, *, inputs: int, resumed_at: int) -> Summary:
    """Count what a table holds, a row group at a time."""
    reasons: Counter[str] = Counter()
    rows = faces = without_eyes = 0
    with open_table(out) as file:
        looked_for = [name for name in file.schema_arrow.names if name == EYES_FOUND]
        for batch in file.iter_batches(columns=[FACE_FOUND, "reason", *looked_for]):
            rows += batch.num_rows
            found = batch.column(FACE_FOUND)
            faces += found.true_count
            for name in looked_for:
                without_eyes += pc.call_function("and_not", [found, batch.column(name)]).true_count
            for item in batch.column("reason").value_counts().to_pylist():
                reasons[item["values"]] += item["counts"]
    without_face = reasons.pop(NO_FACE, 0) + reasons.pop(LEFT_OUT, 0)
    failures = _grouped({reason: n for reason, n in reasons.items() if reason is not None})
    counts = (inputs, rows, faces, without_face, without_eyes)
    return Summary(out, *counts, failures, resumed_at)


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _grouped(reasons: Mapping[str, int]) -> dict[str, int]:
    """Count reasons that differ only in their numbers as one."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        groups.setdefault(re.sub(r"\d+", "N", reason), []).append(reason)
    return {
        alike[0] if len(alike) == 1 else pattern: sum(reasons[reason] for reason in alike)
        for pattern, alike in groups.items()
    }
