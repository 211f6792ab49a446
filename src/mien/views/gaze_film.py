"""Images and videos with the gaze of every face drawn in; gaze redirection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.media.frame import Frame
from mien.media.names import to_text
from mien.pipeline.crops import Crop, Cropper
from mien.pipeline.encode import Encoder, to_batch
from mien.pipeline.portrait import no_face_in
from mien.pipeline.read import read_media
from mien.probes.gaze import Calibration, estimate
from mien.types import GazeCode
from mien.views.gaze_arrow import FaceGaze, draw_gazes

__all__ = [
    "GazeReader",
    "GazeRenderer",
    "film_gaze",
    "gaze_of",
    "image_gaze",
    "no_branch",
    "placed",
    "redirect_gaze",
]

_ARROW = 1.0
"""Length of a gaze straight to the side, in sides of the face's square."""


class GazeRenderer(Encoder, Protocol):
    """What is asked of a model to render eyes from a gaze code."""

    def redirect_gaze(self, images: Tensor, codes: Tensor, /) -> Tensor: ...


class GazeReader:
    """Finds the faces of an image and where each of them looks."""

    def __init__(self, model: Encoder, calibration: Calibration, *, detector: str = "auto") -> None:
        """Open the detector.

        Args:
            model: whose gaze codes the calibration is for.
            calibration: makes directions of the codes.
            detector: auto, mien, yunet or haar; none: every image is a face crop already.

        Raises:
            MienError: if the weights have no gaze branch, the calibration belongs to others, or the
                detector cannot be had here.
        """
        if model.config.gaze is None:
            raise no_branch(model)
        calibration.check_model(model.weights_id, model.config.gaze.code_dim)
        self._model = model
        self._calibration = calibration
        self._cropper = Cropper.open(detector, model.crop_size)
        self.images = self.without_face = 0
        """Images that were searched, and those without a face."""
        self.faces = self.without_eyes = 0
        """Faces that were found, and those whose eyes are shut or not seen: they have no gaze."""

    def __call__(self, pixels: NDArray[np.uint8]) -> list[FaceGaze | None]:
        """Return the gaze of every face, from left to right; None where no open eyes are seen.

        Args:
            pixels: RGB uint8. [H, W, 3].
        """
        crops = self._cropper(pixels)
        self.images += 1
        self.without_face += not crops
        if not crops:
            return []
        factors = self._model.encode(to_batch([crop.pixels for crop in crops]))
        gaze = estimate(self._calibration, factors)
        known = np.isfinite(gaze.direction.sum(axis=1))
        self.faces += len(crops)
        self.without_eyes += int((~known).sum())
        assert factors.gaze is not None
        eyes = factors.gaze.eyes.double().cpu().numpy()
        return [
            placed(crop, eyes[row], gaze.direction[row], float(gaze.std_rad[row]))
            if known[row]
            else None
            for row, crop in enumerate(crops)
        ]


def image_gaze(path: str | Path, reader: GazeReader) -> NDArray[np.uint8]:
    """Return an image with an arrow for the gaze of every face whose eyes are open and seen.

    Args:
        path: an image; or a video, whose first frame with such a face is taken.
        reader: reads the gaze.

    Returns:
        RGB uint8, of the file's own size unless that is above 4096 pixels a side. [H, W, 3].

    Raises:
        MienError: if the file cannot be read, or shows no face with open eyes.
    """
    for frame in film_gaze(path, reader):
        if frame.pixels is not None and reader.faces > reader.without_eyes:
            return frame.pixels
    raise no_face_in(path)


def film_gaze(path: str | Path, reader: GazeReader) -> Iterator[Frame]:
    """Yield every frame of a video with the arrows of its faces; a broken frame repeats the last.

    Frames without a face, or without open eyes, come as they are: nothing is carried over.

    Args:
        path: a video.
        reader: reads the gaze.

    Raises:
        MienError: at the end if no frame showed a face with open eyes; if the file cannot be read.
    """
    last: NDArray[np.uint8] | None = None
    for frame in read_media(path):
        if frame.pixels is not None:
            gazes = [gaze for gaze in reader(frame.pixels) if gaze is not None]
            last = draw_gazes(frame.pixels, gazes)
        if last is not None:
            yield replace(frame, pixels=last)
    if not reader.faces:
        raise no_face_in(path)
    if reader.faces == reader.without_eyes:
        raise MienError(
            f"no open eyes are seen in {to_text(path)}, so there is no gaze to draw; "
            "give an image that shows them, facing the camera"
        )


@torch.no_grad()
def redirect_gaze(model: GazeRenderer, crops: Tensor, other: GazeCode) -> tuple[Tensor, Tensor]:
    """Redirect the gaze of faces: render their eyes anew from another face's gaze code.

    Args:
        model: encodes and renders.
        crops: uint8 or float in [0, 1]. [B, 3, H, W].
        other: one row serves all.

    Returns:
        The faces, RGB in [0, 1], [B, 3, H', W']; and whether eyes were found in them, bool [B]:
        where not, a face comes as it was.

    Raises:
        MienError: if the weights have no gaze branch, or no eyes are found in a row of `other`.
    """
    if not other.eyes_found.all():
        raise MienError("no open eyes are seen in the face that the gaze is taken from")
    own = gaze_of(model, crops)
    pixels = crops.float() / 255 if crops.dtype == torch.uint8 else crops
    pixels = pixels.to(own.code.device)
    rendered = model.redirect_gaze(pixels, other.code.to(own.code.device).expand(len(crops), -1))
    if rendered.shape[-2:] != pixels.shape[-2:]:
        pixels = torch.nn.functional.interpolate(
            pixels, rendered.shape[-2:], mode="bilinear", antialias=True
        )
    kept = own.eyes_found[:, None, None, None]
    return torch.where(kept, rendered, pixels).clamp(0, 1), own.eyes_found


def placed(
    crop: Crop, eyes: NDArray[np.float64], direction: NDArray[np.float64], std_rad: float
) -> FaceGaze:
    """Bring the eyes from fractions of the crop to the image's pixels.

    One arrow from between the eyes: it is one direction, and the eyes stay in sight.
    """
    side = len(crop.pixels) / crop.scale
    middle = eyes.mean(axis=0) * side + crop.corner
    return FaceGaze(middle, direction, _ARROW * side, std_rad)


def gaze_of(model: Encoder, crops: Tensor) -> GazeCode:
    """Return the gaze codes of face crops, uint8 [B, 3, H, W]; B rows.

    Raises:
        MienError: the weights have no gaze branch.
    """
    gaze = model.encode(crops).gaze
    if gaze is None:
        raise no_branch(model)
    return gaze


def no_branch(model: Encoder) -> MienError:
    """Return what is wrong with weights that know no gaze."""
    return MienError(
        f"the weights {model.weights_id} have no gaze branch; give others with --weights"
    )
