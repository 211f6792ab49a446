"""Where the eyes are: first by the head pose, then by a small network over the canvas there.

The pose projects two canonical points, the eyes, into the image. The localizer then finds the eyes
on the canvas around them, and whether they can be seen. It learns from rendered faces, where the
eyes' places and the lids are known; the shipped one from photographs, too, with a face detector's
landmarks. No gaze label is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.gaze.cut import offsets
from mien.gaze.layers import ResidualBlock
from mien.geometry.camera import focal_length, place
from mien.types import Pose

__all__ = ["EyeLocalizer", "Found", "fit_canonical_eyes", "project_eyes"]

_STRIDE = 8


@dataclass(frozen=True)
class Found:
    """What the eye localizer finds on canvases."""

    eyes: Tensor
    """x, y of the eye left of the image, then right of it; pixels of the canvas. [B, 2, 2]."""
    logit: Tensor
    """Above 0: open eyes are more likely there than not. [B]."""


class EyeLocalizer(nn.Module):
    """Two heat maps whose centres of mass are the eyes, and one score."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            ResidualBlock(2 * width),
            ResidualBlock(2 * width),
            ResidualBlock(2 * width),
        )
        self.maps = nn.Conv2d(2 * width, 2, 3, padding=1)
        self.score = nn.Sequential(nn.Linear(4 * width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, canvas: Tensor) -> Found:
        """Luminance in [0, 1] -> eyes. [B, 1, CANVAS_HEIGHT, CANVAS_WIDTH]."""
        return self.find(F.avg_pool2d(canvas, 2))

    def find(self, small: Tensor) -> Found:
        """A canvas at half its size -> eyes. [B, 1, CANVAS_HEIGHT / 2, CANVAS_WIDTH / 2]."""
        return self.find_with_maps(small)[0]

    def find_with_maps(self, small: Tensor) -> tuple[Found, Tensor]:
        """Return the heat maps' logits, too: a cell of 8 x 8 pixels each. [B, 2, cells]."""
        mean = small.mean(dim=(1, 2, 3), keepdim=True)
        std = small.std(dim=(1, 2, 3), keepdim=True).clamp_min(0.04)
        features = self.layers((small - mean) / std)
        maps = self.maps(features).float().flatten(2)
        weight = maps.softmax(dim=2)
        rows, columns = features.shape[-2:]
        # Each cell stands for _STRIDE pixels of the canvas, its middle at (cell + 0.5) * _STRIDE.
        cells = offsets((rows, columns), (-0.5, -0.5), small.device)
        places = (cells * _STRIDE - 0.5).flatten(0, 1)
        at_eyes = torch.einsum("bkn,bcn->bkc", weight.to(features.dtype), features.flatten(2))
        return Found(weight @ places, self.score(at_eyes.flatten(1)).float()[:, 0]), maps


def project_eyes(canonical_eyes: Tensor, pose: Pose, fov_deg: float) -> Tensor:
    """Return where eyes stand in a head's image, x, y as fractions of the crop's sides. [B, 2, 2].

    Args:
        canonical_eyes: canonical frame, face units; left of the image, then right. [2, 3].
        pose: canonical -> camera. [B].
        fov_deg: field of view across the crop, degrees.
    """
    points = place(canonical_eyes.expand(len(pose), 2, 3), pose)
    # In a crop one pixel wider than 1, pixel centres 0 and 1 are its corners.
    return points[..., :2] / points[..., 2:] * focal_length(2, fov_deg) + 0.5


def fit_canonical_eyes(pose: Pose, eyes: Tensor, fov_deg: float) -> Tensor:
    """Fit canonical eyes [2, 3], face units, to known eyes in faces of many poses: least squares.

    u = f x / z is linear in the point: f x - (u - 1/2) z = 0 for both coordinates of each face.

    Args:
        pose: predicted poses. [B].
        eyes: x, y as fractions of the crop's sides. [B, 2, 2].
        fov_deg: field of view across the crop, degrees.
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
