"""The part of `mien render` that draws over images: gaze, overlays; and gaze redirection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mien.errors import MienError
from mien.media.frame import Frame

if TYPE_CHECKING:
    from mien.cli.render_request import Request
    from mien.model import Model

__all__ = ["gaze_arrows", "overlaid", "redirected"]


def gaze_arrows(model: Model, request: Request, said: list[str]) -> Iterator[Frame]:
    """Yield the image, or the frames of the video, with an arrow for the gaze of every face.

    Which faces have none, and why, is added to `said` at the end.
    """
    from mien.probes.gaze import Calibration
    from mien.views.gaze_film import GazeReader, film_gaze, image_gaze

    assert request.calibration is not None
    calibration = Calibration.load(request.calibration)
    reader = GazeReader(model, calibration, detector=request.detector)
    if request.films:
        yield from film_gaze(request.input, reader)
    else:
        yield Frame(image_gaze(request.input, reader))
    arrows = reader.faces - reader.without_eyes
    said.append(f"{arrows:,} of {reader.faces:,} faces have an arrow")
    if reader.without_eyes:
        said.append(f"{reader.without_eyes:,} have none: no open eyes are seen")
    if reader.without_face:
        said.append(f"{reader.without_face:,} of {reader.images:,} frames show no face")


def overlaid(model: Model, request: Request, said: list[str]) -> Iterator[Frame]:
    """Yield the image, or the frames of the video, with what is read off every face drawn in."""
    from mien.probes.gaze import Calibration
    from mien.views.overlay import OverlayReader, film_overlay, image_overlay

    known = None if request.calibration is None else Calibration.load(request.calibration)
    reader = OverlayReader(model, known, detector=request.detector)
    if request.films:
        yield from film_overlay(request.input, reader)
    else:
        yield Frame(image_overlay(request.input, reader))
    said.append(f"{reader.faces:,} faces")
    if reader.without_face:
        said.append(f"{reader.without_face:,} of {reader.images:,} frames show no face")


def redirected(model: Model, request: Request) -> Iterator[Frame]:
    """Yield the face, or that of each frame, with its gaze redirected to that of another face."""
    from torch.nn.functional import interpolate

    from mien.media.image import to_uint8
    from mien.pipeline.encode import to_batch
    from mien.pipeline.portrait import read_faces, read_portrait
    from mien.views.gaze_film import gaze_of, redirect_gaze

    assert request.eyes_from is not None
    how = {"detector": request.detector, "size": model.crop_size}
    other = gaze_of(model, read_portrait(request.eyes_from, **how).crops)
    if not other.eyes_found.all():
        raise MienError(
            f"no open eyes are seen in {request.eyes_from}; take the gaze of another image"
        )
    size, any_found = (request.size, request.size), False
    how["face"] = request.face
    if request.films:
        seen = (
            (to_batch([f.pixels]), f)
            for f in read_faces(request.input, **how)
            if f.pixels is not None
        )
    else:
        seen = ((read_portrait(request.input, **how).crops, Frame(None)) for _ in range(1))
    for crop, frame in seen:
        rendered, found = redirect_gaze(model, crop, other)
        any_found |= bool(found.any())
        if rendered.shape[-2:] != size:
            rendered = interpolate(rendered, size, mode="bicubic", antialias=True)
        yield replace(frame, pixels=to_uint8(rendered)[0])
    if not any_found:
        raise MienError(
            f"no open eyes are seen in {request.input}: there is no gaze to redirect; "
            "give an image that shows them"
        )
