from __future__ import annotations

import gc
import os
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import mien
from made_model import FakeModel
from mien.embedding import listing
from mien.embedding.options import EmbedOptions
from mien.embedding.quality import sharpness
from mien.embedding.run import embed, embed_to_parquet
from mien.embedding.summary import LEFT_OUT, NO_FACE, Status
from mien.errors import MienError
from mien.media.frame import Frame
from mien.media.image import write_png
from mien.media.inputs import Source
from mien.media.video import write_mp4
from mien.model import Model
from mien.pipeline import crops as cropping, read as reading
from mien.table.read import code_matrix, read_table
from mien.table.schema import COLUMNS
from mien.table.writer import PartWriter
from mien.types import Factors

CROPS = EmbedOptions(detector="none", batch_size=4, workers=2)
SHARED = Path(__file__).parents[2] / "shared"


def frame_of(*paths: Any, **options: Any) -> Any:
    """Return what `embed` does; pandas' types say too little about what is in a frame."""
    return embed(*paths, **options)


def colour_of(number: int) -> tuple[int, int, int]:
    return number % 251, number // 251, 200


def write_images(folder: Path, count: int, start: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        paths.append(folder / f"{number:05}.png")
        write_png(paths[-1], np.full((8, 8, 3), colour_of(number), dtype=np.uint8))
    return paths


def write_video(path: Path, count: int, fps: float = 10.0) -> Path:
    frames = (np.full((32, 32, 3), 20 + 5 * i, dtype=np.uint8) for i in range(count))
    write_mp4(path, frames, fps=fps)
    return path


def assert_same_table(left: Path, right: Path, tolerance: float = 0.0) -> None:
    """Compare all columns; numbers within the tolerance, everything else exactly."""
    first, second = pq.read_table(left), pq.read_table(right)
    assert first.schema.equals(second.schema, check_metadata=True)
    for name in first.column_names:
        one, other = first.column(name), second.column(name)
        if pa.types.is_fixed_size_list(one.type):
            left_codes, right_codes = (code_matrix(x, what=name) for x in (one, other))
            np.testing.assert_allclose(left_codes, right_codes, atol=tolerance, rtol=0)
        elif pa.types.is_floating(one.type) and tolerance:
            pair = [column.to_numpy(zero_copy_only=False) for column in (one, other)]
            np.testing.assert_allclose(*pair, atol=tolerance, rtol=0)
        else:
            assert one.combine_chunks().equals(other.combine_chunks()), name


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = PartWriter.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "rows_per_part", 200)


def test_rows_are_in_input_order_and_belong_to_their_images(
    tmp_path: Path, model: FakeModel
) -> None:
    write_images(tmp_path / "in", 30)
    frame = frame_of(tmp_path / "in", model=model, detector="none", batch_size=7)
    assert list(frame["path"]) == [f"{number:05}.png" for number in range(30)]
    expected = np.array([colour_of(number) for number in range(30)], dtype=np.float32)
    np.testing.assert_allclose(np.stack(frame["texture_code"].tolist()), 0.75 * expected)
    np.testing.assert_allclose(frame["yaw_rad"], 0.001 * expected[:, 0], atol=1e-6)
    assert max(model.batches) == 7
    assert sum(model.batches) == 30


def test_images_have_frame_0_and_neither_time_nor_track(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path / "in", 2)
    frame = frame_of([str(tmp_path / "in")], model=model, detector="none")
    assert list(frame.columns) == [column.name for column in COLUMNS if not column.needs]
    assert frame["frame"].tolist() == [0, 0]
    assert frame["time_s"].isna().all()
    assert frame["track_id"].isna().all()
    assert frame["face_id"].tolist() == [0, 0]
    assert frame[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[0, 0, 8, 8]] * 2
    assert frame["reason"].isna().all()
    assert frame.attrs["model_id"] == model.weights_id
    assert frame.attrs["detector"] == "none"
    assert frame.attrs["version"] == mien.__version__


def test_video_rows_have_frame_time_and_track(tmp_path: Path, model: FakeModel) -> None:
    write_video(tmp_path / "clip.mp4", 12)
    frame = frame_of(tmp_path, model=model, detector="none")
    assert frame["path"].tolist() == ["clip.mp4"] * 12
    assert frame["frame"].tolist() == list(range(12))
    np.testing.assert_allclose(frame["time_s"], np.arange(12) / 10, atol=1e-6)
    assert frame["track_id"].tolist() == [0] * 12
    assert (np.diff(frame["light_ambient"]) > 0).all()


def test_every_and_fps_choose_frames(tmp_path: Path, model: FakeModel) -> None:
    clip = write_video(tmp_path / "clip.mp4", 12)
    assert frame_of(clip, model=model, detector="none", every=5)["frame"].tolist() == [0, 5, 10]
    assert frame_of(clip, model=model, detector="none", fps=2)["frame"].tolist() == [0, 5, 10]


def test_tracks_begin_anew_in_each_video(tmp_path: Path, model: FakeModel) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, 3)
    frame = frame_of(tmp_path, model=model, detector="none")
    assert frame["track_id"].tolist() == [0] * 6
    assert frame["frame"].tolist() == [0, 1, 2] * 2


def test_a_bad_file_is_a_row_with_the_reason(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path, 1)
    (tmp_path / "text.jpg").write_text("this is no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    frame = frame_of(tmp_path, model=model, detector="none").set_index("path")
    assert frame["face_found"].to_dict() == {
        "00000.png": True,
        "broken.mp4": False,
        "empty.png": False,
        "text.jpg": False,
    }
    bad = frame[~frame["face_found"]]
    assert "empty" in bad.loc["empty.png", "reason"]
    assert "not an image" in bad.loc["text.jpg", "reason"]
    assert not bad["reason"].str.contains(str(tmp_path)).any()
    names = [column.name for column in COLUMNS[16:] if not column.needs]
    assert bad[names].isna().all(axis=None)


def test_an_unforeseen_error_is_a_row_too(
    tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, 2)

    def fail(*_: object) -> list[object]:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cropping, "find_upright", fail)
    frame = frame_of(tmp_path, model=model, detector="none")
    assert frame["reason"].tolist() == ["unforeseen ZeroDivisionError: by zero"] * 2


def test_names_that_are_not_utf8_are_rows_too(tmp_path: Path, model: FakeModel) -> None:
    path = write_images(tmp_path, 1)[0]
    try:
        path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    frame = frame_of(tmp_path, model=model, detector="none")
    assert frame["path"].tolist() == ["bad\\xff.png"]
    assert frame["face_found"].tolist() == [True]


def test_no_face_is_a_row_with_that_reason(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path / "in", 2)
    write_video(tmp_path / "in" / "clip.mp4", 2)
    out = tmp_path / "t.parquet"
    summary = embed_to_parquet(tmp_path / "in", out, model=model, options=EmbedOptions("haar"))
    assert read_table(out).frame["reason"].tolist() == [NO_FACE] * 4
    assert (summary.rows, summary.faces, summary.without_face) == (4, 0, 4)
    assert summary.failures == {}
    assert not model.batches


def test_only_bad_input_still_gives_a_table(tmp_path: Path, model: FakeModel) -> None:
    (tmp_path / "a.jpg").write_text("no")
    (tmp_path / "b.jpg").write_text("no")
    out = tmp_path / "t.parquet"
    summary = embed_to_parquet(tmp_path, out, model=model, options=CROPS)
    assert len(read_table(out).frame) == 2
    assert sum(summary.failures.values()) == 2
    assert "2 could not be read" in summary.lines()[0]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_table_does_not_depend_on_batches_or_runs(
    tmp_path: Path, tiny_model: Model, batch_size: int
) -> None:
    generator = np.random.default_rng(0)
    for number in range(7):
        write_png(tmp_path / f"{number}.png", generator.integers(0, 256, (32, 32, 3), np.uint8))
    options = [
        EmbedOptions("none", size, workers=workers) for size, workers in ((64, 1), (batch_size, 2))
    ]
    for name, option in zip(("a.parquet", "b.parquet"), options, strict=True):
        embed_to_parquet(tmp_path, tmp_path / name, model=tiny_model, options=option)
    assert_same_table(tmp_path / "a.parquet", tmp_path / "b.parquet", tolerance=1e-5)


@pytest.mark.data
def test_detected_faces_are_the_same_on_every_run(tmp_path: Path, model: FakeModel) -> None:
    archive = SHARED / "data" / "lfw-unpaired" / "images.zip"
    if not archive.exists():
        pytest.skip("lfw-unpaired is not here")
    names = ["AJ_Cook", "Aaron_Pena", "Abba_Eban"]
    members = [f"{name}/{name}_0001.jpg" for name in names]
    with zipfile.ZipFile(archive) as images:
        images.extractall(tmp_path / "in", members)
    for out, workers in (("a.parquet", 1), ("b.parquet", 3)):
        options = EmbedOptions("haar", workers=workers)
        embed_to_parquet(tmp_path / "in", tmp_path / out, model=model, options=options)
    assert_same_table(tmp_path / "a.parquet", tmp_path / "b.parquet")
    frame = read_table(tmp_path / "a.parquet").frame
    assert set(frame.loc[frame["face_found"], "path"]) == set(members)


def test_memory_does_not_grow_with_the_input(
    tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch, small_parts: None
) -> None:
    live = {"now": 0, "most": 0}

    def counted(array: np.ndarray) -> np.ndarray:
        live["now"] += 1
        live["most"] = max(live["most"], live["now"])
        weakref.finalize(array, lambda: live.update(now=live["now"] - 1))
        return array

    def endless(_: object, *, remote: bool) -> Iterator[Source]:
        return (Source(f"{i}", str(tmp_path / f"{i}"), "image") for i in range(1500))

    monkeypatch.setattr(listing, "expand", endless)
    monkeypatch.setattr(
        reading,
        "read_image",
        lambda *_, **__: Frame(counted(np.zeros((8, 8, 3), np.uint8))),
    )
    monkeypatch.setattr(cropping, "crop_face", lambda *_: counted(np.zeros((8, 8, 3), np.uint8)))
    summary = embed_to_parquet(["x"], tmp_path / "t.parquet", model=model, options=CROPS)
    assert summary.faces == 1500
    gc.collect()
    assert live["now"] <= 2
    # A batch, the tasks read ahead with an image and a crop each, and the batch just encoded.
    assert live["most"] <= 2 * CROPS.batch_size + 2 * (2 + 4 + 2)


def test_the_finished_job_leaves_nothing_but_the_table(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path / "in", 3)
    embed_to_parquet(tmp_path / "in", tmp_path / "out" / "t.parquet", model=model, options=CROPS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["t.parquet"]


def test_progress_is_told(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path / "in", 9)
    seen = []
    embed_to_parquet(
        tmp_path / "in", tmp_path / "t.parquet", model=model, options=CROPS, on_progress=seen.append
    )
    assert [status.faces for status in seen] == [0, 4, 8, 9]
    assert [status.total for status in seen] == [9] * 4
    assert seen[-1].done == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 2, "fps": 1.0}, "give one of them"),
        ({"every": 0}, "at least 1"),
        ({"fps": 0.0}, "above 0"),
        ({"fps": float("nan")}, "above 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"detector": "best"}, "no detector best"),
        ({"crop": "nose"}, "no crop nose"),
        ({"crop": "eyes"}, "have no gaze branch"),
        ({"crop": "eyes", "detector": "none"}, "leave --detector out"),
        ({"calibration": "c.json"}, "have no gaze branch"),
    ],
)
def test_senseless_options_are_refused(
    tmp_path: Path, model: FakeModel, options: dict[str, object], message: str
) -> None:
    write_images(tmp_path, 1)
    with pytest.raises(MienError, match=message):
        frame_of(tmp_path, model=model, **options)


def test_no_input_is_refused(tmp_path: Path, model: FakeModel) -> None:
    for paths in ([], [tmp_path], [tmp_path / "missing.jpg"]):
        with pytest.raises(MienError):
            frame_of(paths, model=model, detector="none")
        with pytest.raises(MienError):
            embed_to_parquet(paths, tmp_path / "t.parquet", model=model, options=CROPS)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_give_nonsense_are_refused(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path, 3)
    whole = model.encode

    def broken(images: torch.Tensor, /, *, features: bool = False) -> Factors:
        assert not features
        factors = whole(images)
        factors.neutral_shape[1] = torch.nan
        return factors

    model.encode = broken
    with pytest.raises(MienError, match=r"not finite for 00001\.png"):
        frame_of(tmp_path, model=model, detector="none")


def test_a_table_that_is_there_is_kept(tmp_path: Path, model: FakeModel) -> None:
    write_images(tmp_path / "in", 3)
    out = tmp_path / "t.parquet"
    out.write_text("mine")
    with pytest.raises(MienError, match="--overwrite"):
        embed_to_parquet(tmp_path / "in", out, model=model, options=CROPS)
    with pytest.raises(MienError, match="not from these inputs"):
        embed_to_parquet(tmp_path / "in", out, model=model, options=CROPS, resume=True)
    assert out.read_text() == "mine"
    with pytest.raises(MienError, match="is a folder"):
        embed_to_parquet(tmp_path / "in", tmp_path, model=model, options=CROPS)
    embed_to_parquet(tmp_path / "in", out, model=model, options=CROPS, overwrite=True)
    assert len(read_table(out).frame) == 3


def test_the_listing_at_the_start_decides(tmp_path: Path, model: FakeModel) -> None:
    paths = write_images(tmp_path / "in", 12)

    def meddle(status: Status) -> None:
        if status.faces == 4:
            paths[-1].unlink()
            write_images(tmp_path / "in", 1, start=40)

    options = EmbedOptions(detector="none", batch_size=4, workers=1)
    out = tmp_path / "t.parquet"
    summary = embed_to_parquet(
        tmp_path / "in", out, model=model, options=options, on_progress=meddle
    )
    frame = read_table(out).frame
    assert frame["path"].tolist() == [path.name for path in paths]
    assert frame["face_found"].tolist() == [True] * 11 + [False]
    assert "exist" in frame["reason"].iloc[-1] or "no such file" in frame["reason"].iloc[-1].lower()
    assert sum(summary.failures.values()) == 1


def test_small_and_uncertain_faces_are_left_out(tmp_path: Path, model: FakeModel) -> None:
    write_png(tmp_path / "8.png", np.full((8, 8, 3), 90, dtype=np.uint8))
    write_png(tmp_path / "9.png", np.full((9, 9, 3), 90, dtype=np.uint8))
    frame = frame_of(tmp_path, model=model, detector="none", min_size=9, min_score=1)
    assert frame["face_found"].tolist() == [False, True]
    assert frame["reason"].tolist()[0] == LEFT_OUT
    assert frame["side_px"].tolist()[1] == 9
    assert frame["framing"].tolist()[1] == "image"
    assert frame["sharpness"].tolist()[1] == 0
    assert np.isnan(frame["side_px"].tolist()[0])


def test_a_sharp_crop_is_sharper_than_a_blurred_one() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    blurred = np.mean([np.roll(sharp, k, axis=(0, 1)) for k in range(4)], axis=0)
    assert sharpness(sharp) > 1.5 * sharpness(blurred.astype(np.uint8)) > 0
    # One white pixel on black: the Laplacian is -4 there, 1 beside it, over 5 x 5 pixels.
    dot = np.zeros((7, 7, 3), dtype=np.uint8)
    dot[3, 3] = 255
    assert sharpness(dot) == pytest.approx(np.sqrt(20 / 25))
    grey = sharp @ np.array([0.299, 0.587, 0.114]) / 255
    beside = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    assert sharpness(sharp) == pytest.approx((beside - 4 * grey[1:-1, 1:-1]).std(), rel=1e-5)
