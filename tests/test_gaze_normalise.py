"""Data normalisation: there and back, what it keeps, and signs worked out by hand."""

import cv2
import numpy as np
import pytest

from mien.evaluate.datasets.gaze_normalization import (
    EYE_CROP,
    FACE,
    VirtualCamera,
    head_angles,
    normalisation,
)
from mien.geometry.gaze import gaze_angles

CAMERA = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])


def turn(yaw=0.0, pitch=0.0, roll=0.0):
    """R = Ry(yaw) Rx(-pitch) Rz(roll), degrees."""
    y, p, r = np.radians([yaw, -pitch, roll])
    return (
        cv2.Rodrigues(np.array([0, y, 0]))[0]
        @ cv2.Rodrigues(np.array([p, 0, 0]))[0]
        @ cv2.Rodrigues(np.array([0, 0, r]))[0]
    )


def made(centre=(120.0, -80.0, 700.0), head=None, to=FACE):
    return normalisation(
        centre_mm=np.array(centre),
        head_rotation=turn(20, -10, 15) if head is None else head,
        camera_matrix=CAMERA,
        to=to,
    )


def moved(xy, matrix):
    """Where points of the image are in the warped one, or the other way round. [..., 2]."""
    xy = np.asarray(xy, dtype=np.float64)
    return project(np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1), matrix)


def unrotated(found, vector):
    """The virtual camera's directions in the real camera's frame. [..., 3]."""
    return np.asarray(vector) @ found.rotation


def project(points, matrix):
    points = np.asarray(points) @ matrix.T
    return points[..., :2] / points[..., 2:]


@pytest.mark.parametrize("roll", [0, 15, -40])
def test_what_is_normalised_comes_back(roll):
    found = made(head=turn(25, 8, roll))
    rng = np.random.default_rng(0)
    vectors, points = rng.standard_normal((20, 3)), rng.uniform(0, 700, (20, 2))
    assert unrotated(found, found.direction(vectors)) == pytest.approx(vectors)
    back = moved(moved(points, found.warp), np.linalg.inv(found.warp))
    assert back == pytest.approx(points, abs=1e-6)
    head = turn(5, 6, 7)
    assert found.rotation.T @ found.head(head) == pytest.approx(head)
    assert found.rotation @ found.rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_the_centre_is_in_the_middle_at_the_distance_wanted():
    centre = np.array([120.0, -80.0, 700.0])
    found = made(centre)
    middle = moved(project(centre, CAMERA), found.warp)
    assert middle == pytest.approx([129.5, 129.5])
    assert found.direction(centre / np.linalg.norm(centre)) == pytest.approx([0, 0, 1], abs=1e-12)
    # 10 mm beside the centre, across the line of sight, are 10 / 600 of the focal length.
    beside = centre + 10 * unrotated(found, np.array([1.0, 0, 0]))
    assert moved(project(beside, CAMERA), found.warp) - middle == pytest.approx([16, 0], abs=1e-6)


def test_the_heads_roll_is_taken_out():
    centre = (0.0, 0.0, 500.0)
    found = made(centre, turn(0, 0, 30))
    head = found.head(turn(0, 0, 30))
    assert head == pytest.approx(np.eye(3), abs=1e-12)
    # An eye lower right in the image of a head that leans clockwise is level in the warped one.
    eye = np.array(centre) + 30 * turn(0, 0, 30)[:, 0]
    assert moved(project(eye, CAMERA), found.warp)[1] == pytest.approx(129.5)
    level = made((150.0, 60.0, 500.0), turn(20, 10, 30))
    # The head's x axis has no part along "down", wherever the head is.
    assert level.head(turn(20, 10, 30))[1, 0] == pytest.approx(0, abs=1e-12)


def test_gaze_into_the_camera_is_so_from_everywhere():
    for centre in ((300.0, 0.0, 500.0), (-200.0, 150.0, 900.0)):
        found = made(centre, turn())
        look = found.direction(-np.array(centre) / np.linalg.norm(centre))
        assert look == pytest.approx([0, 0, -1], abs=1e-12)


def test_who_stands_to_the_right_and_looks_ahead_looks_past_the_camera():
    found = made((300.0, 0.0, 300.0), turn())
    yaw, pitch = gaze_angles(found.direction(np.array([0.0, 0, -1])))
    # Seen along the line to the face, the gaze goes to image-right: yaw < 0.
    assert np.degrees([yaw, pitch]) == pytest.approx([-45, 0], abs=1e-6)
    assert np.degrees(head_angles(found.head(turn()))) == pytest.approx([-45, 0], abs=1e-6)


def test_head_angles_are_ours():
    assert np.degrees(head_angles(turn(30, 20))) == pytest.approx([30, 20])
    assert np.degrees(head_angles(turn(-12, -5, 25))) == pytest.approx([-12, -5])


def test_an_image_is_warped_as_its_points_are():
    image = np.zeros((720, 1280), np.uint8)
    # The dot is where the camera sees the point 20 mm to the right of the face's centre.
    found = made()
    centre = np.array([120.0, -80.0, 700.0])
    dot = project(centre + 20 * unrotated(found, np.array([1.0, 0, 0])), CAMERA)
    cv2.circle(image, tuple(int(v) for v in dot.round()), 6, 255, -1)
    warped = found.warp_image(image)
    assert warped.shape == (260, 260)
    y, x = np.nonzero(warped > 128)
    assert [x.mean(), y.mean()] == pytest.approx([129.5 + 32, 129.5], abs=1.0)


def test_the_face_and_the_eye_crop_have_the_scale_of_the_models_images():
    # Eyes 63 mm apart, in fractions of the width: 0.388 of a face, 85 of 200 of an eye-region crop.
    for camera, fraction in ((FACE, 0.388), (EYE_CROP, 0.425)):
        assert 63 * camera.focal / camera.distance_mm / camera.size[1] == pytest.approx(
            fraction, abs=0.002
        )
    assert EYE_CROP.size[1] / EYE_CROP.size[0] == pytest.approx(200 / 96, abs=0.01)
    assert VirtualCamera((100, 200), centre=(0.5, 0.25)).matrix[:2, 2] == pytest.approx(
        [99.5, 24.75]
    )


def test_faces_that_cannot_be_seen_are_refused():
    with pytest.raises(ValueError, match="in front of the camera"):
        made((0.0, 0.0, -500.0))
    with pytest.raises(ValueError, match="along the line of sight"):
        made((0.0, 0.0, 500.0), turn(90))
