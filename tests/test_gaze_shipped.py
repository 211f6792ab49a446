"""The shipped gaze branch on unseen people: errors, mirrors, hidden eyes, eye-region crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.columbia import read_columbia

from mien.evaluate.tasks.gaze_few_shot import angular_error_deg
from mien.geometry.rotation import rotation_to_angles
from mien.model import Model, load
from mien.probes.fit import fit_calibration
from mien.types import Factors

SHARED = Path(__file__).parents[2] / "shared"
HEAD = SHARED / "data" / "ict-facekit" / "ict_facekit.npz"
EYE_CROPS = SHARED / "data" / "columbia-gaze-strips" / "images.zip"

needs_head = pytest.mark.skipif(not HEAD.exists(), reason="needs shared/data/ict-facekit")
needs_eye_crops = pytest.mark.skipif(
    not EYE_CROPS.exists(), reason="needs shared/data/columbia-gaze-strips"
)

PEOPLE, FRAMES, KNOWN = 40, 4, 120


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


@pytest.fixture(scope="module")
def people() -> tuple[torch.Tensor, np.ndarray]:
    """Return images and gaze of people of a seed that nothing was trained on."""
    from mien.synth.head_model import load_head_model
    from mien.synth.stream import Stream

    stream = Stream(
        load_head_model(HEAD), seed=770077, frames_per_clip=FRAMES, size=224, wide_gaze=True
    )
    clips = [stream.clip(i) for i in range(PEOPLE)]
    images = torch.from_numpy(np.concatenate([clip.images for clip in clips]))
    return images, np.concatenate([clip.labels.gaze for clip in clips]).astype(np.float64)


def _pose(factors: Factors) -> np.ndarray:
    return torch.stack(rotation_to_angles(factors.pose.rotation), dim=1).double().numpy()


def _code(factors: Factors) -> np.ndarray:
    assert factors.gaze is not None
    return factors.gaze.code.double().numpy()


@needs_head
def test_few_labels_make_a_direction_that_a_mirror_turns_round(
    model: Model, people: tuple[torch.Tensor, np.ndarray]
) -> None:
    images, gaze = people
    factors, mirrored = model.encode(images), model.encode(images.flip(-1))
    calibration = fit_calibration(
        codes=_code(factors)[:KNOWN],
        targets=gaze[:KNOWN],
        head_pose=_pose(factors)[:KNOWN],
        rng=np.random.default_rng(0),
    )
    seen = calibration.predict(_code(factors)[KNOWN:], _pose(factors)[KNOWN:])
    error = angular_error_deg(predicted=seen.direction, truth=gaze[KNOWN:])
    # The mean direction is wrong by about 25 degrees.
    assert error.mean() < 14
    turned = calibration.predict(_code(mirrored)[KNOWN:], _pose(mirrored)[KNOWN:])
    assert np.corrcoef(seen.yaw, turned.yaw)[0, 1] < -0.8
    assert np.corrcoef(seen.pitch, turned.pitch)[0, 1] > 0.6
    assert np.abs(seen.yaw + turned.yaw).mean() < np.abs(seen.yaw - turned.yaw).mean() / 2


@needs_head
def test_eyes_are_found_where_they_are_and_not_behind_dark_glasses(
    model: Model, people: tuple[torch.Tensor, np.ndarray]
) -> None:
    images = people[0][:40]
    found = model.encode(images).gaze
    assert found is not None
    assert found.eyes_found.float().mean() > 0.85
    hidden = images.clone()
    for i, eyes in enumerate((found.eyes * 224).round().long().tolist()):
        for x, y in eyes:
            hidden[i, :, max(0, y - 20) : y + 22, max(0, x - 34) : x + 34] = 12
    dark = model.encode(hidden).gaze
    assert dark is not None
    assert dark.eyes_found.float().mean() < 0.1


def test_an_image_without_a_face_has_no_eyes(model: Model) -> None:
    gaze = model.encode(torch.full((2, 3, 224, 224), 0.5)).gaze
    assert gaze is not None
    assert not gaze.eyes_found.any()


@needs_eye_crops
def test_eye_crops_of_real_eyes_are_understood(model: Model) -> None:
    data = read_columbia(EYE_CROPS)
    rows = np.arange(0, len(data), 10)
    grey = np.stack(list(data.take(rows).eye_crops(model.eye_crop_size)))
    gaze = model.encode_eyes(torch.from_numpy(grey)[:, None].repeat(1, 3, 1, 1))
    assert gaze.eyes_found.float().mean() > 0.8
    # Calibrated on every second person: better than the mean direction, which is wrong by 12.
    known = data.person[rows] % 2 == 0
    codes, truth = gaze.code.double().numpy(), data.gaze[rows]
    rng = np.random.default_rng(0)
    calibration = fit_calibration(codes=codes[known], targets=truth[known], rng=rng)
    error = angular_error_deg(
        predicted=calibration.predict(codes[~known], None).direction, truth=truth[~known]
    )
    assert error.mean() < 10.5
