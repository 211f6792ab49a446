"""The encoder's features: beside the factors, only when asked for, the same for a mirrored face."""

import numpy as np
import pytest
import torch

import mien
from mien.cli.main import run
from mien.embedding.options import EmbedOptions
from mien.errors import MienError
from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.from_table import describe_from
from mien.evaluate.protocol import Images
from mien.evaluate.tasks.labelled import COLUMNS, FEATURES, SETS, known_sets
from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.recognition import RecognitionNetwork
from mien.media.image import write_png
from mien.model import load
from mien.table.read import read_table
from mien.types import Factors


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for number in range(3):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    (folder / "bad.png").write_text("no image")
    return folder


def test_a_mirrored_face_has_the_same_features(tiny_folder):
    model = load(tiny_folder)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, with_features = model.encode(images), model.encode(images, features=True)
    assert plain.features is None
    assert with_features.features is not None
    assert with_features.features.shape == (4, model.features_dim)
    torch.testing.assert_close(with_features.identity, plain.identity)
    mirrored = model.encode(images.flip(-1), features=True)
    torch.testing.assert_close(mirrored.features, with_features.features)
    assert not torch.allclose(mirrored.texture_code, with_features.texture_code)


@pytest.mark.parametrize("networks", ["small", "paper"])
def test_maps_are_what_codes_are_made_of(networks):
    config = ModelConfig(networks=networks, image_size=32, width=16, texture_dim=8, shape_dim=8)
    net = Autoencoder(config)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = net.maps(images)
    assert maps.shape == (2, net.map_channels, 4, 4)
    torch.testing.assert_close(net.encode(images).maps, maps)
    encoder = net.trunk if networks == "small" else net.encode_texture
    finer, last = encoder.maps(images)
    assert finer.shape[2:] == (8, 8)
    torch.testing.assert_close(encoder.read(last), encoder(images))
    # Of each encoder the finer maps, four pixels' mean each, then the last.
    means = finer.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(maps[:, : encoder.map_channels], torch.cat([means, last], dim=1))


def test_maps_of_the_face_embedding_s_network_are_features_too():
    sizes = {"image_size": 64, "width": 16, "texture_dim": 8, "shape_dim": 8}
    own = {"face_embedding_from": "image", "face_embedding_dim": 6, "face_embedding_shares": 1}
    net = LatentFace(ModelConfig(**sizes, **own))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        factors, maps = net.read(images)
        encoded = net.autoencoder.encode(images)
        network = net.face_embedding
        assert isinstance(network, RecognitionNetwork)
        found = network.maps(encoded.of_trunk[0])
        torch.testing.assert_close(network(encoded.of_trunk[0]), factors.face_embedding)
    assert maps.shape == (2, net.map_channels, 4, 4)
    torch.testing.assert_close(maps, torch.cat([encoded.maps, found], dim=1))
    assert found.shape[1] == net.map_channels - net.autoencoder.map_channels > 0


def test_factors_carry_features_along(tiny_folder):
    model = load(tiny_folder)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    factors = model.encode(images, features=True)
    part, joined = factors[1:3].features, Factors.cat([factors, factors[:1]]).features
    assert factors.features is not None
    assert part is not None
    assert joined is not None
    assert torch.equal(part, factors.features[1:3])
    assert torch.equal(joined[4], factors.features[0])
    assert Factors.cat([factors, model.encode(images)]).features is None


def test_a_table_has_them_when_asked(faces, tiny_folder, tmp_path):
    words = ["embed", str(faces), "--weights", str(tiny_folder), "--detector", "none", "--out"]
    assert run([*words, str(tmp_path / "plain.parquet")]) == 0
    assert run([*words, str(tmp_path / "more.parquet"), "--features"]) == 0
    plain, more = (read_table(tmp_path / f"{name}.parquet") for name in ("plain", "more"))
    dim = load(tiny_folder).features_dim
    assert FEATURES not in plain.code_names
    assert more.codes(FEATURES).shape == (4, dim)
    found = more.frame["face_found"].to_numpy(bool)
    assert np.isfinite(more.codes(FEATURES)).all(axis=1).tolist() == found.tolist()
    np.testing.assert_array_equal(plain.codes("identity"), more.codes("identity"))
    frame = mien.embed([faces], model=load(tiny_folder), detector="none", features=True)
    np.testing.assert_allclose(frame[FEATURES][0], more.codes(FEATURES)[0], atol=1e-6)


def test_protocols_ask_for_them_and_do_without(faces, tiny_folder, tmp_path):
    names = ("0.png", "1.png", "2.png")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    asked = Images(names, lambda row: pixels[row], crop="face")
    by_weights = factors_by_weights(load(tiny_folder))(asked, COLUMNS)
    assert known_sets(by_weights) == tuple(SETS)
    assert by_weights[FEATURES].shape == (3, load(tiny_folder).features_dim)
    table = tmp_path / "t.parquet"
    words = ["embed", str(faces), "--weights", str(tiny_folder), "--detector", "none"]
    assert run([*words, "--out", str(table)]) == 0
    by_table = describe_from(table)(asked, COLUMNS)
    assert known_sets(by_table) == ("expression", "both codes", "all codes")
    assert np.isnan(by_table[FEATURES]).all()


def test_eye_crops_of_eyes_have_none():
    with pytest.raises(MienError, match="leave --features out"):
        EmbedOptions(crop="eyes", features=True)


def test_the_shipped_weights_have_9216():
    assert load().features_dim == 9216
    assert load("fast").features_dim == 4608
