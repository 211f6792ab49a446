"""A face rendered again: rotated, relit, with another expression, its hidden side filled in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.latentface.scene import render
from mien.model import Model
from mien.types import Factors, Light, Pose, Rendering
from mien.views.symmetry import restore_hidden, visibility

__all__ = ["Edit", "light_from", "redraw", "without_brim"]


OVAL = (0.85, 0.95)
"""Half axes of the head's oval in the canonical image, as fractions of half its sides."""


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
    """Whose expression to put on. One row, or one a face."""

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
def redraw(model: Model, factors: Factors, edit: Edit, *, size: int | None = None) -> Rendering:
    """Render the faces with the changes; the side that their own pose hid comes from symmetry.

    Args:
        model: whose codes the factors are.
        factors: the faces as they were seen.
        edit: what to change.
        size: side of the rendered images, pixels; the model's own where not given. The canonical
            maps are enlarged before they are rendered, so outlines stay sharp.
    """
    factors = factors.to(model.device)
    changed = edit.apply(factors)
    canonical = model.network.canonical(changed)
    fov = model.config.fov_deg
    seen = visibility(canonical.depth, factors.pose, fov)
    albedo = _enlarged(restore_hidden(canonical.albedo, seen), size).clamp(0, 1)
    depth = _enlarged(without_brim(canonical.depth), size)
    return render(albedo, depth, changed.pose, changed.light, fov)


def without_brim(depth: Tensor) -> Tensor:
    """Push what lies outside the head's oval back, so that it hides nothing in a rotated view.

    There the canonical depth shows hair and background of no certain distance, which no image
    of training corrected.

    Args:
        depth: canonical depth. [B, 1, H, W].

    Returns:
        The same inside the oval, outside it no nearer than the oval's border. [B, 1, H, W].
    """
    height, width = depth.shape[-2:]
    down = torch.linspace(-1, 1, height, device=depth.device)[:, None]
    across = torch.linspace(-1, 1, width, device=depth.device)
    radius = ((across / OVAL[0]) ** 2 + (down / OVAL[1]) ** 2).sqrt()
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


def _enlarged(canonical: Tensor, size: int | None) -> Tensor:
    """Bring a canonical map to another size; its corners stay where they are."""
    if size is None or size == canonical.shape[-1]:
        return canonical
    return F.interpolate(canonical, (size, size), mode="bicubic", align_corners=True)
