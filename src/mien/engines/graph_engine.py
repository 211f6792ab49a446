"""Graphs in torch's place on the CPU: half the time a face when faces come one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.engines.sessions import Sessions
from mien.gaze.cut import EyeViews, luminance
from mien.gaze.localizer import Found
from mien.types import Factors

__all__ = ["GraphEngine"]


class GraphEngine:
    """`Sessions` that take tensors and give them."""

    def __init__(self, sessions: Sessions, *, sees_eyes: bool) -> None:
        """Take sessions and whether the weights have a gaze branch.

        Raises:
            MienError: the first graph is missing or damaged, or was made for other networks.
        """
        self._sessions, self._sees_eyes = sessions, sees_eyes
        sessions.open("encoder" if sees_eyes else "face")

    @property
    def name(self) -> str:
        """Return the engine's name."""
        return self._sessions.engine

    def factors(self, images: Tensor, small: Tensor, /, *, features: bool) -> Factors:
        """As `Engine.factors`."""
        grey = luminance(images).numpy() if self._sees_eyes else None
        return self._sessions.factors(grey, small.numpy(), features=features).torch()

    def find_eyes(self, half_canvas: Tensor, /) -> Found:
        """As `EMIB.find_eyes`. [B, 1, 64, 128]."""
        return Found(*self._run("localizer", half_canvas))

    def read_code(self, views: EyeViews, /) -> Tensor:
        """As `EMIB.read_code`. [B, d]."""
        surroundings = views.band, views.face, views.band_eyes, views.face_eyes, views.has_face
        return self._run("gaze", views.eyes, *surroundings)[0]

    def _run(self, name: str, *given: Tensor) -> list[Tensor]:
        found = self._sessions.run(name, *(value.numpy() for value in given))
        return [torch.from_numpy(array) for array in found.values()]
