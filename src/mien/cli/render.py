"""`mien render`: render a face again from its factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.render_gaze import gaze_arrows, redirected
from mien.cli.render_request import SIZE, Request, parse_light
from mien.errors import MienError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.model import Model
    from mien.types import Factors
    from mien.views.edit import Edit

__all__ = ["render"]

_FRAMES = 96
_FPS = 24.0
"""Frames a second where a video has no rate."""


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
    request = Request(
        *(input, out, mesh, frontal, yaw, pitch, turntable, parse_light(light), expression_from),
        *(neutral, maps, gaze, calibration, eyes_from, size, detector, overwrite),
    )
    from mien.media.image import write_png
    from mien.media.kinds import kind_of
    from mien.media.video import info, write_mp4
    from mien.model import load

    model = load(weights, device=device)
    is_video = kind_of(input) == "video"
    if request.films and not turntable and not is_video:
        raise MienError(f"{input} is no video; give --turntable, or name --out X.png")
    if gaze:
        frames = gaze_arrows(model, request)
    elif eyes_from is not None:
        frames = redirected(model, request)
    else:
        frames = _edited(model, request)
    if request.films:
        assert out is not None
        fps = (info(input).fps if is_video and not turntable else None) or _FPS
        write_mp4(out, frames, fps=fps, overwrite=overwrite)
        return
    for image in list(frames):  # all is right before anything is written
        assert out is not None
        write_png(out, image, overwrite=overwrite)


def _edited(model: Model, request: Request) -> Iterator[NDArray[np.uint8]]:
    """Write the mesh, then render the images that are asked for."""
    from mien.pipeline.portrait import read_face, read_faces
    from mien.views.edit import render_edited
    from mien.views.mesh_export import face_mesh, write_mesh
    from mien.views.poses import turntable_poses

    how = {"detector": request.detector, "size": model.config.image_size}
    factors = model.encode(read_face(request.input, **how))
    edit = _edit(model, request, factors)
    if request.mesh is not None:
        plain = render_edited(model, factors, edit)
        mesh = face_mesh(plain.canonical_albedo, plain.canonical_depth, model.config.fov_deg)
        write_mesh(request.mesh, mesh, overwrite=request.overwrite)
    if request.turntable:
        for pose in turntable_poses(_FRAMES, device=model.device):
            yield _image(model, request, factors, replace(edit, pose=pose))
    elif request.films:
        for crop in read_faces(request.input, **how):
            yield _image(model, request, model.encode(crop), edit)
    elif request.out is not None:
        yield _image(model, request, factors, edit)


def _edit(model: Model, request: Request, factors: Factors) -> Edit:
    """Convert the request into changes of the factors."""
    from mien.pipeline.portrait import read_face
    from mien.views.edit import Edit, light_from
    from mien.views.poses import rotated_pose

    pose = expression = light = None
    if request.frontal or request.yaw is not None or request.pitch is not None:
        yaw, pitch = (math.radians(angle or 0.0) for angle in (request.yaw, request.pitch))
        pose = rotated_pose([yaw], [pitch], model.device)
    if request.expression_from is not None:
        path, size = request.expression_from, model.config.image_size
        expression = model.encode(read_face(path, detector=request.detector, size=size))
    if request.light is not None:
        light = light_from(request.light, factors.light)
    return Edit(pose=pose, light=light, neutral=request.neutral, expression=expression)


def _image(model: Model, request: Request, factors: Factors, edit: Edit) -> NDArray[np.uint8]:
    """Render a face, its colours or its maps side by side."""
    import torch

    from mien.media.image import to_uint8
    from mien.views.colours import depth_grey, normal_colours, on_background
    from mien.views.edit import render_edited

    rendered = render_edited(model, factors, edit, size=request.size)
    panels = {
        "colours": (on_background, rendered.image),
        "depth": (depth_grey, rendered.depth),
        "normals": (normal_colours, rendered.normals),
    }
    chosen = [panels[name] for name in request.maps or ("colours",)]
    return to_uint8(torch.cat([show(what, rendered.mask) for show, what in chosen], dim=3))[0]
