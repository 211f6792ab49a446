"""A student of the gaze branch in its teacher's place; the teacher still finds the eyes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mien.errors import MienError
from mien.gaze.cut import luminance
from mien.gaze.student import Student, cut_band
from mien.model import Model, prepare
from mien.types import Factors, GazeCode

__all__ = ["StudentModel"]


class StudentModel:
    """A model whose gaze codes are a student's; everything else is the teacher's."""

    def __init__(self, model: Model, student: Student) -> None:
        """Put a student beside its teacher.

        Raises:
            MienError: it is the student of other weights.
        """
        if student.teacher != model.weights_id:
            raise MienError(
                f"the student learned from {student.teacher}, not from {model.weights_id}"
            )
        self._model, self._student = model, student
        self.weights_id = f"{model.weights_id}, student"

    @property
    def crop_size(self) -> int:
        """Return the side of the face crops that are wanted. Pixels."""
        return self._model.crop_size

    @property
    def eye_crop_size(self) -> tuple[int, int]:
        """Return height and width of the eye-region crops that are wanted. Pixels."""
        return self._model.eye_crop_size

    def encode(self, images: Tensor, /) -> Factors:
        """Return the teacher's factors with the student's gaze. [B, 3, H, W]."""
        factors = self._model.encode(images)
        if factors.gaze is None:
            return factors
        pixels = prepare(images, (self.crop_size, self.crop_size))
        return replace(factors, gaze=self._read(pixels, factors.gaze))

    def encode_eyes(self, eye_crops: Tensor, /) -> GazeCode:
        """Return the student's gaze code of eye-region crops. [B, 3, H, W]."""
        return self._read(
            prepare(eye_crops, self.eye_crop_size), self._model.encode_eyes(eye_crops)
        )

    @torch.no_grad()
    def _read(self, pixels: Tensor, gaze: GazeCode) -> GazeCode:
        size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
        code, score = self._student(cut_band(luminance(pixels), gaze.eyes.cpu() * size - 0.5))
        return replace(gaze, code=code, eye_score=score, eyes_found=score > 0.5)
