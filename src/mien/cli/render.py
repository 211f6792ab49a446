"""`mien render`: render a face again from its factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.render_gaze import FPS, SIZE, GazeRequest, draw_arrows, render_redirected
from mien.errors import MienError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.model import Model
    from mien.types import Factors, Rendering
    from mien.views.edit import Edit

__all__ = ["render"]

_FRAMES = 96


@dataclass(frozen=True)
class _Request:
    """What was asked for, checked as far as it can be without opening a file."""

    input: Path
    out: Path | None
    mesh: Path | None
    frontal: bool
    yaw_deg: float | None
    pitch_deg: float | None
    turntable: bool
    light: tuple[float, float, float] | None
    expression_from: Path | None
    neutral: bool
    maps: tuple[str, ...]
    """`depth`, `normals`: rendered in place of the colours, side by side."""
    size: int
    detector: str
    overwrite: bool

    def __post_init__(self) -> None:
        rotated = self.yaw_deg is not None or self.pitch_deg is not None
        if self.out is None and self.mesh is None:
            raise MienError("nothing to write: give --out or --mesh")
        if self.out is not None and self.out.suffix.lower() not in (".png", ".mp4"):
            raise MienError(f"cannot write {self.out.name}: --out is a .png or a .mp4")
        if self.turntable and not self.films:
            raise MienError("--turntable makes a film: name --out something.mp4")
        if sum((self.frontal, rotated, self.turntable)) > 1:
            raise MienError("give one of --frontal, --yaw/--pitch, --turntable")
        if self.neutral and self.expression_from is not None:
            raise MienError("give --neutral or --expression-from, not both")
        for path in (self.out, self.mesh):
            if path is not None and path.exists() and not self.overwrite:
                raise MienError(f"{path} exists: name another file or give --overwrite")

    @property
    def films(self) -> bool:
        """Return whether a film is to be written."""
        return self.out is not None and self.out.suffix.lower() == ".mp4"

    def edits(self) -> tuple[str, ...]:
        """Return the options that render one face again from its factors."""
        given = {
            "--mesh": self.mesh is not None,
            "--frontal": self.frontal,
            "--yaw": self.yaw_deg is not None,
            "--pitch": self.pitch_deg is not None,
            "--turntable": self.turntable,
            "--light": self.light is not None,
            "--expression-from": self.expression_from is not None,
            "--neutral": self.neutral,
            **{f"--{name}": True for name in self.maps},
        }
        return tuple(name for name, is_given in given.items() if is_given)


def render(
    input: Annotated[Path, typer.Argument(metavar="INPUT", help="An image or a video.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="X.png, or X.mp4 for a turntable or a whole video."),
    ] = None,
    frontal: Annotated[
        bool, typer.Option("--frontal", help="Face the camera; the hidden side by symmetry.")
    ] = False,
    yaw: Annotated[
        float | None, typer.Option("--yaw", help="Rotate to this yaw, degrees, + to image-left.")
    ] = None,
    pitch: Annotated[
        float | None, typer.Option("--pitch", help="Rotate to this pitch, degrees, + up.")
    ] = None,
    turntable: Annotated[
        bool, typer.Option("--turntable", help="Rotate to both sides, as a film.")
    ] = False,
    light: Annotated[
        str | None,
        typer.Option(
            "--light",
            metavar="X,Y,Z",
            help="Direction to the light: x right, y down, z away (-z: the camera's side). "
            "Write --light=-1,0,-1 where x is negative.",
        ),
    ] = None,
    expression_from: Annotated[
        Path | None, typer.Option("--expression-from", help="Put on this other face's expression.")
    ] = None,
    neutral: Annotated[bool, typer.Option("--neutral", help="The face at rest.")] = False,
    depth: Annotated[bool, typer.Option("--depth", help="Render depth; near is white.")] = False,
    normals: Annotated[bool, typer.Option("--normals", help="Render normals.")] = False,
    mesh: Annotated[
        Path | None, typer.Option("--mesh", help="Also write the frontal surface, .obj or .glb.")
    ] = None,
    gaze: Annotated[
        bool,
        typer.Option("--gaze", help="Draw an arrow for the gaze of every face in INPUT."),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="File by mien calibrate; --gaze needs it."),
    ] = None,
    eyes_from: Annotated[
        Path | None,
        typer.Option("--eyes-from", help="Redirect the gaze to this other face's."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of the images.", min=16, show_default=str(SIZE)),
    ] = None,
    detector: Annotated[
        str,
        typer.Option("--detector", help="auto, haar or yunet; none: INPUT is a face crop already."),
    ] = "auto",
    weights: Annotated[
        str | None, typer.Option("--weights", help="Folder, file or hub id; else the shipped ones.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda, cuda:N or mps; it must be there.")
    ] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files.")] = False,
) -> None:
    """Render the largest face of INPUT again: rotated, relit, with another expression, as a mesh.

    Without options it is rendered as it was seen. The side that its own pose hides is restored
    through symmetry. With --gaze the whole image, or video, is kept and all faces get an arrow.
    """
    maps = (*(["depth"] if depth else []), *(["normals"] if normals else []))
    request = _Request(
        *(input, out, mesh, frontal, yaw, pitch, turntable),
        *(_direction(light), expression_from, neutral, maps, size or SIZE, detector, overwrite),
    )
    edits = request.edits()
    gaze_request = GazeRequest(
        input, out, gaze, calibration, eyes_from, edits, size, detector, overwrite
    )
    from mien.model import load

    model = load(weights, device=device)
    if gaze_request.gaze:
        draw_arrows(model, gaze_request)
    elif gaze_request:
        render_redirected(model, gaze_request)
    else:
        _render_all(model, request)


def _direction(text: str | None) -> tuple[float, float, float] | None:
    """Parse X,Y,Z."""
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise MienError(f"--light is three numbers X,Y,Z, not {text!r}") from error
    if not 0 < math.hypot(x, y, z) < math.inf:
        raise MienError(f"--light {text} points nowhere; give a direction such as 0,-1,-1")
    return x, y, z


def _render_all(model: Model, request: _Request) -> None:
    """Read the face and write everything that was asked for."""
    from mien.media.image import write_png
    from mien.media.kinds import kind_of
    from mien.media.video import info, write_mp4
    from mien.pipeline.portrait import read_face, read_faces

    size = model.config.image_size
    is_video = kind_of(request.input) == "video"
    if request.films and not request.turntable and not is_video:
        raise MienError(f"{request.input} is no video; give --turntable, or name --out X.png")
    factors = model.encode(read_face(request.input, detector=request.detector, size=size))
    edit = _edit(model, request, factors)
    if request.mesh is not None:
        _write_mesh(model, request, factors, edit)
    if request.out is None:
        return
    if not request.films:
        (image,) = _images(model, request, factors, edit)
        write_png(request.out, image, overwrite=request.overwrite)
        return
    if request.turntable:
        frames, fps = _turntable(model, request, factors, edit), FPS
    else:
        film = read_faces(request.input, detector=request.detector, size=size)
        seen = (model.encode(crop) for crop in film)
        frames = (p for one in seen for p in _images(model, request, one, edit))
        fps = info(request.input).fps or FPS
    write_mp4(request.out, frames, fps=fps, overwrite=request.overwrite)


def _edit(model: Model, request: _Request, factors: Factors) -> Edit:
    """Convert the request into changes of the factors."""
    from mien.pipeline.portrait import read_face
    from mien.views.edit import Edit, light_from
    from mien.views.poses import rotated_pose

    pose = expression = light = None
    if request.frontal or request.yaw_deg is not None or request.pitch_deg is not None:
        yaw, pitch = (math.radians(angle or 0.0) for angle in (request.yaw_deg, request.pitch_deg))
        pose = rotated_pose([yaw], [pitch], model.device)
    if request.expression_from is not None:
        path, size = request.expression_from, model.config.image_size
        expression = model.encode(read_face(path, detector=request.detector, size=size))
    if request.light is not None:
        light = light_from(request.light, factors.light)
    return Edit(pose=pose, light=light, neutral=request.neutral, expression=expression)


def _turntable(
    model: Model, request: _Request, factors: Factors, edit: Edit
) -> Iterator[NDArray[np.uint8]]:
    """Render a turntable, frame by frame."""
    from mien.views.poses import turntable_poses

    poses = turntable_poses(_FRAMES, device=model.device)
    for i in range(_FRAMES):
        yield from _images(model, request, factors, replace(edit, pose=poses[i : i + 1]))


def _images(
    model: Model, request: _Request, factors: Factors, edit: Edit
) -> Iterator[NDArray[np.uint8]]:
    """Render each face as a uint8 image."""
    import torch

    from mien.media.image import to_uint8
    from mien.views.edit import render_edited

    rendered = render_edited(model, factors, edit, size=request.size)
    panels = [_panel(rendered, name) for name in request.maps or ("colours",)]
    yield from to_uint8(torch.cat(panels, dim=3))


def _panel(rendered: Rendering, name: str):  # noqa: ANN202 - a torch tensor, imported late
    from mien.views.colours import depth_grey, normal_colours, on_background

    if name == "depth":
        return depth_grey(rendered.depth, rendered.mask)
    if name == "normals":
        return normal_colours(rendered.normals, rendered.mask)
    return on_background(rendered.image, rendered.mask)


def _write_mesh(model: Model, request: _Request, factors: Factors, edit: Edit) -> None:
    """Write the canonical surface with the restored albedo."""
    from mien.views.edit import render_edited
    from mien.views.mesh_export import face_mesh, write_mesh

    assert request.mesh is not None
    rendered = render_edited(model, factors, edit)
    mesh = face_mesh(rendered.canonical_albedo, rendered.canonical_depth, model.config.fov_deg)
    write_mesh(request.mesh, mesh, overwrite=request.overwrite)
