"""Faces rendered with changes: frontalization, relighting, expression transfer, another pose.

The canonical face is close to mirror symmetric, so a point that the image does not show is best
known from its mirrored twin where the image shows that one: no holes open where the pose hid the
far side of the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.geometry.camera import focal_length, place, project, surface_normals, unproject
from mien.latentface.scene import render
from mien.model import Model
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize
from mien.types import Factors, Light, Pose, Rendering
from mien.views.fine import render_fine

__all__ = [
    "Edit",
    "canonical_edited",
    "light_from",
    "push_back_border",
    "render_edited",
    "restore_hidden",
    "visibility",
]

_OVAL = (0.85, 0.95)
"""Half axes of the head's oval in the canonical image, as fractions of half its sides."""
_FACE, _FACE_EDGE = (0.15, 0.62, 0.72), 1.3
"""Of the face without hair and ears: the middle's place below the image's, half axes; and where,
in half axes, it has faded out."""
_GRAZING, _PLAIN = 0.1, 0.4
"""Cosines between normal and line of sight: seen too flatly to trust; seen well."""


@dataclass(frozen=True)
class Edit:
    """What to change of a face before it is rendered; what is None stays as it was."""

    pose: Pose | None = None
    """One row, or one a face."""
    light: Light | None = None
    """Camera frame. One row, or one a face."""
    neutral: bool = False
    """Show the person at rest."""
    expression: Factors | None = None
    """The source of an expression transfer. One row, or one a face."""
    inside_face: bool = False
    """Let neutral and expression change the face from brows to chin only, not hair and background:
    these are not told apart from the face well enough to be moved."""
    centred: bool = False
    """Shift the face in its new pose to the image's middle."""

    def apply(self, factors: Factors) -> Factors:
        """Return the changed factors."""
        device = factors.neutral_texture.device
        if self.neutral:
            factors = factors.neutral()
        if self.expression is not None:
            factors = factors.with_expression(self.expression.to(device))
        if self.pose is not None:
            factors = factors.with_pose(self.pose.to(device).expand(len(factors)))
        if self.light is not None:
            factors = factors.with_light(self.light.to(device).expand(len(factors)))
        return factors


@torch.no_grad()
def render_edited(
    model: Model, factors: Factors, edit: Edit, *, size: int | None = None
) -> Rendering:
    """Render the faces with the changes; the side that their own pose hid comes from symmetry.

    Args:
        model: whose codes the factors are.
        factors: the faces as they were seen.
        edit: what to change.
        size: side of the rendered images, pixels, rendered by `mien.views.fine`; where not given
            the model's own, rendered as in training.

    Returns:
        Images [B, C, size, size] on the model's device.

    Raises:
        MienError: shapes that do not fit the model or each other; NaN or infinity.
    """
    albedo, depth, changed = canonical_edited(model, factors, edit)
    fov = model.config.fov_deg
    pose = _centred(changed.pose, depth, fov) if edit.centred else changed.pose
    if size is None:
        return render(albedo, depth, pose, changed.light, fov)
    return render_fine(albedo, depth, pose, changed.light, fov, size)


@torch.no_grad()
def canonical_edited(model: Model, factors: Factors, edit: Edit) -> tuple[Tensor, Tensor, Factors]:
    """Return what `render_edited` renders: canonical albedo and depth, and the changed factors.

    Raises:
        MienError: shapes that do not fit the model or each other; NaN or infinity.
    """
    factors = factors.to(model.device)
    changed = edit.apply(factors)
    canonical = model.canonical(changed)
    albedo, depth = canonical.albedo, canonical.depth
    if edit.inside_face:
        before, weight = model.canonical(factors), _inner_face(depth)
        albedo = torch.lerp(before.albedo, albedo, weight)
        depth = torch.lerp(before.depth, depth, weight)
    fov = model.config.fov_deg
    albedo = restore_hidden(albedo, visibility(depth, factors.pose, fov)).clamp(0, 1)
    return albedo, push_back_border(depth), changed


def _radius(depth: Tensor, middle: float, across: float, down: float) -> Tensor:
    """Return the distance from the middle of an oval, 1 on the oval itself. [H, W].

    Lengths and places are in halves of the canonical image's sides.
    """
    height, width = depth.shape[-2:]
    y = (torch.linspace(-1, 1, height, device=depth.device)[:, None] - middle) / down
    x = torch.linspace(-1, 1, width, device=depth.device) / across
    return (x**2 + y**2).sqrt()


def _inner_face(depth: Tensor) -> Tensor:
    """Return 1 from the brows to the chin, 0 on hair, ears and background. [H, W]."""
    return ((_FACE_EDGE - _radius(depth, *_FACE)) / (_FACE_EDGE - 1)).clamp(0, 1)


def _centred(pose: Pose, depth: Tensor, fov_deg: float) -> Pose:
    """Shift a rotated head so that what its oval covers lies in the middle of the image."""
    inside = _radius(depth, 0.0, *_OVAL) < 1
    points = unproject(depth, fov_deg)[:, inside]
    turned = place(points, Pose(pose.rotation, torch.zeros_like(pose.translation)))
    low, high = turned.amin(dim=1), turned.amax(dim=1)
    shift = -(low + high) / 2
    shift[:, 2] = 0
    return Pose(pose.rotation, shift)


def push_back_border(depth: Tensor) -> Tensor:
    """Push what lies outside the head's oval back, so that it hides nothing in a rotated view.

    There the canonical depth shows hair and background of no certain distance, which no image
    of training corrected.

    Args:
        depth: canonical depth. [B, 1, H, W].

    Returns:
        The same inside the oval, outside it no nearer than the oval's border. [B, 1, H, W].
    """
    radius = _radius(depth, 0.0, *_OVAL)
    outside = ((radius - 1) / 0.15).clamp(0, 1)
    border = (radius - 1).abs() < 0.1
    far = depth[:, :, border].median(dim=2, keepdim=True).values[..., None]
    return torch.lerp(depth, torch.maximum(depth, far), outside)


def light_from(direction: tuple[float, float, float], own: Light) -> Light:
    """Return a plain light from a direction, about as bright as the faces' own light.

    Args:
        direction: towards the light, camera frame (x right, y down, z away); any length but 0.
        own: one row a face.
    """
    towards = torch.tensor([direction], dtype=torch.float32, device=own.direction.device)
    brightness = own.ambient + own.diffuse
    unit = F.normalize(towards, dim=1).expand(len(own), 3)
    return Light(0.4 * brightness, 0.7 * brightness, unit)


def visibility(depth: Tensor, pose: Pose, fov_deg: float) -> Tensor:
    """Return how well the camera sees each point of the canonical face.

    Args:
        depth: canonical z, face units. [B, 1, H, W].
        pose: canonical -> camera.
        fov_deg: field of view across the image, degrees.

    Returns:
        1 for a point seen plainly, 0 for one that is hidden behind others, facing away or
        outside the image. [B, 1, H, W].
    """
    batch, _, height, width = depth.shape
    grid = unproject(depth, fov_deg)
    placed = place(grid.flatten(1, 2), pose)
    normals = surface_normals(grid).flatten(2).transpose(1, 2)
    rotated = normals @ pose.rotation.transpose(1, 2)
    facing = -(rotated * F.normalize(placed, dim=2)).sum(dim=2)
    trust = ((facing - _GRAZING) / (_PLAIN - _GRAZING)).clamp(0, 1)
    seen = project(placed, height, width, fov_deg)
    triangles = grid_triangles(height, width).to(depth.device)
    nearest = rasterize(seen, triangles, height, width).depth[:, None]
    # The surface slopes within a pixel, so a point may lie behind the depth at its pixel's centre.
    farthest = F.max_pool2d(nearest.nan_to_num(posinf=0.0), 3, stride=1, padding=1).flatten(1)
    u, v = seen[..., 0].round().long(), seen[..., 1].round().long()
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    at = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
    pixel = 1 / focal_length(width, fov_deg)
    unhidden = seen[..., 2] <= farthest.gather(1, at) + 2 * pixel
    return (trust * (inside & unhidden)).reshape(batch, 1, height, width)


def restore_hidden(canonical: Tensor, seen: Tensor) -> Tensor:
    """Take each point from its mirrored twin as far as the image shows the twin better.

    Args:
        canonical: a canonical map (albedo, depth). [B, C, H, W].
        seen: visibility of its points. [B, 1, H, W].

    Returns:
        The completed map. [B, C, H, W].
    """
    weight = (seen.flip(-1) - seen).clamp(0, 1)
    # A soft border, so that a small error in symmetry does not show as a line.
    weight = F.avg_pool2d(F.pad(weight, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return torch.lerp(canonical, canonical.flip(-1), weight)
