"""From a direction back to a gaze code."""

import numpy as np
import pytest

from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.probes.fit import fit_calibration
from mien.probes.gaze_target import code_towards

DIM = 6


def calibration(*, bend=0.0, pose=False, count=400, read=(0, 1)):
    """Fitted to codes that vary together: numbers 2 and 3 follow 0 and 1, which say the angles."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(count, DIM))
    codes[:, 2:4] = codes[:, :2] + 0.1 * codes[:, 2:4]
    head = rng.normal(scale=0.2, size=(count, 3))
    angles = 0.2 * codes[:, list(read)] + bend * codes[:, list(read)] ** 2
    if pose:
        angles = angles + head[:, :2]
    return codes, fit_calibration(
        codes=codes,
        targets=gaze_vector(angles[:, 0], angles[:, 1]),
        head_pose=head if pose else None,
        model_id="w",
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "linear"), ({"pose": True}, "linear"), ({"bend": 0.03}, "quadratic")],
)
def test_the_code_is_read_as_looking_there(options, kind):
    codes, made = calibration(**options)
    assert made.kind == kind
    head = np.array([0.1, -0.2, 0.0]) if made.uses_pose else None
    for yaw, pitch in ((0.0, 0.0), (0.4, -0.1), (-0.3, 0.2)):
        found = code_towards(made, codes[0], yaw, pitch, head_pose=head)
        back = made.predict(found[None], None if head is None else head[None])
        np.testing.assert_allclose([back.yaw[0], back.pitch[0]], [yaw, pitch], atol=0.003)


def test_the_direction_that_it_has_already_is_its_own_code():
    codes, made = calibration()
    own = made.predict(codes[:1])
    found = code_towards(made, codes[0], float(own.yaw[0]), float(own.pitch[0]))
    np.testing.assert_allclose(found, codes[0], atol=1e-9)


def test_what_varies_together_moves_together():
    codes, made = calibration()
    own = made.predict(codes[:1])
    found = code_towards(made, codes[0], float(own.yaw[0]) + 0.2, float(own.pitch[0]))
    moved = found - codes[0]
    assert moved[0] == pytest.approx(1.0, abs=0.1)
    assert moved[2] == pytest.approx(moved[0], abs=0.1)
    np.testing.assert_allclose(moved[[1, 3, 4, 5]], 0, atol=0.15)


def test_a_direction_that_no_code_has_is_refused():
    _, made = calibration(bend=0.15)
    with pytest.raises(MienError, match=r"no code near this face's as looking to yaw -69, pitch"):
        code_towards(made, np.zeros(DIM), -1.2, 0.0)


def test_a_code_of_another_length_and_a_missing_pose_are_refused():
    _, made = calibration(pose=True)
    with pytest.raises(MienError, match=r"gaze codes \[N, 6\]"):
        code_towards(made, np.zeros(5), 0.0, 0.0)
    with pytest.raises(MienError, match="uses the head pose"):
        code_towards(made, np.zeros(DIM), 0.0, 0.0)
