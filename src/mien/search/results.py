"""What an index answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.linear.similarity import Threshold

__all__ = ["Added", "Box", "Hit", "IndexInfo"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Hit:
    """A face of the index that is near the one that was asked for."""

    rank: int
    """From 1."""
    row: int
    """Its number in the index; `delete(rows=[...])` takes it out."""
    similarity: float
    """Cosine in [-1, 1], centred where the index is: that of `mien.verify`."""
    person: str | None
    """Who it is by the column that was named when the index was built."""
    path: str
    """Its image or video, as in the table."""
    frame: int
    """Number of the frame; 0 of an image."""
    face_id: int | None
    """Number within the frame."""
    track_id: int | None
    """Number of the track in a video."""
    box: Box | None
    """x1, y1, x2, y2 in pixels of the image."""
    false_match_rate: float | None
    """The lowest measured rate whose threshold the similarity reaches: of pairs of different
    people, the fraction that is as alike. None: it reaches none, or nothing was measured."""
    false_match_chance: float | None
    """That a person who is not in the index has a face there at this threshold by mistake:
    1 - (1 - rate)^N, as if its N faces were independent."""


@dataclass(frozen=True)
class IndexInfo:
    """What an index is."""

    path: Path
    faces: int
    people: int | None
    """Different names in the person column; None: there is none."""
    weights_id: str
    code: str
    dim: int
    person_column: str | None
    centred: bool
    """Whether the mean code of many people is taken off, as `mien.verify` does."""
    thresholds: tuple[Threshold, ...]
    """Measured for these weights and this code; none: nothing was."""
    measured_on: str
    """The people of the thresholds."""
    engine: str
    """faiss or numpy."""
    bytes: int
    """Of the file, as it was opened or saved."""


@dataclass(frozen=True)
class Added:
    """What came of tables that were added."""

    faces: int
    """Now in the index."""
    left_out: int
    """Rows without a face, or of gaze without eyes."""
    already: int = 0
    """Faces that were in the index before."""
