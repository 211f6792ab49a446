"""dlib as a method: what is asked of its process, what is made of the answers, and its two scores.

The process itself is tested where PEERS_DLIB names the Python of an environment with dlib.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.peers.dlib_embedding import ROOM, SIDE, DlibFactors, DlibWorker, off
from benchmarks.peers.methods import dlib_method
from benchmarks.peers.people import (
    PEOPLE,
    all_pairs_interval,
    euclidean_accuracy,
    euclidean_area,
)
from tests.made_dlib import dlib_environment, people_folder

from mien.errors import MienError
from mien.evaluate.protocol import EvalContext, Images
from mien.linear.verification import auc, roc

WIDE = SIDE + 2 * ROOM
ENVIRONMENT = os.environ.get("PEERS_DLIB", "")
LEVEL = np.array([[0.7, 0.4], [0.6, 0.4], [0.3, 0.4], [0.4, 0.4], [0.5, 0.6]])
"""Landmarks of an upright face in the square, in the worker's order."""


def noise(count, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def placed(*faces):
    return (np.stack(faces) * SIDE + ROOM).astype(np.float32)


def made_worker(crops):
    """In dlib's place: the mean colour, in 128 numbers."""
    codes = np.zeros((len(crops), 128), np.float32)
    codes[:, :3] = crops.mean(axis=(1, 2)) / 255
    return codes, placed(*[LEVEL] * len(crops)), 0.5


def test_landmarks_that_are_not_of_the_face_are_noticed():
    turned = LEVEL[:, ::-1]
    swapped = LEVEL[[2, 3, 0, 1, 4]]
    small = 0.45 + 0.2 * (LEVEL - 0.5)
    beside, below = LEVEL + np.array([0.6, 0]), LEVEL + np.array([0, 0.4])
    lost = off(placed(LEVEL, turned, swapped, small, beside, below))
    assert lost.tolist() == [False, True, True, True, True, True]


def test_dlib_sees_larger_crops_and_says_one_thing_under_all_names():
    pixels, shown, said = noise(5, 70), [], []

    def worker(crops):
        shown.append(crops.shape)
        return made_worker(crops)

    describe = DlibFactors(worker, "none", said.append)
    images = Images(tuple("abcde"), lambda row: pixels[row])
    found = describe(images, ("identity", "yaw_rad"))
    assert shown == [(5, WIDE, WIDE, 3)]
    assert said == ["dlib: landmarks are off the face in 0 of 5 crops"]
    assert found["identity"].shape == (5, 128)
    assert np.isnan(found["yaw_rad"]).all()
    again = describe(images, ("face_embedding", "shape_code"))
    assert np.array_equal(again.joined("face_embedding", "shape_code"), found["identity"])
    assert len(shown) == 1, "images are described once"
    with pytest.raises(MienError, match="dlib gives no column happiness"):
        describe(images, ("happiness",))
    eyes = Images(("a",), lambda row: pixels[row], crop="eyes")
    with pytest.raises(MienError, match="eye-region crops"):
        describe(eyes, ("identity",))


def test_images_without_a_face_have_no_embedding():
    pixels = noise(2, 70)
    describe = DlibFactors(made_worker, "haar")
    found = describe(Images(("a", "b"), lambda row: pixels[row]), ("identity",))
    assert not found.found.any()
    assert np.isnan(found["identity"]).all()


def test_its_time_is_that_of_its_process_and_its_protocols_are_named():
    method = dlib_method(DlibFactors(made_worker), ["lfw-people"])
    assert method.encode() == 0.5
    assert method.protocols == {"lfw-people"}
    assert dlib_method(DlibFactors(made_worker), None).protocols is None


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho no dlib here >&2; exit 1\n", "gives no answer: no dlib here"),
        (None, "dlib cannot be run by"),
    ],
)
def test_a_process_that_fails_is_one_line(program, said, tmp_path):
    python = tmp_path / "python"
    if program:
        python.write_text(program)
        python.chmod(0o755)
    worker = DlibWorker(python)
    with pytest.raises(MienError, match=said):
        worker(noise(1, WIDE))
    worker.close()


def test_answers_are_read(tmp_path):
    python = dlib_environment(tmp_path)
    worker = DlibWorker(python)
    crops = noise(3, WIDE)
    codes, landmarks, seconds = worker(crops)
    again = worker(crops[:1])[0]
    worker.close()
    assert codes.shape == (3, 128)
    np.testing.assert_allclose(codes[:, 4:7], crops.mean(axis=(1, 2)), rtol=1e-5)
    assert codes[0, :4].tolist() == [51, 62, 189, 189]
    assert landmarks[0].tolist() == [[51, 52], [62, 63], [189, 190], [189, 190], [9, 10]]
    assert seconds >= 0
    assert np.array_equal(again, codes[:1])


@pytest.mark.skipif(not ENVIRONMENT, reason="PEERS_DLIB names no Python with dlib")
def test_dlib_itself_tells_a_face_from_noise():
    worker = DlibWorker(Path(ENVIRONMENT))
    codes, landmarks, seconds = worker(noise(2, WIDE))
    worker.close()
    assert codes.shape == (2, 128)
    assert 0.5 < np.linalg.norm(codes[0]) < 2.5
    assert landmarks.shape == (2, 5, 2)
    assert seconds > 0


# ---- what is scored


def test_all_pairs_of_people_by_cosine_and_by_distance(tmp_path):
    context = EvalContext(DlibFactors(made_worker))
    listed = people_folder(tmp_path) / "people.csv"
    result = PEOPLE.run(listed, context)
    (plain,), away = result.scores, euclidean_area(listed, context)
    assert plain.main
    assert not away.main
    assert plain.count == away.count == 24 * 23 // 2
    assert plain.value > 0.9
    assert away.value > 0.95
    assert plain.low is not None
    assert plain.high is not None
    assert plain.low <= plain.value <= plain.high
    assert result.notes == ("8 people, 24 photographs",)


def test_the_interval_is_about_the_area_and_does_not_mind_who_comes_first():
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(30), 4)
    codes = rng.normal(size=(30, 6))[person] + rng.normal(size=(120, 6))
    first, second = np.triu_indices(120, 1)
    alike = -((codes[first] - codes[second]) ** 2).sum(axis=1)
    area = auc(curve=roc(similarity=alike, same=person[first] == person[second]))
    low, high = all_pairs_interval(alike, person, rng=np.random.default_rng(2))
    assert low < area < high
    assert 0.01 < high - low < 0.15
    flat = all_pairs_interval(np.zeros(len(first)), person, rng=np.random.default_rng(2))
    assert flat == pytest.approx((0.5, 0.5))


def test_distance_decides_pairs_as_cosine_does(tmp_path):
    context = EvalContext(DlibFactors(made_worker, "none"))
    score = euclidean_accuracy(people_folder(tmp_path), context)
    assert score.name == "accuracy, Euclidean"
    assert score.value > 90
    assert score.low is not None
    assert score.high is not None
    assert score.low <= score.value <= score.high
