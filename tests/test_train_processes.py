"""Several processes: shared work, data built once per node, parameters without a gradient."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.cache import CropCache
from mien.errors import MienError
from mien.gaze.localizer import EyeLocalizer
from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.stage1 import Stage1Weights
from mien.train import engine
from mien.train.recipes.clips import ClipImages, clip_codes, clip_maps
from mien.train.recipes.gaze_objectives import LocalizerObjective
from mien.train.recipes.stage1 import AutoencoderObjective
from mien.train.recipes.stage2 import NeutralObjective

CONFIG = ModelConfig(
    image_size=32,
    width=16,
    feature_dim=32,
    texture_dim=16,
    shape_dim=16,
    neutral_width=16,
    neutral_blocks=1,
)


class Processes:
    """Threads that stand for the processes of a run."""

    def __init__(self, world, nodes=1):
        self.world, self.nodes = world, nodes
        self.barrier = threading.Barrier(world)
        self.given: list[Any] = [None] * world

    def gather(self, rank, value):
        self.given[rank] = value
        self.barrier.wait(timeout=60)
        found = list(self.given)
        self.barrier.wait(timeout=60)
        return found

    def run(self, work):
        """Return work(fabric) of every process."""
        results: list[Any] = [None] * self.world
        errors: list[Exception] = []

        def one(rank):
            try:
                results[rank] = work(FakeFabric(self, rank))
            except Exception as error:  # noqa: BLE001 - raised below, in the test's own thread
                errors.append(error)

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results


class FakeFabric:
    def __init__(self, processes: Processes, rank: int) -> None:
        self.processes, self.global_rank = processes, rank
        self.world_size, self.device = processes.world, torch.device("cpu")
        local = processes.world // processes.nodes
        self.node_rank, self.local_rank = divmod(rank, local)

    def all_gather(self, tensor):
        return torch.stack(self.processes.gather(self.global_rank, tensor))


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Autoencoder(CONFIG)


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (40, 36, 36, 3), dtype=np.uint8)
    clip = np.repeat([-1, 0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 1, 6, 6, 6, 6]).astype(np.int64)
    return ClipImages.of(
        CropCache(crops, clip, "key", {}),
        None,
        frames=3,
        stream_clips=0,
        image_size=32,
        rng=np.random.default_rng(1),
    )


@pytest.mark.parametrize(("world", "at_once"), [(2, 1), (3, 2), (4, 4)])
def test_processes_encode_the_clips_together_as_one_does(model, clips, world, at_once):
    assert len(clips) == 6  # a clip of one frame is none

    def codes(fabric):
        return clip_codes(model, clips, fabric, lambda _: None, at_once=at_once)

    def maps(fabric):
        return torch.cat(list(clip_maps(model, clips, fabric, at_once=at_once)))

    (alone,) = Processes(1).run(codes)
    assert alone.texture.shape == (12 * 3, 16)
    assert alone.view.shape == (12 * 3, 7)
    # Other numbers of clips are encoded at once, whose sums may be rounded otherwise.
    for found in Processes(world).run(codes):
        for name in ("texture", "shape", "view"):
            one, other = getattr(found, name), getattr(alone, name)
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    (one,) = Processes(1).run(maps)
    for found in Processes(world).run(maps):
        torch.testing.assert_close(found, one, rtol=0, atol=1e-5)


def test_each_clip_is_encoded_once_and_stands_before_its_mirror_image(model, clips):
    seen = []

    def counted(fabric):
        def compute(part):
            seen.extend(part)
            return torch.tensor(list(part))

        return torch.cat(list(engine.in_turn(clips.parts(2), compute, fabric, rows=2)))

    for found in Processes(3).run(counted):
        assert found.tolist() == list(range(6))
    assert sorted(seen) == list(range(6))
    (codes,) = Processes(1).run(lambda f: clip_codes(model, clips, f, lambda _: None))
    images = torch.from_numpy(clips.read(range(2, 3)).copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        plain, mirrored = model.encode(images), model.encode(images.flip(-1))
    texture, shape, view = (
        each.unflatten(0, (-1, 3)) for each in (codes.texture, codes.shape, codes.view)
    )
    torch.testing.assert_close(texture[4], plain.texture, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shape[5], mirrored.shape, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(view[5, :, :3], mirrored.angles, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(view[4, :, 6], plain.light.diffuse, rtol=1e-4, atol=1e-5)


def test_data_are_built_once_per_node(monkeypatch):
    processes = Processes(4, nodes=2)
    built = []

    def gather(found, value):
        found[:] = processes.gather(ranks[threading.get_ident()], value)

    ranks = {}
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)

    def work(fabric, name="key"):
        ranks[threading.get_ident()] = fabric.global_rank

        def build():
            built.append(fabric.global_rank)
            return Path(f"/node{fabric.node_rank}") / name

        return engine.once_per_node(fabric, build)

    found = processes.run(work)
    assert sorted(built) == [0, 2]
    assert found == [Path("/node0/key")] * 2 + [Path("/node1/key")] * 2
    with pytest.raises(MienError, match="different data"):
        processes.run(lambda fabric: work(fabric, f"key{fabric.node_rank}"))


def gradients(objective, batch):
    objective.compute(batch, 0, torch.Generator().manual_seed(0)).total.backward()
    return [name for name, p in objective.module.named_parameters() if p.grad is None]


@pytest.mark.parametrize("clip", [[0, 0, -1, -1], [-1, -1, -1, -1]])
@pytest.mark.parametrize("networks", ["small", "paper"])
def test_stage_1_uses_all_parameters_with_and_without_clips(clip, networks):
    objective = AutoencoderObjective(
        Autoencoder(ModelConfig(networks=networks, width=16, feature_dim=32)), Stage1Weights()
    )
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = {"input": images, "image": images, "clip": torch.tensor(clip)}
    assert not objective.unused_parameters
    assert gradients(objective, batch) == []


@pytest.mark.parametrize("neutral", ["diffusion", "regression"])
def test_stage_2_uses_all_parameters(neutral):
    network = LatentFace(
        ModelConfig(image_size=32, texture_dim=16, shape_dim=16, neutral=neutral, neutral_width=16)
    )
    objective = NeutralObjective(network.neutral_texture, network.neutral_shape, "constant")
    codes = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
    names = ("texture", "texture_target", "shape", "shape_target")
    assert not objective.unused_parameters
    assert gradients(objective, dict.fromkeys(names, codes)) == []


def test_only_stages_that_may_leave_parameters_out_look_for_them(monkeypatch):
    strategy = engine._StageDDP()  # pyright: ignore[reportPrivateUsage]
    seen = []
    monkeypatch.setattr(
        engine.DDPStrategy, "setup_module", lambda self, module: seen.append(self._ddp_kwargs)
    )
    for unused in (False, True):
        module = torch.nn.Module()
        module.unused_parameters = unused  # type: ignore[assignment]
        strategy.setup_module(module)
        assert seen[-1]["find_unused_parameters"] is unused
    assert not LocalizerObjective(EyeLocalizer()).unused_parameters
