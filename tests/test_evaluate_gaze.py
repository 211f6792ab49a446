"""Gaze from few labels on made-up codes with known answers, and the histograms beside them."""

import numpy as np
import pytest
from benchmarks.gaze_few_shot import (
    FewShot,
    few_shot,
    halves,
    leakage_auc,
    mean_over_folds,
    mean_predictor_deg,
)
from benchmarks.hog import hog_features

from mien.errors import MienError
from mien.evaluate.tasks.gaze_few_shot import angular_error_deg, predict_gaze
from mien.geometry.gaze import gaze_angles, gaze_vector


def directions(rng, rows):
    """Gaze whose yaw and pitch are normal with s.d. 15 and 8 degrees. [N, 3]."""
    return gaze_vector(
        np.radians(15 * rng.standard_normal(rows)), np.radians(8 * rng.normal(size=rows))
    )


def codes_of(gaze, rng, noise_deg=1.0):
    """Six columns that mix yaw and pitch, with noise of that many degrees."""
    angles = np.stack(gaze_angles(gaze), axis=1)
    noisy = angles + np.radians(noise_deg) * rng.standard_normal(angles.shape)
    mix = np.random.default_rng(7).standard_normal((2, 6))
    return noisy @ mix + 3


def test_the_angular_error_by_hand():
    one = np.array([[0.0, 0.0, -1.0]] * 3)
    other = np.array([[0, 0, -1], [1, 0, 0], [0, -np.sin(0.1), -np.cos(0.1)]], dtype=float)
    assert angular_error_deg(predicted=one, truth=other) == pytest.approx(
        [0, 90, np.degrees(0.1)], abs=1e-6
    )
    with pytest.raises(ValueError, match=r"\[N, 3\]"):
        angular_error_deg(predicted=one, truth=other[:1])


def test_a_small_angle_is_not_lost_to_rounding():
    truth = gaze_vector(np.array([0.3]), np.array([-0.2]))
    near = gaze_vector(np.array([0.3]), np.array([-0.2 + 1e-7]))
    found = angular_error_deg(predicted=near, truth=truth)[0]
    assert found == pytest.approx(np.degrees(1e-7), rel=1e-3)


def test_ridge_finds_yaw_and_pitch_with_their_signs():
    rng = np.random.default_rng(0)
    gaze = directions(rng, 300)
    codes = codes_of(gaze, rng, noise_deg=0.01)
    found = predict_gaze(
        train_features=codes[:200], train_gaze=gaze[:200], test_features=codes[200:]
    )
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(100))
    yaw, pitch = gaze_angles(found)
    true_yaw, true_pitch = gaze_angles(gaze[200:])
    assert yaw == pytest.approx(true_yaw, abs=np.radians(0.3))
    assert pitch == pytest.approx(true_pitch, abs=np.radians(0.3))


def measured(train, test, **options):
    rng = np.random.default_rng(1)
    codes, others = codes_of(train, rng), codes_of(test, rng)
    return few_shot(
        train_codes=options.pop("train_codes", codes),
        train_gaze=train,
        test_codes=options.pop("test_codes", others),
        test_gaze=test,
        rng=np.random.default_rng(2),
        **options,
    )


def test_more_samples_help_and_the_std_is_that_of_the_trials():
    rng = np.random.default_rng(0)
    found = measured(directions(rng, 400), directions(rng, 300), counts=(9, 100, None), trials=5)
    assert [result.count for result in found] == [9, 100, None]
    assert [len(result.trials) for result in found] == [5, 5, 1]
    assert found[0].mean_deg > found[1].mean_deg
    # Noise of 1 degree on both angles is an error of sqrt(pi / 2) degrees at best.
    assert found[1].mean_deg == pytest.approx(1.25, abs=0.15)
    assert found[2].mean_deg == pytest.approx(1.25, abs=0.1)
    assert found[0].std_deg == pytest.approx(np.std(found[0].trials, ddof=1))
    assert found[0].mean_deg == pytest.approx(np.mean(found[0].trials))
    assert found[2].std_deg == 0


def test_the_same_generator_gives_the_same_samples():
    rng = np.random.default_rng(0)
    train, test = directions(rng, 200), directions(rng, 100)
    one = measured(train, test, counts=(20,), trials=3)
    assert one == measured(train, test, counts=(20,), trials=3)
    assert len(set(one[0].trials)) == 3


def test_codes_of_noise_are_as_good_as_the_mean():
    rng = np.random.default_rng(0)
    train, test = directions(rng, 400), directions(rng, 300)
    noise = rng.standard_normal((700, 6))
    (found,) = measured(
        train, test, train_codes=noise[:400], test_codes=noise[400:], counts=(None,)
    )
    mean = mean_predictor_deg(train_gaze=train, test_gaze=test)
    assert found.mean_deg == pytest.approx(mean, rel=0.03)


def test_the_head_pose_adds_what_the_eyes_leave_out():
    rng = np.random.default_rng(0)
    head = 0.3 * rng.standard_normal((500, 1))
    yaw, pitch = 0.2 * rng.standard_normal((2, 500))
    eyes = np.stack([yaw, pitch], axis=1)
    gaze = gaze_vector(yaw + head[:, 0], pitch)

    def error(codes, pose):
        (found,) = few_shot(
            train_codes=codes[:300],
            train_gaze=gaze[:300],
            test_codes=codes[300:],
            test_gaze=gaze[300:],
            pose=(pose[:300], pose[300:]) if pose is not None else None,
            counts=(100,),
            trials=2,
            rng=np.random.default_rng(0),
        )
        return found.mean_deg

    assert error(eyes, head) < 0.1 * error(eyes, None)
    assert error(eyes, head) < 0.1 * error(np.empty((500, 0)), head)


def test_too_few_rows_and_broken_codes_are_refused():
    rng = np.random.default_rng(0)
    train, test = directions(rng, 20), directions(rng, 10)
    with pytest.raises(MienError, match="cannot choose 21 samples from 20"):
        measured(train, test, counts=(21,))
    with pytest.raises(MienError, match="NaN"):
        measured(train, test, counts=(9,), train_codes=np.full((20, 6), np.nan))


def test_the_mean_predictor_by_hand():
    train = gaze_vector(np.radians([10.0, 30.0]), np.radians([5.0, 15.0]))
    test = gaze_vector(np.radians([20.0, 20.0]), np.radians([10.0, 16.0]))
    assert mean_predictor_deg(train_gaze=train, test_gaze=test) == pytest.approx(3)


def test_folds_are_averaged_trial_by_trial():
    folds = [(FewShot.of(9, [1.0, 3.0]),), (FewShot.of(9, [3.0, 7.0]),)]
    (found,) = mean_over_folds(folds)
    assert found.trials == (2.0, 5.0)
    assert found.mean_deg == 3.5
    assert found.std_deg == pytest.approx(np.sqrt(4.5))
    with pytest.raises(ValueError, match="other counts"):
        mean_over_folds([(FewShot.of(9, [1.0]),), (FewShot.of(50, [1.0]),)])


def test_halves_share_nobody():
    person = np.array([5, 2, 2, 9, 5, 7, 9, 11])
    first, second = halves(person)
    assert set(person[first]) == {2, 5}
    assert set(person[second]) == {7, 9, 11}
    assert sorted([*first, *second]) == list(range(8))
    with pytest.raises(MienError, match="two people"):
        halves(np.array([3, 3]))


def test_leakage_is_seen_where_there_is_some():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 5)
    who = rng.standard_normal((40, 8))[person]
    codes = {"who": who, "noise": rng.standard_normal((200, 8)), "who again": who.copy()}
    found = leakage_auc(codes=codes, person=person, pairs=2000, rng=rng)
    assert found["who"] > 0.999
    assert found["noise"] == pytest.approx(0.5, abs=0.05)
    assert found["who again"] == found["who"]


def edge(across, size=32):
    """An image with one edge: upright, or lying."""
    image = np.zeros((size, size), np.uint8)
    image[
        slice(None) if across else slice(size // 2), slice(size // 2) if across else slice(None)
    ] = 255
    return image


def test_histograms_tell_the_direction_of_an_edge_and_nothing_of_brightness():
    features = hog_features(images=[edge(True), edge(False), edge(True) // 4], size=(32, 32))
    assert features.shape == (3, 36 * 3 * 3)
    by_angle = features.reshape(3, -1, 9).sum(axis=1)
    # Unsigned orientations of the gradient: along x in the outer bins, along y in the middle.
    assert by_angle[0, [0, 8]].sum() > 0.95 * by_angle[0].sum()
    assert by_angle[1, [3, 4, 5]].sum() > 0.95 * by_angle[1].sum()
    assert features[2] == pytest.approx(features[0], abs=0.02)


def test_histograms_of_images_of_many_sizes_and_of_none():
    images = [np.full((h, 50), 100, np.uint8) for h in (20, 33)]
    assert hog_features(images=images, size=(16, 24)).shape == (2, 36 * 2)
    assert hog_features(images=[], size=(16, 24)).shape == (0, 72)
    with pytest.raises(ValueError, match="multiples of 8"):
        hog_features(images=[], size=(20, 24))
    with pytest.raises(ValueError, match="grey uint8"):
        hog_features(images=[np.zeros((16, 24, 3), np.uint8)], size=(16, 24))
