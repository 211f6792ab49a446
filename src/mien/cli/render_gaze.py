"""The part of `mien render` that shows gaze: arrows, and gaze redirection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import MienError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from mien.types import GazeCode
    from mien.views.gaze_film import GazeEncoder, GazeRenderer

__all__ = ["FPS", "SIZE", "GazeRequest", "draw_arrows", "render_redirected"]

FPS = 24.0
"""Frames a second where a video has no rate."""
SIZE = 256
"""Side of a rendered face, pixels, where --size is not given."""


@dataclass(frozen=True)
class GazeRequest:
    """What is to be shown, checked as far as it can be without opening a file."""

    input: Path
    out: Path | None
    gaze: bool
    calibration: Path | None
    eyes_from: Path | None
    others: tuple[str, ...]
    """Options given that render the face in other ways."""
    size: int | None
    """As given, if it was given."""
    detector: str
    overwrite: bool

    def __post_init__(self) -> None:
        if self.calibration is not None and not self.gaze:
            raise MienError("--calibration goes with --gaze; give both, or leave it out")
        if not self:
            return
        asked = "--gaze" if self.gaze else "--eyes-from"
        others = (*(["--eyes-from"] if self.gaze and self.eyes_from else []), *self.others)
        if others:
            raise MienError(f"{asked} goes alone; leave {', '.join(others)} out")
        if self.gaze and self.calibration is None:
            raise MienError(
                "--gaze needs --calibration FILE: without one a gaze code has no direction; "
                "make it with mien calibrate"
            )
        if self.gaze and self.size is not None:
            raise MienError("--gaze draws on the image as large as it is; leave --size out")

    def __bool__(self) -> bool:
        """Return whether gaze is asked for at all."""
        return self.gaze or self.eyes_from is not None

    def is_film(self) -> bool:
        """Return whether a film is to be made, and refuse one of an image."""
        from mien.media.kinds import kind_of

        films = self.out is not None and self.out.suffix.lower() == ".mp4"
        if films and kind_of(self.input) != "video":
            raise MienError(f"{self.input} is no video; name --out X.png")
        return films


def draw_arrows(model: GazeEncoder, request: GazeRequest) -> None:
    """Write the image or video with an arrow for the gaze of every face."""
    from mien.media.image import write_png
    from mien.probes.gaze import Calibration
    from mien.views.gaze_film import GazeReader, film_gaze, image_gaze

    assert request.out is not None
    assert request.calibration is not None
    is_film = request.is_film()
    calibration = Calibration.load(request.calibration)
    reader = GazeReader(model, calibration, detector=request.detector)
    if is_film:
        _write_film(request, film_gaze(request.input, reader))
    else:
        image = image_gaze(request.input, reader)
        write_png(request.out, image, overwrite=request.overwrite)


def render_redirected(model: GazeRenderer, request: GazeRequest) -> None:
    """Write the face with its gaze redirected to that of another face."""
    from mien.media.image import write_png
    from mien.pipeline.portrait import read_face, read_faces

    assert request.out is not None
    is_film = request.is_film()
    other = _other_gaze(model, request)
    size, detector = model.crop_size, request.detector
    if is_film:
        film = read_faces(request.input, detector=detector, size=size)
        _write_film(request, _redirected(model, film, other, request))
    else:
        crop = read_face(request.input, detector=detector, size=size)
        (image,) = _redirected(model, [crop], other, request)
        write_png(request.out, image, overwrite=request.overwrite)


def _other_gaze(model: GazeRenderer, request: GazeRequest) -> GazeCode:
    """Read the gaze code of the face that the gaze is taken from."""
    from mien.pipeline.portrait import read_face

    if model.config.gaze is None:
        raise MienError(
            f"the weights {model.weights_id} have no gaze branch, which --eyes-from asks for: "
            "give others with --weights"
        )
    assert request.eyes_from is not None
    crop = read_face(request.eyes_from, detector=request.detector, size=model.crop_size)
    other = model.encode(crop).gaze
    if other is None or not other.eyes_found.all():
        raise MienError(
            f"no open eyes are seen in {request.eyes_from}; take the gaze of another image"
        )
    return other


def _redirected(
    model: GazeRenderer, crops: Iterable[Tensor], other: GazeCode, request: GazeRequest
) -> Iterator[NDArray[np.uint8]]:
    """Render faces with another gaze; refuse at the end if none of them has eyes."""
    from torch.nn.functional import interpolate

    from mien.media.image import to_uint8
    from mien.views.gaze_film import redirect_gaze

    size, any_found = request.size or SIZE, False
    for crop in crops:
        rendered, found = redirect_gaze(model, crop, other)
        any_found |= bool(found.any())
        if rendered.shape[-2:] != (size, size):
            rendered = interpolate(rendered, (size, size), mode="bicubic", antialias=True)
        yield from to_uint8(rendered)
    if not any_found:
        raise MienError(
            f"no open eyes are seen in {request.input}: there is no gaze to redirect; "
            "give an image that shows them"
        )


def _write_film(request: GazeRequest, frames: Iterator[NDArray[np.uint8]]) -> None:
    from mien.media.video import info, write_mp4

    assert request.out is not None
    fps = info(request.input).fps or FPS
    write_mp4(request.out, frames, fps=fps, overwrite=request.overwrite)
