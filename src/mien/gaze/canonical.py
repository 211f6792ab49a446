"""Where the eyes stand in the canonical head, and where a pose carries them in the image."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.geometry.camera import focal_length, place
from mien.types import Pose

__all__ = ["carry_eyes", "fit_canonical_eyes"]


def carry_eyes(canonical_eyes: Tensor, pose: Pose, fov_deg: float) -> Tensor:
    """Return where canonical eyes stand in the image.

    Args:
        canonical_eyes: canonical frame, face units; left of the image, then right. [2, 3].
        pose: canonical -> camera. [B].
        fov_deg: field of view across the crop, degrees.

    Returns:
        Shares of the crop's sides. [B, 2, 2].
    """
    points = place(canonical_eyes.expand(len(pose), 2, 3), pose)
    # In a crop one pixel wider than 1, pixel centres 0 and 1 are its corners.
    return points[..., :2] / points[..., 2:] * focal_length(2, fov_deg) + 0.5


def fit_canonical_eyes(pose: Pose, eyes: Tensor, fov_deg: float) -> Tensor:
    """Find the canonical eyes that known eyes in many turned faces agree on, by least squares.

    u = f x / z is linear in the point: f x - (u - 1/2) z = 0 for both coordinates of each face.

    Args:
        pose: predicted poses. [B].
        eyes: shares of the crop's sides. [B, 2, 2].
        fov_deg: field of view across the crop, degrees.

    Returns:
        Canonical frame, face units. [2, 3].
    """
    focal = focal_length(2, fov_deg)
    centre = eyes.new_tensor([0.0, 0.0, 1.0])
    # Camera point = R (p - c) + c + t = R p + shift.
    shift = centre + pose.translation - pose.rotation @ centre
    found = []
    for k in (0, 1):
        seen = (eyes[:, k] - 0.5)[:, :, None]
        rows = focal * pose.rotation[:, :2] - seen * pose.rotation[:, 2:]
        wanted = seen[..., 0] * shift[:, 2:] - focal * shift[:, :2]
        solution = torch.linalg.lstsq(
            rows.flatten(0, 1).double(), wanted.flatten().double()[:, None]
        )
        found.append(solution.solution[:, 0].to(eyes.dtype))
    return torch.stack(found)
