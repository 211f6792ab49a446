"""Expressions, poses, gazes and lights as they are sampled, and the conventions of their signs."""

from __future__ import annotations

import numpy as np
import pytest

from mien.synth.expression import EXPRESSIONS, PROTOTYPES, sample_expression_weights
from mien.synth.frame import angles_of, direction_of, rotation_matrix, sample_frames
from mien.synth.toy import toy_head

NAMES = toy_head().expression_names


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    head = toy_head()
    return [sample_frames(rng, head, rng.integers(7, size=8)) for _ in range(60)]


def _all(frames, name):
    return np.concatenate([getattr(f, name) for f in frames])


def test_rotation_turns_the_face_as_the_angles_say():
    yaw, pitch, roll = 0.4, 0.2, 0.3
    forward = rotation_matrix(yaw, pitch, roll) @ [0, 0, -1]
    found_yaw, found_pitch = angles_of(forward)
    assert found_yaw == pytest.approx(yaw)
    assert found_pitch == pytest.approx(pitch)
    # + yaw is towards image-left, + pitch up (y points down).
    assert forward[0] < 0
    assert forward[1] < 0
    # + roll is clockwise as seen: the top of the head goes to the right.
    up = rotation_matrix(0.0, 0.0, roll) @ [0, -1, 0]
    assert up[0] > 0


def test_directions_and_angles_are_inverse():
    yaw, pitch = np.array([0.3, -1.0]), np.array([-0.4, 0.5])
    found = angles_of(direction_of(yaw, pitch))
    np.testing.assert_allclose(found, (yaw, pitch), atol=1e-12)


def test_labels_are_unit_vectors_and_agree_with_each_other(frames):
    for name in ("gaze", "light"):
        np.testing.assert_allclose(np.linalg.norm(_all(frames, name), axis=1), 1.0, atol=1e-5)
    rotation = _all(frames, "rotation")
    yaw, pitch = angles_of(rotation @ np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(np.stack([yaw, pitch], 1), _all(frames, "angles")[:, :2], atol=1e-4)
    eye = _all(frames, "eye_rotation") @ np.array([0.0, 0.0, -1.0])
    gaze = np.einsum("tij,tj->ti", rotation, eye)
    np.testing.assert_allclose(gaze, _all(frames, "gaze"), atol=1e-5)


def test_ranges_are_kept(frames):
    angles = np.degrees(np.abs(_all(frames, "angles")))
    assert (angles.max(axis=0) <= [45.001, 25.001, 20.001]).all()
    assert angles[:, 0].std() > 8
    eye_yaw, eye_pitch = angles_of(_all(frames, "eye_rotation") @ np.array([0.0, 0.0, -1.0]))
    assert np.degrees(np.abs([eye_yaw, eye_pitch])).max() <= 25.001
    ambient, diffuse = _all(frames, "ambient"), _all(frames, "diffuse")
    assert 0.3 <= ambient.min() < ambient.max() <= 0.7
    assert 0.3 <= diffuse.min() < diffuse.max() <= 0.8
    assert (_all(frames, "light")[:, 2] < 0).all()
    assert _all(frames, "expression_weights").min() >= 0


def test_every_clip_has_a_nearly_frontal_frame(frames):
    for clip in frames:
        off = np.degrees(np.abs(clip.angles[:, :2]))
        assert ((off[:, 0] <= 8.001) & (off[:, 1] <= 6.001)).any()


def test_about_half_of_the_clips_have_one_light(frames):
    steady = [len(np.unique(clip.light, axis=0)) == 1 for clip in frames]
    assert 0.25 < np.mean(steady) < 0.75


def test_an_unknown_expression_is_refused():
    with pytest.raises(ValueError, match="0 to 6"):
        sample_frames(np.random.default_rng(0), toy_head(), np.array([7]))


def test_lids_follow_the_eyes():
    names = ("eyeLookUp_L", "eyeLookDown_L", "eyeLookIn_L", "eyeLookOut_L", "eyeLookIn_R")
    from dataclasses import replace

    head = toy_head()
    shapes = np.zeros((len(names), *head.neutral.shape), dtype=np.float32)
    frames = sample_frames(
        np.random.default_rng(1),
        replace(head, expression_names=names, expression=shapes),
        np.zeros(40, dtype=int),
    )
    yaw, pitch = angles_of(frames.eye_rotation @ np.array([0.0, 0.0, -1.0]))
    up, down, inner_left, outer_left, inner_right = frames.expression_weights.T
    np.testing.assert_array_equal(up > 0, pitch > 0)
    np.testing.assert_array_equal(down > 0, pitch < 0)
    # The person's left eye is on the right of the image: image-left (+ yaw) is inwards for it.
    np.testing.assert_array_equal(inner_left > 0, yaw > 0)
    np.testing.assert_array_equal(outer_left > 0, yaw < 0)
    np.testing.assert_array_equal(inner_right > 0, yaw < 0)


def test_expressions_differ_on_average_but_not_every_time():
    rng = np.random.default_rng(0)
    sampled = np.stack(
        [[sample_expression_weights(rng, e, NAMES) for _ in range(60)] for e in range(7)]
    )
    means, std = sampled.mean(axis=1), sampled.std(axis=1).mean()
    smile = NAMES.index("mouthSmile_L")
    assert means[:, smile].argmax() == EXPRESSIONS.index("happy")
    sneer = NAMES.index("noseSneer_R")
    assert means[:, sneer].argmax() == EXPRESSIONS.index("disgust")
    assert std > 0.05
    assert set(PROTOTYPES) == set(EXPRESSIONS)


def test_wide_gaze_looks_anywhere_and_leaves_the_rest_as_it_was():
    head, limit = toy_head(), np.deg2rad(25.0)
    rows = [
        [
            sample_frames(np.random.default_rng(i), head, np.zeros(8, int), wide_gaze=wide)
            for i in range(60)
        ]
        for wide in (False, True)
    ]
    natural, wide = (
        np.stack(
            angles_of(_all(frames, "eye_rotation") @ np.array([0.0, 0.0, -1.0])),
        )
        for frames in rows
    )
    assert np.abs(wide).max() <= limit + 1e-6
    # Uniform: standard deviation limit / sqrt(3) about both axes.
    np.testing.assert_allclose(wide.std(axis=1), limit / np.sqrt(3), rtol=0.1)
    assert natural.std(axis=1)[1] < 0.8 * wide.std(axis=1)[1]
    np.testing.assert_array_equal(_all(rows[0], "angles"), _all(rows[1], "angles"))


def test_changing_light_has_no_steady_clip_and_leaves_the_rest_as_it_was():
    head = toy_head()
    natural, changing, hard = (
        [
            sample_frames(np.random.default_rng(i), head, np.zeros(4, int), light=light)
            for i in range(40)
        ]
        for light in ("natural", "changing", "hard")
    )
    steady = [bool((clip.light == clip.light[0]).all()) for clip in natural]
    assert 8 < sum(steady) < 32
    assert not any((clip.light == clip.light[0]).all() for clip in changing)
    for one, other, kept in zip(natural, changing, steady, strict=True):
        np.testing.assert_array_equal(one.light[0], other.light[0])
        np.testing.assert_array_equal(one.angles, other.angles)
        np.testing.assert_array_equal(one.scale, other.scale)
        if not kept:
            np.testing.assert_array_equal(one.light, other.light)
    for one, other in zip(changing, hard, strict=True):
        np.testing.assert_array_equal(one.light, other.light)
        np.testing.assert_array_equal(one.angles, other.angles)
        assert (other.ambient + other.diffuse <= 1.2 + 1e-6).all()
    assert 0 <= _all(hard, "ambient").min() < 0.05
    assert _all(changing, "ambient").min() >= 0.3
