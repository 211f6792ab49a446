"""Codes of clips, from which stage 2 learns: every clip as it is and mirrored."""

import numpy as np
import torch

from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.train.recipes.clip_codes import clip_codes

SMALL = ModelConfig(
    image_size=32, width=8, feature_dim=16, texture_dim=4, shape_dim=4, neutral_width=8
)


def test_every_clip_is_followed_by_its_mirror_image():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = Autoencoder(SMALL).eval()
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), np.uint8)
    texture, shape = clip_codes(model, iter(clips), torch.device("cpu"), lambda _: None)
    assert texture.shape == shape.shape == (4, 3, 4)
    for number, clip in enumerate(clips):
        images = torch.from_numpy(clip.copy()).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            plain, mirrored = model.encode(images), model.encode(images.flip(-1))
        torch.testing.assert_close(texture[2 * number], plain.texture, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(texture[2 * number + 1], mirrored.texture, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(shape[2 * number + 1], mirrored.shape, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(plain.texture, mirrored.texture, atol=1e-3)
