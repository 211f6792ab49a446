"""The face embedding's own network: views of people, batches, loss, a whole run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mien import weights
from mien.cli.main import run
from mien.data import people_cache
from mien.data.loader import Shard
from mien.data.people_cache import PeopleCache
from mien.data.people_loader import PeopleLoader, photographed
from mien.errors import MienError
from mien.faces.face import Face
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.networks import SmallEncoder
from mien.latentface.recognition import (
    RecognitionNetwork,
    instance_loss,
    move_prototypes,
    nt_xent,
)
from mien.media.image import write_png
from mien.model import load
from mien.synth import head_model
from mien.synth.frame import rotation_matrix
from mien.synth.photo_views import PhotoViews, Turn
from mien.synth.toy import toy_head

# Where the toy head's landmarks stand in a photograph of 96 px that it is framed for.
MARKS = np.array([[36, 40], [60, 40], [48, 54], [40, 66], [56, 66]], np.float32)


@pytest.fixture(scope="module")
def turned():
    return PhotoViews(toy_head())


def photograph(size: int = 96) -> np.ndarray:
    """A photograph whose left half is red and whose right half is blue."""
    image = np.zeros((size, size, 3), np.uint8)
    image[:, : size // 2, 0], image[:, size // 2 :, 2] = 200, 200
    return image


def reds_share(image: np.ndarray) -> float:
    red, blue = image[..., 0].astype(int), image[..., 2].astype(int)
    return float((red > blue).sum() / ((red > blue).sum() + (blue > red).sum()))


def test_views_show_the_photograph_turned():
    # Turned by the yaw alone, towards the left of the image and towards its right.
    drawn: Any = PhotoViews(toy_head(), Turn((0.0, 0.0, 0.0), (45.0, 20.0, 20.0)))
    shares = []
    for yaw in (-40.0, 40.0):
        fit = drawn._fit(MARKS.astype(float))
        turn = rotation_matrix(np.deg2rad(yaw), 0.0, 0.0)
        posed = replace(fit, rotation=turn @ fit.rotation)
        grey = np.full((1, 96, 96, 3), 90, np.uint8)
        image, rotation = drawn._view(photograph(), posed, np.random.default_rng(0), grey)
        shares.append(reds_share(image))
        assert np.allclose(rotation, posed.rotation)
    # yaw + rotates towards the image's left: its red left half goes out of sight.
    assert shares[1] + 0.1 < shares[0], shares


def test_the_rotations_of_views_are_those_they_are_drawn_with():
    drawn = PhotoViews(toy_head(), Turn((30.0, 0.0, 0.0), (60.0, 0.0, 0.0)))
    backgrounds = [np.full((96, 96, 3), 90, np.uint8)]
    found = drawn(photograph(), MARKS, 12, np.random.default_rng(0), backgrounds)
    turn = found.rotation @ found.own.T
    yaw = np.rad2deg(np.arctan2(turn[:, 0, 2], turn[:, 2, 2]))
    shares = [reds_share(image) for image in found.pixels]
    assert np.ptp(yaw) > 60
    assert np.abs(yaw).max() <= 60
    assert np.corrcoef(yaw, shares)[0, 1] < -0.8


def test_a_view_without_turn_has_the_landmarks_where_they_were(turned):
    fit = turned._fit(MARKS.astype(float))
    placed = fit.scale * (turned._controls @ fit.rotation.T)[:, :2] + MARKS.mean(axis=0)
    bent = turned._spread @ np.zeros((5, 3))
    assert np.abs(bent).max() == 0
    # The mean head alone is near; bent, it is there.
    assert np.abs(placed - MARKS).max() < 12
    pixels = fit.texture
    nearest = [np.linalg.norm(pixels - mark, axis=1).min() for mark in MARKS]
    assert max(nearest) < 1.5


def test_views_are_a_function_of_the_generator(turned):
    backgrounds = np.random.default_rng(1).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    made = [
        turned(photograph(), MARKS, 2, np.random.default_rng(seed), backgrounds).pixels
        for seed in (5, 5, 6)
    ]
    assert made[0].shape == (2, 96, 96, 3)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    none = turned(photograph(), MARKS, 0, np.random.default_rng(0), backgrounds)
    assert len(none.pixels) == len(none.rotation) == 0


def test_the_loss_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 5, generator=generator)
    unit = torch.nn.functional.normalize(z, dim=1)
    expected = 0.0
    for i in range(6):
        j = i ^ 1
        others = sum(float((unit[i] @ unit[k] / 0.2).exp()) for k in range(6) if k != i)
        expected -= np.log(float((unit[i] @ unit[j] / 0.2).exp()) / others)
    assert float(nt_xent(z, temperature=0.2)) == pytest.approx(expected, rel=1e-5)
    # Pairs that agree cost less than pairs that do not.
    paired = z.clone()
    paired[1::2] = z[::2]
    assert nt_xent(paired, temperature=0.2) < nt_xent(z, temperature=0.2)


def test_the_loss_of_instances_is_that_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    z, w = torch.randn(3, 5, generator=generator), torch.randn(7, 5, generator=generator)
    person, scale, margin = torch.tensor([4, 0, 4]), 8.0, 0.2
    cosine = torch.nn.functional.cosine_similarity(z[:, None], w[None], dim=2)
    expected = 0.0
    for row, own in enumerate(person.tolist()):
        kept = float((scale * (cosine[row, own] - margin)).exp())
        others = sum(float((scale * cosine[row, j]).exp()) for j in range(7) if j != own)
        expected -= np.log(kept / (kept + others))
    found = instance_loss(z, w, person, scale=scale, margin=margin)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(instance_loss(3 * z, w, person, scale=scale, margin=margin)) == pytest.approx(
        expected, rel=1e-5
    )


def test_prototypes_of_those_who_were_seen_move_towards_them():
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize
    prototypes = unit(torch.randn(4, 5, generator=generator), dim=1)
    views = unit(torch.randn(4, 5, generator=generator), dim=1)
    before = prototypes.clone()
    move_prototypes(prototypes, views, torch.tensor([3, 3, 1, 1]), keep=0.25)
    assert torch.equal(prototypes[[0, 2]], before[[0, 2]])
    for row, (first, second) in ((3, views[:2]), (1, views[2:])):
        seen = unit(first + second, dim=0)
        expected = unit(0.25 * before[row] + 0.75 * seen, dim=0)
        assert torch.allclose(prototypes[row], expected, atol=1e-6)


def test_levels_that_another_encoder_gives_are_read_on_as_by_the_whole():
    whole = SmallEncoder(64, 8, 6).eval()
    for parameter in whole.parameters():  # residual blocks begin as nothing
        torch.nn.init.normal_(parameter, std=0.1)
    rest = SmallEncoder(64, 8, 6, skip=2).eval()
    rest.take(whole)
    rest.linear.load_state_dict(whole.linear.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    stem = whole.levels(images, 2)[-1]
    assert torch.equal(rest(stem), whole(images))
    assert all(map(torch.equal, rest.maps(stem), whole.maps(images)))


def test_a_network_that_shares_levels_reads_them_off_the_trunk():
    config = ModelConfig(width=8, face_embedding_dim=6, face_embedding_from="image")
    alone = LatentFace(config).eval()
    shared = LatentFace(replace(config, face_embedding_shares=2)).eval()
    assert isinstance(alone.face_embedding, RecognitionNetwork)
    assert isinstance(shared.face_embedding, RecognitionNetwork)
    shared.autoencoder.load_state_dict(alone.autoencoder.state_dict())
    alone.face_embedding.encoder.take(alone.autoencoder.trunk)
    shared.face_embedding.encoder.take(alone.face_embedding.encoder)
    linear = alone.face_embedding.encoder.linear.state_dict()
    shared.face_embedding.encoder.linear.load_state_dict(linear)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = [network(images).face_embedding for network in (alone, shared)]
    assert torch.equal(*found)
    both = alone.face_embedding, shared.face_embedding
    numbers = [sum(p.numel() for p in network.parameters()) for network in both]
    assert numbers[1] < numbers[0]


@pytest.mark.parametrize(
    "changes", [{"face_embedding_shares": 3}, {"face_embedding_from": "maps"}, {"image_size": 32}]
)
def test_more_levels_than_there_are_to_share_are_refused(changes):
    sizes = {"face_embedding_from": "image", "face_embedding_shares": 2, **changes}
    with pytest.raises(ValueError, match=r"at most [012] levels"):
        ModelConfig(**sizes)


def caches() -> list[PeopleCache]:
    rng = np.random.default_rng(0)
    shapes = (5, 6, 24, 24, 3), (8, 4, 24, 24, 3)
    return [
        PeopleCache(rng.integers(0, 256, shape, dtype=np.uint8), str(number))
        for number, shape in enumerate(shapes)
    ]


def loader(shard: Shard | None = None, batch_size: int = 16, **options) -> PeopleLoader:
    return PeopleLoader(
        caches(),
        image_size=16,
        batch_size=batch_size,
        fraction=0.5,
        seed=3,
        device=torch.device("cpu"),
        shard=shard,
        **options,
    )


def test_batches_are_pairs_of_views_of_different_people():
    (batch,) = loader().iterate(4, 5)
    person = batch["person"]
    assert batch["image"].shape == (16, 3, 16, 16)
    assert torch.equal(person[::2], person[1::2])
    assert len(person[::2].unique()) == 8
    assert (person[:8] < 5).all()
    assert ((person[8:] >= 5) & (person[8:] < 13)).all()
    assert not torch.equal(batch["image"][0], batch["image"][1])
    (again,) = loader(workers=2).iterate(4, 5)
    assert torch.equal(batch["image"], again["image"])


def test_processes_share_a_batch_by_pairs():
    (whole,) = loader().iterate(0, 1)
    parts = [next(loader(Shard(rank, 2)).iterate(0, 1)) for rank in range(2)]
    for part in parts:
        assert torch.equal(part["person"][::2], part["person"][1::2])
    together = sorted(int(p) for part in parts for p in part["person"])
    assert together == sorted(whole["person"].tolist())


def test_a_batch_that_people_are_too_few_for_is_refused():
    with pytest.raises(MienError, match="another even batch_size"):
        loader(batch_size=40)
    with pytest.raises(MienError, match="another even batch_size"):
        loader(batch_size=15)


def test_a_camera_changes_the_crop_but_not_its_size():
    crop = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    seen = [photographed(crop, 16, np.random.default_rng(seed)) for seed in range(40)]
    assert all(image.shape == (16, 16, 3) and image.dtype == np.uint8 for image in seen)
    grey = [bool((np.ptp(image.astype(int), axis=2) <= 12).all()) for image in seen]
    assert 0 < sum(grey) < 30


def test_the_embedding_is_less_its_mean():
    network = RecognitionNetwork(32, 8, 6).eval()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = network(images)
    network.mean.copy_(before.mean(dim=0))
    assert network(images).mean(dim=0).abs().max() < 1e-5


def test_whitened_embeddings_scatter_alike_within_people():
    generator = torch.Generator().manual_seed(0)
    network = RecognitionNetwork(32, 8, 6).eval()
    images = torch.rand(200, 3, 32, 32, generator=generator)
    before = network(images).detach().double()
    within = torch.cov(before.T)
    network.whiten(within)
    after = torch.cov(network(images).detach().double().T)
    # All but the shrinkage: the strongest direction is scaled down to the size of the others.
    assert after.diagonal().std() / after.diagonal().mean() < within.diagonal().std() / (
        within.diagonal().mean()
    )
    strengths = torch.linalg.eigvalsh(after)
    assert strengths.max() / strengths.mean() < 2


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(6):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return folder


class Finder:
    """Stands for a detector with landmarks: the whole image is a face."""

    name = "yunet"

    def __call__(self, image):
        size = float(len(image))
        box = (0.2 * size, 0.2 * size, 0.8 * size, 0.8 * size)
        return [Face(box, 0.9, MARKS * np.float32(size / 96), "yunet")]


@pytest.mark.parametrize(("loss", "shares"), [("instances", 1), ("pairs", 0)])
def test_a_run_from_images_to_weights(
    photographs, tiny_folder, tmp_path, capsys, monkeypatch, loss, shares
):
    monkeypatch.setattr(head_model, "load_head_model", lambda _: toy_head())
    monkeypatch.setattr(people_cache, "open_detector", lambda _: Finder())
    (tmp_path / "head.npz").write_bytes(b"")
    out = tmp_path / "run"
    words = ["pretrain", "recognition", "--device", "cpu", "--out", str(out)]
    words += ["--weights", str(tiny_folder), "--data", str(photographs)]
    words += [f"synth:{tmp_path / 'head.npz'}", "data.people=4", "data.views=1"]
    words += ["recognition.steps=3", "recognition.batch_size=8", "recognition.dim=6"]
    words += [f"recognition.loss={loss}", f"recognition.shares={shares}"]
    words += ["loop.log_every=1", "loop.tensorboard=false", "loop.log_images_every=2"]
    assert run(words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "rendering 4 people, 4 views each" in said
    assert "cached 6 people, 2 views each" in said

    options, tensors = weights.read(out / "exported")
    base_options, base = weights.read(tiny_folder)
    assert options["face_embedding_from"] == "image"
    assert options["face_embedding_dim"] == 6
    assert options["face_embedding_shares"] == shares
    changed = {"face_embedding_from", "face_embedding_dim", "face_embedding_shares", "gaze"}
    assert {k: v for k, v in options.items() if k not in changed} == {
        k: v for k, v in base_options.items() if k not in changed
    }
    kept = [name for name in base if not name.startswith("face_embedding.")]
    assert all(torch.equal(tensors[name], base[name]) for name in kept)
    model = load(out / "exported")
    found = model.encode(torch.rand(2, 3, 32, 32)).face_embedding
    assert found is not None
    assert found.shape == (2, 6)

    # Nothing learned: the last layer alone is changed, and in one direction.
    words[words.index("--weights") + 1] = str(out / "exported")
    words[words.index("--out") + 1] = str(tmp_path / "erased")
    assert run([*words, "recognition.steps=0", "loop.seed=2"]) == 0, capsys.readouterr().err
    erased = weights.read(tmp_path / "erased" / "exported")[1]
    changed = {name for name in tensors if not torch.equal(erased[name], tensors[name])}
    linear = "face_embedding.encoder.linear"
    assert changed <= {f"{linear}.weight", f"{linear}.bias", "face_embedding.mean"}
    gone = tensors[f"{linear}.weight"].double() - erased[f"{linear}.weight"].double()
    strength = torch.linalg.svdvals(gone)
    assert strength[0] > 0
    assert strength[1] < 0.01 * strength[0]  # weights are stored in half precision
    assert "but for the direction of glasses" in weights.read_card(tmp_path / "erased" / "exported")


def test_a_network_that_is_to_stay_must_be_there(photographs, tiny_folder, tmp_path, capsys):
    words = ["pretrain", "recognition", "--device", "cpu", "--out", str(tmp_path / "run")]
    words += ["--weights", str(tiny_folder), "--data", str(photographs), "data.detector=none"]
    assert run([*words, "recognition.steps=0", "recognition.shares=1"]) == 2
    assert "recognition.steps=0 keeps the network" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_landmarks_photographs_are_not_turned(photographs, tiny_folder, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["pretrain", "recognition", "--device", "cpu", "--out", str(out)]
    words += ["--weights", str(tiny_folder), "--data", str(photographs), "data.views=1"]
    words += ["recognition.steps=1", "recognition.batch_size=4", "recognition.dim=6"]
    words += ["data.detector=none", "loop.tensorboard=false", "recognition.shares=1"]
    assert run(words) == 0, capsys.readouterr().err
    assert "6 photographs are not turned" in capsys.readouterr().out


def test_more_levels_than_the_encoder_has_are_refused(photographs, tiny_folder, tmp_path, capsys):
    words = ["pretrain", "recognition", "--device", "cpu", "--out", str(tmp_path / "run")]
    words += ["--weights", str(tiny_folder), "--data", str(photographs)]
    words += ["data.detector=none", "recognition.shares=2"]
    assert run(words) == 2
    assert "recognition.shares: face_embedding_shares is 2" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
