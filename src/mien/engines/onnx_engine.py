"""onnxruntime in torch's place on the CPU: half the time a face when faces come one by one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mien.engines.graphs import tensors_of
from mien.engines.sessions import Sessions
from mien.gaze.cut import EyeViews
from mien.gaze.emib import EMIB
from mien.gaze.localizer import Found
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """`Sessions` that take tensors and give them."""

    name = "onnx"

    def __init__(self, folder: Path, network: LatentFace, gaze: EMIB | None) -> None:
        """Take graphs and the networks, on the CPU, whose weights they run with.

        Raises:
            MienError: the first graph is missing or damaged, or was made for other networks.
        """
        values = {name: value.numpy() for name, value in tensors_of(network, gaze).items()}
        self._sessions, self._sees_eyes = Sessions(folder, values), gaze is not None
        self._sessions.open("encoder" if gaze else "face")

    def factors(self, images: Tensor, small: Tensor, /, *, features: bool) -> Factors:
        """As `Engine.factors`."""
        large = images.numpy() if self._sees_eyes else None
        return self._sessions.factors(large, small.numpy(), features=features).torch()

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
