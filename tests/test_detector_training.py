"""Training of the face detector: caches, batches, a whole run and a resumed one."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from mien.cli.main import run
from mien.data import scene_cache
from mien.data.loader import Shard
from mien.data.options import SceneDataOptions
from mien.data.scene_cache import build_background_cache, build_face_cache, open_scenes
from mien.data.scene_loader import SceneLoader, SceneMixture
from mien.data.scenes import CANVAS
from mien.data.sources import find_sources
from mien.detection.network import DetectorNetwork
from mien.errors import MienError
from mien.faces import own
from mien.faces.grid_detector import STRIDES
from mien.media.image import write_png
from mien.train.recipes import detector as recipe
from mien.train.recipes.detector_export import load_network
from mien.train.recipes.detector_options import DetectorOptions, DetectorTrainConfig
from toy_detector import blue_image, face_image, toy_teacher, write_images

SHIPPED = resources.files("mien.shipped").joinpath("detector.safetensors")


@pytest.fixture
def images(tmp_path):
    """Folders of photographs with one face each and of images without faces."""
    write_images(tmp_path / "photographs", face_image, 4)
    write_images(tmp_path / "backgrounds", blue_image, 3)
    return tmp_path


def built(place, say=lambda _: None, seed=0, **options):
    made = SceneDataOptions(**options)
    shared = {"teacher": toy_teacher(), "options": made, "report": say}
    faces = find_sources([place / "photographs"]).pieces
    others = find_sources([place / "backgrounds"]).pieces
    return (
        build_face_cache(faces, place / "cache", **shared),
        build_background_cache(others, place / "cache", seed=seed, **shared),
    )


def test_faces_have_room_around_them_and_say_what_of_it_is_real(images):
    for number in range(4):
        write_png(
            images / "photographs" / f"{number}.png", face_image(number, part=0.8), overwrite=True
        )
    cache = open_scenes(*built(images))
    faces, real = cache.source.faces, cache.source.real
    assert faces.shape == (4, 144, 144, 3)
    assert faces.dtype == np.uint8
    red = faces[..., 0].astype(int) - faces[..., 1] > 60
    place = np.argwhere(red[0])
    assert place.mean(axis=0) == pytest.approx([72, 72], abs=6)
    # The crop of 144 px reaches beyond the photograph of 96: outside, nothing changes any more.
    for image, (x1, y1, x2, y2) in zip(faces, real, strict=True):
        assert 0 < x1 < 0.3
        assert 0.7 < x2 < 1
        left, top = int(x1 * 144), int(y1 * 144)
        assert np.array_equal(image[:, 0], image[:, left - 1])
        assert np.array_equal(image[0], image[top - 1])
        assert y2 > 0.7


def test_face_crops_are_taken_whole(images):
    said = []
    cache = open_scenes(*built(images, said.append, detector="none"))
    assert (cache.source.real == [0, 0, 1, 1]).all()
    assert cache.source.faces.shape == (4, 144, 144, 3)
    assert any("taken for a face crop" in line for line in said)


def test_photographs_without_face_are_counted(images):
    write_png(images / "photographs" / "sea.png", blue_image(7))
    said = []
    cache = open_scenes(*built(images, said.append))
    assert len(cache.source.faces) == 4
    assert any("no face is found" in line and "sea.png" in line for line in said)


def test_backgrounds_with_a_face_are_left_out_and_counted(images):
    write_png(images / "backgrounds" / "portrait.png", face_image(0, 200))
    write_png(images / "backgrounds" / "icon.png", blue_image(0, 30, 30))
    (images / "backgrounds" / "broken.png").write_bytes(b"no image")
    said = []
    cache = open_scenes(*built(images, said.append))
    assert cache.source.backgrounds.shape[1:] == (400, 400, 3)
    assert len(cache.source.backgrounds) >= 12
    assert cache.with_face > 0
    assert any("a face is found" in line and "portrait.png" in line for line in said)
    assert any("is smaller than 60 pixels" in line for line in said)
    red = cache.source.backgrounds[..., 0].astype(int) - cache.source.backgrounds[..., 1:].max(-1)
    assert (red > 150).mean() < 0.05


def test_caches_are_found_again_by_content(images, tmp_path, monkeypatch):
    first = built(images)
    with monkeypatch.context() as patched:
        patched.setattr(scene_cache, "write_rows", None)  # must not be needed again
        (images / "photographs").rename(tmp_path / "moved")
        (tmp_path / "moved").rename(images / "photographs")
        assert built(images) == first
    assert built(images, seed=1)[1] != first[1]
    assert built(images, detector="none")[0] != first[0]
    write_png(images / "backgrounds" / "0.png", blue_image(9), overwrite=True)
    assert built(images)[0] == first[0]
    assert built(images)[1] != first[1]


def test_backgrounds_that_all_show_faces_are_refused(images):
    for file in (images / "backgrounds").iterdir():
        write_png(file, face_image(0, 64), overwrite=True)
    with pytest.raises(MienError, match="no usable image in the backgrounds"):
        built(images)


def loader(place, shard=None, workers=1, batch_size=4, seed=3):
    return SceneLoader(
        open_scenes(*built(place)),
        toy_teacher(),
        SceneMixture(side=64, batch_size=batch_size, views=2, seed=seed),
        device=torch.device("cpu"),
        workers=workers,
        shard=shard,
    )


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_batches_are_a_function_of_step_and_seed(images):
    (batch,) = loader(images).iterate(2, 3)
    assert batch["image"].shape == (4, 3, 64, 64)
    assert batch["image"].dtype == torch.uint8
    for stride in STRIDES:
        target = batch[f"target_{stride}"]
        assert target.shape == (4, 16, 64 // stride, 64 // stride)
        assert target.dtype == torch.float32
        assert bool(((target[:, 0] >= 0) & (target[:, 0] <= 1)).all())
    *_, later = loader(images, workers=3).iterate(0, 3)
    assert same(batch, later)
    (other,) = loader(images, seed=4).iterate(2, 3)
    assert not same(batch, other)
    assert loader(images).fingerprint != loader(images, seed=4).fingerprint


def test_processes_share_the_scenes_of_a_batch(images):
    (whole,) = loader(images).iterate(0, 1)
    parts = [next(loader(images, Shard(rank, 2)).iterate(0, 1)) for rank in range(2)]
    for name, value in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), value)
    with pytest.raises(MienError, match="another batch_size"):
        loader(images, Shard(0, 3))


def test_statistics_are_those_of_the_weights(images, monkeypatch):
    monkeypatch.setattr(recipe, "_STATISTICS_BATCHES", 3)
    network = DetectorNetwork()
    stage = DetectorOptions(steps=5, batch_size=4, side=64)
    seen = [batch["image"] for batch in loader(images).iterate(5, 8)]
    recipe.mend_statistics(network, loader(images), stage)
    assert not network.training
    with torch.no_grad():
        first = [network.stem[0](image / 127.5 - 1) for image in seen]
    means = torch.stack([maps.mean(dim=(0, 2, 3)) for maps in first]).mean(dim=0)
    assert torch.allclose(network.get_buffer("stem.1.running_mean"), means, atol=1e-5)
    variances = torch.stack([maps.var(dim=(0, 2, 3)) for maps in first]).mean(dim=0)
    assert torch.allclose(network.get_buffer("stem.1.running_var"), variances, rtol=1e-4)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(recipe, "_STATISTICS_BATCHES", 2)
    teacher = recipe.Teacher(toy_teacher(), "0" * 64, "MIT")
    monkeypatch.setattr(recipe, "open_teacher", lambda: teacher)


def words(place, out, *more):
    command = ["pretrain", "detector", "--device", "cpu", "--out", str(out)]
    command += ["--data", str(place / "photographs"), "--backgrounds", str(place / "backgrounds")]
    command += ["detector.steps=6", "detector.batch_size=4", "detector.side=64"]
    command += ["loop.log_every=1", "loop.checkpoint_every=2", "loop.tensorboard=false"]
    return [*command, "loop.log_images_every=3", "data.licences=CC0", *more]


def test_a_run_from_images_to_a_detector(images, toy, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    write_images(tmp_path / "more", blue_image, 1)
    write_images(tmp_path / "validation" / "faces", face_image, 2)
    write_images(tmp_path / "validation" / "no_faces", blue_image, 2)
    out = tmp_path / "run"
    # Several folders may follow one option.
    given = words(images, out, f"data.validation={tmp_path / 'validation'}")
    place = given.index(str(images / "backgrounds"))
    given.insert(place + 1, str(tmp_path / "more"))
    assert run(given) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "cached 4 faces" in said
    assert "of 4 backgrounds" in said
    assert "validation faces" in said
    assert len(list((out / "sheets").glob("detector_step_*.png"))) == 2

    exported = out / "exported"
    assert sorted(path.name for path in exported.iterdir()) == [
        "detector.json",
        "detector.onnx",
        "detector.safetensors",
    ]
    stated = json.loads((exported / "detector.json").read_text())
    assert 0.1 <= stated["least_score"] <= 1.001
    assert stated["chosen"]["faces"] == 2
    origin = stated["learned_from"]
    assert origin["data"] == ["photographs"]
    assert origin["backgrounds"] == ["backgrounds", "more"]
    assert (origin["teacher"], origin["licences"], origin["faces"]) == ("toy", ["CC0"], 4)
    network = DetectorNetwork()
    network.load_state_dict(load_file(exported / "detector.safetensors"))

    # What comes with the package is read like this.
    own._shipped.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(own, "resources", SimpleNamespace(files=lambda _: exported))
    detector = own.OwnDetector()
    own._shipped.cache_clear()  # pyright: ignore[reportPrivateUsage]
    image = face_image(0, 64)
    cells = detector.answer(image)
    with torch.no_grad():
        maps = network.eval()(torch.from_numpy(image).permute(2, 0, 1)[None])
    for (scores, boxes, marks), found in zip(cells, maps, strict=True):
        rows = found[0].flatten(1).T.numpy()
        assert np.allclose(scores, 1 / (1 + np.exp(-rows[:, 0])), atol=1e-4)
        moved = own._as_yunet(rows[:, 1:5])  # pyright: ignore[reportPrivateUsage]
        assert np.allclose(np.concatenate([boxes, marks], 1), np.c_[moved, rows[:, 5:]], atol=1e-4)


def test_a_run_goes_on_from_a_detector(images, toy, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(words(images, first)) == 0, capsys.readouterr().err
    start = first / "exported"
    still = [f"detector.init_from={start}", "detector.steps=1", "detector.learning_rate=0"]
    assert run(words(images, second, *still)) == 0, capsys.readouterr().err
    before, after = (load_file(x / "exported" / "detector.safetensors") for x in (first, second))
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(after[name], value), name
    origin = json.loads((second / "exported" / "detector.json").read_text())["learned_from"]
    content = (start / "detector.safetensors").read_bytes()
    assert origin["init_from"] == hashlib.sha256(content).hexdigest()
    assert load_network("mien")[1] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


@pytest.mark.parametrize("fault", ["missing", "damaged", "other", "infinite"])
def test_a_start_that_is_no_detector_is_refused(images, toy, tmp_path, capsys, fault):
    tensors = DetectorNetwork().state_dict()
    name = next(iter(tensors))
    if fault == "infinite":
        tensors[name] = torch.full_like(tensors[name], torch.inf)
    elif fault == "other":
        del tensors[name]
    if fault != "missing":
        content = b"no" if fault == "damaged" else save(tensors)
        (tmp_path / "detector.safetensors").write_bytes(content)
    out = tmp_path / "run"
    assert run(words(images, out, f"detector.init_from={tmp_path}")) == 2
    said = capsys.readouterr().err
    assert "detector.safetensors" in said or "tensor" in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_without_onnx_no_run_begins(images, toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(words(images, tmp_path / "run")) == 2
    assert "pip install 'mien[export]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_validation_images_without_a_face_are_refused_before_training(
    images, toy, tmp_path, capsys
):
    pytest.importorskip("onnx")
    for name in ("faces", "no_faces"):
        write_images(tmp_path / "validation" / name, blue_image, 1)
    given = words(images, tmp_path / "run", f"data.validation={tmp_path / 'validation'}")
    assert run(given) == 2
    assert "finds no face in the validation photographs" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_resumed_run_equals_an_uninterrupted_one(images, toy, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert run(words(images, whole)) == 0, capsys.readouterr().err
    assert "least score 0.6 (detector.least_score)" in capsys.readouterr().out
    compute = recipe.DetectorObjective.compute

    def stopped(self, batch, step, generator):
        if step == 3:
            raise KeyboardInterrupt
        return compute(self, batch, step, generator)

    with monkeypatch.context() as patched:
        patched.setattr(recipe.DetectorObjective, "compute", stopped)
        assert run(words(images, parted)) == 130
    assert not (parted / "exported").exists()
    assert run(["pretrain", "detector", "--device", "cpu", "--out", str(parted), "--resume"]) == 0
    assert "resumed from step 2 of 6" in capsys.readouterr().out
    for name in ("detector.safetensors", "detector.onnx", "detector.json"):
        made = [(place / "exported" / name).read_bytes() for place in (whole, parted)]
        assert made[0] == made[1], name


def test_training_teaches(images, toy, tmp_path, capsys):
    pytest.importorskip("onnx")
    out = tmp_path / "run"
    more = ["detector.steps=40", "detector.warmup_steps=5", "loop.log_images_every=0"]
    assert run(words(images, out, *more, "detector.side=96")) == 0, capsys.readouterr().err
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    # Batches without a face have a loss of their own size.
    early, late = (np.median([row["total"] for row in part]) for part in (rows[:10], rows[-10:]))
    assert late < 0.7 * early


def test_the_sheet_leaves_the_network_as_it_is(images):
    network = DetectorNetwork()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    (batch,) = loader(images).iterate(0, 1)
    with torch.no_grad():
        image = recipe.DetectorObjective(network).contact_sheet(batch, 0)
    assert image.shape == (64, 4 * 64, 3)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    # Where something is taught, green is drawn.
    taught = any(float(batch[f"target_{t}"][:, 0].max()) > 0.3 for t in STRIDES)
    assert bool((image == (0, 220, 0)).all(axis=-1).any()) == taught


def test_signs_of_a_collapse_are_said():
    objective = recipe.DetectorObjective(DetectorNetwork())
    assert objective.warnings({"score_on_faces": 0.4, "score_off_faces": 0.02}) == []
    assert "no cell" in objective.warnings({"score_on_faces": 0.01, "score_off_faces": 0.0})[0]
    assert "every cell" in objective.warnings({"score_on_faces": 0.9, "score_off_faces": 0.9})[0]


def test_options_have_the_defaults_of_the_package():
    config = DetectorTrainConfig()
    stage = config.detector
    assert (stage.steps, stage.batch_size, stage.learning_rate) == (5000, 32, 2e-3)
    assert (stage.weight_decay, stage.side, stage.views) == (0.01, 256, 2)
    assert stage.side < CANVAS
