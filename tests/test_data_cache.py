from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_clips import write_clips
from mien.data import cache as caching, content
from mien.data.cache import build_cache, open_cache
from mien.data.labels import read_rotations
from mien.data.options import DataOptions
from mien.data.sources import absolute, find_sources
from mien.errors import MienError
from mien.faces.face import Face
from mien.media.image import write_png
from mien.media.video import write_mp4
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig


def image(value, height=40, width=40):
    rng = np.random.default_rng(value)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Four stills under two label folders, one copy, one broken file and one that is no image."""
    root = tmp_path / "images"
    for number, name in enumerate(["happy/a.png", "happy/b.png", "sad/a.png", "top.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(root / name, image(number))
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (root / "empty.png").write_bytes(b"")
    (root / "notes.txt").write_text("no image")
    return root


def built(given, cache, *, size=32, say=lambda _: None, **options):
    made: dict[str, Any] = {"detector": "none", **options}
    where = build_cache(given, cache, image_size=size, options=DataOptions(**made), report=say)
    return open_cache(where)


def test_a_folder_holds_stills_whatever_its_folders_are_called(folder, tmp_path):
    said = []
    found = built([folder], tmp_path / "cache", say=said.append)
    assert len(found) == 4
    assert found.clip.tolist() == [-1] * 4
    assert sum(found.skipped.values()) == 2
    assert found.crops.shape == (4, 40, 40, 3)
    assert any("cached 4 crops: 4 stills, 0 clips" in line for line in said)
    assert any("broken.jpg" in line for line in said)


def test_the_crop_stands_in_the_middle_and_its_edge_goes_on(folder, tmp_path):
    found = built([folder / "top.png"], tmp_path / "cache", size=40, margin=0.1)
    crop = found.crops[0]
    assert crop.shape == (48, 48, 3)
    assert np.array_equal(crop[4:44, 4:44], image(3))
    assert np.array_equal(crop[0, 4:44], image(3)[0])


def test_a_cache_is_found_again_wherever_the_data_is(folder, tmp_path, monkeypatch):
    first = built([folder], tmp_path / "cache")
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    monkeypatch.setattr(caching, "write_rows", None)  # must not be needed again
    assert built([moved], tmp_path / "cache").key == first.key


def test_other_content_or_options_are_another_cache(folder, tmp_path):
    keys = {built([folder], tmp_path / "cache").key}
    keys.add(built([folder], tmp_path / "cache", margin=0.25).key)
    keys.add(built([folder], tmp_path / "cache", size=16).key)
    write_png(folder / "top.png", image(9), overwrite=True)
    keys.add(built([folder], tmp_path / "cache").key)
    assert len(keys) == 4


def test_a_large_file_is_hashed_in_places(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_WHOLE", 10)
    monkeypatch.setattr(content, "_SPOT", 4)
    file = tmp_path / "large"
    file.write_bytes(bytes(range(200)))
    first = content._content(file)  # pyright: ignore[reportPrivateUsage]
    file.write_bytes(bytes(range(199)) + b"x")
    assert content._content(file) != first  # pyright: ignore[reportPrivateUsage]


def test_a_zip_holds_stills(folder, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder))
    found = built([archive], tmp_path / "cache")
    direct = built([folder], tmp_path / "cache")
    assert len(found) == 4
    assert sorted(map(bytes, found.crops)) == sorted(map(bytes, direct.crops))


def test_clips_are_folders_of_frames(tmp_path):
    for person in ("person_000001", "person_000002"):
        for frame in range(3):
            path = tmp_path / "clips" / person / f"frame_{frame:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, image(frame))
    source = tmp_path / "clips"
    found = built([f"clips:{source}"], tmp_path / "cache")
    assert found.clip.tolist() == [0, 0, 0, 1, 1, 1]
    assert built([source], tmp_path / "cache").clip.tolist() == [-1] * 6
    (source / "labels.parquet").write_bytes(b"")  # what `mien synth` leaves beside its clips
    assert built([source], tmp_path / "cache").clip.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_video_is_a_clip_of_sampled_frames(tmp_path):
    video = tmp_path / "talk.mp4"
    write_mp4(video, [image(1, 32, 48)] * 7, fps=25)
    found = built([video], tmp_path / "cache", every=3)
    assert found.clip.tolist() == [0, 0, 0]


def test_a_table_of_faces_is_cut_from_its_images(tmp_path):
    group = np.zeros((60, 90, 3), np.uint8)
    group[10:30, 50:70] = 255
    write_png(tmp_path / "group.png", group)
    write_mp4(tmp_path / "talk.mp4", [image(2, 32, 32)] * 4, fps=25)
    rows = [
        ("group.png", 0, None, True, 50.0, 10.0, 70.0, 30.0),
        ("group.png", 0, None, True, 0.0, 30.0, 20.0, 50.0),
        ("talk.mp4", 0, 4, True, 0.0, 0.0, 32.0, 32.0),
        ("talk.mp4", 2, 4, True, 0.0, 0.0, 32.0, 32.0),
        ("talk.mp4", 2, 5, True, 8.0, 8.0, 24.0, 24.0),
        ("talk.mp4", 3, None, False, None, None, None, None),
    ]
    names = ["path", "frame", "track_id", "face_found", "x1", "y1", "x2", "y2"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns).replace_schema_metadata({"mien.detector": "none"})
    pq.write_table(table, tmp_path / "faces.parquet")
    found = built([tmp_path / "faces.parquet"], tmp_path / "cache", size=16, margin=0.0)
    means = sorted(float(crop[1:-1, 1:-1].mean()) for crop in found.crops[:2])
    assert means == [0.0, 255.0]
    assert found.clip.tolist() == [-1, -1, 0, 0, 1]


def test_images_to_be_left_out_are_known_by_their_pixels(folder, tmp_path):
    write_png(tmp_path / "test.png", image(1))
    found = built([folder], tmp_path / "cache", exclude=(str(tmp_path / "test.png"),))
    assert len(found) == 3
    assert found.skipped["excluded"] == 1


def test_a_detector_that_finds_nothing_is_said(folder, tmp_path):
    with pytest.raises(MienError, match="4 no face is found"):
        built([folder], tmp_path / "cache", detector="haar")


def test_nothing_half_made_is_left_and_stale_leavings_are_swept(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    key = built([folder], cache).key
    shutil.rmtree(cache / key)
    old = cache / f".{key}.1"
    old.mkdir()
    (old / "crops.u8").write_bytes(b"")
    os.utime(old / "crops.u8", (0, 0))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(caching, "_plain_text", full)
        with pytest.raises(MienError, match="no space left"):
            built([folder], cache)
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_refused(folder, tmp_path):
    found = built([folder], tmp_path / "cache")
    (tmp_path / "cache" / found.key / "crops.u8").write_bytes(b"short")
    with pytest.raises(MienError, match="delete it"):
        built([folder], tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "does not exist"),
        ("nothing", "nothing"),
        ("notes.txt", r"notes\.txt"),
        ("bad.zip", "no whole zip"),
        ("bad.parquet", "no Parquet file that can be read"),
        ("synth:missing", "does not exist"),
    ],
)
def test_sources_of_no_use_are_refused(tmp_path, name, message):
    (tmp_path / "nothing").mkdir()
    for file in ("notes.txt", "bad.zip", "bad.parquet"):
        (tmp_path / file).write_text("text")
    prefix, _, rest = name.rpartition(":")
    given = f"{prefix}:{tmp_path / rest}" if prefix else tmp_path / name
    with pytest.raises(MienError, match=message):
        find_sources([given])


def test_no_source_at_all_is_refused():
    with pytest.raises(MienError, match="--data"):
        find_sources([])


def test_sources_mean_the_same_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    assert absolute("a") == str(here / "a")
    assert absolute("clips:a") == f"clips:{here / 'a'}"
    (here / "head.npz").write_bytes(b"")
    assert absolute("synth:head.npz") == f"synth:{here / 'head.npz'}"
    assert find_sources(["synth:head.npz"]).streams == [Path("head.npz")]


def test_photographs_are_detected_and_rendered_crops_are_known(folder, tmp_path):
    assert DataOptions().detector == "auto"
    said: list[str] = []
    with pytest.raises(MienError, match=r"no face is found.*data\.detector=none"):
        built([folder], tmp_path / "cache", say=said.append, detector="haar")
    assert any("faces are detected by haar" in line for line in said)
    write_clips(toy_head(), SynthConfig(identities=2, frames=2, size=40), tmp_path / "clips")
    plain = built([tmp_path / "clips"], tmp_path / "cache")
    known = built([tmp_path / "clips"], tmp_path / "cache", say=said.append, detector="haar")
    assert len(known) == 4
    assert np.array_equal(known.crops, plain.crops)
    assert known.key != plain.key


def test_two_runs_may_make_one_cache_at_once(tmp_path):
    target, made = tmp_path / "key", []

    def fill(folder):
        """Write a cache; the first to come lets a second run make the same one meanwhile."""
        first = not made
        made.append(folder)
        if first:
            assert caching.fill_folder(target, fill) == target
        (folder / "items.u8").write_bytes(b"12")
        (folder / "cache.json").write_text("{}")

    assert caching.fill_folder(target, fill) == target
    assert len(set(made)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert caching.is_cache(target)


def test_rendered_crops_know_their_heads_rotation(tmp_path):
    source = tmp_path / "people"
    write_clips(toy_head(), SynthConfig(2, 3, size=48, seed=2, turns="wide"), source)
    found = built([source], tmp_path / "cache")
    table = pq.read_table(source / "labels.parquet")
    truth = np.array(table["rotation"].to_pylist(), dtype=np.float32).reshape(-1, 3, 3)
    assert found.rotation is not None
    assert np.allclose(found.rotation, truth)
    assert found.clip.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.real is not None
    # The crop is the image, its room around it is not.
    room = 4 / 40
    assert np.allclose(found.real, [[room, room, 1 - room, 1 - room]] * 6, atol=1e-6)


def test_photographs_are_turned_where_their_landmarks_are_known(folder, tmp_path, monkeypatch):
    marks = np.array([[13, 15], [25, 15], [19, 21], [14, 28], [24, 28]], np.float32)

    class Fixed:
        name = "fixed"

        def __call__(self, pixels):
            return [Face((5.0, 5.0, 35.0, 35.0), 1.0, landmarks=marks, framing="yunet")]

    monkeypatch.setattr(caching, "open_detector", lambda name: Fixed())
    options, said = DataOptions(turned=2, detector="yunet"), []
    where = build_cache(
        [folder],
        tmp_path / "cache",
        image_size=32,
        options=options,
        head=toy_head(),
        report=said.append,
    )
    found = open_cache(where)
    assert len(found) == 4 * 3
    assert set(found.clip.tolist()) == {-1}
    assert found.rotation is not None
    assert np.isfinite(found.rotation).all()
    turn = found.rotation[1::3] @ found.rotation[::3].transpose(0, 2, 1)
    assert (np.abs(turn - np.eye(3)).max(axis=(1, 2)) > 0.02).all()
    without = build_cache([folder], tmp_path / "other", image_size=32, options=options)
    assert len(open_cache(without)) == 4


@pytest.mark.parametrize(
    "columns",
    [
        {"rotation": [[1.0, 0.0, 0.0]]},
        {"rotation": [None]},
        {"rotation": ["a"]},
        {"turn": [[0.0] * 9]},
    ],
)
def test_labels_of_another_shape_are_one_line(columns, tmp_path):
    pq.write_table(pa.table({"path": ["a.png"], **columns}), tmp_path / "labels.parquet")
    with pytest.raises(MienError, match=r"labels\.parquet is no table of `mien synth` \(.+\)"):
        read_rotations([tmp_path])
