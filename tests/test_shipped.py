"""The weights that ship: small enough, safe, and better than chance where it can be seen here."""

import pytest
import torch

from mien import weights
from mien.demo import shipped_clips
from mien.model import Model, load
from mien.pipeline.portrait import read_clip
from mien.types import Factors


@pytest.mark.parametrize("name", weights.SHIPPED)
def test_the_weights_are_small_and_have_a_card(name: str) -> None:
    folder = weights.shipped_folder(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 21_000_000
    card = (folder / weights.CARD_FILE).read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\n")
    data = card.split("## Training data and consent")[1].split("\n## ")[0]
    assert "FairFace" in data
    assert not any(name in data for name in ("FER-2013", "Labeled Faces", "CelebA"))
    assert "Known failures" in card


@pytest.mark.parametrize("name", weights.SHIPPED)
def test_they_run_by_the_graphs_of_the_package(name: str) -> None:
    assert load(name).engine == "onnx"


def test_the_fast_ones_have_the_others_decoders_and_narrower_encoders() -> None:
    (whole, fast), names = (load(name, engine="torch") for name in ("mien", "fast")), []
    own, theirs = fast.network.state_dict(), whole.network.state_dict()
    for name, value in theirs.items():
        if name.startswith("autoencoder.decode"):
            names.append(name)
            assert torch.equal(own[name], value), name
    assert len(names) > 20
    assert fast.network.config.encoders_width < whole.network.config.encoders_width
    clip = read_clip(min(shipped_clips().glob("*.mp4")), detector="none", size=64)
    one, other = fast.encode(clip), whole.encode(clip)
    turned = one.pose.rotation[:, :, 2] - other.pose.rotation[:, :, 2]
    assert turned.norm(dim=1).mean() < 0.05
    # Each has a basis of its own; what the decoders are given is alike.
    found, expected = _raw_texture(fast, one), _raw_texture(whole, other)
    missed = (found - expected).square().mean()
    assert missed < 0.2 * (expected - expected.mean(dim=0)).square().mean()


def _raw_texture(model: Model, factors: Factors) -> torch.Tensor:
    network = model.network
    assert network.texture_basis is not None
    scaled = network.texture_basis.inverse(factors.texture_code)
    return network.texture_scale.inverse(scaled)


@pytest.mark.parametrize("name", weights.SHIPPED)
def test_frames_of_one_person_are_nearer_than_frames_of_two(name: str) -> None:
    model = load(name)
    clips = [read_clip(c, detector="none", size=64) for c in sorted(shipped_clips().glob("*.mp4"))]
    codes = torch.stack([model.encode(clip).identity.mean(dim=0) for clip in clips])
    alone = torch.stack([model.encode(clip[:1]).identity[0] for clip in clips])
    centre = codes.mean(dim=0)
    near = torch.nn.functional.cosine_similarity(
        (alone - centre)[:, None], (codes - centre)[None], dim=2
    )
    assert (near.argmax(dim=1) == torch.arange(len(clips))).float().mean() >= 0.75


def test_a_mirrored_image_has_the_mirrored_pose() -> None:
    model = load()
    clip = read_clip(min(shipped_clips().glob("*.mp4")), detector="none", size=64)
    forward = model.encode(clip).pose.rotation[:, :, 2]
    mirrored = model.encode(clip.flip(-1)).pose.rotation[:, :, 2]
    assert torch.corrcoef(torch.stack([forward[:, 0], -mirrored[:, 0]]))[0, 1] > 0.9
    assert (forward[:, 1] - mirrored[:, 1]).abs().mean() < 0.1


def test_an_empty_batch_gives_empty_factors() -> None:
    factors = load().encode(torch.zeros(0, 3, 224, 224))
    assert factors.gaze is not None
    assert (len(factors), len(factors.gaze)) == (0, 0)
