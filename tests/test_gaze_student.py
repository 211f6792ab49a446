from __future__ import annotations

import json

import pytest
import torch

from made_canvases import cut_canvas
from mien.errors import MienError
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_SIDE, GazeConfig
from mien.gaze.distillation import distill_loss, fit_scale, targets_of, vary_bands
from mien.gaze.emib import EMIB
from mien.gaze.student import (
    BAND_HEIGHT,
    BAND_WIDTH,
    Student,
    StudentConfig,
    cut_band,
    load_student,
    save_student,
)
from mien.gaze.variation import image_of

TINY = StudentConfig(code_dim=4, width=8, blocks=1, features=16)
LEAST = GazeConfig(code_dim=4, dim=16, heads=2, bottleneck_depth=1, stem_width=4)


def batch_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 16, 32, generator=generator) * 255
    canvas = torch.nn.functional.interpolate(
        coarse, (CANVAS_HEIGHT, CANVAS_WIDTH), mode="bilinear", align_corners=True
    )
    eyes = torch.tensor([[90.0, 64.0], [166.0, 64.0]]).expand(count, 2, 2).clone()
    return {
        "canvas": canvas.byte(),
        "eyes": eyes,
        "face": torch.nn.functional.interpolate(canvas, (FACE_SIDE, FACE_SIDE)).byte(),
        "face_eyes": torch.tensor([[21.0, 25.0], [42.0, 25.0]]).expand(count, 2, 2).clone(),
        "has_face": torch.ones(count, dtype=torch.bool),
        "clip": torch.arange(count) // 2,
        "open": torch.full((count,), float("nan")),
        "index": torch.arange(count),
    }


@pytest.fixture
def teacher():
    """Random weights whose eye localizer is sure that there are eyes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = EMIB(LEAST).eval().requires_grad_(requires_grad=False)
    model.localizer.get_parameter("score.2.bias").fill_(20.0)
    return model


def student_of(config=TINY, seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Student(config, teacher="0123456789ab")


def test_the_default_is_small_enough_for_a_phone(tmp_path):
    size = save_student(Student(StudentConfig()), tmp_path / "s", "# card\n")
    assert size == (tmp_path / "s" / "model.safetensors").stat().st_size
    assert 0.5e6 < size < 1.3e6


def test_code_and_score_come_in_the_teachers_units():
    student = student_of().eval()
    bands = torch.rand(3, 1, BAND_HEIGHT, BAND_WIDTH, generator=torch.Generator().manual_seed(0))
    plain, score = student(bands)
    assert plain.shape == (3, 4)
    assert score.shape == (3,)
    assert ((score > 0) & (score < 1)).all()
    student.code_mean.fill_(5.0)
    student.code_scale.fill_(2.0)
    assert torch.allclose(student(bands)[0], 2 * plain + 5, atol=1e-6)
    assert torch.equal(student.read(bands)[0], plain)


@torch.no_grad()
def test_the_lamp_changes_little():
    student = student_of().eval()
    bands = torch.rand(2, 1, BAND_HEIGHT, BAND_WIDTH, generator=torch.Generator().manual_seed(0))
    dimmer = student(bands * 0.5 + 0.1)[0]
    assert torch.allclose(student(bands)[0], dimmer, atol=0.05 * float(dimmer.std()))


def test_a_band_is_cut_around_the_eyes_and_goes_on_beyond_the_border():
    rows = torch.arange(224)[:, None].expand(224, 224)
    columns = torch.arange(224)[None, :].expand(224, 224)
    image = (1000 * rows + columns)[None, None]
    eyes = torch.tensor([[[70.0, 89.0], [150.0, 91.4]]])
    band = cut_band(image, eyes)
    assert band.shape == (1, 1, BAND_HEIGHT, BAND_WIDTH)
    assert band.dtype == image.dtype
    assert band[0, 0, 40, 96] == 90_110
    assert band[0, 0, 41, 95] == 91_109
    assert (band[0, 0, :, 0] == 1000 * torch.arange(50, 130) + 14).all()
    low = cut_band(image, eyes + 60)
    assert low[0, 0, 79, 191] == 1000 * 189 + 223
    assert low[0, 0, 40, -1] == low[0, 0, 40, -2] == 1000 * 150 + 223


def test_what_is_saved_is_read_back(tmp_path):
    student = student_of()
    bands = torch.rand(8, 1, BAND_HEIGHT, BAND_WIDTH, generator=torch.Generator().manual_seed(0))
    student.train()(bands)  # moves the running means
    student.code_mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    save_student(student, tmp_path / "s", "# card\n")
    again = load_student(tmp_path / "s")
    assert again.config == TINY
    assert again.teacher == "0123456789ab"
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    for one, other in zip(student.eval()(bands), again(bands), strict=True):
        assert torch.allclose(one, other, atol=2e-2)
    with pytest.raises(MienError, match="already holds"):
        save_student(student, tmp_path / "s", "# card\n")


def test_other_weights_are_refused(tmp_path, tiny_folder):
    with pytest.raises(MienError, match="not a student"):
        load_student(tiny_folder)
    with pytest.raises(MienError, match="no weights"):
        load_student(tmp_path / "nowhere")
    save_student(student_of(), tmp_path / "s", "# card\n")
    header = json.loads((tmp_path / "s" / "config.json").read_text())
    header["model"]["student"]["width"] = 16
    (tmp_path / "s" / "config.json").write_text(json.dumps(header))
    with pytest.raises(MienError, match="do not fit"):
        load_student(tmp_path / "s")
    header["model"]["student"]["colour"] = 16
    (tmp_path / "s" / "config.json").write_text(json.dumps(header))
    with pytest.raises(MienError, match="not known"):
        load_student(tmp_path / "s")
    with pytest.raises(MienError, match="from 1 to"):
        StudentConfig(width=0)


def test_a_teacher_is_asked_as_when_faces_are_embedded(teacher):
    """The canvas is cut from the face and the face is known: the same code as from the face."""
    coarse = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    faces = torch.nn.functional.interpolate(coarse, (224, 224), mode="bilinear")
    guess = torch.tensor([[[0.3, 0.45], [0.7, 0.45]]]).expand(4, 2, 2)
    whole = teacher(faces, guess)
    middle = (guess * 224 - 0.5).mean(dim=1).round()
    small = torch.nn.functional.interpolate(
        faces, (FACE_SIDE, FACE_SIDE), mode="bilinear", antialias=True
    )
    eyes = guess * 224 - 0.5 - middle[:, None] + torch.tensor([128.0, 64.0])
    batch = {
        "canvas": cut_canvas(faces, middle) * 255,
        "face": small * 255,
        "eyes": eyes,
        "face_eyes": guess * FACE_SIDE - 0.5,
        "has_face": torch.ones(4, dtype=torch.bool),
    }
    targets = targets_of(teacher, image_of(batch))
    assert targets.seen.all()
    places = targets.eyes - torch.tensor([128.0, 64.0]) + middle[:, None]
    assert torch.allclose(places, whole.eyes * 224 - 0.5, atol=0.6)
    assert torch.allclose(targets.code, whole.code, atol=0.1 * float(whole.code.std()))


def test_the_scale_is_that_of_the_teachers_codes(teacher):
    student, batch = student_of(), batch_of(32)
    twice = [batch, batch_of(32, seed=5)]
    fit_scale(student, teacher, twice, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    codes = [targets_of(teacher, image_of(b, mirror=True, generator=generator)).code for b in twice]
    assert torch.allclose(student.code_mean, torch.cat(codes).mean(dim=0), atol=1e-6)
    assert (student.code_scale > 0).all()
    before = student.code_mean.clone()
    teacher.localizer.get_parameter("score.2.bias").fill_(
        -20.0
    )  # it sees no eyes: nothing to go by
    fit_scale(student, teacher, twice, generator=torch.Generator().manual_seed(0))
    assert torch.equal(student.code_mean, before)


def test_variation_hides_some_eyes_and_repeats_from_its_seed():
    image = image_of(batch_of(400))
    bands, hidden = vary_bands(image.pixels, image.eyes, torch.Generator().manual_seed(0))
    again, _ = vary_bands(image.pixels, image.eyes, torch.Generator().manual_seed(0))
    other, _ = vary_bands(image.pixels, image.eyes, torch.Generator().manual_seed(1))
    assert torch.equal(bands, again)
    assert not torch.equal(bands, other)
    assert bands.shape == (400, 1, BAND_HEIGHT, BAND_WIDTH)
    assert 0 <= bands.min() <= bands.max() <= 1
    assert 0.05 < hidden.float().mean() < 0.16
    plain = cut_band(image.pixels, image.eyes)

    def face_embedding(rows):
        pairs = torch.stack([bands[rows].flatten(1), plain[rows].flatten(1)])
        centred = pairs - pairs.mean(dim=2, keepdim=True)
        return torch.cosine_similarity(centred[0], centred[1], dim=1).median()

    assert face_embedding(~hidden) > 0.6
    assert face_embedding(hidden) < 0.45


def test_a_student_learns_its_teachers_code(teacher):
    student, batch = student_of(StudentConfig(code_dim=4, width=8, blocks=1)), batch_of(16)
    fit_scale(student, teacher, [batch], generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    errors = []
    for step in range(40):
        loss = distill_loss(student, teacher, batch, generator=torch.Generator().manual_seed(step))
        assert loss.total.item() == pytest.approx(sum(v.item() for v in loss.parts.values()))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        errors.append(loss.monitors["code_error"].item())
    assert 0.5 < errors[0] < 2.0  # about the variance of a z-score
    assert sum(errors[-5:]) / 5 < 0.6 * errors[0]
    assert all(p.grad is None for p in teacher.parameters())


def test_a_blind_teacher_teaches_no_code(teacher):
    teacher.localizer.get_parameter("score.2.bias").fill_(-20.0)
    student = student_of()
    loss = distill_loss(student, teacher, batch_of(8), generator=torch.Generator().manual_seed(0))
    assert loss.parts["code"] == 0
    assert loss.parts["score"] > 0
    assert loss.monitors["eyes_seen"] == 0


def test_a_student_is_not_taken_for_a_whole_model(tmp_path):
    from mien.model import load

    save_student(Student(TINY), tmp_path / "student", "card")
    with pytest.raises(MienError, match="load_student"):
        load(tmp_path / "student")
