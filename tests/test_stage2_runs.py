"""Whole runs of `mien pretrain latentface` on photographs, their views and rendered people."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from made_clips import write_clips
from mien import weights
from mien.cli.main import run
from mien.data import cache as caching
from mien.faces.face import Face
from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.media.image import write_png
from mien.model import Model, load
from mien.synth import head_model
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig


class Finder:
    """Stands for a detector with landmarks."""

    name = "yunet"

    def __call__(self, image):
        size = float(len(image))
        marks = np.array([[36, 40], [60, 40], [48, 54], [40, 66], [56, 66]], np.float32)
        box = (0.2 * size, 0.2 * size, 0.8 * size, 0.8 * size)
        return [Face(box, 0.9, marks * np.float32(size / 96), "yunet")]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "people"
    write_clips(toy_head(), SynthConfig(identities=5, frames=4, size=48), folder)
    return folder


@pytest.fixture
def given(people, tmp_path, monkeypatch):
    """Photographs, rendered people, a head model, and words that name them."""
    monkeypatch.setattr(head_model, "load_head_model", lambda _: toy_head())
    monkeypatch.setattr(caching, "open_detector", lambda _: Finder())
    (tmp_path / "head.npz").write_bytes(b"")
    rng = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    for number in range(3):
        path = tmp_path / "photographs" / f"{number}.png"
        write_png(path, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "people").symlink_to(people)
    return tmp_path


@pytest.fixture(params=[0])
def start(tiny_folder, tmp_path, request):
    """Weights with a gaze branch and a network of the face embedding, which may share levels."""
    own = {"face_embedding_from": "image", "face_embedding_shares": request.param}
    own["neutral"] = "regression"
    config = replace(load(tiny_folder).network.config, face_embedding_dim=6, **own)
    sizes = GazeConfig(code_dim=4, dim=16, heads=2, stem_width=4, bottleneck_depth=1)
    Model(LatentFace(config), gaze=EMIB(sizes)).save(tmp_path / "start")
    return tmp_path / "start"


def words(where, *more, of=("photographs", "people", "head")):
    data = {name: str(where / name) for name in ("photographs", "people")}
    data["head"] = f"synth:{where / 'head.npz'}"
    sizes = ("texture_dim=16", "shape_dim=16", "feature_dim=32", "neutral_width=16")
    model = [f"model.{size}" for size in ("image_size=32", *sizes, "neutral_blocks=1")]
    loop = ["loop.tensorboard=false", "loop.log_every=1", "loop.checkpoint_every=2"]
    stage = ["stage1.steps=0", "stage2.steps=4", "stage2.batch_size=8", "stage2.stream_clips=0"]
    views = ["data.turned=2", "data.detector=yunet", "stage2.turned_clips=true"]
    start = ["pretrain", "latentface", "--device", "cpu", "--data", *(data[n] for n in of)]
    return [*start, *model, *loop, *stage, *views, *more]


RECIPE = (
    *("stage2.turned_fraction=0.5", "stage2.added_expression=0.75"),
    *("stage2.removed_directions=3", "stage2.erased_expressions=2", "model.identity_directions=8"),
    *("stage2.erased_view=3", "stage2.unbiased=true", "model.neutral=regression"),
)
EMBEDDING = ("model.face_embedding_from=image", "model.face_embedding_dim=6")


def test_stage_2_alone_keeps_the_other_parts(given, start, capsys):
    out = given / "run"
    keep = [f"stage1.init_from={start}", "stage1.keep_parts=true", *EMBEDDING]
    assert run([*words(given, *RECIPE, *keep), "--out", str(out)]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert "cached 29 crops: 9 stills, 5 clips" in said.out
    assert "canonical eyes fitted anew" in said.out
    before, (options, after) = weights.read(start)[1], weights.read(out / "exported")
    assert set(after) - set(before) == {"texture_basis.basis", "shape_basis.basis"}
    assert options["gaze"]["code_dim"] == 4
    changed = {name for name in before if not before[name].half().equal(after[name].half())}
    assert "gaze.canonical_eyes" in changed
    assert {n.split(".")[0] for n in changed - {"gaze.canonical_eyes"}} == {
        *("texture_scale", "shape_scale", "neutral_texture", "neutral_shape")
    }
    card = weights.read_card(out / "exported")
    for part in ("autoencoder", "gaze branch, but for its canonical eyes", "face embedding"):
        assert f"- {part}: that of {start}" in card
    assert load(out / "exported").gaze is not None

    # From its third step on it gives the same again.
    (out / "checkpoints" / "stage2" / "last").write_text("step_000002")
    resume = ["pretrain", "latentface", "--device", "cpu", "--out", str(out), "--resume"]
    assert run(resume) == 0
    assert "resumed from step 2 of 4" in capsys.readouterr().out
    again = weights.read(out / "exported")[1]
    assert all(again[name].equal(value) for name, value in after.items())


@pytest.mark.parametrize(
    ("change", "of", "message"),
    [
        (["data.turned=0"], None, "add data.turned=2"),
        (["stage2.added_expression=1"], ("photographs", "head"), "needs rendered people"),
        (["stage2.removed_directions=3"], ("photographs", "head"), "needs rendered people"),
        (["stage2.removed_directions=17"], None, "no so many numbers"),
        (
            ["stage2.erased_expressions=3", "model.identity_directions=0"],
            None,
            "add model.identity_d",
        ),
        (
            ["stage2.erased_expressions=3", "model.identity_directions=8"],
            ("photographs", "head"),
            "needs rendered people",
        ),
        (["stage2.erased_expressions=9", "model.identity_directions=8"], None, "leave 8"),
        (["stage2.erased_view=3", "model.identity_directions=0"], None, "add model.identity_d"),
        ([*RECIPE, "stage2.erased_view=4"], None, "are 10: model.identity_directions=8 leave 8"),
        ([*RECIPE, "model.neutral=diffusion"], None, "add model.neutral=regression"),
        (["pose.steps=2"], ("photographs", "head"), "needs rendered people"),
        (["stage1.keep_parts=true"], None, "add stage1.init_from=FOLDER"),
        (["stage1.keep_parts=true", "stage1.init_from={tiny}"], None, "neither a gaze branch"),
        (
            ["stage1.keep_parts=true", "stage1.init_from={start}"],
            None,
            "add model.face_embedding_from=image model.face_embedding_dim=6",
        ),
        ([*EMBEDDING], None, "keep one by stage1.keep_parts=true"),
    ],
)
def test_senseless_options_are_one_line_and_touch_nothing(
    given, start, tiny_folder, capsys, change, of, message
):
    places = {"tiny": tiny_folder, "start": start}
    change = [word.format(**places) for word in change]
    given_words = words(given, *change, **({"of": of} if of else {}))
    assert run([*given_words, "--out", str(given / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (given / "run").exists()


def test_the_pose_s_readout_alone_is_fitted_to_rendered_people(given, start, capsys):
    out = given / "run"
    keep = [f"stage1.init_from={start}", "stage1.keep_parts=true", *EMBEDDING]
    pose = ["pose.steps=30", "pose.batch_size=16", "pose.learning_rate=0.01", "loop.ema_decay=0.5"]
    assert run([*words(given, *RECIPE, *keep, *pose), "--out", str(out)]) == 0
    assert "pose step 30 of 30" in capsys.readouterr().out
    before, after = weights.read(start)[1], weights.read(out / "exported")[1]
    for name, rows in (("autoencoder.to_view.weight", 3), ("autoencoder.to_view.bias", 3)):
        old, new = before[name].half(), after[name].half()
        assert (old[:rows] != new[:rows]).any(dim=-1).all()
        assert old[rows:].equal(new[rows:])
    others = [n for n in before if n.startswith("autoencoder.") and "to_view" not in n]
    assert all(before[name].half().equal(after[name].half()) for name in others)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    errors = [line["pose_deg"] for line in lines if "pose_deg" in line]
    assert np.mean(errors[-5:]) < 0.9 * np.mean(errors[:3])
    # With all of it kept it is what it was.
    (out / "config.yaml").write_text(
        (out / "config.yaml").read_text().replace("kept: 0.5", "kept: 1.0")
    )
    assert run(["pretrain", "latentface", "--device", "cpu", "--out", str(out), "--resume"]) == 0
    kept = weights.read(out / "exported")[1]["autoencoder.to_view.weight"]
    assert kept.half().equal(before["autoencoder.to_view.weight"].half())
    half = (before["autoencoder.to_view.weight"] - after["autoencoder.to_view.weight"]).abs()
    assert half[:3].max() > 1e-3


@pytest.mark.parametrize("start", [1], indirect=True)
def test_levels_that_a_kept_face_embedding_shares_stay_while_stage_1_learns(given, start, capsys):
    out = given / "run"
    keep = [f"stage1.init_from={start}", "stage1.keep_parts=true", *EMBEDDING]
    pace = ["stage1.steps=2", "stage1.warmup_steps=0", "stage1.learning_rate=0.01"]
    keep += ["model.face_embedding_shares=1", *pace]
    assert run([*words(given, *RECIPE, *keep), "--out", str(out)]) == 0, capsys.readouterr().err
    assert "the encoder's 1 finest levels stay" in capsys.readouterr().out
    before, after = weights.read(start)[1], weights.read(out / "exported")[1]
    trunk = {name for name in before if name.startswith("autoencoder.trunk.convolutions")}
    same = {name for name in trunk if before[name].half().equal(after[name].half())}
    assert {name for name in trunk if name.split(".")[3] in "01"} <= same < trunk
    images = torch.rand(2, 3, 32, 32)
    models = [load(of, engine="torch") for of in (start, out / "exported")]
    embeddings = [model.encode(images).face_embedding for model in models]
    torch.testing.assert_close(*embeddings, rtol=0.01, atol=0.01)  # stored in half precision


@pytest.mark.parametrize(
    ("change", "of", "message"),
    [
        ([], ("people", "head"), "no photograph has further views"),
        (["stage2.turned_fraction=0.5"], ("photographs", "head"), "there are no other clips"),
    ],
)
def test_clips_that_are_not_there_stop_a_run_before_training(given, capsys, change, of, message):
    assert run([*words(given, *change, of=of), "--out", str(given / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (given / "run" / "checkpoints").exists()
