"""Face embedding: Fisher's discriminant of the encoder's maps, clips in the place of labels."""

import numpy as np
import pytest
import torch
from benchmarks.same_person import verification_auc

from mien import weights
from mien.cli.main import run
from mien.errors import MienError
from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.protocol import EvalContext, Images
from mien.evaluate.tasks.verification import face_codes
from mien.latentface.config import ModelConfig
from mien.latentface.discriminant import FaceEmbedding
from mien.latentface.latentface import LatentFace
from mien.media.image import write_png
from mien.model import Model, load
from mien.table.read import read_table

CLIPS, FRAMES, SIZE = 200, 6, 12


@pytest.fixture(scope="module")
def maps():
    """People show faintly in three directions, what changes within clips loudly in four others."""
    generator = torch.Generator().manual_seed(0)
    person = torch.randn(CLIPS, 1, 3, generator=generator).expand(-1, FRAMES, -1)
    change = 5 * torch.randn(CLIPS, FRAMES, 4, generator=generator)
    noise = 0.3 * torch.randn(CLIPS, FRAMES, SIZE, generator=generator)
    parts = torch.cat([person, change, torch.zeros(CLIPS, FRAMES, SIZE - 7)], dim=2) + noise
    turn, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator))
    return parts @ turn + 7.0


def auc(codes):
    return verification_auc(
        codes=codes.flatten(0, 1).numpy(),
        person=np.repeat(np.arange(CLIPS), FRAMES),
        rng=np.random.default_rng(0),
    )


def test_it_sees_the_person_and_not_what_changes(maps):
    face_embedding = FaceEmbedding(SIZE, 3)
    face_embedding.fit([maps])
    assert auc(maps) < 0.6
    assert auc(face_embedding(maps)) > 0.9


def test_directions_are_of_unit_variance_within_clips_and_uncorrelated(maps):
    face_embedding = FaceEmbedding(SIZE, 3)
    face_embedding.fit([maps])
    codes = face_embedding(maps)
    apart = (codes - codes.mean(dim=1, keepdim=True)).flatten(0, 1)
    within = apart.T @ apart / (CLIPS * (FRAMES - 1))
    assert torch.diagonal(within).max() < 1.0  # what is shrunk is a little less
    assert (within - torch.diag(within.diagonal())).abs().max() < 0.05
    assert codes.mean(dim=(0, 1)).abs().max() < 1e-4
    between = codes.mean(dim=1).var(dim=0)
    assert (between[:-1] >= between[1:] - 1e-3).all()


def test_parts_of_the_clips_give_what_all_give_at_once(maps):
    whole, parts = FaceEmbedding(SIZE, 3), FaceEmbedding(SIZE, 3)
    whole.fit([maps])
    parts.fit(iter(maps.split(30)))
    torch.testing.assert_close(parts(maps).abs(), whole(maps).abs(), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = ModelConfig(
        image_size=32, texture_dim=8, shape_dim=8, width=16, feature_dim=16, face_embedding_dim=5
    )
    place = tmp_path_factory.mktemp("model") / "m"
    Model(LatentFace(config)).save(place)
    return place


def test_weights_keep_it_and_factors_carry_it(folder):
    model = load(folder)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    factors = model.encode(images, features=True)
    assert factors.face_embedding is not None
    assert factors.features is not None
    assert factors.face_embedding.shape == (3, 5)
    assert factors.features.shape == (3, model.features_dim)
    one = model.encode(images[1:2])
    torch.testing.assert_close(one.face_embedding, factors[1:2].face_embedding)
    moved = factors.with_expression(factors[:1])
    assert moved.face_embedding is factors.face_embedding


def test_tables_and_protocols_have_it_where_weights_do(folder, tiny_folder, tmp_path):
    (tmp_path / "faces").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    for number, face in enumerate(pixels):
        write_png(tmp_path / "faces" / f"{number}.png", face)
    for name, place, there in (("with", folder, True), ("without", tiny_folder, False)):
        out = tmp_path / f"{name}.parquet"
        words = ["embed", str(tmp_path / "faces"), "--detector", "none", "--out", str(out)]
        assert run([*words, "--weights", str(place)]) == 0
        table = read_table(out)
        assert ("face_embedding" in table.code_names) == there
        if there:
            assert table.codes("face_embedding").shape == (3, 5)
        names = tuple(f"{i}.png" for i in range(3))
        asked = Images(names, lambda row: pixels[row], crop="face")
        found = face_codes(asked, EvalContext(factors_by_weights(load(place))))
        first = ["face_embedding"] if there else []
        assert list(found.codes) == [*first, "identity", "both codes"]
    with pytest.raises(MienError, match="have no face embedding"):
        factors_by_weights(load(tiny_folder))(asked, ("face_embedding",))


def test_training_finds_it(tmp_path):
    rng = np.random.default_rng(0)
    for person in range(6):
        for frame in range(3):
            path = tmp_path / "clips" / f"person_{person}" / f"{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            write_png(path, coarse.repeat(8, axis=0).repeat(8, axis=1))
    words = ["pretrain", "latentface", "--device", "cpu", "--data", f"clips:{tmp_path / 'clips'}"]
    words += ["--out", str(tmp_path / "run"), "model.image_size=32", "model.width=16"]
    words += ["model.texture_dim=8", "model.shape_dim=8", "model.feature_dim=16"]
    words += ["model.identity_directions=0", "model.neutral_width=8", "model.neutral_blocks=1"]
    words += [
        "data.detector=none",
        "model.face_embedding_dim=4",
        "stage1.steps=1",
        "stage1.batch_size=4",
        "stage2.steps=1",
    ]
    words += ["stage2.batch_size=4", "stage2.frames=3", "loop.tensorboard=false"]
    assert run(words) == 0
    config, tensors = weights.read(tmp_path / "run" / "exported")
    assert config["face_embedding_dim"] == 4
    start = FaceEmbedding(len(tensors["face_embedding.mean"]), 4)
    assert not torch.equal(tensors["face_embedding.weight"], start.weight)
