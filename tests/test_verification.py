import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli.main import run
from mien.errors import MienError
from mien.verification import Reference, Threshold, Verifier, verify
from mien.weights import VERIFICATION_FILE, weights_id

THRESHOLDS = (Threshold(0.2, 0.1, 0.9), Threshold(0.5, 0.01, 0.7))


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    """Small weights with thresholds for the identity code, whose mean is far from nought."""
    folder = tmp_path / "weights"
    shutil.copytree(tiny_folder, folder)
    reference = Reference(weights_id(folder), "identity", np.ones(32, "f4"), THRESHOLDS, "nobody")
    reference.save(folder)
    return folder


@pytest.fixture
def images(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(path)
    return paths


def change(folder, **changes):
    path = folder / VERIFICATION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_similarity_is_a_centred_cosine():
    reference = Reference("w", "identity", np.array([1, 1], "f4"), THRESHOLDS, "nobody")
    one, other = np.array([2, 1], "f4"), np.array([[1, 3], [-3, 1], [2, 2]], "f4")
    np.testing.assert_allclose(reference.similarity(one, other), [0, -1, 0.5**0.5], atol=1e-12)
    assert reference.similarity(np.ones(2, "f4"), one) == 0


def test_a_face_is_its_own_person(folder, images):
    found = verify(images[0], Image.open(images[0]), weights=folder, detector="none")
    assert found.similarity == pytest.approx(1)
    assert found.same
    assert found.threshold == THRESHOLDS[1]
    assert mien.verify is verify


def test_codes_are_compared_less_their_mean(folder, images):
    verifier = Verifier(folder, detector="none")
    first, second = verifier.codes(images).astype(float) - 1
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    found = verifier.compare(*images, false_match_rate=0.1)
    assert found.similarity == pytest.approx(expected, abs=1e-6)
    assert found.same == (expected >= 0.2)
    with pytest.raises(MienError, match=r"measured at 0.02; there are 0.1, 0.01"):
        verifier.compare(*images, false_match_rate=0.02)


def test_the_command_says_what_the_decision_rests_on(folder, images, capsys):
    words = ["verify", *map(str, [images[0], images[0]]), "--weights", str(folder)]
    assert run([*words, "--detector", "none"]) == 0
    out = capsys.readouterr().out
    assert "similarity 1.0000\n" in out
    assert "threshold  0.5000  false match rate 1.0000%, true match rate 70.0%" in out
    assert "nobody" in out
    assert "taken for one person" in out


def test_what_was_written_is_read(folder):
    found = Reference.read(folder)
    assert (found.code, found.thresholds, found.measured_on) == ("identity", THRESHOLDS, "nobody")
    np.testing.assert_array_equal(found.mean, np.ones(32))


def test_weights_without_thresholds_are_refused(tiny_folder, images):
    with pytest.raises(MienError, match=r"has no verification.json: thresholds were not"):
        verify(*images, weights=tiny_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"weights": "0" * 12}, "was measured for weights 000000000000"),
        ({"code": "pose"}, "the code is"),
        ({"mean": "far"}, "is damaged"),
        ({"mean": [[1.0]]}, "a list of numbers"),
        ({"mean": [1e300]}, "within 1e6"),
        ({"thresholds": []}, "from the highest false match rate down"),
        ({"thresholds": [vars(one) for one in THRESHOLDS[::-1]]}, "highest false match rate down"),
        ({"thresholds": [{"similarity": 2, "false_match_rate": 0, "true_match_rate": 0}]}, "lies"),
        ({"thresholds": [{"similarity": 0.5}]}, "is damaged"),
        ({"thresholds": [0.5]}, "is damaged"),
    ],
)
def test_damaged_thresholds_are_refused(changes, message, folder):
    change(folder, **changes)
    with pytest.raises(MienError, match=message):
        Reference.read(folder)


def test_a_mean_of_another_length_is_refused(folder, images):
    change(folder, mean=[1.0, 2.0])
    with pytest.raises(MienError, match=r"has 2 numbers, the code 32"):
        verify(*images, weights=folder, detector="none")


def test_codes_that_the_weights_lack_are_refused(folder, images):
    change(folder, code="face_embedding")
    with pytest.raises(MienError, match="have no face_embedding"):
        verify(*images, weights=folder, detector="none")


def test_an_image_without_a_face_is_named(folder, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "empty.png")
    with pytest.raises(MienError, match=r"no face is found in .*empty.png"):
        verify(tmp_path / "empty.png", tmp_path / "empty.png", weights=folder, detector="haar")
