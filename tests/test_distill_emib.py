from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from made_gaze import branch_of, write_eye_crops
from mien.cli.main import run
from mien.engines.sizes import read_sizes
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_MIDDLE, CANVAS_WIDTH, GazeConfig
from mien.gaze.cut import EyeImage
from mien.gaze.distillation import fit_scale, targets_of
from mien.gaze.emib import EMIB
from mien.gaze.emib_distillation import NarrowBranch, narrow_loss, off_middle
from mien.gaze.localizer_objective import moved
from mien.gaze.variation import image_of
from mien.model import Model, load
from mien.train.recipes.distill_emib import narrowed
from mien.train.recipes.distill_emib_options import DistillEmibConfig, NarrowOptions
from mien.train.recipes.distill_emib_report import branch_fidelity, branch_validation

WIDE = GazeConfig(code_dim=4, dim=32, heads=2, bottleneck_depth=1, stem_width=8)
LEAST = NarrowOptions(
    bottleneck_dim=16, bottleneck_depth=1, bottleneck_stem_width=4, localizer_width=4
)
CONFIG = DistillEmibConfig(student=LEAST)
TINY = [
    "data.detector=none",
    "student.bottleneck_dim=8",
    "student.bottleneck_depth=1",
    "student.bottleneck_stem_width=4",
    "student.localizer_width=4",
    "distill.steps=3",
    "distill.batch_size=8",
    "distill.frames=2",
    "distill.held_out_fraction=0.4",
    "distill.warmup_steps=1",
    "loop.tensorboard=false",
    "loop.log_every=1",
    "loop.precision=32-true",
]


def seeded(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def teacher_of(config=WIDE):
    """A gaze branch that sees eyes in the middle of anything."""
    branch = seeded(lambda: EMIB(config)).eval().requires_grad_(requires_grad=False)
    branch.localizer.get_parameter("score.2.bias").fill_(20.0)
    return branch


def batch_of(count=8):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 1, CANVAS_HEIGHT // 8, CANVAS_WIDTH // 8), np.uint8)
    canvas = coarse.repeat(8, axis=2).repeat(8, axis=3)
    middle = np.array(CANVAS_MIDDLE, np.float32)
    eyes = np.tile(middle + np.array([[-30, 0], [30, 0]], np.float32), (count, 1, 1))
    face_eyes = np.tile(np.array([[20, 28], [42, 28]], np.float32), (count, 1, 1))
    made = {
        "canvas": canvas,
        "eyes": eyes,
        "face": rng.integers(0, 256, (count, 1, 64, 64), np.uint8),
        "face_eyes": face_eyes,
        "has_face": np.ones(count, bool),
        "open": np.full(count, np.nan, np.float32),
        "clip": np.full(count, -1),
        "index": np.arange(count),
    }
    return {name: torch.from_numpy(value) for name, value in made.items()}


def test_sizes_of_old_weights_are_what_they_were():
    old = {"dim": 128, "heads": 4, "bottleneck_depth": 2, "stem_width": 32}
    config = read_sizes({"gaze": old}).gaze
    assert config is not None
    assert config == GazeConfig()
    assert config.code_sizes == (128, 4, 32)
    assert (config.bottleneck_dim, config.bottleneck_stem_width, config.localizer_width) == (
        *(0, 0),
        16,
    )


def test_a_narrower_bottleneck_leaves_the_auto_encoder_as_it_is():
    wide = EMIB(WIDE)
    narrow = EMIB(narrowed(CONFIG, wide))
    assert narrow.config.code_sizes == (16, 1, 4)
    shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in (wide, narrow)]
    own = ("localizer.", "bottleneck.")
    for name in shapes[0]:
        if not name.startswith(own):
            assert shapes[0][name] == shapes[1][name], name
    count = [sum(p.numel() for p in one.bottleneck.parameters()) for one in (wide, narrow)]
    assert count[1] < count[0] / 2
    views = torch.rand(2, 1, CANVAS_HEIGHT, CANVAS_WIDTH)
    assert narrow(views, is_face=False).code.shape == (2, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bottleneck_dim": 40}, "multiple of a head's width"),
        ({"bottleneck_dim": -32}, "bottleneck_dim must be from 0"),
        ({"bottleneck_stem_width": 1.5}, "whole number"),
        ({"localizer_width": 0}, "localizer_width must be from 1"),
    ],
)
def test_sizes_that_contradict_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        GazeConfig(**wrong)


def test_points_come_back_from_where_they_were_moved():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(5, 1, CANVAS_HEIGHT, CANVAS_WIDTH, generator=generator)
    points = torch.rand(5, 2, 2, generator=generator) * 100
    shift = torch.rand(5, 2, generator=generator) * 40 - 20
    taken = moved(pixels, shift, lambda *s: torch.rand(5, *s, generator=generator))
    there = taken.from_image(points)
    assert (there - points).abs().max() > 5
    assert torch.allclose(taken.to_image(there), points, atol=1e-3)


def test_a_moved_canvas_shows_what_stood_where_its_points_say():
    generator = torch.Generator().manual_seed(1)
    x = torch.linspace(0, 1, CANVAS_WIDTH).expand(1, 1, CANVAS_HEIGHT, CANVAS_WIDTH)
    shift = torch.tensor([[12.0, -7.0]])
    taken = moved(x, shift, lambda *s: torch.rand(1, *s, generator=generator))
    at = taken.to_image(torch.tensor([[[100.0, 60.0]]]))[0, 0]
    assert float(taken.canvas[0, 0, 60, 100]) == pytest.approx(
        float(at[0]) / (CANVAS_WIDTH - 1), abs=1e-4
    )


def test_the_loss_falls_and_its_parts_sum_up():
    teacher, batch = teacher_of(), batch_of()
    student = seeded(lambda: NarrowBranch(narrowed(CONFIG, teacher)), 1)
    fit_scale(student, teacher, [batch], generator=torch.Generator().manual_seed(0))
    assert (student.code_scale > 0).all()
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    totals = []
    for step in range(25):
        generator = torch.Generator().manual_seed(step % 2)
        loss = narrow_loss(student, teacher, batch, generator=generator)
        assert float(sum(loss.parts.values())) == pytest.approx(
            float(loss.total.detach()), rel=1e-4
        )
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        totals.append(float(loss.total.detach()))
    assert sum(totals[-2:]) < 0.7 * sum(totals[:2])
    assert all(p.grad is None for p in teacher.parameters())


def test_rows_without_eyes_teach_no_code():
    teacher, batch = teacher_of(), batch_of()
    teacher.localizer.get_parameter("score.2.bias").fill_(-20.0)
    student = seeded(lambda: NarrowBranch(narrowed(CONFIG, teacher)), 1)
    loss = narrow_loss(student, teacher, batch, generator=torch.Generator().manual_seed(0))
    assert float(loss.parts["code"]) == float(loss.parts["eyes"]) == 0
    assert float(loss.parts["score"]) > 0
    assert float(loss.monitors["eyes_seen"]) == 0


def test_some_canvases_hide_their_eyes():
    image = image_of(batch_of(64))
    taken, hidden = off_middle(image, torch.Generator().manual_seed(0))
    assert 0 < int(hidden.sum()) < 32
    away = taken.shift[:, 1].abs() > 40
    assert (hidden | ~away).all()
    assert taken.canvas.shape == image.pixels.shape
    assert isinstance(image, EyeImage)


def test_the_branch_has_the_teacher_s_units():
    teacher = teacher_of()
    student = seeded(lambda: NarrowBranch(narrowed(CONFIG, teacher)), 1).eval()
    student.code_mean.copy_(torch.arange(4.0))
    student.code_scale.copy_(torch.arange(4.0) + 0.5)
    branch = EMIB(narrowed(CONFIG, teacher)).eval()
    student.put_into(branch)
    image = image_of(batch_of(3))
    found = targets_of(branch, image)
    before = EMIB(branch.config).eval()
    before.load_state_dict(branch.state_dict())
    before.bottleneck.load_state_dict(student.bottleneck.state_dict())
    z = targets_of(before, image).code
    assert torch.allclose(found.code, z * student.code_scale + student.code_mean, atol=1e-5)


def test_a_branch_is_like_itself():
    teacher = teacher_of()
    held = branch_validation(teacher, [batch_of(6), batch_of(8)])
    assert len(held.targets.code) == 14
    same = branch_fidelity(teacher, held)
    assert same.code.r2 == pytest.approx(1)
    assert same.code.score_agreed == 1
    assert same.eyes_p95_px == pytest.approx(0, abs=1e-4)
    other = branch_fidelity(teacher_of(replace(WIDE, localizer_width=8)), held)
    assert other.code.r2 < 1
    assert other.eyes_median_px > 0


@pytest.fixture
def teacher_folder(tiny_model, tmp_path):
    folder = tmp_path / "teacher"
    Model(tiny_model.network, gaze=branch_of(), card="# teacher\n").save(folder)
    return folder


@pytest.fixture
def eye_crops(tmp_path):
    return write_eye_crops(tmp_path / "eye_crops")


def distill(*words):
    return run(["distill", "gaze", "--student", "emib", "--device", "cpu", *map(str, words)])


def test_from_eye_crops_to_weights_with_a_narrower_branch(
    eye_crops, teacher_folder, tmp_path, capsys
):
    out = tmp_path / "run"
    words = ["--data", eye_crops, "--crop", "eyes", "--weights", teacher_folder, "--out", out]
    assert distill(*words, *TINY) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "R2 of the teacher's gaze code on 12 held-out images" in said
    report = json.loads((out / "exported" / "report.json").read_text())
    assert report["fidelity"]["code"]["images"] == 12
    assert report["fidelity"]["eyes_median_px"] <= report["fidelity"]["eyes_p95_px"]
    assert report["parameters"] < report["teacher_parameters"]
    assert [speed["batch"] for speed in report["speeds"]] == [1, 32]

    made, teacher = load(out / "exported", engine="torch"), load(teacher_folder, engine="torch")
    assert made.gaze is not None
    assert teacher.gaze is not None
    assert made.gaze.config.code_sizes == (8, 1, 4)
    before, after = teacher.network.state_dict(), made.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    before, after = teacher.gaze.state_dict(), made.gaze.state_dict()
    kept = [name for name in before if not name.startswith(("localizer.", "bottleneck."))]
    assert any(name.startswith("autoencoder.") for name in kept)
    assert all(torch.equal(before[name], after[name]) for name in kept)
    found = made.encode(torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    assert found.gaze is not None
    assert found.gaze.code.shape == (2, 4)

    assert distill("--out", out, "--resume") == 0
    again = load(out / "exported", engine="torch")
    assert again.weights_id == made.weights_id


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "{plain}"], "no gaze branch"),
        (["--weights", "{teacher}", "student.bottleneck_dim=20"], "multiple of a head's width"),
        (["--weights", "{teacher}", "student.localizer_width=0"], "from 1 to 16384"),
        (["--weights", "{teacher}", "student.width=8"], "student.width"),
    ],
)
def test_what_is_wrong_is_one_line_and_touches_nothing(
    eye_crops, teacher_folder, tiny_folder, tmp_path, capsys, words, message
):
    places = {"teacher": teacher_folder, "plain": tiny_folder}
    out = tmp_path / "run"
    given = [word.format(**places) for word in words]
    assert distill("--out", out, "--data", eye_crops, *given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()
