"""Poses turn what they should, and the light stays where it is when a head turns."""

from __future__ import annotations

import math

import torch

from mien.geometry.camera import place
from mien.geometry.rotation import angles_to_rotation
from mien.latentface.scene import render
from mien.types import Light, Pose

FOV = 10.0


def pose(yaw: float) -> Pose:
    angle = torch.tensor([yaw])
    rotation = angles_to_rotation(angle, 0 * angle, 0 * angle)
    return Pose(rotation, torch.zeros(1, 3))


def test_a_positive_yaw_carries_the_nose_to_image_left() -> None:
    nose = torch.tensor([[[0.0, 0.0, 0.9]]])
    placed = place(nose, pose(0.5))[0, 0]
    expected = torch.tensor([-0.1 * math.sin(0.5), 0.0, 1 - 0.1 * math.cos(0.5)])
    torch.testing.assert_close(placed, expected)


def test_a_flat_face_that_turns_away_from_the_light_grows_dark() -> None:
    """n . l of a plane at yaw a, lit from the camera, is cos a."""
    ahead = torch.tensor([[0.0, 0.0, -1.0]])
    one = torch.ones(1)
    light = Light(0.2 * one, 0.6 * one, ahead)
    albedo = torch.ones(1, 3, 16, 16)
    image = render(albedo, torch.ones_like(albedo[:, :1]), pose(0.8), light, FOV).image
    expected = torch.full((3,), 0.2 + 0.6 * math.cos(0.8))
    torch.testing.assert_close(image[0, :, 8, 8], expected, atol=1e-4, rtol=0)
