from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from made_gaze import branch_of, write_eye_crops
from mien.cli.main import run
from mien.data.eye_cache import EyeCache
from mien.errors import MienError
from mien.gaze.student import Student, StudentConfig, load_student
from mien.model import Model, load
from mien.train.recipes import distill as recipe, distill_report
from mien.train.recipes.distill_data import hold_out, in_order
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.distill_report import (
    DistillReport,
    Fidelity,
    Speed,
    ValidationSet,
    explained_variance,
    fidelity_of,
    speeds,
    validation_set,
)
from mien.train.run_folder import RunFolder

TINY = [
    "data.detector=none",
    "student.width=8",
    "student.blocks=1",
    "student.features=16",
    "distill.steps=3",
    "distill.batch_size=8",
    "distill.frames=2",
    "distill.held_out_fraction=0.4",
    "distill.warmup_steps=1",
    "loop.tensorboard=false",
    "loop.log_images_every=3",
    "loop.log_every=1",
    "loop.precision=32-true",
]


@pytest.fixture
def teacher_folder(tiny_model, tmp_path):
    folder = tmp_path / "teacher"
    Model(tiny_model.network, gaze=branch_of(), card="# teacher\n").save(folder)
    return folder


@pytest.fixture
def eye_crops(tmp_path):
    return write_eye_crops(tmp_path / "eye_crops")


def cache_of(sizes=(20, 10), clip=None):
    count = sum(sizes)
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 256, (count, 8, 16), dtype=np.uint8)
    face = rng.integers(0, 256, (count, 4, 4), dtype=np.uint8)
    parts = np.cumsum((0, *sizes))
    cut = [slice(a, b) for a, b in pairwise(parts)]
    numbers = np.arange(count)
    return EyeCache(
        tuple(canvas[part] for part in cut),
        tuple(face[part] for part in cut),
        clip=np.full(count, -1) if clip is None else np.asarray(clip),
        eyes=np.broadcast_to(numbers[:, None, None], (count, 2, 2)).astype(np.float32),
        face_eyes=np.zeros((count, 2, 2), np.float32),
        open=np.ones(count, np.float32),
        labelled=np.zeros(count, bool),
        has_face=numbers >= sizes[0],
        key="k",
    )


def test_the_end_of_every_source_is_held_out():
    cache = cache_of()
    train, held = hold_out(cache, fraction=0.2, max_images=1000)
    assert held.eyes[:, 0, 0].tolist() == [16, 17, 18, 19, 28, 29]
    assert train.eyes[:, 0, 0].tolist() == [*range(16), *range(20, 28)]
    assert held.has_face.tolist() == [False] * 4 + [True] * 2
    whole, faces = cache.gather(np.arange(30))
    for part in (train, held):
        rows = part.eyes[:, 0, 0].astype(int)
        canvas, face = part.gather(np.arange(len(part)))
        assert (canvas == whole[rows]).all()
        assert (face == faces[rows]).all()
    assert len({cache.key, train.key, held.key}) == 3
    assert all(
        np.shares_memory(one, other) for one, other in zip(train.canvas, cache.canvas, strict=True)
    )
    few, _ = hold_out(cache, fraction=0.2, max_images=3)
    assert len(few) == 30 - 3
    nothing, none = hold_out(cache, fraction=0.0, max_images=3)
    assert (len(nothing), len(none)) == (30, 0)


def test_a_clip_is_never_in_both_parts():
    clip = [0] * 5 + [1] * 7 + [2] * 4 + [-1] * 4
    train, held = hold_out(cache_of((20,), clip), fraction=0.5, max_images=1000)
    assert held.eyes[:, 0, 0].tolist() == list(range(12, 20))
    assert set(train.clip) == {0, 1}
    assert train.eyes[:, 0, 0].tolist() == list(range(10))


def test_images_come_in_order_once():
    batches = list(in_order(cache_of(), torch.device("cpu"), at_once=8))
    assert [len(batch["canvas"]) for batch in batches] == [8, 8, 8, 6]
    assert torch.cat([batch["eyes"][:, 0, 0] for batch in batches]).tolist() == list(range(30))
    assert batches[0]["canvas"].shape == (8, 1, 8, 16)
    assert batches[0]["face"].dtype == torch.uint8
    assert batches[0]["has_face"].dtype == torch.bool


def test_r2_is_one_for_the_same_zero_for_the_mean_and_less_for_worse():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.1])
    assert explained_variance(target, target) == (1.0, (1.0, 1.0, 1.0))
    mean = target.mean(dim=0).expand_as(target)
    assert explained_variance(target, mean)[0] == pytest.approx(0.0, abs=1e-6)
    total, each = explained_variance(target, target * torch.tensor([0.0, 1.0, -1.0]))
    assert each[1] == 1
    assert each[2] < -1
    assert total > 0.97  # the second number has most of the variance
    half = target.clone()
    half[:, 1] = target[:, 1].mean()
    assert explained_variance(target, half)[1] == pytest.approx((1, 0, 1))


def test_validation_compares_only_where_the_teacher_sees_eyes(tmp_path):
    student = torch.nn.Module()
    student.code_mean = torch.zeros(2)
    seen = torch.tensor([True] * 12 + [False] * 4)
    code = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    bands = torch.arange(16, dtype=torch.uint8)[:, None, None, None].expand(16, 1, 80, 192)

    def answer(bands):
        rows = (bands[:, 0, 0, 0] * 255).round().long()
        wrong = torch.where(seen[rows, None], 0.0, 100.0)  # only in rows that do not count
        return code[rows] + wrong, torch.where(rows < 8, 0.9, 0.1)

    student.forward = answer
    found = fidelity_of(student, ValidationSet(bands, code, seen), at_once=5)  # type: ignore[arg-type]
    assert (found.images, found.compared) == (16, 12)
    assert found.r2 == pytest.approx(1)
    assert found.score_agreed == pytest.approx(12 / 16)


def test_speeds_are_those_of_a_face(monkeypatch):
    student, teacher, sizes = torch.nn.Module(), torch.nn.Module(), []
    now = [0.0]  # a clock of its own: a busy machine changes nothing
    timer = partial(distill_report.Timer, timer=lambda: now[0])
    monkeypatch.setattr(distill_report, "Timer", timer)

    def work(seconds):
        now[0] += seconds

    student.code_mean = torch.zeros(4)
    student.forward = lambda bands: work(0.004)
    teacher.forward = lambda images, is_face: sizes.append(images.shape) or work(0.012)
    one, many = speeds(student, teacher, is_face=False, batches=(1, 8))  # type: ignore[arg-type]
    assert (one.batch, many.batch) == (1, 8)
    assert (one.student_ms, many.student_ms) == pytest.approx((4, 0.5))
    assert (one.teacher_ms, many.teacher_ms) == pytest.approx((12, 1.5))
    assert set(sizes) == {(1, 1, 96, 200), (8, 1, 96, 200)}


def test_the_report_has_what_was_measured():
    report = DistillReport(
        Fidelity(100, 90, 0.91, (0.95, 0.8), 0.97),
        1_234_567,
        600_000,
        (Speed(1, 2.0, 9.0), Speed(32, 0.5, 3.0)),
        2,
        "cpu",
    )
    text = "\n".join(f"{k}: {v}" for k, v in report.as_results().items())
    for part in ("90 held-out images", "0.910", "0.800", "97.0%", "1.23 MB", "2.00, teacher 9.00"):
        assert part in text
    assert json.loads(json.dumps(asdict(report)))["fidelity"]["r2"] == 0.91


def distill(*words):
    return run(["distill", "gaze", "--device", "cpu", *map(str, words)])


def test_from_eye_crops_to_a_student(eye_crops, teacher_folder, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--student", "cnn", "--data", eye_crops, "--crop", "eyes", "--weights", teacher_folder]
    assert distill(*words, "--out", out, *TINY) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert said.err == ""
    assert "the student is in" in said.out
    assert "R2 of the teacher's code on 12 held-out images" in said.out
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["student"]["code_dim"] == 4
    assert config["data"]["crop"] == "eyes"
    assert config["distill"]["teacher"] == str(teacher_folder)
    report = json.loads((out / "exported" / "report.json").read_text())
    assert report["fidelity"]["compared"] == 12
    assert [speed["batch"] for speed in report["speeds"]] == [1, 32]
    assert report["bytes"] < 1e6
    assert "R2 of" in (out / "exported" / "README.md").read_text()
    assert list((out / "sheets").glob("distill_step_000003.png"))

    student = load_student(out / "exported")
    assert student.teacher == load(teacher_folder).weights_id
    code, score = student(torch.rand(2, 1, 80, 192, generator=torch.Generator().manual_seed(0)))
    assert code.shape == (2, 4)
    assert score.isfinite().all()

    assert distill(*words, "--out", out) == 2
    assert "--resume" in capsys.readouterr().err
    assert distill("--out", out, "--resume", "--steps", 4) == 2
    assert "cannot change distill.steps" in capsys.readouterr().err
    before = {n: p.clone() for n, p in student.state_dict().items()}
    assert distill("--out", out, "--resume") == 0
    after = load_student(out / "exported").state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "{missing}", "--weights", "{teacher}"], "does not exist"),
        (["--data", "{eye_crops}", "--weights", "{plain}"], "no gaze branch"),
        (["--data", "{eye_crops}", "--weights", "{missing}"], "no weights"),
        (
            ["--data", "{eye_crops}", "--weights", "{teacher}", "student.code_dim=9"],
            "code has 4",
        ),
        (
            ["--data", "{eye_crops}", "--weights", "{teacher}", "--student", "vit"],
            "takes cnn",
        ),
        (
            ["--data", "{eye_crops}", "--weights", "{teacher}", "--crop", "nose"],
            "face, eyes",
        ),
        (
            ["--data", "{eye_crops}", "--weights", "{teacher}", "distill.stesp=1"],
            "distill.steps",
        ),
        (["--weights", "{teacher}"], "--data"),
    ],
)
def test_what_is_wrong_is_one_line_and_touches_nothing(
    eye_crops, teacher_folder, tiny_folder, tmp_path, capsys, words, message
):
    places = {
        "missing": tmp_path / "missing",
        "eye_crops": eye_crops,
        "teacher": teacher_folder,
        "plain": tiny_folder,
    }
    out = tmp_path / "run"
    assert distill("--out", out, *[word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


def test_without_a_run_folder_nothing_is_done(capsys):
    assert distill() == 2
    assert "--out" in capsys.readouterr().err


def test_too_few_held_out_images_are_reported_before_training(
    eye_crops, teacher_folder, tmp_path, capsys
):
    words = ["--data", eye_crops, "--crop", "eyes", "--weights", teacher_folder]
    words += ["--out", tmp_path / "run", *TINY, "distill.held_out_fraction=0.1"]
    assert distill(*words) == 2
    assert "eyes in 3 of 3 held-out images" in capsys.readouterr().err
    assert not (tmp_path / "run" / "exported").exists()


def test_validation_needs_images():
    with pytest.raises(MienError, match="0 of 0"):
        validation_set(branch_of(), [])


def test_a_student_worse_than_its_mean_is_not_exported_in_silence(monkeypatch):
    said: list[str] = []
    cards: list[str] = []
    monkeypatch.setattr(recipe, "save_student", lambda *a, **_: cards.append(a[2]) or 10)
    monkeypatch.setattr(recipe, "load_student", lambda _: Student(StudentConfig(code_dim=2)))
    monkeypatch.setattr(recipe, "speeds", lambda *_, **__: ())
    monkeypatch.setattr(recipe, "write_text", lambda *_: None)
    for r2 in (-0.2, 0.2):
        fidelity = Fidelity(20, 20, r2, (r2, r2), 1.0)
        monkeypatch.setattr(recipe, "fidelity_of", lambda *_, found=fidelity: found)
        run = SimpleNamespace(
            config=DistillConfig(), folder=RunFolder(Path("nowhere")), say=said.append
        )
        student = Student(StudentConfig(code_dim=2))
        recipe._export(run, student, None, None, frozenset())  # type: ignore[arg-type]
        assert any(line.startswith("warning: ") for line in said) == (r2 < 0)
        assert ("do not use it" in cards[-1]) == (r2 < 0)
        said.clear()
