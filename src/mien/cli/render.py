"""`mien render`: render a face again from its factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from mien.cli.options import Detector, Device, Overwrite, Weights
from mien.cli.render_gaze import gaze_arrows, overlaid, redirected
from mien.cli.render_request import MAX_SIZE, SIZE, Request, parse_light
from mien.cli.terminal import show
from mien.errors import MienError
from mien.media.frame import Frame
from mien.media.image import check_file
from mien.media.kinds import kind_of
from mien.media.names import to_text

if TYPE_CHECKING:
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
        typer.Option(
            "--out", "-o", help="X.png, .jpg, .webp; .mp4 for a turntable or a whole video."
        ),
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
        Path | None,
        typer.Option("--expression-from", help="This other face's expression, brows to chin."),
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
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay",
            help="Draw boxes, tracks, pose axes, with --calibration gaze, and below a video the "
            "expression over time.",
        ),
    ] = False,
    eyes_from: Annotated[
        Path | None,
        typer.Option("--eyes-from", help="Redirect the gaze to this other face's."),
    ] = None,
    face: Annotated[
        int | None,
        typer.Option("--face", help="Take this face, from 0 at the left; else the largest.", min=0),
    ] = None,
    every_face: Annotated[
        bool, typer.Option("--all", help="Render all faces of an image, side by side.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", help="Side of the images.", min=16, max=MAX_SIZE, show_default=str(SIZE)
        ),
    ] = None,
    detector: Detector = "auto",
    weights: Weights = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Render the largest face of INPUT again: rotated, relit, with another expression, as a mesh.

    Without options it is rendered as it was seen. The side that its own pose hides is restored
    through symmetry. With --gaze the whole image, or video, is kept and all faces get an
    arrow; with --overlay all that is read off them is drawn. One line says what was written.
    """
    maps = (*(["depth"] if depth else []), *(["normals"] if normals else []))
    request = Request(
        *(input, out, mesh, frontal, yaw, pitch, turntable, parse_light(light), expression_from),
        *(
            neutral,
            maps,
            gaze,
            overlay,
            calibration,
            eyes_from,
            size,
            face,
            every_face,
            detector,
            overwrite,
        ),
    )
    from mien.media.outputs import check_outputs, written_together
    from mien.model import load
    from mien.views.mesh_export import mesh_paths

    outputs = [*([] if out is None else [out]), *([] if mesh is None else mesh_paths(mesh))]
    check_outputs(outputs, inputs=request.inputs, overwrite=overwrite)
    check_file(input)
    if request.films and not turntable and kind_of(input) != "video":
        raise MienError(f"{input} is no video; give --turntable, or name --out X.png")
    for path in request.inputs:
        check_file(path)
    model = load(weights, device=device)
    said: list[str] = []
    with written_together(outputs, inputs=request.inputs, overwrite=overwrite) as places:
        if gaze:
            frames = gaze_arrows(model, request, said)
        elif overlay:
            frames = overlaid(model, request, said)
        elif eyes_from is not None:
            frames = redirected(model, request)
        else:
            mesh_place = None if mesh is None else places[len(outputs) - len(mesh_paths(mesh))]
            frames = _edited(model, request, mesh_place, said)
        _write(request, frames, places[0], said)
    show(f"{', '.join(map(to_text, outputs))}: {'; '.join(said)}")


def _write(request: Request, frames: Iterator[Frame], place: Path, said: list[str]) -> None:
    """Write the frames that are rendered, if any are asked for, and say what they are."""
    from mien.media.image import write_image
    from mien.media.video import info, write_mp4

    if request.films:
        own = None if request.turntable else info(request.input).fps
        sound = None if request.turntable else request.input
        count = write_mp4(place, frames, fps=own or _FPS, sound_of=sound)
        said.insert(0, f"{count:,} frames")
        return
    for frame in list(frames):  # all is right before anything is written
        assert frame.pixels is not None
        write_image(place, frame.pixels)
        said.insert(0, f"{frame.pixels.shape[1]} x {frame.pixels.shape[0]} pixels")


def _edited(
    model: Model, request: Request, mesh_place: Path | None, said: list[str]
) -> Iterator[Frame]:
    """Write the mesh, then render the images that are asked for."""
    from mien.pipeline.encode import to_batch
    from mien.pipeline.portrait import read_faces, read_portrait
    from mien.views.edit import render_edited
    from mien.views.mesh_export import face_mesh, write_mesh
    from mien.views.poses import turntable_poses

    how = {"detector": request.detector, "size": model.config.image_size, "face": request.face}
    portrait = read_portrait(request.input, **how, every=request.every_face)
    said.append(_which(portrait.numbers, portrait.count))
    factors = model.encode(portrait.crops)
    edit = _edit(model, request, factors)
    if mesh_place is not None:
        plain = render_edited(model, factors, edit)
        mesh = face_mesh(plain.canonical_albedo, plain.canonical_depth, model.config.fov_deg)
        write_mesh(mesh_place, mesh)
    if request.turntable:
        for pose in turntable_poses(_FRAMES, device=model.device):
            yield Frame(_image(model, request, factors, replace(edit, pose=pose, centred=True)))
    elif request.films:
        for frame in read_faces(request.input, **how):
            assert frame.pixels is not None
            seen = model.encode(to_batch([frame.pixels]))
            yield replace(frame, pixels=_image(model, request, seen, edit))
    elif request.out is not None:
        yield Frame(_image(model, request, factors, edit))


def _which(numbers: tuple[int, ...], count: int) -> str:
    """Say which of the faces that were found are rendered."""
    if count == 1:
        return "the one face found"
    if len(numbers) == count:
        return f"all {count} faces found, from left to right"
    return f"face {numbers[0]} of {count} found, from 0 at the left"


def _edit(model: Model, request: Request, factors: Factors) -> Edit:
    """Convert the request into changes of the factors."""
    from mien.pipeline.portrait import read_portrait
    from mien.views.edit import Edit, light_from
    from mien.views.poses import rotated_pose

    pose = expression = light = None
    if request.frontal or request.yaw is not None or request.pitch is not None:
        yaw, pitch = (math.radians(angle or 0.0) for angle in (request.yaw, request.pitch))
        pose = rotated_pose([yaw], [pitch], model.device)
    if request.expression_from is not None:
        path, size = request.expression_from, model.config.image_size
        other = read_portrait(path, detector=request.detector, size=size)
        expression = model.encode(other.crops)
    if request.light is not None:
        light = light_from(request.light, factors.light)
    return Edit(
        *(pose, light, request.neutral, expression),
        inside_face=expression is not None,
        centred=pose is not None,
    )


def _image(model: Model, request: Request, factors: Factors, edit: Edit) -> NDArray[np.uint8]:
    """Render faces, their colours or their maps, side by side."""
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
    rows = to_uint8(torch.cat([show(what, rendered.mask) for show, what in chosen], dim=3))
    return np.concatenate(list(rows), axis=1)
