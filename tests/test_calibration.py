from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mien.errors import MienError
from mien.geometry.gaze import angle_between, gaze_angles, gaze_vector, mirrored
from mien.linear.ridge import Ridge
from mien.probes.fit import fit_calibration
from mien.probes.gaze import Calibration, GazeEstimate

DIM = 8


@dataclass(frozen=True)
class World:
    """Made-up people whose code holds where the eyes stand in the head, and what they look like."""

    codes: np.ndarray
    pose: np.ndarray
    targets: np.ndarray
    people: list[str]

    def __getitem__(self, rows: slice) -> World:
        return World(self.codes[rows], self.pose[rows], self.targets[rows], self.people[rows])


def world(
    count: int, *, seed: int = 0, noise: float = 0.02, bend: float = 0.0, offset: float = 0.0
) -> World:
    """Sample ten people.

    `noise` is of the code, in radians of gaze; `bend` its part of a square; `offset` the standard
    deviation between people of where their code says that they look.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    mixing = np.linalg.qr(fixed.normal(size=(DIM, DIM)))[0]
    between = fixed.normal(0, offset, (10, 2))
    person = rng.integers(10, size=count)
    pose = rng.normal(0, 0.3, (count, 3))
    eyes = rng.normal(0, 0.25, (count, 2))
    seen = eyes - between[person] + rng.normal(0, noise, (count, 2))
    looks = rng.normal(0, 0.25, (count, DIM - 2))
    codes = np.hstack([seen + bend * seen**2, looks]) @ mixing
    angles = eyes + pose[:, :2]
    return World(codes, pose, gaze_vector(*angles.T), [f"p{i}" for i in person])


def calibrated(
    data: World,
    *,
    pose: bool = True,
    people: bool = False,
    per_person: bool = False,
    seed: int = 0,
    model_id: str = "",
) -> Calibration:
    return fit_calibration(
        codes=data.codes,
        targets=data.targets,
        head_pose=data.pose if pose else None,
        people=data.people if people else None,
        per_person=per_person,
        rng=np.random.default_rng(seed),
        model_id=model_id,
    )


def errors_deg(gaze: GazeEstimate, data: World) -> np.ndarray:
    return np.rad2deg(angle_between(gaze.direction, data.targets))


def test_the_gaze_of_new_samples_is_found() -> None:
    made = calibrated(world(200))
    fresh = world(500, seed=1)
    gaze = made.predict(fresh.codes, fresh.pose)
    # Noise of 0.02 rad in two angles is a mean error of 0.025 rad.
    assert errors_deg(gaze, fresh).mean() == pytest.approx(np.rad2deg(0.025), rel=0.15)
    np.testing.assert_allclose(np.linalg.norm(gaze.direction, axis=1), 1)
    np.testing.assert_allclose(gaze_angles(gaze.direction), (gaze.yaw, gaze.pitch), atol=1e-9)
    left, up = fresh.targets[:, 0] < -0.3, fresh.targets[:, 1] < -0.3
    assert (gaze.yaw[left] > 0).all()
    assert (gaze.pitch[up] > 0).all()


def test_the_head_pose_matters_where_the_code_is_of_the_eyes_alone() -> None:
    data = world(200)
    with_pose, without = calibrated(data), calibrated(data, pose=False)
    assert with_pose.error.mean_deg < 2
    assert without.error.mean_deg > 10
    assert not without.uses_pose
    with pytest.raises(MienError, match="uses the head pose"):
        with_pose.predict(data.codes)
    assert without.predict(data.codes, data.pose).yaw.shape == (200,)


def test_products_are_used_where_they_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    straight, bent, fresh = world(300), world(300, bend=0.7), world(300, seed=1, bend=0.7)
    assert calibrated(straight).kind == "linear"
    made = calibrated(bent)
    assert made.kind == "quadratic"
    monkeypatch.setattr("mien.probes.gaze_regression._MORE_DIRECTIONS", ())
    linear = calibrated(bent)
    assert linear.kind == "linear"
    error, plain = (errors_deg(m.predict(fresh.codes, fresh.pose), fresh) for m in (made, linear))
    assert error.mean() < 0.8 * plain.mean()
    assert made.error.mean_deg == pytest.approx(error.mean(), rel=0.15)


def test_nine_samples_give_a_calibration() -> None:
    made = calibrated(world(9))
    fresh = world(300, seed=1)
    error = errors_deg(made.predict(fresh.codes, fresh.pose), fresh).mean()
    assert made.samples == 9
    assert error < made.error.baseline_deg


def test_the_held_out_error_is_that_of_new_samples() -> None:
    fresh = world(2000, seed=1, noise=0.1)
    inside, ratios = [], []
    data = world(100, noise=0.1)
    made = calibrated(data)
    mean = gaze_vector(*np.mean(gaze_angles(data.targets), axis=1))
    baseline = np.rad2deg(angle_between(mean, fresh.targets)).mean()
    assert made.error.baseline_deg == pytest.approx(baseline, rel=0.15)
    for seed in range(10, 22):
        made = calibrated(world(100, seed=seed, noise=0.1))
        true = errors_deg(made.predict(fresh.codes, fresh.pose), fresh).mean()
        inside.append(made.error.low_deg < true < made.error.high_deg)
        ratios.append(made.error.mean_deg / true)
        assert made.error.low_deg < made.error.mean_deg < made.error.high_deg
    assert sum(inside) >= 9
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_codes_that_know_nothing_are_no_better_than_the_mean() -> None:
    data = world(100)
    shuffled = World(data.codes, data.pose, data.targets[::-1], data.people)
    error = calibrated(shuffled).error
    assert error.mean_deg > 0.9 * error.baseline_deg


def test_people_are_held_out_whole() -> None:
    data = world(200, offset=0.2)
    by_sample, by_person = calibrated(data), calibrated(data, people=True)
    assert (by_sample.error.by, by_person.error.by) == ("samples", "people")
    # Codes do not say who it is here: what differs is what a mean over ten people is worth.
    width = by_sample.error.high_deg - by_sample.error.low_deg
    assert by_person.error.high_deg - by_person.error.low_deg > 1.5 * width


def test_frames_of_one_target_are_held_out_together() -> None:
    data = world(12)
    rng = np.random.default_rng(0)
    codes = np.repeat(data.codes, 10, axis=0) + rng.normal(0, 1e-4, (120, DIM))
    frames = World(codes, np.repeat(data.pose, 10, 0), np.repeat(data.targets, 10, 0), [])
    made = calibrated(frames)
    assert made.error.by == "targets"
    # Held out one by one, each would find its own twin: an error near 0.
    assert made.error.mean_deg > 0.5 * calibrated(data).error.mean_deg


@pytest.mark.parametrize("people", [False, True])
def test_the_standard_deviation_is_that_of_the_errors(people: bool) -> None:
    made = calibrated(world(150, noise=0.1), people=people)
    fresh = world(3000, seed=1, noise=0.1)
    gaze = made.predict(fresh.codes, fresh.pose)
    truth = gaze_angles(fresh.targets)
    wrong = np.square([gaze.yaw - truth[0], gaze.pitch - truth[1]]).mean()
    assert np.sqrt(wrong) == pytest.approx(np.sqrt(np.square(gaze.std_rad).mean()), rel=0.15)
    far = made.predict(100 * fresh.codes[:1], fresh.pose[:1])
    assert far.std_rad[0] > 5 * gaze.std_rad.max()


def test_offsets_per_person_serve_who_is_known() -> None:
    data, fresh = world(300, offset=0.2), world(1000, seed=1, offset=0.2)
    made = calibrated(data, people=True, per_person=True)
    assert made.people == tuple(f"p{i}" for i in range(10))
    assert made.personal_error is not None
    assert (made.error.by, made.personal_error.by) == ("people", "samples")
    known = made.predict(fresh.codes, fresh.pose, fresh.people)
    unknown = made.predict(fresh.codes, fresh.pose)
    error = errors_deg(known, fresh).mean()
    assert error < 2
    assert errors_deg(unknown, fresh).mean() > 5
    assert made.personal_error.mean_deg == pytest.approx(error, rel=0.2)
    assert made.error.mean_deg > 5
    assert (known.std_rad < 0.5 * unknown.std_rad).all()
    truth = gaze_angles(fresh.targets)
    wrong = np.square([known.yaw - truth[0], known.pitch - truth[1]]).mean()
    assert np.sqrt(wrong) == pytest.approx(np.sqrt(np.square(known.std_rad).mean()), rel=0.15)


def test_who_is_not_known_gets_what_everybody_gets() -> None:
    data = world(100, offset=0.2)
    made = calibrated(data, people=True, per_person=True)
    pooled = calibrated(data, people=True)
    assert pooled.people == ()
    mixed = ["nobody", "p3"] * 50
    gaze, everybody = (
        made.predict(data.codes, data.pose, mixed),
        made.predict(data.codes, data.pose),
    )
    np.testing.assert_array_equal(gaze.direction[::2], everybody.direction[::2])
    assert (gaze.yaw[1::2] != everybody.yaw[1::2]).all()
    np.testing.assert_array_equal(pooled.predict(data.codes, data.pose).yaw, everybody.yaw)
    with pytest.raises(MienError, match="3 people are named for 100"):
        made.predict(data.codes, data.pose, ["p1"] * 3)


def test_offsets_are_shrunk_where_nobody_differs() -> None:
    data = world(100, noise=0.1)
    made = calibrated(data, people=True, per_person=True)
    one, other = (made.predict(data.codes, data.pose, [name] * 100) for name in ("p0", "p1"))
    # Means of ten residuals of 0.1 rad would differ by 0.045.
    assert abs(one.yaw - other.yaw).max() < 0.02


def test_a_mirrored_image_changes_the_sign_of_yaw_alone() -> None:
    data, fresh = world(100), world(50, seed=1)
    flip = np.array([-1, 1, -1])
    other = World(data.codes, data.pose * flip, mirrored(data.targets), data.people)
    # The code of a mirrored image is a linear map of the code here; the identity will do.
    gaze = calibrated(data).predict(fresh.codes, fresh.pose)
    seen = calibrated(other).predict(fresh.codes, fresh.pose * flip)
    np.testing.assert_allclose(seen.yaw, -gaze.yaw, atol=1e-9)
    np.testing.assert_allclose(seen.pitch, gaze.pitch, atol=1e-9)


def test_rows_without_a_code_stay_without_a_gaze() -> None:
    data = world(50)
    made = calibrated(data)
    codes, pose = data.codes.copy(), data.pose.copy()
    codes[3], pose[5] = np.nan, np.nan
    gaze = made.predict(codes, pose)
    whole = made.predict(data.codes, data.pose)
    for name in ("direction", "yaw", "pitch", "std_rad"):
        values = getattr(gaze, name)
        assert np.isnan(values[[3, 5]]).all()
        kept = np.delete(np.arange(50), [3, 5])
        np.testing.assert_allclose(values[kept], getattr(whole, name)[kept], rtol=1e-12)
    assert made.predict(codes[:0], pose[:0]).direction.shape == (0, 3)


def test_chance_decides_the_error_alone() -> None:
    data = world(60)
    one = calibrated(data)
    other = calibrated(data, seed=1)
    again = calibrated(data)
    np.testing.assert_array_equal(one.pooled.weights, other.pooled.weights)
    assert one.error != other.error
    assert one.error == again.error


def test_directions_past_the_pole_do_not_occur() -> None:
    data = world(50)
    gaze = calibrated(data).predict(1000 * data.codes, data.pose)
    assert np.abs(gaze.pitch).max() <= np.pi / 2
    assert np.abs(gaze.yaw).max() <= np.pi


def test_other_weights_are_refused() -> None:
    made = calibrated(world(20), model_id="0123456789ab")
    made.check_model("0123456789ab", DIM)
    made.check_model("", DIM)
    with pytest.raises(MienError, match="belongs to the weights 0123456789ab"):
        made.check_model("ba9876543210", DIM)
    with pytest.raises(MienError, match="length 8, not 9"):
        made.check_model("0123456789ab", 9)
    with pytest.raises(MienError, match="8"):
        made.predict(np.zeros((1, 9)), np.zeros((1, 3)))


@pytest.mark.parametrize("people", [None, "few", "many"])
def test_the_number_of_decompositions_does_not_grow_with_people(
    people: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    angles = rng.normal(0, 0.3, (200, 2))
    codes = angles @ rng.normal(size=(2, 8)) + rng.normal(0, 0.2, (200, 8))
    count = {None: 1, "few": 3, "many": 40}[people]
    fits: list[int] = []
    fit = Ridge.fit

    def counted(*given: np.ndarray, **options: bool) -> Ridge:
        fits.append(1)
        return fit(*given, **options)

    monkeypatch.setattr(Ridge, "fit", staticmethod(counted))
    fit_calibration(
        codes=codes,
        targets=gaze_vector(*angles.T),
        people=None if people is None else [str(i % count) for i in range(200)],
        per_person=people is not None,
        rng=rng,
    )
    # Three sets of features each for the whole and its held-out parts, at most twenty; for known
    # people two scales more. Nothing is fitted again for a strength or for a sample left out.
    parts = {None: 10, "few": 3, "many": 10}[people]
    personal = 0 if people is None else 5 * (1 + 10)
    assert len(fits) == 3 * (1 + parts) + personal


def changed(
    data: World,
    *,
    codes: np.ndarray | None = None,
    pose: np.ndarray | None = None,
    targets: np.ndarray | None = None,
) -> World:
    return World(
        data.codes if codes is None else codes,
        data.pose if pose is None else pose,
        data.targets if targets is None else targets,
        data.people,
    )


def looking(yaw_deg: np.ndarray | float, pitch_deg: np.ndarray | float) -> np.ndarray:
    yaw, pitch = np.broadcast_arrays(np.deg2rad(yaw_deg), np.deg2rad(pitch_deg))
    return gaze_vector(yaw + np.zeros(20), pitch + np.zeros(20))


def test_samples_that_hold_nothing_to_learn_are_refused() -> None:
    data, line = world(20), np.linspace(-20, 20, 20)
    broken, twice, long = data.codes.copy(), data.codes.copy(), 1.02 * data.targets
    broken[4, 2] = np.nan
    twice[7] = twice[2]
    pose = data.pose.copy()
    pose[7] = pose[2]
    refused = {
        "8 samples are too few": data[:8],
        "1 samples have no gaze code or no head pose, first number 5": changed(data, codes=broken),
        "first number 8 that of number 3": changed(data, codes=twice, pose=pose),
        "20 targets are no unit vectors, first that of number 1": changed(data, targets=long),
        "all in one place": changed(data, targets=looking(line / 20, 5)),
        "pitch cannot be learned; add targets further up": changed(data, targets=looking(line, 5)),
        "yaw cannot be learned; add targets further left": changed(data, targets=looking(5, line)),
        "one slanted line": changed(data, targets=looking(line, line / 2)),
        "20 of 20 targets look away": changed(data, targets=looking(180 + line, line)),
    }
    for message, samples in refused.items():
        with pytest.raises(MienError, match=message):
            calibrated(samples)


def test_offsets_need_people() -> None:
    data = world(20)
    with pytest.raises(MienError, match="add a column person"):
        calibrated(data, per_person=True)
    for people in (["a"] * 20, [str(i) for i in range(20)]):
        with pytest.raises(MienError, match="two people or more with several samples"):
            calibrated(
                World(data.codes, data.pose, data.targets, people), people=True, per_person=True
            )


def test_lengths_that_differ_are_refused() -> None:
    data = world(20)
    for changes in (
        {"targets": data.targets[:19]},
        {"pose": data.pose[:19]},
        {"codes": data.codes[0]},
    ):
        with pytest.raises(ValueError, match="must be"):
            calibrated(changed(data, **changes))
    with pytest.raises(ValueError, match="19 people or names for 20"):
        calibrated(World(data.codes, data.pose, data.targets, data.people[:19]), people=True)
