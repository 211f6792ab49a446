from __future__ import annotations

import hashlib
import json
import signal
import sys

import numpy as np
import pytest
import torch
import yaml

from mien import weights
from mien.cli.main import run
from mien.media.image import write_png
from mien.train.engine import choose_precision
from mien.train.process import Interrupted

TINY = [
    "data.detector=none",
    "model.image_size=32",
    "model.texture_dim=8",
    "model.shape_dim=8",
    "model.feature_dim=16",
    "model.neutral_width=16",
    "model.neutral_blocks=1",
    "model.face_embedding_dim=0",
    "loop.tensorboard=false",
    "loop.log_images_every=0",
    "loop.log_every=1",
    "stage1.steps=2",
    "stage1.batch_size=4",
    "stage2.steps=2",
    "stage2.batch_size=4",
    "stage2.frames=2",
]


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(0)
    for person in range(3):
        for frame in range(3):
            path = tmp_path / "clips" / f"person_{person}" / f"{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            write_png(path, coarse.repeat(8, axis=0).repeat(8, axis=1))
    return tmp_path / "clips"


def pretrain(*words):
    return run(["pretrain", "latentface", "--device", "cpu", *map(str, words)])


def test_a_run_from_images_to_weights(clips, tmp_path, capsys):
    out = tmp_path / "run"
    stills = clips / "person_0"
    assert pretrain("--data", f"clips:{clips}", stills, "--out", out, *TINY) == 0
    said = capsys.readouterr()
    assert "weights are in" in said.out
    assert said.err == ""
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["data"]["sources"] == [f"clips:{clips}", str(stills)]
    assert config["stage1"]["steps"] == 2
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [(row["stage"], row["step"]) for row in lines]
    assert steps == [("stage1", 1), ("stage1", 2), ("stage2", 1), ("stage2", 2)]
    assert list((out / "exported").glob("*.safetensors"))
    offered = [*clips.rglob("*.png")]
    assert weights.trained_on(out / "exported") == {
        hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in offered
    }

    assert pretrain("--data", clips, "--out", out) == 2
    assert "--resume" in capsys.readouterr().err
    assert pretrain("--out", out, "--resume", "stage1.steps=3") == 2
    assert "cannot change stage1.steps" in capsys.readouterr().err
    assert pretrain("--data", clips, "--out", out, "--resume") == 2
    assert "cannot change data.sources" in capsys.readouterr().err
    assert pretrain("--out", out, "--resume", "loop.keep_last=1") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{missing}"], "does not exist"),
        (["--data", "{empty}"], "no image or video"),
        ([], "--data"),
        (["--data", "{clips}", "stage1.stesp=1"], "did you mean stage1.steps"),
        (["--data", "{clips}", "--config", "huge"], "paper, small"),
        (["--data", "{clips}", "--device", "cuda"], "--device cuda"),
        (["--data", "{clips}", "--resume", "--overwrite"], "contradict"),
    ],
)
def test_what_is_wrong_is_one_line_and_touches_nothing(clips, tmp_path, capsys, words, message):
    import torch

    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    (tmp_path / "empty").mkdir()
    places = {name: str(tmp_path / name) for name in ("missing", "empty", "clips")}
    out = tmp_path / "run"
    assert pretrain("--out", out, *[word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


def test_without_a_run_folder_nothing_is_done(capsys):
    assert pretrain() == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_one_line(clips, tmp_path, capsys, monkeypatch, number, code):
    def stopped(*_, **__):
        raise Interrupted("stopped: continue with --resume", number)

    monkeypatch.setattr("mien.train.recipes.latentface.pretrain", stopped)
    assert pretrain("--data", clips, "--out", tmp_path / "run") == code
    assert capsys.readouterr().err == "stopped: continue with --resume\n"


def test_a_run_that_was_started_with_old_option_names_is_resumed(clips, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--data", clips / "person_0", *TINY, "stage1.steps=1"]
    assert pretrain(*words, "--out", out) == 0, capsys.readouterr().err
    before = weights.read(out / "exported")[1]
    text = (out / "config.yaml").read_text()
    for new, old in (("grad_clip", "clip"), ("keep_last", "keep"), ("loss_weights", "weights")):
        assert f"  {new}:" in text
        text = text.replace(f"  {new}:", f"  {old}:")
    (out / "config.yaml").write_text(text)
    with pytest.warns(DeprecationWarning, match="is now called") as warned:
        assert pretrain("--out", out, "--resume") == 0
    assert any("loop.clip is now called loop.grad_clip" in str(w.message) for w in warned)
    assert "resumed from step 1 of 1" in capsys.readouterr().out
    assert all(
        value.equal(before[name]) for name, value in weights.read(out / "exported")[1].items()
    )


def test_stills_alone_train_stage_1_and_export_it_with_a_note(clips, tmp_path, capsys):
    out = tmp_path / "run"
    assert pretrain("--data", clips / "person_0", "--out", out, *TINY) == 0
    lines = capsys.readouterr().out.splitlines()
    (warning,) = [n for n, line in enumerate(lines) if "stage 2 needs clips" in line]
    assert warning < next(n for n, line in enumerate(lines) if line.startswith("stage1 step"))
    assert not (out / "checkpoints" / "stage2").exists()
    assert "Stage 2 was not trained" in weights.read_card(out / "exported")
    assert pretrain("--out", out, "--resume") == 0
    assert "Stage 2 was not trained" in weights.read_card(out / "exported")
    capsys.readouterr()
    assert (
        pretrain("--data", clips / "person_0", "--out", tmp_path / "b", *TINY, "stage1.steps=0")
        == 2
    )
    assert "nothing to train" in capsys.readouterr().err


def test_without_the_training_extra_it_is_named_in_one_line(clips, tmp_path, capsys, monkeypatch):
    import mien.train

    monkeypatch.setattr(mien, "train", mien.train)  # what is imported below is forgotten again
    for name in [name for name in sys.modules if name.startswith("mien.train")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    words = ["--data", str(clips), "--out", str(tmp_path / "run")]
    for command in ("pretrain latentface", "pretrain gaze", "pretrain recognition", "distill gaze"):
        assert run([*command.split(), *words]) == 2, command
        error = capsys.readouterr().err
        assert error.count("\n") == 1, command
        assert "pip install 'mien[train]'" in error, command
    assert not (tmp_path / "run").exists()


def test_the_precision_is_chosen_once_and_kept(clips, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    for native, chosen in ((False, "32-true"), (True, "bf16-mixed")):
        monkeypatch.setattr("mien.train.engine._cpu_has_bfloat16", lambda native=native: native)
        assert choose_precision("auto", "cpu") == chosen
        assert choose_precision("16-mixed", "cpu") == "16-mixed"
    words = ["--data", clips / "person_0", "--out", out, *TINY, "stage1.steps=1"]
    monkeypatch.setattr("mien.train.engine._cpu_has_bfloat16", lambda: False)
    assert pretrain(*words) == 0
    assert "with precision 32-true" in capsys.readouterr().out
    assert "with precision 32-true" in (out / "train.log").read_text()
    assert yaml.safe_load((out / "config.yaml").read_text())["loop"]["precision"] == "32-true"
    monkeypatch.setattr("mien.train.engine._cpu_has_bfloat16", lambda: True)
    assert pretrain("--out", out, "--resume", "--config", "small", *TINY, "stage1.steps=1") == 0
    assert "with precision 32-true" in capsys.readouterr().out


def test_bfloat16_is_what_torch_says_of_the_processor(monkeypatch):
    for found, native in (({"avx512_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert (choose_precision("auto", "cpu") == "bf16-mixed") is native
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in older torch
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose_precision("auto", "cpu") == "bf16-mixed"


def test_training_goes_on_from_other_weights_of_the_same_scales(clips, tmp_path, capsys):
    first = tmp_path / "first"
    assert pretrain("--data", f"clips:{clips}", "--out", first, *TINY) == 0
    start = f"stage1.init_from={first / 'exported'}"
    still = [*TINY, start, "stage1.learning_rate=0"]
    assert pretrain("--data", f"clips:{clips}", "--out", tmp_path / "second", *still) == 0
    before, after = (weights.read(tmp_path / run / "exported")[1] for run in ("first", "second"))
    kept = [name for name in before if name.startswith("autoencoder.")]
    assert kept
    for name in kept:
        torch.testing.assert_close(after[name], before[name])

    capsys.readouterr()
    other = [*TINY, start, "model.rotation_range_deg=90"]
    assert pretrain("--data", clips, "--out", tmp_path / "third", *other) == 2
    assert "add model.rotation_range_deg=60" in capsys.readouterr().err
    own = [*TINY, "stage1.init_from=mien"]
    assert pretrain("--data", clips, "--out", tmp_path / "fourth", *own) == 2
    assert "add model.rotation_range_deg=90" in capsys.readouterr().err
    assert pretrain("--data", clips, "--out", tmp_path / "fifth", *own, other[-1]) == 2
    assert "add model.image_size=64" in capsys.readouterr().err
