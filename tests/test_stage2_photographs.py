"""Stage 2 with photographs and their views as clips: which, how often, with whose expressions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from made_clips import write_clips
from mien.data.cache import CropCache
from mien.data.labels import expression_strength, read_expression_weights, without_gaze
from mien.data.loader import Shard
from mien.data.turned import photographs_of
from mien.errors import MienError
from mien.synth.stream import Stream
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig
from mien.train.config import load_config
from mien.train.options import Stage2Options
from mien.train.recipes.clips import ClipImages
from mien.train.recipes.pose import pose_sampler
from mien.train.recipes.stage2 import CodeBatches, Layout

OPTIONS = Stage2Options(batch_size=40, turned_clips=True)
NAMES = [
    *("a.png", "a.png turned 0", "a.png turned 1"),
    *("b.png", "c.png"),
    *("c.png", "c.png turned 0"),  # a second face of the same photograph
    *("v#0", "v#1", "v#2", "v#3", "v#4", "v#0 turned 0"),
    *("r/0", "r/1", "r/2"),
]
CLIP = np.array([-1] * 7 + [0] * 5 + [-1] + [1] * 3)
EXPRESSION = np.array([np.nan] * 13 + [0.7, 0.2, 0.9], np.float32)[:, None].repeat(29, axis=1)


def cached(clip=CLIP, names=NAMES):
    crops = np.random.default_rng(0).integers(0, 256, (len(clip), 40, 40, 3), dtype=np.uint8)
    return CropCache(crops, clip, "key", {}, name=names)


def chosen(cache, **options):
    options = {"frames": 4, "stream_clips": 2, "image_size": 32, **options}
    stream = options.pop("stream", None)
    return ClipImages.of(cache, stream, rng=np.random.default_rng(1), **options)


def layout_of(images):
    layout = Layout.of(images)
    count = int(layout.length.sum())
    generator = torch.Generator().manual_seed(3)
    return layout, [torch.randn(count, 6, generator=generator) for _ in range(2)]


def made_up(*, photographs=5, rendered=4, others=3):
    """Clips of three kinds, two to four frames each, as if they had been encoded."""
    kinds = ["photograph"] * photographs + ["rendered"] * rendered + ["other"] * others
    length = torch.tensor([2 + n % 3 for n in range(len(kinds))]).sort().values
    kinds = np.random.default_rng(0).permutation(kinds)
    layout = Layout(
        length.cumsum(0) - length,
        length,
        torch.from_numpy(kinds == "photograph"),
        torch.from_numpy(kinds == "rendered"),
        torch.where(torch.from_numpy(kinds == "rendered"), torch.tensor(1), torch.tensor(-1)),
        torch.empty(0, 0),
        torch.empty(0, dtype=torch.int64),
    )
    generator = torch.Generator().manual_seed(3)
    codes = [torch.randn(int(length.sum()), 6, generator=generator) for _ in range(2)]
    return layout, codes


def batches(layout, codes, options, **more):
    texture, shape = (code.clone() for code in codes)
    return CodeBatches(texture, shape, layout, options=options, **{"seed": 1, **more})


def rows_of(code, codes):
    """Return which row of all codes each row of a batch is."""
    apart = (code[:, None] - codes).abs().amax(dim=2)
    assert not apart.min(dim=1).values.any()
    return apart.argmin(dim=1)


def test_a_view_belongs_to_the_photograph_before_it():
    found = photographs_of(NAMES, CLIP)
    assert found.tolist() == [0, 0, 0, -1, -1, 5, 5] + [-1] * 9


def test_clips_of_all_kinds_are_found_each_frame_once():
    stream = Stream(toy_head(), seed=1, frames_per_clip=3, size=32)
    images = chosen(cached(), turned=True, expression=EXPRESSION, stream=stream)
    found = [(len(clip.rows), clip.photograph, clip.rendered, clip.stream) for clip in images.clips]
    assert [length for length, *_ in found] == [2, 3, 3, 3, 3, 4]
    assert [clip.rows.tolist() for clip in images.clips if clip.photograph] == [[5, 6], [0, 1, 2]]
    (rendered,) = [c for c in images.clips if c.rendered and c.stream < 0]
    assert rendered.rows[rendered.neutral] == 14
    streamed = [clip for clip in images.clips if clip.stream >= 0]
    assert [clip.stream for clip in streamed] == [0, 1]
    for clip in streamed:
        shown = stream.plan(clip.stream).frames.expression_weights
        weights = without_gaze(shown, stream.head.expression_names)
        assert clip.expression is not None
        assert np.array_equal(clip.expression, weights)
        assert clip.neutral == int(expression_strength(weights).argmin())
    # Frames stand before their mirror images; only they are known to show these weights.
    layout = Layout.of(images)
    numbers = [n for n, clip in enumerate(images.clips) if clip.rendered]
    rows = [torch.arange(len(images.clips[n].rows)) + layout.start[2 * n] for n in numbers]
    assert layout.shown_rows.tolist() == torch.cat(rows).tolist()
    known = [clip.expression for clip in images.clips if clip.expression is not None]
    assert len(known) == len(numbers)
    shown = np.concatenate(known)
    assert np.array_equal(layout.shown.numpy(), shown)
    (video,) = [clip for clip in images.clips if not (clip.rendered or clip.photograph)]
    assert len(set(video.rows.tolist())) == 4
    # Parts hold clips of one length; together they are all.
    parts = images.parts(2)
    assert [number for part in parts for number in part] == list(range(6))
    assert all(len({len(images.clips[n].rows) for n in part}) == 1 for part in parts)
    assert images.read(range(1, 3)).shape == (6, 32, 32, 3)
    assert len(chosen(cached())) == 2


def test_an_unknown_expression_leaves_the_neutral_frame_open():
    unknown = np.where(np.isnan(EXPRESSION), np.nan, np.inf).astype(np.float32)
    images = chosen(cached(), expression=unknown)
    (rendered,) = [clip for clip in images.clips if clip.rendered]
    assert rendered.neutral == -1
    assert rendered.expression is None
    assert not len(Layout.of(images).shown)


def test_a_short_clip_holds_no_frame_in_its_own_target():
    layout, (texture, _) = layout_of(chosen(cached(), turned=True))
    found = layout.targets(texture)
    start = int(layout.start[0])
    assert int(layout.length[0]) == 2
    torch.testing.assert_close(found[start], texture[start + 1])
    torch.testing.assert_close(found[start + 1], texture[start])


def test_the_fractions_are_kept_and_processes_share_a_batch():
    layout, codes = made_up()
    options = replace(OPTIONS, turned_fraction=0.3)
    whole = batches(layout, codes, options, shard=Shard())
    photograph = layout.each_frame(layout.photograph)
    for step, batch in enumerate(whole.iterate(0, 6)):
        rows = rows_of(batch["texture"], codes[0])
        assert int(photograph[rows].sum()) == 12
        assert rows.equal(rows_of(batch["shape"], codes[1]))
        parts = [
            next(batches(layout, codes, options, shard=Shard(r, 3)).iterate(step, step + 1))
            for r in range(3)
        ]
        for name, values in batch.items():
            assert values.equal(torch.cat([part[name] for part in parts]))
    plain = batches(layout, codes, OPTIONS, shard=Shard())
    seen = torch.cat([rows_of(b["texture"], codes[0]) for b in plain.iterate(0, 50)])
    # Every clip is as frequent as any other, and every frame in it.
    assert abs(float(photograph[seen].float().mean()) - 5 / 12) < 0.05
    assert len(set(seen.tolist())) == len(codes[0])
    assert whole.fingerprint != plain.fingerprint


def test_expressions_are_added_to_photographs_and_leave_the_target():
    layout, codes = made_up()
    options = replace(OPTIONS, batch_size=400, added_expression=0.75)
    with_them = batches(layout, codes, options, shard=Shard())
    (found,) = with_them.iterate(5, 6)
    (plain,) = batches(layout, codes, replace(options, added_expression=0), shard=Shard()).iterate(
        5, 6
    )
    for name in ("texture_target", "shape_target"):
        assert found[name].equal(plain[name])
    photograph = layout.each_frame(layout.photograph)[rows_of(plain["texture"], codes[0])]
    added = found["texture"] - plain["texture"]
    changed = added.abs().amax(dim=1) > 0
    assert not (changed & ~photograph).any()
    assert abs(float(changed[photograph].float().mean()) - 0.75) < 0.1
    # What is added is s d, of one frame for both codes, and s is between the bounds.
    apart = [layout.expressions(each) for each in codes]
    rendered = int((layout.length[layout.rendered] - 1).sum())
    assert [len(each) for each in apart] == [rendered, rendered]
    both = torch.cat([added, found["shape"] - plain["shape"]], dim=1)[changed]
    possible = torch.cat(apart, dim=1)
    strength = both @ possible.T / possible.square().sum(dim=1)
    error, which = (both[:, None] - strength[..., None] * possible).norm(dim=2).min(dim=1)
    assert float(error.max()) < 1e-3
    used = strength[torch.arange(len(both)), which]
    assert float(used.abs().max()) <= 1.5
    assert float(used.min()) < -1
    assert float(used.max()) > 1


def test_photographs_targets_have_nothing_along_the_expressions():
    layout, codes = made_up(photographs=12, rendered=9)
    plain = batches(layout, codes, OPTIONS, shard=Shard()).targets
    options = replace(OPTIONS, removed_directions=2)
    photograph = layout.each_frame(layout.photograph)
    made = batches(layout, codes, options, shard=Shard())
    for name, code in zip(("texture", "shape"), codes, strict=True):
        apart = layout.expressions(code)
        directions = torch.linalg.svd(apart, full_matrices=False).Vh[:2].T
        mine = made.targets[name][photograph]
        along = (mine - plain[name][photograph].mean(dim=0)) @ directions
        torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-5, rtol=0)
        assert made.targets[name][~photograph].equal(plain[name][~photograph])
        assert not mine.equal(plain[name][photograph])


def test_the_least_expressive_frame_is_known_from_the_labels(tmp_path):
    write_clips(toy_head(), SynthConfig(identities=2, frames=3, size=32), tmp_path / "people")
    found = read_expression_weights([tmp_path / "people", tmp_path])
    table = pq.read_table(tmp_path / "people" / "labels.parquet")
    shown = np.array(table["expression_weights"].to_pylist())
    assert list(found) == [tmp_path / "people" / name for name in table["path"].to_pylist()]
    strength = expression_strength(np.stack(list(found.values())))
    assert np.allclose(strength, np.linalg.norm(shown, axis=1), atol=1e-6)
    looks = without_gaze(np.array([[3.0, 4.0, 9.0]]), ["a", "b", "eyeLookUp_L"])
    assert looks.tolist() == [[3.0, 4.0]]
    assert expression_strength(looks).tolist() == [5.0]


@pytest.mark.parametrize("name", ["turned_fraction", "added_expression", "removed_directions"])
def test_what_is_about_photographs_needs_them(name):
    with pytest.raises(MienError, match=r"add stage2\.turned_clips=true"):
        load_config("small", [f"stage2.{name}=1"])


def test_only_rendered_people_show_the_readout_a_pose():
    """Photographs' poses, by five landmarks, and those of their views are known less exactly."""
    rotation = np.broadcast_to(np.eye(3, dtype=np.float32), (len(CLIP), 3, 3)).copy()
    rotation[[3, 4, *range(7, 13)]] = np.nan  # stills without views, a video's frames
    config = load_config("small", ["pose.batch_size=9"])
    sampler = pose_sampler(replace(cached(), rotation=rotation), config)
    assert set(sampler.sample(0).row.tolist()) == {13, 14, 15}
    for cache in (
        None,
        replace(cached(), rotation=np.where(CLIP[:, None, None] > 0, np.nan, rotation)),
    ):
        with pytest.raises(MienError, match="add a folder of `mien synth`"):
            pose_sampler(cache, config)
