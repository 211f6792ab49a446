"""Cameras, rotations and surfaces: round trips, signs and exact small cases."""

import math

import pytest
import torch

from mien.geometry.camera import focal_length, pixel_grid, project, surface_normals, unproject
from mien.geometry.rotation import (
    angles_to_rotation,
    angles_to_vector,
    rotation_to_angles,
    vector_to_angles,
)


def random_angles(count: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(3, count, generator=generator, dtype=torch.float64) - 0.5) * 2.4


def test_project_undoes_unproject() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 0.9 + 0.2 * torch.rand(2, 1, 8, 12, generator=generator)
    placed = project(unproject(depth, 10.0), 8, 12, 10.0)
    expected = pixel_grid(8, 12).expand(2, 8, 12, 2)
    torch.testing.assert_close(placed[..., :2], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(placed[..., 2], depth[:, 0])


def test_focal_length_sees_the_field_of_view() -> None:
    focal = focal_length(65, 10.0)
    assert 2 * math.degrees(math.atan(32 / focal)) == pytest.approx(10.0)


def test_rotation_is_a_rotation_and_gives_its_angles_back() -> None:
    yaw, pitch, roll = random_angles()
    rotation = angles_to_rotation(yaw, pitch, roll)
    eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, eye)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones_like(yaw))
    for found, given in zip(rotation_to_angles(rotation), (yaw, pitch, roll), strict=True):
        torch.testing.assert_close(found, given)


def test_rotation_is_the_product_of_elementary_ones() -> None:
    yaw, pitch, roll = (torch.tensor(x, dtype=torch.float64) for x in (0.3, -0.2, 0.5))

    def about(axis: int, angle: torch.Tensor) -> torch.Tensor:
        generator = torch.zeros(3, 3, dtype=torch.float64)
        first, second = [(1, 2), (2, 0), (0, 1)][axis]
        generator[second, first], generator[first, second] = 1.0, -1.0
        return torch.matrix_exp(angle * generator)

    product = about(1, yaw) @ about(0, -pitch) @ about(2, roll)
    torch.testing.assert_close(angles_to_rotation(yaw, pitch, roll), product)


def test_face_direction_follows_the_gaze_convention() -> None:
    yaw, pitch, roll = random_angles()
    forward = angles_to_rotation(yaw, pitch, roll) @ torch.tensor(
        [0.0, 0.0, -1.0], dtype=torch.float64
    )
    torch.testing.assert_close(forward, angles_to_vector(yaw, pitch))
    for found, given in zip(vector_to_angles(forward), (yaw, pitch), strict=True):
        torch.testing.assert_close(found, given)


@pytest.mark.parametrize(
    ("angles", "axis", "sign"),
    [((0.3, 0.0, 0.0), 0, -1), ((0.0, 0.3, 0.0), 1, -1)],
    ids=["yaw + turns to image-left", "pitch + looks up"],
)
def test_signs(angles: tuple[float, float, float], axis: int, sign: int) -> None:
    rotation = angles_to_rotation(*(torch.tensor(a) for a in angles))
    forward = rotation @ torch.tensor([0.0, 0.0, -1.0])
    assert forward[axis] * sign > 0.2


def test_roll_is_clockwise_in_the_image() -> None:
    rotation = angles_to_rotation(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.3))
    right = rotation @ torch.tensor([1.0, 0.0, 0.0])
    assert right[1] > 0.2  # the image-right side goes down


def test_mirror_negates_yaw_and_roll_and_keeps_pitch() -> None:
    yaw, pitch, roll = random_angles()
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = flip @ angles_to_rotation(yaw, pitch, roll) @ flip
    torch.testing.assert_close(mirrored, angles_to_rotation(-yaw, pitch, -roll))


def test_normals_of_a_plane_face_the_camera() -> None:
    normals = surface_normals(unproject(torch.ones(1, 1, 6, 6), 10.0))
    torch.testing.assert_close(normals[0, :, 3, 3], torch.tensor([0.0, 0.0, -1.0]))


def test_normals_of_a_slope_lean_towards_its_far_side() -> None:
    depth = torch.ones(1, 1, 9, 9) + 0.02 * torch.arange(9) / 8  # farther to the right
    normals = surface_normals(unproject(depth, 10.0))
    assert (normals[0, 0] > 0.05).all()
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(1, 9, 9))
