"""The direction of glasses: who wears them is known of rendered people, and it is taken out."""

from __future__ import annotations

import torch

from mien.data import people_cache
from mien.data.options import PeopleDataOptions
from mien.latentface.recognition import RecognitionNetwork
from mien.synth.toy import toy_head


def test_embeddings_say_nothing_on_average_of_what_is_worn():
    generator = torch.Generator().manual_seed(0)
    network = RecognitionNetwork(32, 8, 6).eval()
    images = torch.rand(60, 3, 32, 32, generator=generator)
    worn = torch.arange(60) % 3 == 0
    images[worn, :, 10:16] *= 0.2
    network.mean.copy_(network(images).mean(dim=0) * 0.7)
    before = network(images).detach()
    network.erase(before, worn)
    after, unit = network(images).detach(), torch.nn.functional.normalize(before, dim=1)
    apart = unit[worn].mean(dim=0) - unit[~worn].mean(dim=0)
    assert apart.norm() > 0.05
    q = apart / apart.norm()
    torch.testing.assert_close(after, before - torch.outer(before @ q, q), rtol=1e-4, atol=1e-5)


def test_who_wears_glasses_is_known_of_every_view():
    options = PeopleDataOptions(people=12, views=1)
    worn = people_cache.worn_glasses(toy_head(), image_size=32, options=options, seed=3)
    assert worn.shape == (12, 4)
    # One look in the first two views, another in the last two; glasses are part of a look.
    assert (worn[:, 0] == worn[:, 1]).all()
    assert (worn[:, 2] == worn[:, 3]).all()
    assert (worn[:, 1] != worn[:, 2]).any()
    assert 0 < worn.mean() < 0.6
