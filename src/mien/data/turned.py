"""Crops of photographs with the same people turned, relit and with other expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.data.reading import TrainingCrop
from mien.data.seeds import seed_of
from mien.synth.head_model import HeadModel
from mien.synth.photo_views import PhotoViews, Turn, Views

__all__ = ["Turned", "photographs_of", "view_name"]

_BACKGROUNDS = 64

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


def view_name(name: str, number: int) -> str:
    """Return what a photograph's view is called in a cache, where it follows its photograph."""
    return f"{name} turned {number}"


def photographs_of(names: Sequence[str], clip: Numbers) -> Numbers:
    """Return for each row of a cache the row of its photograph. int64 [N].

    It is -1 for frames of clips and for photographs without views.

    Args:
        names: of the rows.
        clip: of the rows, -1 for stills. [N].
    """
    found = np.full(len(names), -1, dtype=np.int64)
    first = views = 0
    for row, name in enumerate(names):
        if clip[row] < 0 and row and name == view_name(names[first], views):
            found[first] = found[row] = first
            views += 1
        else:
            first, views = row, 0
    return found


class Turned:
    """Draws further views of photographs; counts those of which there are none."""

    def __init__(
        self,
        head: HeadModel | None,
        views: int,
        seed: int,
        turn: Turn | None = None,
        *,
        glasses: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            head: draws the views; None: there are none.
            views: how many of each photograph.
            seed: decides them.
            turn: how far heads are turned.
            glasses: in how many of the views they wear glasses. [0, 1].
        """
        self._draw = None
        if head is not None and views:
            self._draw = PhotoViews(head, turn, glasses=glasses)
        self._count, self._seed = views, seed
        self._backgrounds: list[Pixels] = []
        self.unturned = 0

    def __call__(self, crop: TrainingCrop, number: int) -> Views | None:
        """Return the views of a crop; None without a head model or landmarks.

        Args:
            crop: of a photograph, with its room.
            number: of the photograph; with the seed it decides the views.
        """
        # A ring of earlier photographs, blurred, stands behind the turned heads.
        self._backgrounds = [crop.pixels, *self._backgrounds[: _BACKGROUNDS - 1]]
        if self._draw is None or crop.landmarks is None:
            self.unturned += 1
            return None
        rng = np.random.default_rng(seed_of(self._seed, "views", number))
        marks = crop.place(crop.landmarks)
        return self._draw(crop.pixels, marks, self._count, rng, self._backgrounds)

    def report(self) -> str:
        """Return a line on what is not turned; empty where all is."""
        if not self.unturned:
            return ""
        return (
            f"{self.unturned:,} photographs are not turned, for want of a head model "
            "(synth:HEAD_MODEL) or of landmarks (data.detector=yunet)"
        )
