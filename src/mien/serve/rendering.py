"""Faces rendered for clients: images, meshes, and the maps that a 3D page renders itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from mien.errors import MienError
from mien.geometry.rotation import rotation_to_angles
from mien.media.image import to_uint8
from mien.media.video import mp4_bytes
from mien.model import Model
from mien.pipeline.analyze import AnalyzedFace
from mien.probes.gaze import Calibration
from mien.probes.gaze_target import code_towards
from mien.serve.errors import ApiError
from mien.serve.faces import given_light, given_pose, head_pose, light_factors
from mien.serve.render_schemas import Edit, MapsAnswer
from mien.types import Factors, GazeCode
from mien.views.colours import on_background
from mien.views.edit import Edit as ViewEdit, canonical_edited, light_from, render_edited
from mien.views.fine import fine_maps
from mien.views.gaze_film import redirect_gaze
from mien.views.mesh_export import face_mesh, glb_bytes
from mien.views.poses import turntable_poses

__all__ = [
    "MEDIA_TYPES",
    "check_edit",
    "looking",
    "maps",
    "redirected",
    "render_face",
    "with_expression",
]

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "glb": "model/gltf-binary",
    "mp4": "video/mp4",
}
"""Output => content type."""
_FRAMES, _FPS = 48, 24.0


def check_edit(edit: Edit, *, expression: bool, gaze: bool, image: bool) -> None:
    """Refuse changes that do not go together.

    Args:
        edit: what is asked for.
        expression: whether another's expression is asked for.
        gaze: whether another's gaze is asked for.
        image: whether the face is in an image.

    Raises:
        ApiError: names them.
    """
    if edit.neutral and expression:
        raise ApiError("invalid", "neutral and an expression: give one of them")
    if edit.light is not None and edit.light_from is not None:
        raise ApiError("invalid", "light and light_from: give one of them")
    if edit.light_from is not None and not any(edit.light_from.model_dump().values()):
        raise ApiError("invalid", "light_from: x, y, z point nowhere; give a direction")
    if edit.output == "mp4" and edit.pose is not None:
        raise ApiError("invalid", "a film turns the head: leave pose out")
    if not gaze:
        return
    if not image:
        raise ApiError("invalid", "a gaze is rendered within an image: give image, not factors")
    if edit.pose or edit.light or edit.light_from or edit.neutral or expression:
        raise ApiError("invalid", "a gaze goes alone: leave pose, light, neutral, expression out")
    if edit.output in ("glb", "mp4"):
        raise ApiError("invalid", "a gaze is rendered as an image: output png, jpeg or webp")


def render_face(model: Model, factors: Factors, edit: Edit, expression: Factors | None) -> bytes:
    """Return the file of a face, rendered with its changes; for the rendering thread.

    Args:
        model: whose factors they are.
        factors: one row.
        edit: what to change.
        expression: the source of an expression transfer, one row.

    Raises:
        ApiError: the factors do not fit the weights.
    """
    light = None if edit.light is None else given_light(edit.light)
    if edit.light_from is not None:
        towards = (edit.light_from.x, edit.light_from.y, edit.light_from.z)
        light = light_from(towards, factors.light)
    change = ViewEdit(
        pose=None if edit.pose is None else given_pose(edit.pose),
        light=light,
        neutral=edit.neutral,
        expression=expression,
        inside_face=expression is not None,
        centred=edit.pose is not None and not any(edit.pose.translation),
    )
    glb = edit.output == "glb"
    try:
        if edit.output == "mp4":
            return mp4_bytes(_turning(model, factors, change, edit.size), fps=_FPS)
        shown = render_edited(model, factors, change, size=None if glb else edit.size)
    except MienError as error:
        raise ApiError("invalid", str(error)) from error
    if glb:
        # The face's own shape: what its pose hid is taken from its mirrored side.
        return glb_bytes(
            face_mesh(shown.canonical_albedo, shown.canonical_depth, model.config.fov_deg)
        )
    return _image_file(on_background(shown.image, shown.mask), edit.output)


def _turning(model: Model, factors: Factors, change: ViewEdit, size: int) -> Iterator[np.ndarray]:
    """Yield the frames of a head that turns to both sides. RGB uint8 [size, size, 3]."""
    for pose in turntable_poses(_FRAMES, device=model.device):
        turned = replace(change, pose=pose, centred=True)
        shown = render_edited(model, factors, turned, size=size)
        yield to_uint8(on_background(shown.image, shown.mask))[0]


def redirected(model: Model, crop: np.ndarray, code: Tensor, edit: Edit) -> bytes:
    """Return the file of a face crop with another gaze; for the rendering thread.

    Args:
        model: encodes and renders.
        crop: RGB uint8. [S, S, 3].
        code: of the gaze. [1, d].
        edit: size and output.

    Raises:
        ApiError: the weights have no gaze branch, the code is not theirs, or the face shows no
            open eyes.
    """
    gaze = model.config.gaze
    if gaze is None:
        raise ApiError("no_gaze_branch", f"the weights {model.weights_id} have no gaze branch")
    if code.shape != (1, gaze.code_dim):
        raise ApiError(
            "invalid",
            f"gaze_code has {code.shape[1]} numbers; these weights have {gaze.code_dim}",
        )
    crops = torch.from_numpy(crop).permute(2, 0, 1)[None]
    seen = torch.ones(1, dtype=torch.bool)
    other = GazeCode(code, seen, torch.zeros(1, 2, 2), seen.float())
    rendered, found = redirect_gaze(model, crops, other)
    if not found.all():
        raise ApiError("no_eyes", "the image shows no open eyes whose gaze could be redirected")
    if rendered.shape[-1] != edit.size:
        rendered = interpolate(rendered, (edit.size, edit.size), mode="bicubic", antialias=True)
    return _image_file(rendered, edit.output)


def looking(calibration: Calibration, face: AnalyzedFace, edit: Edit) -> Tensor:
    """Return the code with which a face looks to the direction that is asked for. [1, d].

    Raises:
        ApiError: the weights have no gaze branch, the face shows no open eyes, or the calibration
            reads no code near the face's as looking there.
    """
    factors, target = face.factors, edit.gaze_direction
    assert target is not None
    if factors.gaze is None:
        raise ApiError("no_gaze_branch", "the weights have no gaze branch")
    if not factors.gaze.eyes_found.all():
        raise ApiError("no_eyes", "the image shows no open eyes whose gaze could be redirected")
    pose = torch.stack(rotation_to_angles(factors.pose.rotation.double()), dim=1)[0]
    code = factors.gaze.code[0].double().cpu().numpy()
    try:
        found = code_towards(
            calibration, code, target.yaw_rad, target.pitch_rad, head_pose=pose.cpu().numpy()
        )
    except MienError as error:
        raise ApiError("invalid", f"gaze_direction: {error}") from error
    return torch.from_numpy(found).float()[None]


def with_expression(factors: Factors, code: list[float], model: Model) -> Factors:
    """Return factors with the expression that a client sent; one row.

    Raises:
        ApiError: it is not as long as these weights'.
    """
    texture, width = model.config.texture_dim, model.config.texture_dim + model.config.shape_dim
    if len(code) != width:
        raise ApiError("invalid", f"expression has {len(code)} numbers; these weights have {width}")
    row = torch.tensor([code], dtype=torch.float32)
    return replace(factors, expression_texture=row[:, :texture], expression_shape=row[:, texture:])


def maps(model: Model, factors: Factors, edit: ViewEdit, *, fine: bool, floats: bool) -> MapsAnswer:
    """Return the canonical maps of a face, one row; for the rendering thread.

    Args:
        model: whose factors they are.
        factors: one row, as the face was seen.
        edit: what to change.
        fine: prepare them as for an image that is looked at.
        floats: as float32, in place of PNG files.

    Raises:
        ApiError: the factors do not fit the weights.
    """
    try:
        if fine:
            seen, surface, factors = canonical_edited(model, factors, edit)
            seen, surface = fine_maps(seen, surface)
        else:
            factors = edit.apply(factors)
            canonical = model.canonical(factors)
            seen, surface = canonical.albedo, canonical.depth
    except MienError as error:
        raise ApiError("invalid", str(error)) from error
    albedo = seen.clamp(0, 1)
    depth = surface[0, 0].float().cpu().numpy()
    low, high = float(depth.min()), float(depth.max())
    if floats:
        colours = albedo[0].permute(1, 2, 0).float().cpu().numpy()
        files = (colours.astype("<f4").tobytes(), depth.astype("<f4").tobytes())
    else:
        levels = np.round((depth - low) / max(high - low, 1e-9) * 65535).astype(np.uint16)
        files = (_png(to_uint8(albedo)[0]), _png(levels))
    first, second = (base64.b64encode(file).decode() for file in files)
    return MapsAnswer(
        size=len(depth),
        fov_deg=model.config.fov_deg,
        encoding="float32" if floats else "png16",
        albedo=first,
        depth=second,
        depth_low=low,
        depth_high=high,
        pose=head_pose(factors.pose),
        light=light_factors(factors.light),
    )


def _image_file(image: Tensor, output: str) -> bytes:
    """Encode one image. RGB in [0, 1]. [1, 3, H, W]."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)[0]).save(file, format=output.upper(), quality=95)
    return file.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
