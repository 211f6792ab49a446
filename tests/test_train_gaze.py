from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml

from made_clips import write_clips
from mien import weights
from mien.cli.main import run
from mien.errors import MienError
from mien.media.image import write_png
from mien.model import load
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig
from mien.train.config import PRESETS, read_config, to_yaml
from mien.train.recipes import gaze
from mien.train.recipes.gaze_options import GazeTrainConfig

TINY = [
    "model.code_dim=4",
    "model.dim=16",
    "model.heads=2",
    "model.stem_width=4",
    "model.bottleneck_depth=1",
    "model.encoder_depth=1",
    "model.decoder_depth=1",
    "loop.tensorboard=false",
    "loop.log_images_every=0",
    "loop.log_every=1",
    "localizer.steps=2",
    "localizer.batch_size=4",
    "localizer.frames=2",
    "emib.steps=4",
    "emib.batch_size=4",
    "emib.frames=2",
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "faces"
    write_clips(toy_head(), SynthConfig(identities=3, frames=2, size=96), folder)
    return folder


@pytest.fixture
def eye_crops(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "eye_crops" / f"{number % 2:04d}_{number}.png"
        path.parent.mkdir(exist_ok=True)
        write_png(path, rng.integers(0, 256, (96, 200, 3), dtype=np.uint8))
    return tmp_path / "eye_crops"


class Search:
    """Stands for a trained eye localizer: two steps train none."""

    name = "fake"

    def __init__(self, network, branch):
        assert all(not p.isnan().any() for p in branch.localizer.parameters())

    def __call__(self, images, *, eye_crops):
        eyes = np.tile(np.array([[0.3, 0.5], [0.7, 0.5]], np.float32), (len(images), 1, 1))
        return eyes, np.ones(len(images), bool)


def pretrain(*words):
    return run(["pretrain", "gaze", "--device", "cpu", *map(str, words)])


def rows(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in found:
        del row["images_per_s"]
    return found


def test_a_run_from_images_to_weights_of_both_methods(
    faces, eye_crops, tiny_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(gaze, "LocalizerSearch", Search)
    out = tmp_path / "run"
    words = ["--data", faces, f"eyes:{eye_crops}", "--weights", tiny_folder, *TINY]
    words += [r"data.clip_pattern=^(\d+)_", "loop.checkpoint_every=2"]
    assert pretrain("--out", out, *words) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert "cached 6 images (6 of them eye-region crops): 0 stills, 2 clips" in said.out
    assert "weights are in" in said.out
    assert said.err == ""
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["init_from"] == str(tiny_folder)
    assert config["data"]["sources"] == [str(faces), f"eyes:{eye_crops}"]
    steps = [(row["stage"], row["step"]) for row in rows(out)]
    assert steps == [("localizer", 1), ("localizer", 2), *[("emib", step) for step in (1, 2, 3, 4)]]

    options, tensors = weights.read(out / "exported")
    base_options, base = weights.read(tiny_folder)
    assert options["gaze"]["code_dim"] == 4
    assert {**options, "gaze": None} == {**base_options, "gaze": None}
    assert all(torch.equal(tensors[name], value) for name, value in base.items())
    model = load(out / "exported")
    assert model.encode_eyes(torch.zeros(2, 3, 96, 200)).code.shape == (2, 4)

    # From its third step on it gives the same again.
    whole = rows(out)
    (out / "checkpoints" / "emib" / "last").write_text("step_000002")
    assert pretrain("--out", out, "--resume", "loop.keep_last=1") == 0
    assert "emib: resumed from step 2 of 4" in capsys.readouterr().out
    assert rows(out) == whole
    _, again = weights.read(out / "exported")
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    assert pretrain("--out", out, "--resume", "emib.steps=5") == 2
    assert "cannot change emib.steps" in capsys.readouterr().err
    assert pretrain("--out", out, "--resume", "--crop", "eyes") == 2
    assert "cannot change data.crop" in capsys.readouterr().err

    # Eye-region crops alone: the eye localizer is the one that was learned above.
    later, short = tmp_path / "later", [w for w in TINY if not w.startswith("emib.steps")]
    words = ["--crop", "eyes", "--weights", out / "exported", *short, "emib.steps=1"]
    assert pretrain("--data", f"clips:{eye_crops}", "--out", later, *words) == 0
    assert "eye localizer: that of" in capsys.readouterr().out
    _, taken = weights.read(later / "exported")
    kept = [name for name in tensors if name.startswith(("gaze.localizer", "gaze.canonical"))]
    assert len(kept) > 5
    assert all(torch.equal(taken[name], tensors[name]) for name in kept)
    assert not torch.equal(taken["gaze.bottleneck.query"], tensors["gaze.bottleneck.query"])


def test_emib_init_from_takes_the_branch_over(faces, tiny_folder, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--data", faces, "--weights", tiny_folder, *TINY, "localizer.steps=1", "emib.steps=0"]
    assert pretrain("--out", first, *words) == 0
    words = ["--data", faces, "--weights", first / "exported", *TINY, "localizer.steps=0"]
    words += [f"emib.init_from={first / 'exported'}", "emib.steps=0"]
    assert pretrain("--out", second, *words) == 0
    one, other = (weights.read(folder / "exported")[1] for folder in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert pretrain("--out", tmp_path / "third", *words, "model.dim=32") == 2
    assert "do not fit the model" in capsys.readouterr().err


def test_the_canonical_eyes_come_from_labelled_faces(faces, tiny_folder, tmp_path):
    before = torch.tensor([[-0.03, -0.02, 0.98], [0.03, -0.02, 0.98]])
    words = ["--data", faces, "--weights", tiny_folder, *TINY, "localizer.steps=1", "emib.steps=0"]
    assert pretrain("--out", tmp_path / "run", *words) == 0
    found = load(tmp_path / "run" / "exported").gaze
    assert found is not None
    assert not torch.allclose(found.canonical_eyes, before)
    # The eye left of the image is left of the other.
    assert float(found.canonical_eyes[0, 0]) < float(found.canonical_eyes[1, 0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{eye_crops}", "--weights", "{base}"], "have no eye localizer"),
        (
            ["--data", "{faces}", "--weights", "{base}", "localizer.steps=0"],
            "have no eye localizer",
        ),
        (["--data", "{faces}", "--weights", "{eye_crops}"], "not a model folder"),
        (
            ["--data", "{faces}", "--weights", "{base}", "emib.init_from={base}"],
            "has no gaze branch",
        ),
        (["--data", "{faces}", "--crop", "nose"], "face, eyes"),
        (["--data", "{faces}", "emib.stesp=1"], "did you mean emib.steps"),
        (["--data", "{faces}", "model.dim=130"], "multiple of heads"),
        (["--data", "{faces}", "--config", "huge"], "paper, small"),
        ([], "--data"),
    ],
)
def test_what_is_wrong_is_one_line_and_touches_nothing(
    faces, eye_crops, tiny_folder, tmp_path, capsys, words, message
):
    out = tmp_path / "run"
    places = {"faces": faces, "eye_crops": eye_crops, "base": tiny_folder}
    assert pretrain("--out", out, *[word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


def test_presets_are_read_and_differ_in_size(tmp_path):
    assert sorted(path.stem for path in (PRESETS / "gaze").glob("*.yaml")) == ["paper", "small"]
    small, paper = read_config(GazeTrainConfig, "small"), read_config(GazeTrainConfig, "paper")
    assert (small.model.code_dim, small.emib.batch_size, small.emib.frames) == (16, 64, 4)
    assert (paper.model.dim, paper.model.bottleneck_depth) == (384, 12)
    changed = read_config(
        GazeTrainConfig,
        "small",
        ["emib.eye_crop_fraction=0.5", "emib.loss_weights.contrastive_weight=0"],
    )
    (tmp_path / "mine.yaml").write_text(to_yaml(changed))
    assert read_config(GazeTrainConfig, str(tmp_path / "mine.yaml")) == changed
    assert changed.emib.eye_crop_fraction == 0.5
    assert (
        read_config(
            GazeTrainConfig, "small", ["emib.eye_crop_fraction=none"]
        ).emib.eye_crop_fraction
        is None
    )


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("emib.eye_crop_fraction=2", "from 0 to 1"),
        ("localizer.steps=-1", "from 0 to"),
        ("data.margin=0.1", "unknown option 'data.margin'"),
        ("data.clip_pattern=(", "no regular expression"),
        ("emib.loss_weights.unattended_every=1", "every must be from 2 to"),
    ],
)
def test_a_wrong_override_is_refused_and_explained(assignment, message):
    with pytest.raises(MienError, match=message):
        read_config(GazeTrainConfig, "small", [assignment])
