from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.augment import covered, degrade, noise_tiles, sample_variation, turned, vary
from mien.data.batches import STREAM_CLIPS, Sampler
from mien.data.cache import CropCache
from mien.data.loader import Loader, Shard
from mien.data.options import DataOptions
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.geometry.rotation import angles_to_rotation

SIZE, ROOM = 16, 2
CLIP = np.repeat([-1, 0, 1, 2, 3, 4], [15, 5, 5, 5, 1, 9]).astype(np.int64)
NONE = DataOptions(
    max_shift=0,
    max_log_scale=0,
    max_rotation=0,
    hflip_prob=0,
    colour_jitter=0,
    grayscale_prob=0,
    blur_prob=0,
    max_noise_std=0,
    margin=ROOM / SIZE,
)


def sampler(**changes):
    options = {"seed": 1, "batch_size": 12, "frames": 3, "stills_fraction": 0.5}
    return Sampler(CLIP, **{**options, **changes})


def toy_crops():
    rng = np.random.default_rng(3)
    side = SIZE + 2 * ROOM
    return CropCache(
        rng.integers(0, 256, (len(CLIP), side, side, 3), dtype=np.uint8), CLIP, "key", {}
    )


def loader(sampling, options=NONE, **more):
    device = torch.device("cpu")
    return Loader(toy_crops(), sampling, options=options, image_size=SIZE, device=device, **more)


def test_seeds_depend_on_every_part_and_its_kind():
    seeds = {seed_of(1, "a"), seed_of(2, "a"), seed_of(1, "b"), seed_of("1", "a"), seed_of(1)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = sampler(), sampler()
    other.sample(3)
    for step in (0, 7):
        assert np.array_equal(one.sample(step).row, other.sample(step).row)
    assert not np.array_equal(one.sample(0).row, one.sample(1).row)
    assert not np.array_equal(one.sample(0).row, sampler(seed=2).sample(0).row)


def test_clips_come_whole_and_then_stills():
    rows = sampler().sample(0)
    assert rows.first.tolist() == [0, 0, 0, 3, 3, 3, 6, 7, 8, 9, 10, 11]
    for start in (0, 3):
        frames = rows.row[start : start + 3]
        assert len(set(frames)) == 3
        assert set(CLIP[frames].tolist()) == {int(CLIP[frames[0]])}
        assert CLIP[frames[0]] >= 0
    assert set(rows.clip[6:]) == {-1}
    assert rows.clip[0] != rows.clip[3]


def test_every_still_is_met_once_in_an_epoch_and_one_frame_is_a_still():
    sampled = np.concatenate([sampler(stills_fraction=1.0).sample(step).row for step in range(4)])
    assert sorted(sampled[:16]) == [*range(15), 30]
    assert sorted(sampled[16:32]) == [*range(15), 30]
    assert sampled[:16].tolist() != sampled[16:32].tolist()


def test_every_clip_is_met_once_in_an_epoch():
    clips = np.concatenate(
        [sampler(stills_fraction=0.0).sample(step).clip[::3] for step in range(2)]
    )
    assert sorted(clips.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_short_clip_repeats_its_frames():
    rows = Sampler(np.array([0, 0]), seed=0, batch_size=5, frames=5, stills_fraction=0.5).sample(0)
    assert set(rows.row) == {0, 1}


def test_what_is_not_there_takes_no_part():
    stills = np.full(4, -1)
    assert Sampler(stills, seed=0, batch_size=8, frames=2, stills_fraction=0.5).n_stills == 8
    clips = np.array([0, 0, 1, 1])
    assert Sampler(clips, seed=0, batch_size=8, frames=2, stills_fraction=0.5).n_clips == 4


def test_endless_clips_never_repeat():
    batches = [sampler(stream_fraction=0.5).sample(step) for step in range(3)]
    numbers = np.concatenate([batch.stream for batch in batches])
    assert numbers.tolist() == [0, 1, 2]
    assert (batches[2].clip[3:6] == STREAM_CLIPS + 2).all()
    assert (batches[2].row[3:6] == -1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stills_fraction": 0.0, "batch_size": 10}, "multiple of frames"),
        ({"batch_size": 2, "stills_fraction": 0.0}, "multiple of frames"),
    ],
)
def test_impossible_batches_are_refused(changes, message):
    with pytest.raises(MienError, match=message):
        sampler(**changes)


def test_a_stage_of_clips_without_clips_is_refused():
    with pytest.raises(MienError, match="needs clips"):
        Sampler(np.full(4, -1), seed=0, batch_size=8, frames=2, stills_fraction=0.0)


def test_processes_share_a_batch_without_splitting_a_clip():
    whole = sampler()
    shards = [whole.shard(rank, 2) for rank in range(2)]
    assert shards[0].tolist() == [0, 1, 2, 6, 7, 8]
    assert sorted(np.concatenate(shards).tolist()) == list(range(12))
    with pytest.raises(MienError, match="2 clips in a batch cannot be divided among 4"):
        whole.shard(0, 4)


def test_no_variation_is_the_middle_of_the_crop():
    batch = next(iter(loader(sampler()).iterate(0, 1)))
    rows = sampler().sample(0).row
    middle = torch.from_numpy(toy_crops().crops[rows])[:, ROOM:-ROOM, ROOM:-ROOM].permute(
        0, 3, 1, 2
    )
    assert torch.allclose(batch["image"], middle / 255, atol=1e-5)
    assert torch.equal(batch["image"], batch["input"])
    assert batch["clip"].tolist() == sampler().sample(0).clip.tolist()
    assert batch["index"].tolist() == list(range(12))


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_where_one_starts_or_on_threads(workers):
    options = DataOptions(workers=workers, margin=ROOM / SIZE)
    whole = list(loader(sampler(), options).iterate(0, 6))
    later = list(loader(sampler(), options).iterate(4, 6))
    for one, other in zip(whole[4:], later, strict=True):
        assert all(torch.allclose(one[name], other[name], 0, 0, equal_nan=True) for name in one)
    assert whole[0]["image"].shape == (12, 3, SIZE, SIZE)
    assert float(whole[0]["image"].min()) >= 0
    assert float(whole[0]["image"].max()) <= 1


def test_processes_together_see_the_batch_of_one():
    options = DataOptions(blur_prob=0.5, margin=ROOM / SIZE)
    whole = next(iter(loader(sampler(), options).iterate(2, 3)))
    for rank in range(2):
        part = next(iter(loader(sampler(), options, shard=Shard(rank, 2)).iterate(2, 3)))
        for name in ("image", "input", "clip"):
            assert torch.allclose(part[name].float(), whole[name][part["index"]].float(), atol=1e-6)


def test_closing_early_leaves_no_thread():
    batches = loader(sampler()).iterate(0, 1000)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]


@dataclass
class Labels:
    rotation: np.ndarray


@dataclass
class Rendered:
    images: np.ndarray
    labels: Labels


class Stream:
    """Clip i is filled with the colour i."""

    def clip(self, index):
        ahead = Labels(np.repeat(np.eye(3, dtype=np.float32)[None], 8, axis=0))
        return Rendered(np.full((8, 3, SIZE, SIZE), index, np.uint8), ahead)


def test_endless_clips_are_rendered_in_place():
    sampling = sampler(stream_fraction=0.5)
    batches = list(loader(sampling, stream=Stream()).iterate(0, 3))
    found = [round(float(batch["image"][3:6].mean() * 255)) for batch in batches]
    assert found == [0, 1, 2]


def test_a_loader_of_a_stream_alone():
    sampling = Sampler(
        np.empty(0, np.int64),
        seed=0,
        batch_size=6,
        frames=3,
        stills_fraction=0.5,
        stream_fraction=1.0,
    )
    device = torch.device("cpu")
    stream: Any = Stream()
    alone = Loader(None, sampling, options=NONE, image_size=SIZE, device=device, stream=stream)
    batch = next(iter(alone.iterate(5, 6)))
    assert (batch["image"][:, 0, 0, 0] * 255).round().tolist() == [10.0] * 3 + [11.0] * 3


def test_the_fingerprint_knows_data_and_composition():
    prints = {loader(sampler(**c)).fingerprint for c in ({}, {"frames": 2}, {"seed": 5})}
    assert len(prints) == 3


def variation(options, first=None, batch=64):
    generator = torch.Generator().manual_seed(0)
    first = torch.arange(batch) if first is None else first
    return sample_variation(first, SIZE, options, generator)


def test_a_mirrored_crop_is_the_mirrored_image():
    crops = torch.from_numpy(toy_crops().crops[:4].copy())
    options = replace(NONE, hflip_prob=1)
    mirrored = vary(crops, variation(options, batch=4), SIZE)
    plain = vary(crops, variation(NONE, batch=4), SIZE)
    assert torch.allclose(mirrored, plain.flip(-1), atol=1e-5)


def test_a_shift_moves_by_its_fraction_of_the_side():
    sampled = variation(replace(NONE, max_shift=0.1))
    assert float(sampled.affine[:, :, 2].abs().max()) <= 0.1 * SIZE
    assert float(sampled.affine[:, :, 2].abs().max()) > 0.08 * SIZE


@pytest.mark.parametrize("per_clip", [False, True])
def test_frames_of_a_clip_share_mirror_and_colour_and_place_if_asked(per_clip):
    first = torch.tensor([0, 0, 0, 3, 3, 3])
    sampled = variation(DataOptions(per_clip=per_clip, grayscale_prob=0.5), first)
    for name in ("gain", "contrast", "saturation"):
        values = getattr(sampled, name)
        assert torch.equal(values, values[first])
    mirrored = sampled.affine[:, 0, 0] < 0
    assert torch.equal(mirrored, mirrored[first])
    assert torch.equal(sampled.affine, sampled.affine[first]) is per_clip


def test_grey_has_no_colour():
    sampled = variation(DataOptions(grayscale_prob=1.0, colour_jitter=0.0), batch=4)
    images = vary(torch.from_numpy(toy_crops().crops[:4].copy()), sampled, SIZE)
    assert float((images - images.mean(dim=1, keepdim=True)).abs().max()) < 1e-6


def test_a_poorer_camera_blurs_and_adds_noise_of_the_sampled_strength():
    tiles = noise_tiles(SIZE, 0)
    grey = torch.full((64, 3, SIZE, SIZE), 0.5)
    sampled = variation(DataOptions(max_noise_std=0.05, blur_prob=0.0))
    std = (degrade(grey, sampled, tiles) - grey).std(dim=(1, 2, 3))
    assert torch.allclose(std, sampled.noise.abs(), rtol=0.15, atol=1e-4)
    sharp = torch.rand(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    sampled = variation(DataOptions(max_noise_std=0.0, blur_prob=0.5))
    soft = degrade(sharp, sampled, tiles)
    rows = sampled.blurred.tolist()
    assert 15 < len(rows) < 50
    other = [row for row in range(64) if row not in rows]
    assert torch.equal(soft[other], sharp[other])
    assert float(soft[rows].std()) < 0.6 * float(sharp[rows].std())


def test_a_rotation_keeps_angles_and_lengths():
    options = replace(NONE, max_rotation=1.0)
    linear = variation(options).affine[:, :, :2]
    identity = torch.eye(2).expand_as(linear)
    assert torch.allclose(linear @ linear.transpose(1, 2), identity, atol=1e-5)
    assert torch.allclose(torch.linalg.det(linear), torch.ones(len(linear)), atol=1e-5)
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    assert float(angle.min()) < -0.8
    assert float(angle.max()) > 0.8
    flipped = variation(replace(options, hflip_prob=1.0)).affine[:, :, :2]
    assert torch.allclose(flipped @ flipped.transpose(1, 2), identity, atol=1e-5)
    assert torch.allclose(torch.linalg.det(flipped), -torch.ones(len(linear)), atol=1e-5)
    # A flipped image is first rotated, then flipped: the rotation is that of the plain one.
    assert torch.allclose(flipped[:, :, 0], -linear[:, :, 0], atol=1e-6)
    assert torch.allclose(flipped[:, :, 1], linear[:, :, 1], atol=1e-6)


def test_a_scale_is_the_exponential_of_at_most_its_logarithm():
    linear = variation(replace(NONE, max_log_scale=0.2)).affine[:, :, :2]
    scale = torch.linalg.det(linear).sqrt().log()
    assert torch.allclose(linear, scale.exp()[:, None, None] * torch.eye(2), atol=1e-5)
    assert 0.18 < float(scale.abs().max()) <= 0.2


@pytest.mark.parametrize("per_clip", [False, True])
def test_all_frames_of_a_clip_get_the_same_colours(per_clip):
    options = replace(
        NONE, per_clip=per_clip, max_rotation=0.3, colour_jitter=0.5, grayscale_prob=0.3
    )
    first = torch.arange(8).repeat_interleave(4) * 4
    crops = torch.randint(
        0, 256, (1, 20, 20, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    ).expand(32, 20, 20, 3)
    sampled = variation(options, first)
    # The same image in every frame, and no change of place: only colours are left.
    plain = variation(NONE, first)
    images = vary(crops, replace(sampled, affine=plain.affine), SIZE).unflatten(0, (8, 4))
    for frame in range(1, 4):
        assert torch.equal(images[:, frame], images[:, 0])
    assert len(images[:, 0].mean(dim=(1, 2, 3)).unique()) == 8


def test_known_rotations_turn_with_the_crop():
    # Three landmarks of a head before a far camera, as they stand in the varied crop.
    options = DataOptions(max_shift=0, max_log_scale=0.1, max_rotation=0.5, hflip_prob=0.5)
    variation = sample_variation(torch.arange(40), SIZE, options, torch.Generator().manual_seed(0))
    rotation = angles_to_rotation(
        *(0.5 * torch.randn(3, 40, generator=torch.Generator().manual_seed(1)))
    )
    points = torch.tensor([[-1.0, 0.3, -0.5], [1.0, 0.3, -0.5], [0.0, 0.1, -1.2]])
    seen = (rotation @ points.T)[:, :2]
    # From output to input, the other way round; scaled.
    where = torch.linalg.solve(variation.affine[:, :, :2], seen)
    mirrored = variation.affine[:, :, :2].det() < 0
    assert mirrored.any()
    assert not mirrored.all()
    found = turned(rotation, variation)
    assert torch.allclose(found.det(), torch.ones(40), atol=1e-5)
    # A mirrored head's left is its right: the first two points change places.
    order = torch.where(mirrored[:, None], torch.tensor([1, 0, 2]), torch.tensor([0, 1, 2]))
    again = (found @ points.T)[:, :2].gather(2, order[:, None].expand(-1, 2, -1))
    scale = variation.affine[:, :, :2].det().abs().rsqrt()[:, None, None]
    assert torch.allclose(again * scale, where, atol=1e-5)


def test_what_a_file_shows_is_marked_in_the_varied_crop():
    options = DataOptions(max_shift=0.1, max_log_scale=0.1, max_rotation=0.3, margin=ROOM / SIZE)
    side = SIZE + 2 * ROOM
    crops = torch.zeros(20, side, side, 3, dtype=torch.uint8)
    crops[:, 2 : side - 4, 3:-1] = 255
    real = torch.tensor([3.0, 2.0, side - 1.0, side - 4.0]).div(side).expand(20, 4)
    plain = replace(options, colour_jitter=0, grayscale_prob=0)
    variation = sample_variation(torch.arange(20), SIZE, plain, torch.Generator().manual_seed(0))
    shown = vary(crops, variation, SIZE)[:, :1]
    found = covered(real, variation, side, SIZE)
    assert ((shown > 0.5) == (found > 0.5)).float().mean() > 0.98
    assert 0.5 < float(found.mean()) < 0.999


def test_a_batch_has_what_is_known_of_its_crops():
    rotation = np.full((len(CLIP), 3, 3), np.nan, np.float32)
    rotation[::2] = np.eye(3)
    cache = replace(toy_crops(), rotation=rotation)
    device = torch.device("cpu")
    sampling = sampler()
    found = next(
        Loader(cache, sampling, options=NONE, image_size=SIZE, device=device).iterate(0, 1)
    )
    known = torch.from_numpy(sampling.sample(0).row % 2 == 0)
    assert torch.equal(found["rotation"].isfinite().all(dim=(1, 2)), known)
    assert torch.allclose(found["rotation"][known], torch.eye(3))
    assert torch.equal(found["real"], torch.ones(len(known), 1, SIZE, SIZE))
