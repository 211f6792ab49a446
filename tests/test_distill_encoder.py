"""Narrower encoders that read what a teacher reads: loss, refusals, a whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mien import weights
from mien.cli.main import run
from mien.latentface.config import ModelConfig
from mien.latentface.distillation import DistillWeights, Learner, distill_loss, read_all
from mien.latentface.latentface import LatentFace
from mien.latentface.networks import SmallEncoder
from mien.latentface.pruning import prune, prune_encoder
from mien.media.image import write_png
from mien.model import load
from mien.train.recipes.distill_encoder import student_of

SIZES = ModelConfig(
    image_size=32,
    texture_dim=8,
    shape_dim=8,
    width=8,
    feature_dim=16,
    neutral="regression",
    neutral_width=16,
    basis="clips",
    identity_directions=4,
    face_embedding_dim=6,
    face_embedding_from="image",
    face_embedding_shares=1,
)


@pytest.fixture
def teacher() -> LatentFace:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return LatentFace(SIZES).eval().requires_grad_(requires_grad=False)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_student_has_narrower_encoders_and_its_teachers_other_parts(teacher):
    student = student_of(teacher, 4)
    assert student.config == replace(SIZES, encoder_width=4)
    own, known = student.state_dict(), teacher.state_dict()
    assert set(own) == set(known)
    narrower = {name for name in own if own[name].shape != known[name].shape}
    assert narrower
    assert all(name.startswith(("autoencoder.trunk", "face_embedding.")) for name in narrower)
    kept = [name for name in own if name.startswith(("autoencoder.decode", "neutral", "texture_"))]
    assert len(kept) > 20
    assert all(torch.equal(own[name], known[name]) for name in kept)
    learned = {name for name, p in student.named_parameters() if p.requires_grad}
    assert narrower <= learned
    assert not learned & set(kept)


def test_a_teacher_is_its_own_perfect_student(teacher, images):
    wanted = read_all(teacher, images)
    learner = Learner(teacher, teacher)
    torch.nn.init.dirac_(learner.to_maps.weight)
    assert learner.to_maps.bias is not None
    torch.nn.init.zeros_(learner.to_maps.bias)
    loss = distill_loss(learner, wanted, images, DistillWeights())
    assert set(loss.parts) == {"hidden", "codes", "view", "maps", "factors", "face_embedding"}
    assert loss.total.item() == pytest.approx(0, abs=1e-5)


def test_errors_are_in_standard_deviations(teacher, images):
    """What always says the mean is off by the variance: 1."""
    wanted = read_all(teacher, images)
    learner = Learner(student_of(teacher, 4), teacher)
    learner.fit([read_all(teacher, images[:3]), read_all(teacher, images[3:])])
    codes = wanted.codes
    scaled = (codes - codes.mean(dim=0)) / learner.codes_scale
    assert float(scaled.square().mean()) == pytest.approx(5 / 6, rel=0.1)
    whole = wanted.factors[0]
    assert float(learner.factor_scales[0]) == pytest.approx(float(whole.var(dim=0).mean() ** 0.5))


@pytest.mark.parametrize("term", ["hidden", "codes", "view", "maps", "factors", "face_embedding"])
def test_every_term_counts_and_reaches_what_learns(teacher, images, term):
    learner = Learner(student_of(teacher, 4), teacher)
    names = ("hidden", "codes", "view", "maps", "factors", "face_embedding")
    only = DistillWeights(**{name: float(name == term) for name in names})
    loss = distill_loss(learner, read_all(teacher, images), images, only)
    assert loss.total.item() > 0
    loss.total.backward()
    first: Any = learner.student.autoencoder.trunk.convolutions[0]
    assert float(first.weight.grad.abs().sum()) > 0


def test_as_wide_as_before_nothing_changes(teacher, images):
    same = LatentFace(replace(SIZES, encoder_width=8))
    state = {**same.state_dict()}
    kept = {k: v for k, v in teacher.state_dict().items() if "trunk" not in k and "face_e" not in k}
    same.load_state_dict({**state, **kept})
    prune(same, teacher)
    assert torch.equal(same(images).face_embedding, teacher(images).face_embedding)
    assert torch.equal(same(images).identity, teacher(images).identity)


def test_the_channels_that_are_read_most_stay(teacher):
    wide, narrow = SmallEncoder(32, 8, 5), SmallEncoder(32, 4, 5)
    first: Any = wide.level(0)[0]
    second: Any = wide.level(1)[0]
    with torch.no_grad():
        second.weight.fill_(0.01)
        second.weight[:, [1, 2, 4, 7]] = 1.0
    kept = prune_encoder(narrow, wide, None)
    assert kept[0].tolist() == [1, 2, 4, 7]
    start: Any = narrow.level(0)[0]
    assert torch.equal(start.weight, first.weight[[1, 2, 4, 7]])
    # Half of the inputs are left: what is summed keeps its size.
    rows = kept[1]
    expected = second.weight[rows][:, kept[0]] * 2**0.5
    after: Any = narrow.level(1)[0]
    torch.testing.assert_close(after.weight, expected)


def _words(tmp_path, folder, teacher_folder, *more):
    words = ["distill", "encoder", "--device", "cpu", "--out", str(tmp_path / "run")]
    words += ["--weights", str(teacher_folder), "--data", str(folder), "data.detector=none"]
    words += ["data.views=1", "distill.batch_size=4", "loop.log_every=1", "loop.tensorboard=false"]
    return [*words, *more]


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(8):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return folder


@pytest.fixture
def teacher_folder(teacher, tmp_path):
    folder = tmp_path / "teacher"
    config = {**vars(teacher.config)}
    weights.save(folder, teacher.state_dict(), config, "# A teacher\n", images=frozenset())
    return folder


def test_a_run_from_images_to_weights(photographs, teacher_folder, tmp_path, capsys):
    words = _words(tmp_path, photographs, teacher_folder, "--width", "4", "--steps", "3")
    assert run(words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "face embedding: mean cosine" in said
    exported = tmp_path / "run" / "exported"
    found, known = load(exported), load(teacher_folder)
    assert found.network.config == replace(known.network.config, encoder_width=4)
    own, theirs = found.network.state_dict(), known.network.state_dict()
    for name in own:
        if name.startswith(("autoencoder.decode", "neutral", "texture", "shape")):
            assert torch.equal(own[name], theirs[name]), name
    report = json.loads((exported / "report.json").read_text())
    assert set(report) == {"hidden", "codes", "view", "maps", "factors", "face_embedding"}
    faces = torch.rand(2, 3, 32, 32)
    assert found.encode(faces).identity.shape == known.encode(faces).identity.shape


def test_a_student_as_wide_as_its_teacher_is_refused(photographs, teacher_folder, tmp_path, capsys):
    words = _words(tmp_path, photographs, teacher_folder, "--width", "8", "--steps", "1")
    assert run(words) == 2
    said = capsys.readouterr().err
    assert "encoders of width 8: give a smaller one" in said
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_samples_is_refused(teacher, photographs, tmp_path, capsys):
    sampled = LatentFace(replace(SIZES, neutral="diffusion"))
    config = vars(sampled.config)
    folder = tmp_path / "sampled"
    weights.save(folder, sampled.state_dict(), dict(config), "# T\n", images=frozenset())
    words = _words(tmp_path, photographs, folder, "--width", "4", "--steps", "1")
    assert run(words) == 2
    assert "neutral=regression" in capsys.readouterr().err
