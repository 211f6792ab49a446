"""Canonical eyes: fitted from faces whose eyes are known, and carried back into the image."""

from __future__ import annotations

import torch

from mien.gaze.canonical import carry_eyes, fit_canonical_eyes
from mien.geometry.camera import focal_length
from mien.geometry.rotation import angles_to_rotation
from mien.types import Pose

EYES = torch.tensor([[-0.032, -0.018, 0.975], [0.031, -0.019, 0.977]])


def _poses(count: int) -> Pose:
    generator = torch.Generator().manual_seed(0)
    angles = torch.randn(count, 3, generator=generator) * 0.3
    rotation = angles_to_rotation(angles[:, 0], angles[:, 1], angles[:, 2])
    return Pose(rotation, torch.randn(count, 3, generator=generator) * 0.01)


def test_fit_finds_the_eyes_again() -> None:
    pose = _poses(50)
    fitted = fit_canonical_eyes(pose, carry_eyes(EYES, pose, 10.0), 10.0)
    assert torch.allclose(fitted, EYES, atol=1e-4)


def test_an_upright_head_shows_its_eyes_where_the_camera_says() -> None:
    pose = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    seen = carry_eyes(EYES, pose, 10.0)[0]
    # In pixels of an image 225 px wide whose corners are the crop's.
    pixels = EYES[:, :2] / EYES[:, 2:] * focal_length(225, 10.0) + 112
    assert torch.allclose(seen * 224, pixels, atol=0.01)
    assert seen[0, 0] < 0.5 < seen[1, 0]
