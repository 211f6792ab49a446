"""The part of `mien render` that shows gaze: arrows, and gaze redirection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mien.errors import MienError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.cli.render_request import Request
    from mien.model import Model

__all__ = ["gaze_arrows", "redirected"]


def gaze_arrows(model: Model, request: Request) -> Iterator[NDArray[np.uint8]]:
    """Yield the image, or the frames of the video, with an arrow for the gaze of every face."""
    from mien.probes.gaze import Calibration
    from mien.views.gaze_film import GazeReader, film_gaze, image_gaze

    assert request.calibration is not None
    calibration = Calibration.load(request.calibration)
    reader = GazeReader(model, calibration, detector=request.detector)
    if request.films:
        yield from film_gaze(request.input, reader)
    else:
        yield image_gaze(request.input, reader)


def redirected(model: Model, request: Request) -> Iterator[NDArray[np.uint8]]:
    """Yield the face, or that of each frame, with its gaze redirected to that of another face."""
    from torch.nn.functional import interpolate

    from mien.media.image import to_uint8
    from mien.pipeline.portrait import read_face, read_faces
    from mien.views.gaze_film import gaze_of, redirect_gaze

    assert request.eyes_from is not None
    how = {"detector": request.detector, "size": model.crop_size}
    other = gaze_of(model, read_face(request.eyes_from, **how))
    if not other.eyes_found.all():
        raise MienError(
            f"no open eyes are seen in {request.eyes_from}; take the gaze of another image"
        )
    size, any_found = (request.size, request.size), False
    crops = read_faces(request.input, **how) if request.films else [read_face(request.input, **how)]
    for crop in crops:
        rendered, found = redirect_gaze(model, crop, other)
        any_found |= bool(found.any())
        if rendered.shape[-2:] != size:
            rendered = interpolate(rendered, size, mode="bicubic", antialias=True)
        yield from to_uint8(rendered)
    if not any_found:
        raise MienError(
            f"no open eyes are seen in {request.input}: there is no gaze to redirect; "
            "give an image that shows them"
        )
