"""The faces that the peers see are those that mien sees; what they choose on training images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.peers.choice import Trial, choose, class_trial, rendered_trials, trial_score
from benchmarks.peers.crops import SIZE, CropStore
from benchmarks.peers.describe import describe_peer
from benchmarks.peers.hog import Hog
from benchmarks.peers.lbp import Lbp
from benchmarks.peers.training import open_training_cache

from mien.errors import MienError
from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.protocol import Images
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model


def noise(count, side=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def write_images(folder, images):
    from PIL import Image

    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")


def seen_by_a_model(images, detector):
    """Return the crops that `factors_by_weights` shows to a model of 64 pixels."""
    network = LatentFace(ModelConfig(width=8, feature_dim=8, texture_dim=2, shape_dim=2))
    shown = []
    network.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    described = factors_by_weights(Model(network), detector=detector)(images, ("identity",))
    images = torch.cat(shown) if shown else torch.empty(0, 3, SIZE, SIZE)
    return described, (images * 255).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("kind", ["face", "box", "nothing", "fallback"])
def test_crops_are_those_that_a_model_is_shown(kind, tmp_path):
    pixels = noise(5, 90)
    given = {
        "face": {"crop": "face"},
        "box": {"crop": "box", "boxes": np.tile([10.0, -5.0, 80.0, 65.0], (5, 1))},
        "nothing": {},
        "fallback": {"fallback": (0.2, 0.2, 0.8, 0.8)},
    }[kind]
    images = Images(tuple("abcde"), lambda row: pixels[row], **given)
    cut = CropStore(tmp_path, detector="haar")(images)
    described, shown = seen_by_a_model(images, "haar")
    assert np.array_equal(cut.crops, shown)
    assert np.array_equal(cut.found, described.found)
    assert np.array_equal(cut.detected, described.detected)
    assert cut.found.any() == (kind != "nothing")


def test_images_are_cut_once_and_mirror_images_are_others(tmp_path):
    images, asked = noise(40, 70), []

    def read(row):
        asked.append(row)
        return images[row]

    store = CropStore(tmp_path, detector="none")
    names = tuple(map(str, range(40)))
    first = store(Images(names, read))
    before = len(asked)
    again = store(Images(names, read))
    assert again is first
    assert len(asked) - before <= 4, "only to see that they are the same"
    mirrored = store(Images(names, lambda row: np.ascontiguousarray(images[row][:, ::-1])))
    assert np.abs(mirrored.crops.astype(int) - first.crops[:, :, ::-1]).max() <= 1
    store.clear()
    assert not list(tmp_path.iterdir())


def test_a_peer_says_one_thing_under_all_names(tmp_path):
    pixels = noise(5, 70)
    store = CropStore(tmp_path, detector="none")
    images = Images(tuple("abcde"), lambda row: pixels[row])
    describe = describe_peer("hog", Hog(), store, batch_size=2)
    found = describe(images, ("identity", "shape_code", "yaw_rad", "eyes_found"))
    assert np.array_equal(found["identity"], Hog()(store(images).crops))
    assert found["shape_code"] is found["identity"]
    assert np.isnan(found["yaw_rad"]).all()
    assert (found["eyes_found"] == 1).all()
    joined = found.joined("identity", "shape_code", "yaw_rad")
    assert np.array_equal(joined, found["identity"])
    assert found.joined("yaw_rad").shape == (5, 1)
    with pytest.raises(MienError, match="hog gives no column gaze_x"):
        describe(images, ("gaze_x",))
    with pytest.raises(MienError, match="eye-region crops"):
        describe(replace(images, crop="eyes"), ("gaze_code",))


def test_images_without_a_face_have_no_features(tmp_path):
    pixels = noise(3, 70)
    images = Images(tuple("abc"), lambda row: pixels[row])
    found = describe_peer("lbp", Lbp(), CropStore(tmp_path, detector="haar"))(images, ("identity",))
    assert not found.found.any()
    assert np.isnan(found["identity"]).all()
    assert found["identity"].shape[0] == 3


# ---- what is chosen on training images


class Shown:
    """Features that hold the brightness of a crop, or nothing but noise."""

    parameters = 0

    def __init__(self, sees):
        self.sees = sees

    def __call__(self, crops):
        values = np.random.default_rng(5).normal(size=(len(crops), 3)).astype(np.float32)
        if self.sees:
            values[:, 0] = crops.mean(axis=(1, 2, 3))
        return values


def bright_trial(kind):
    level = np.arange(200) % 2
    crops = np.broadcast_to(
        (level * 100 + 20).astype(np.uint8)[:, None, None, None], (200, 8, 8, 3)
    )
    crops = np.ascontiguousarray(crops) + noise(200, 8) // 16
    trials = {
        "people": Trial(crops, level),
        "classes": Trial(crops, np.arange(200), classes=level),
        "numbers": Trial(crops, np.arange(200), numbers=crops.mean(axis=(1, 2, 3))[:, None]),
    }
    return trials[kind]


@pytest.mark.parametrize(("kind", "chance"), [("people", 0.5), ("classes", 0.5), ("numbers", 0.0)])
def test_the_setting_that_shows_it_is_chosen(kind, chance):
    trial = bright_trial(kind)
    best, choice = choose([False, True], Shown, trial, seed=0)
    assert best is True
    assert choice.best == "True"
    assert choice.scores["True"] > 0.97
    assert abs(choice.scores["False"] - chance) < 0.25
    assert trial_score(Shown(True)(trial.crops), trial, seed=0) == choice.scores["True"]


def test_what_was_tried_once_is_not_tried_again(tmp_path):
    trial, tried = bright_trial("classes"), []

    def make(context):
        tried.append(context)
        return Shown(context)

    first = choose([False, True], make, trial, seed=0, cache=tmp_path)
    again = choose([False, True], make, trial, seed=0, cache=tmp_path)
    assert again == first
    assert tried == [False, True]
    choose([False, True], make, trial, seed=1, cache=tmp_path)
    choose([False, True], make, bright_trial("numbers"), seed=0, cache=tmp_path)
    assert len(tried) == 6


def test_trials_are_read_from_rendered_clips_and_from_classes(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_images(tmp_path / "clips" / "p", noise(4, SIZE))
    rows = {
        "path": [f"p/{n}.png" for n in range(4)],
        "person": [7, 7, 8, 8],
        "expression": ["sad", "happy", "sad", "sad"],
        "light_x": [0.1, 0.2, 0.3, 0.4],
        "light_y": [0.0, 0.0, 0.0, 1.0],
    }
    pq.write_table(pa.table(rows), tmp_path / "clips" / "labels.parquet")
    trials = rendered_trials(tmp_path / "clips", seed=0)
    assert set(trials) == {"identity", "expression", "light"}
    assert trials["identity"].group.tolist() == [7, 7, 8, 8]
    classes, numbers = trials["expression"].classes, trials["light"].numbers
    assert classes is not None
    assert classes.tolist() == [1, 0, 1, 1]
    assert numbers is not None
    assert numbers[3].tolist() == [0.4, 1.0]
    assert np.array_equal(trials["light"].crops, noise(4, SIZE)), "of the same size: as they are"
    for name in ("angry", "sad"):
        write_images(tmp_path / "fer" / name, noise(3, 48))
    trial = class_trial(tmp_path / "fer", seed=0)
    assert trial.crops.shape == (6, SIZE, SIZE, 3)
    assert trial.classes is not None
    assert trial.classes.tolist() == [0, 0, 0, 1, 1, 1]


def test_endless_and_foreign_caches_are_refused(tmp_path):
    with pytest.raises(MienError, match="no end"):
        open_training_cache(["synth:head.npz"], tmp_path)
    write_images(tmp_path / "faces", noise(3, 20))
    found = open_training_cache([str(tmp_path / "faces")], tmp_path / "cache")
    assert found.crops.shape == (3, 80, 80, 3)
    again = open_training_cache([str(tmp_path / "cache" / "crops" / found.key)], tmp_path)
    assert np.array_equal(found.crops, again.crops)
