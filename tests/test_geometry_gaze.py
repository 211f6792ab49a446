"""Directions of gaze: signs, round trips, the mirror, and small angles; NumPy and torch alike."""

import math

import numpy as np
import pytest
import torch

from mien.geometry.gaze import angle_between, gaze_angles, gaze_vector, mirrored
from mien.geometry.rotation import angles_to_rotation


@pytest.fixture(params=["numpy", "torch"])
def kind(request):
    """Makes an array of either kind."""
    return np.asarray if request.param == "numpy" else torch.as_tensor


def as_list(values):
    assert isinstance(values, np.ndarray | torch.Tensor)
    return values.tolist()


def test_signs_are_those_of_the_camera_frame(kind):
    vectors = gaze_vector(kind([0.0, 0.5, 0.0]), kind([0.0, 0.0, 0.5]))
    sine, cosine = math.sin(0.5), math.cos(0.5)
    expected = [[0, 0, -1], [-sine, 0, -cosine], [0, -sine, -cosine]]  # camera, image-left, up
    np.testing.assert_allclose(vectors, expected, atol=1e-7)


def test_angles_come_back(kind):
    rng = np.random.default_rng(0)
    yaw, pitch = rng.uniform(-3, 3, (4, 5)), rng.uniform(-1.5, 1.5, (4, 5))
    vector = gaze_vector(kind(yaw), kind(pitch))
    assert tuple(vector.shape) == (4, 5, 3)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=-1), 1)
    for found, given in zip(gaze_angles(kind(vector) * 7), (yaw, pitch), strict=True):
        assert type(found) is type(kind(yaw))
        np.testing.assert_allclose(found, given, atol=1e-12)


def test_a_gaze_straight_ahead_turns_with_the_head():
    yaw, pitch = torch.tensor([0.3, -0.6]), torch.tensor([-0.2, 0.4])
    rotation = angles_to_rotation(yaw, pitch, torch.tensor([0.5, -0.1]))
    ahead = rotation @ torch.tensor([0.0, 0.0, -1.0])
    torch.testing.assert_close(gaze_vector(yaw, pitch), ahead)


def test_the_mirror_changes_the_sign_of_yaw_only(kind):
    yaw, pitch = gaze_angles(mirrored(gaze_vector(kind([0.4, -0.1]), kind([0.2, -0.7]))))
    np.testing.assert_allclose(yaw, [-0.4, 0.1], atol=1e-7)
    np.testing.assert_allclose(pitch, [0.2, -0.7], atol=1e-7)


def test_angles_between_are_those_of_the_circle(kind):
    ahead = kind([0.0, 0.0, -1.0])
    others = kind([[0.0, 0.0, -5.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [-1.0, 0.0, -1.0]])
    expected = [0, math.pi / 2, math.pi, math.pi / 4]
    assert as_list(angle_between(ahead, others)) == pytest.approx(expected)
    assert as_list(angle_between(others, ahead)) == pytest.approx(expected)


@pytest.mark.parametrize("small", [1e-3, 1e-4, 1e-5])
def test_small_angles_are_exact_in_float32(kind, small):
    zero = np.zeros(1, np.float32)
    turned = gaze_vector(kind(zero + np.float32(small)), kind(zero))
    apart = angle_between(gaze_vector(kind(zero), kind(zero)), turned)
    assert np.asarray(apart).dtype == np.float32
    assert as_list(apart) == pytest.approx([small], rel=1e-3)
    # The arc cosine would not see them.
    assert math.acos(np.float32(math.cos(1e-5))) == 0


def test_nan_stays_in_its_row_and_no_direction_has_no_angles(kind):
    vectors = kind([[0.0, 0.0, -1.0], [math.nan, 0.0, -1.0], [0.0, 0.0, 0.0]])
    yaw, pitch = gaze_angles(vectors)
    for angle in (yaw, pitch):
        assert np.isnan(np.asarray(angle)).tolist() == [False, True, True]
    apart = np.asarray(angle_between(vectors, vectors))
    assert np.isnan(apart).tolist() == [False, True, False]


def test_numbers_and_whole_numbers_are_taken():
    np.testing.assert_allclose(gaze_vector(np.array(0), np.array(0)), [0, 0, -1], atol=0)
    assert angle_between(torch.tensor([0, 0, -1]), torch.tensor([0, 3, 0])).item() == pytest.approx(
        math.pi / 2
    )
    fixed = np.array([0.0, 0.0, -1.0])
    fixed.flags.writeable = False
    assert mirrored(fixed).tolist() == [0, 0, -1]


def test_gradients_flow_through_tensors():
    angles = torch.tensor([0.3, 0.1], dtype=torch.float64, requires_grad=True)
    vector = gaze_vector(angles[0], angles[1])
    angle_between(vector, vector.new_tensor([0.0, 0.0, -1.0])).backward()
    assert angles.grad is not None
    assert angles.grad[0] > 0.9
