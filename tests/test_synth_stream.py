"""The stream of clips: repeatable, and its images mean what their labels say."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.synth import stream as stream_module
from mien.synth.background import Sensor, expose, sample_backgrounds
from mien.synth.clip import ClipPlan, Labels
from mien.synth.frame import direction_of, rotation_matrix
from mien.synth.head_model import load_head_model
from mien.synth.render import render_frames_torch
from mien.synth.stream import Stream
from mien.synth.toy import toy_head

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict-facekit" / "ict_facekit.npz"
SIZE, FRAMES = 48, 4


class Staged(Stream):
    """A stream whose frames can be set; plain background, no noise, white light."""

    changes: dict

    def plan(self, index: int) -> ClipPlan:
        plan = super().plan(index)
        count = len(plan.frames)
        zero = np.zeros(count, dtype=np.float32)
        still = {
            "expression_weights": np.zeros_like(plan.frames.expression_weights),
            "light_colour": np.ones((count, 2, 3), dtype=np.float32),
            "scale": zero + 1,
            "shift": np.zeros((count, 2), dtype=np.float32),
            "field_of_view": zero + np.float32(np.deg2rad(10.0)),
            **self.changes,
        }
        person = replace(plan.person, glasses=False, hair_style="bald", beard=0.0, moustache=0.0)
        return replace(
            plan,
            person=person,
            frames=replace(plan.frames, **still),
            background=np.full_like(plan.background, 0.5),
            sensor=Sensor(zero, zero, grey=False, noise_seed=0),
        )


def staged(count: int, **changes) -> Stream:
    stream = Staged(toy_head(), seed=3, frames_per_clip=count, size=SIZE)
    still = {
        "rotation": rotated(np.zeros(count)),
        "eye_rotation": rotated(np.zeros(count)),
        "ambient": np.full(count, 0.5, dtype=np.float32),
        "diffuse": np.full(count, 0.5, dtype=np.float32),
        "light": np.tile([0.0, 0.0, -1.0], (count, 1)).astype(np.float32),
    }
    stream.changes = still | changes
    return stream


def rotated(yaw, pitch: Any = 0.0, roll: Any = 0.0) -> np.ndarray:
    return rotation_matrix(yaw, pitch, roll).astype(np.float32)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(toy_head(), seed=1, frames_per_clip=FRAMES, size=SIZE)


def test_a_clip_has_the_promised_shapes(stream):
    clip = stream.clip(0)
    assert clip.images.shape == (FRAMES, 3, SIZE, SIZE)
    assert clip.images.dtype == np.uint8
    assert clip.mask.dtype == bool
    assert clip.depth.dtype == np.float32
    assert len(clip) == len(clip.labels) == FRAMES
    for field in fields(Labels):
        value = getattr(clip.labels, field.name)
        if field.name not in ("person", "identity", "skin", "glasses", "beard"):
            assert len(value) == FRAMES, field.name
    assert 0.2 < clip.mask.mean() < 0.95
    assert (clip.depth[clip.mask] > 20).all()


def test_clips_depend_on_seed_and_index_alone(stream):
    again = Stream(toy_head(), seed=1, frames_per_clip=FRAMES, size=SIZE)
    again.clip(5)
    for name in ("images", "depth", "mask"):
        np.testing.assert_array_equal(
            getattr(stream.clip(2), name), getattr(again.clip(2), name), err_msg=name
        )
    other = Stream(toy_head(), seed=2, frames_per_clip=FRAMES, size=SIZE)
    assert (stream.clip(2).images != other.clip(2).images).mean() > 0.5
    assert (stream.clip(2).images != stream.clip(3).images).mean() > 0.5


def test_iterating_gives_the_clips_in_order(stream):
    found = [clip.labels.person for clip, _ in zip(stream, range(3), strict=False)]
    assert found == [0, 1, 2]


def test_threads_do_not_change_the_images(stream):
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = stream.clip(1).images
        torch.set_num_threads(3)
        three = stream.clip(1).images
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(one, three)


def test_labels_alone_are_the_labels_of_the_clip(stream):
    alone, rendered = stream.labels(4), stream.clip(4).labels
    for field in fields(Labels):
        np.testing.assert_array_equal(getattr(alone, field.name), getattr(rendered, field.name))


def test_balanced_clips_show_every_expression_in_turn():
    stream = Stream(toy_head(), seed=0, frames_per_clip=9, size=16, balanced=True)
    assert stream.labels(0).expression.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]


def test_a_person_keeps_looks_over_the_clip(stream):
    plan = stream.plan(0)
    assert plan.person.identity.shape == (8,)
    assert len(plan.frames) == FRAMES


@pytest.mark.parametrize("arguments", [{"frames_per_clip": 0}, {"size": 8}])
def test_impossible_streams_are_refused(arguments):
    with pytest.raises(ValueError, match="at least"):
        Stream(toy_head(), **({"seed": 0, "frames_per_clip": 2, "size": 32} | arguments))


def test_clips_before_the_first_are_refused(stream):
    with pytest.raises(ValueError, match="from 0"):
        stream.clip(-1)


def test_yaw_towards_image_left_moves_the_nose_left():
    clip = staged(3, rotation=rotated([-0.5, 0.0, 0.5])).clip(0)
    nose = clip.labels.landmarks[:, 2, 0] - clip.labels.landmarks[:, [0, 1], 0].mean(axis=1)
    assert nose[0] > 3 > nose[1] > -3 > nose[2]
    # In depth too: the nearest point of the face stands where the nose is.
    nearest = np.where(clip.mask, clip.depth, np.inf).reshape(3, -1).argmin(axis=1) % SIZE
    assert nearest[0] > nearest[1] > nearest[2]


def test_pitch_up_moves_the_nose_up():
    clip = staged(3, rotation=rotated(np.zeros(3), [-0.3, 0.0, 0.3])).clip(0)
    marks = clip.labels.landmarks
    nose = marks[:, 2, 1] - marks[:, [0, 1, 3, 4], 1].mean(axis=1)
    assert nose[0] > nose[1] > nose[2]


def test_roll_is_clockwise_in_the_image():
    clip = staged(2, rotation=rotated(np.zeros(2), 0.0, [0.0, 0.3])).clip(0)
    eyes = clip.labels.landmarks[:, 1] - clip.labels.landmarks[:, 0]
    assert abs(eyes[0, 1]) < 1
    assert eyes[1, 1] > 3


@pytest.mark.parametrize(("axis", "dimension"), [(0, 2), (1, 1)])
def test_light_from_the_positive_side_makes_that_side_brighter(axis, dimension):
    light = np.zeros((2, 3), dtype=np.float32)
    light[:, 2], light[0, axis], light[1, axis] = -0.5, 0.866, -0.866
    clip = staged(2, light=light).clip(0)
    grey = clip.images.mean(axis=1)
    # The difference cancels the albedo.
    profile = ((grey[0] - grey[1]) * clip.mask[0]).mean(axis=2 - dimension)
    half = SIZE // 2
    assert profile[half + 4 :].mean() > 1 > -1 > profile[: half - 4].mean()


def test_gaze_to_image_left_moves_the_iris_left():
    clip = staged(2, eye_rotation=rotated([0.4, -0.4])).clip(0)
    moved = clip.images[0].astype(int).sum(0) - clip.images[1].astype(int).sum(0)
    for x1, y1, x2, y2 in clip.labels.eye_boxes[0].round().astype(int):
        eye = moved[y1:y2, x1:x2]
        half = eye.shape[1] // 2
        assert eye[:, :half].mean() < eye[:, -half:].mean()


def test_mirrored_angles_give_a_mirrored_silhouette():
    clip = staged(2, rotation=rotated([0.3, -0.3], [0.1, 0.1], [0.2, -0.2])).clip(0)
    differs = (clip.mask[0] != clip.mask[1][:, ::-1]).mean()
    assert differs < 0.02
    flipped = (SIZE - 1) - clip.labels.landmarks[1, [1, 0, 2, 4, 3], 0]
    np.testing.assert_allclose(clip.labels.landmarks[0, :, 0], flipped, atol=1.0)


def test_gaze_labels_of_planned_frames_follow_head_and_eyes(stream):
    frames = stream.plan(7).frames
    eyes = frames.eye_rotation @ np.array([0.0, 0.0, -1.0])
    np.testing.assert_allclose(
        np.einsum("tij,tj->ti", frames.rotation, eyes), frames.gaze, atol=1e-5
    )
    np.testing.assert_allclose(direction_of(0.2, 0.0)[0], -np.sin(0.2), atol=1e-9)


def test_the_face_fills_the_crop_like_a_detectors():
    labels = staged(3, rotation=rotated([0.0, 0.6, -0.6])).clip(0).labels
    centre = labels.landmarks[:, [0, 1, 3, 4]].mean(axis=1)
    assert np.abs(centre - (SIZE - 1) / 2).max() < 0.14 * SIZE
    eyes = labels.landmarks[0, 1, 0] - labels.landmarks[0, 0, 0]
    assert 0.2 * SIZE < eyes < 0.5 * SIZE


def test_torch_renders_the_same_images(stream, monkeypatch):
    fused = stream.clip(3)
    monkeypatch.setattr(
        stream_module,
        "render_frames",
        lambda *scene: render_frames_torch(*scene, device="cpu", backend="numba"),
    )
    plain = stream.clip(3)
    difference = np.abs(fused.images.astype(int) - plain.images.astype(int))
    # Single samples on edges may fall on either side.
    assert (difference > 2).mean() < 1e-3
    assert (fused.mask != plain.mask).mean() < 1e-3
    np.testing.assert_allclose(fused.depth, plain.depth, atol=0.5)


def test_backgrounds_are_steady_or_not():
    steady = sample_backgrounds(np.random.default_rng(0), 3, 32, steady=True)
    np.testing.assert_array_equal(steady[0], steady[2])
    free = sample_backgrounds(np.random.default_rng(0), 3, 32, steady=False)
    assert np.abs(free[0] - free[2]).mean() > 0.01
    assert 0 <= free.min() <= free.max() <= 1
    assert free.std(axis=(1, 2)).max() > 0.02


def test_the_sensor_blurs_greys_and_adds_noise():
    edge = np.zeros((2, 32, 32, 3), dtype=np.float32)
    edge[:, :, 16:] = [0.2, 0.6, 1.0]
    none = np.zeros(2, dtype=np.float32)
    blurred = expose(
        edge, Sensor(none, np.array([0.0, 0.1], dtype=np.float32), grey=False, noise_seed=0)
    )
    assert blurred[0, 2, 0, 15] == 0
    assert blurred[0, 2, 0, 16] == 255
    assert 60 < blurred[1, 2, 0, 15] < blurred[1, 2, 0, 16] < 200
    grey = expose(edge, Sensor(none, none, grey=True, noise_seed=0))
    assert (grey[:, 0] == grey[:, 1]).all()
    noisy = expose(edge + 0.3, Sensor(none + 0.05, none, grey=False, noise_seed=0))
    assert 5 < noisy[0, 0, :, :16].std() < 20
    assert edge[0, 0, 0, 0] == 0


@pytest.mark.data
@pytest.mark.skipif(not ICT.is_file(), reason="ICT-FaceKit is not in shared/data")
def test_real_heads_look_like_people():
    stream = Stream(load_head_model(ICT), seed=0, frames_per_clip=2, size=64)
    for index in range(3):
        clip = stream.clip(index)
        assert 0.4 < clip.mask.mean() < 0.98
        marks = clip.labels.landmarks
        assert (marks > 0).all()
        assert (marks < 64).all()
        # Eyes above nose above mouth.
        assert (marks[:, :2, 1].mean(axis=1) < marks[:, 2, 1]).all()
        assert (marks[:, 2, 1] < marks[:, 3:, 1].mean(axis=1)).all()
