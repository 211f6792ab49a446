"""Which faces of a video's frames are one face: by how much their boxes overlap."""

from __future__ import annotations

from collections.abc import Sequence

from mien.faces.face import Box, overlap

__all__ = ["Tracker"]


class Tracker:
    """Numbers the faces of one video: a face keeps its number from frame to frame.

    Pairs of a known face and a box are made greedily, the largest overlap first (equal ones: the
    lower number, then the earlier box); a box that is left over begins a new face. A face that is
    not seen for a while is forgotten, so what is held does not grow with the video. The same boxes
    always give the same numbers.
    """

    def __init__(
        self, *, min_overlap: float = 0.3, patience_s: float = 1.0, patience_frames: int = 5
    ) -> None:
        """Begin a video.

        Args:
            min_overlap: intersection over union of a face's last box and the next.
            patience_s: a face may stay away for so many seconds, and
            patience_frames: for so many frames, whichever is longer.
        """
        self._min_overlap = min_overlap
        self._patience_s = patience_s
        self._patience_frames = patience_frames
        self._frame = -1
        self._next = 0
        self._known: dict[int, tuple[Box, float, int]] = {}

    def update(self, boxes: Sequence[Box], *, time_s: float) -> list[int]:
        """Return one number for each box of the next frame; numbers count from 0.

        Args:
            boxes: the frame's faces, perhaps none.
            time_s: when the frame is shown; not before the last one.
        """
        self._frame += 1
        self._known = {
            number: (box, seen_s, frame)
            for number, (box, seen_s, frame) in self._known.items()
            if time_s - seen_s <= self._patience_s or self._frame - frame <= self._patience_frames
        }
        pairs = [
            (-shared, number, place)
            for number, (box, _, _) in self._known.items()
            for place, candidate in enumerate(boxes)
            if (shared := overlap(box, candidate)) >= self._min_overlap
        ]
        numbers: dict[int, int] = {}
        taken: set[int] = set()
        for _, number, place in sorted(pairs):
            if place not in numbers and number not in taken:
                numbers[place] = number
                taken.add(number)
        for place, box in enumerate(boxes):
            if place not in numbers:
                numbers[place] = self._next
                self._next += 1
            self._known[numbers[place]] = (box, time_s, self._frame)
        return [numbers[place] for place in range(len(boxes))]
