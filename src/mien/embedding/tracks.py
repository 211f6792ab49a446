"""Tracks by what faces look like: after those by the overlap of boxes, which only know places.

A face that turns up where none was is the same person as one that went away less than a second ago,
if their face embeddings say so; a box that suddenly shows somebody else, as after a cut, begins a
new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.table.rows import FaceRow

__all__ = ["TrackLinker"]

# Cosine of face embeddings. On 180 clips of WLASL, CelebV-Text, GRID and MIRACL, of each a face
# against the running mean of those before it: 96 % above SAME, 99.9 % above OTHER.
_SAME = 0.75
_OTHER = 0.2
_PATIENCE_S = 1.0
_KEEP = 0.8
"""Weight of what was seen before in the running mean."""


@dataclass(eq=False)
class _Track:
    number: int
    look: NDArray[np.float32]
    seen_s: float

    def similarity(self, look: NDArray[np.float32]) -> float:
        return float(self.look @ look / (np.linalg.norm(self.look) * np.linalg.norm(look) + 1e-9))


class TrackLinker:
    """Renumbers the tracks of one video after the other; rows must come in the table's order."""

    def __init__(self) -> None:
        self._video: str | None = None
        self._begin("")

    def __call__(
        self, rows: Sequence[FaceRow], embeddings: NDArray[np.float32] | None
    ) -> list[FaceRow]:
        """Return the rows with their tracks' numbers, which count from 0 in each video.

        Args:
            rows: of one batch; those of one frame may come in two batches.
            embeddings: a face embedding for each row with a face, in their order [N, K]; None
                where there are none: then nothing is changed.
        """
        if embeddings is None:
            return list(rows)
        looks = iter(embeddings)
        return [self._linked(row, next(looks)) if row.face_found else row for row in rows]

    def _begin(self, video: str) -> None:
        self._video = video
        self._frame = -1
        self._here: set[int] = set()
        self._by_place: dict[int, _Track] = {}
        self._all: list[_Track] = []

    def _linked(self, row: FaceRow, look: NDArray[np.float32]) -> FaceRow:
        if row.track_id is None or row.time_s is None:
            return row
        if row.path != self._video:
            self._begin(row.path)
        if row.frame != self._frame:
            self._frame, self._here = row.frame, set()
        track = self._by_place.get(row.track_id)
        if track is None or track.similarity(look) < _OTHER:
            track = self._known(look, row.time_s, but=track) or self._new(look, row.time_s)
            self._by_place[row.track_id] = track
        track.look = (_KEEP * track.look + (1 - _KEEP) * look).astype(np.float32)
        track.seen_s = row.time_s
        self._here.add(track.number)
        return replace(row, track_id=track.number)

    def _known(self, look: NDArray[np.float32], time_s: float, but: _Track | None) -> _Track | None:
        """Return the track of the same person that ended a moment ago, if there is one."""
        gone = [
            track
            for track in self._all
            if track is not but
            and track.number not in self._here
            and time_s - track.seen_s <= _PATIENCE_S
            and track.similarity(look) >= _SAME
        ]
        best = max(gone, key=lambda track: track.similarity(look), default=None)
        if best is not None:
            # Where it was last, another may come to stand.
            self._by_place = {k: v for k, v in self._by_place.items() if v is not best}
        return best

    def _new(self, look: NDArray[np.float32], time_s: float) -> _Track:
        track = _Track(len(self._all), look.copy(), time_s)
        self._all.append(track)
        return track
