from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mien.data import reading
from mien.data.eye_cache import build_eye_cache, find_eye_sources, open_eye_caches
from mien.data.eye_canvas import EyeForm, eye_row, placeable
from mien.data.eye_labels import lids_open
from mien.data.eye_loader import EYE_CROP_CLIPS, EyeLoader, EyeMixture
from mien.data.loader import Shard
from mien.data.options import EyeDataOptions
from mien.data.reading import PieceCropper
from mien.data.sources import Piece, find_sources
from mien.errors import MienError
from mien.faces.detect import WholeImage
from mien.faces.face import Face
from mien.media.image import write_png
from mien.pipeline.read import Frame

FORM = EyeForm(crop=64, eye_crop=(24, 50), canvas=(32, 64), face=16)
NAMES = ["jawOpen", "eyeBlink_L", "eyeBlink_R"]
EYES = np.array([[[20, 25], [43, 27]], [[22, 24], [42, 24]]], dtype=np.float32)


def face(eyes):
    """A grey image with a white pixel at either eye."""
    image = np.full((64, 64, 3), 90, np.uint8)
    for x, y in eyes.astype(int):
        image[y, x] = 255
    return image


@pytest.fixture
def rendered(tmp_path):
    """Three people of two frames, as `mien synth` leaves them; one frame blinks, one half."""
    folder, rows = tmp_path / "faces", []
    lids = iter([(0, 0), (0.9, 0.8), (0.6, 0.5), (1, 0.1), (0, 0), (0, 0)])
    for person in range(3):
        for frame in range(2):
            path = folder / f"person_{person}" / f"frame_{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, face(EYES[frame]))
            marks = [*EYES[frame].ravel().tolist(), 0, 0, 0, 0, 0, 0]
            rows.append(
                (f"person_{person}/frame_{frame}.png", marks, [0.0, *map(float, next(lids))])
            )
    paths, marks, weights = map(list, zip(*rows, strict=True))
    unit = {"unit": "weights of the shapes: " + " ".join(NAMES)}
    schema = pa.schema(
        [
            pa.field("path", pa.string()),
            pa.field("landmarks", pa.list_(pa.float32(), 10)),
            pa.field("expression_weights", pa.list_(pa.float32(), 3), metadata=unit),
        ]
    )
    table = pa.table([paths, marks, weights], schema=schema)
    pq.write_table(table, folder / "labels.parquet")
    return folder


@pytest.fixture
def eye_crops(tmp_path):
    """Ten wide images of two people; the last is dark."""
    archive = tmp_path / "eye_crops.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(10):
            image = np.full((24, 50, 3), 0 if number == 9 else 100 + number, np.uint8)
            path = tmp_path / f"{number % 2:04d}_{number}.png"
            write_png(path, image)
            file.write(path, path.name)
    return archive


class Search:
    """Sees eyes at fixed fractions of all images that are not dark."""

    name = "fake"

    def __init__(self):
        self.asked = []

    def __call__(self, images, *, eye_crops):
        self.asked.append((len(images), eye_crops))
        eyes = np.tile(np.array([[0.25, 0.5], [0.75, 0.5]], np.float32), (len(images), 1, 1))
        return eyes, images.max(axis=(1, 2, 3)) > 0


def built(given, cache, search=None, say=lambda _: None, **changes):
    made: dict[str, Any] = {"detector": "none", **changes}
    options = EyeDataOptions(**made)
    found = find_eye_sources([str(one) for one in given], options)
    pieces = [*found.known, *found.unknown]
    return open_eye_caches(
        [
            build_eye_cache(
                pieces, found.labels, cache, form=FORM, options=options, search=search, report=say
            )
        ]
    )


def test_labels_place_the_eyes_in_canvas_and_face(rendered, tmp_path):
    found = built([rendered], tmp_path / "cache")
    assert len(found) == 6
    assert found.clip.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.labelled.all()
    assert found.has_face.all()
    assert found.open.tolist() == pytest.approx([1, 0, np.nan, 1, 1, 1], nan_ok=True)
    canvas, small = found.gather(np.arange(6))
    for row in range(6):
        for x, y in found.eyes[row]:
            assert canvas[row, int(y), int(x)] == 255
            assert canvas[row, int(y) + 1, int(x)] == 90
    # The middle between the eyes is the canvas's middle pixel, rounded; borders go on.
    assert np.abs(found.eyes.mean(axis=1) - [32, 16]).max() <= 0.5
    assert (canvas[:, :, 0] == 90).all()
    assert small.shape == (6, 16, 16)
    assert np.allclose(found.face_eyes, (EYES[[0, 1] * 3] + 0.5) / 4 - 0.5, atol=1e-5)


def test_eye_crops_are_searched_and_what_is_not_seen_is_counted(eye_crops, tmp_path):
    said, search = [], Search()
    pattern = r"^(\d+)_"
    found = built(
        [f"eyes:{eye_crops}"], tmp_path / "cache", search, said.append, clip_pattern=pattern
    )
    assert search.asked == [(10, True)]
    assert len(found) == 9
    assert sorted(np.bincount(found.clip).tolist()) == [4, 5]
    assert not found.has_face.any()
    assert not found.labelled.any()
    assert np.isnan(found.open).all()
    assert (found.eyes[:, 1] - found.eyes[:, 0]).tolist() == [[25.0, 0.0]] * 9
    assert (found.face_eyes[:, 0] < -100).all()
    assert (found.face_eyes[:, 1] > 100).all()
    assert any("skipped 1: no eyes are found (such as 0/0001_9.png)" in line for line in said)


def test_the_crop_option_makes_every_image_an_eye_crop(eye_crops, tmp_path):
    assert not built([eye_crops], tmp_path / "cache", Search(), crop="eyes").has_face.any()
    found = find_eye_sources([str(eye_crops)], EyeDataOptions())
    assert not any(piece.eye_crop for piece in found.unknown)


def test_faces_and_eye_crops_share_a_cache_in_order(rendered, eye_crops, tmp_path):
    search = Search()
    found = built([rendered, f"eyes:{eye_crops}"], tmp_path / "cache", search)
    assert found.has_face.tolist() == [True] * 6 + [False] * 9
    assert found.clip.tolist() == [0, 0, 1, 1, 2, 2, *[-1] * 9]


def test_caches_are_joined_and_clips_stay_apart(rendered, eye_crops, tmp_path):
    options = EyeDataOptions(clip_pattern=r"(\d{4})_")
    found = find_eye_sources([str(rendered), f"eyes:{eye_crops}"], options)
    folders = [
        build_eye_cache(
            p, found.labels, tmp_path / "c", form=FORM, options=options, search=Search()
        )
        for p in (found.known, found.unknown)
    ]
    both = open_eye_caches(folders)
    assert sorted(set(both.clip.tolist())) == [0, 1, 2, 3, 4]
    canvas, _ = both.gather(np.array([14, 0, 6]))
    alone = [open_eye_caches([folder]).gather(np.array([0]))[0][0] for folder in folders]
    assert np.array_equal(canvas[1], alone[0])
    assert np.array_equal(canvas[2], alone[1])


def test_a_cache_is_found_again_unless_labels_or_search_differ(rendered, eye_crops, tmp_path):
    first = built([rendered], tmp_path / "cache")
    assert built([rendered], tmp_path / "cache").key == first.key
    table = pq.read_table(rendered / "labels.parquet")
    moved = pa.array([[21.0] * 10] * 6, table.schema.field("landmarks").type)
    pq.write_table(table.set_column(1, table.schema.field(1), moved), rendered / "labels.parquet")
    found = find_eye_sources([str(rendered)], EyeDataOptions())
    with pytest.raises(MienError, match="6 the eyes are not both in the image"):
        build_eye_cache(
            found.known, found.labels, tmp_path / "cache", form=FORM, options=EyeDataOptions()
        )
    one, other = Search(), Search()
    other.name = "other"
    keys = {built([f"eyes:{eye_crops}"], tmp_path / "cache", s).key for s in (one, other)}
    assert len(keys) == 2


def test_a_detectors_eyes_are_placed_in_the_crop(tmp_path, monkeypatch):
    class Detector:
        name = "yunet"

        def __call__(self, image):
            marks = np.array([[30, 40], [50, 40], [40, 50], [30, 60], [50, 60]], np.float32)
            return [Face((20, 20, 60, 60), 1.0, marks, "image")]

    image = np.zeros((80, 80, 3), np.uint8)
    monkeypatch.setattr(reading, "read_still", lambda _: Frame(image, scale=2))
    (crop,) = PieceCropper(64, 0, Detector()).crops(Piece("a", tmp_path / "a.png"))
    assert crop.landmarks is not None
    assert crop.corner == (40, 40)
    assert crop.place(crop.landmarks[:2]).tolist() == [[15.5, 31.5], [47.5, 31.5]]


def test_an_eye_crop_keeps_its_places(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((80, 100, 3), np.uint8))
    cropper = PieceCropper(64, 0, WholeImage(), eye_crop_size=(24, 50))
    crop = cropper.crops(Piece("a", tmp_path / "a.png", eye_crop=True))[0]
    assert crop.pixels.shape == (24, 50, 3)
    assert crop.place(np.array([[50.0, 40.0]], np.float32)).tolist() == [[24.5, 11.5]]
    write_png(tmp_path / "b.png", np.zeros((100, 80, 3), np.uint8))
    with pytest.raises(MienError, match="higher than wide"):
        cropper.crops(Piece("b", tmp_path / "b.png", eye_crop=True))


def test_lids_are_shut_together_or_not_known():
    weights = np.array([[0, 0.8, 0.76], [0, 0.8, 0.2], [0, 0.5, 0.9], [0, 0.1, 0]], np.float32)
    assert lids_open(weights, NAMES).tolist() == pytest.approx([0, 1, np.nan, 1], nan_ok=True)
    assert np.isnan(lids_open(weights, ["jawOpen"] * 3)).all()


def test_lids_that_are_lifted_are_not_shut():
    names = ["eyeBlink_L", "eyeBlink_R", "eyeWide_L", "eyeWide_R"]
    weights = np.array([[1.2, 1.2, 0, 0], [1.2, 1.2, 1.2, 1.2], [1.2, 1.2, 0.2, 0.7], [0, 0, 1, 1]])
    assert lids_open(weights, names).tolist() == pytest.approx([0, np.nan, np.nan, 1], nan_ok=True)


def test_hidden_eyes_and_wild_places_are_refused():
    assert placeable(EYES[0], 64, 64)
    assert not placeable(EYES[0] + 40, 64, 64)
    assert not placeable(np.array([[30, 30], [31, 30]], np.float32), 64, 64)
    assert not placeable(np.full((2, 2), np.nan, np.float32), 64, 64)


@pytest.mark.parametrize("source", ["", "clips:", "eyes:", "eyes:clips:", "synth:"])
def test_a_source_without_a_place_is_not_the_current_folder(source):
    with pytest.raises(MienError, match="without a place"):
        find_sources([source], eye_crops=True)


def test_sources_of_eye_crops_are_not_for_latentface(eye_crops):
    with pytest.raises(MienError, match="eye-region crops have no face"):
        find_sources([f"eyes:{eye_crops}"])
    assert find_sources([f"eyes:clips:{eye_crops}"], eye_crops=False).pieces[0].eye_crop


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "no regular expression"), (r"\d+", "has no group"), ("(zebra)", "in no image's name")],
)
def test_patterns_of_no_use_are_refused(eye_crops, pattern, message):
    with pytest.raises(MienError, match=message):
        find_eye_sources([str(eye_crops)], EyeDataOptions(clip_pattern=pattern))


def test_damaged_labels_are_refused(rendered):
    (rendered / "labels.parquet").write_bytes(b"no table")
    with pytest.raises(MienError, match="render it anew"):
        find_eye_sources([str(rendered)], EyeDataOptions())


class Labels(NamedTuple):
    landmarks: np.ndarray
    expression_weights: np.ndarray


class Head(NamedTuple):
    expression_names: list[str]


@dataclass
class Rendered:
    images: np.ndarray
    labels: Labels


class Stream:
    """Clip i is as bright as i; its second frame blinks."""

    head = Head(NAMES)

    def clip(self, index):
        marks = np.concatenate([EYES, np.zeros((2, 3, 2), np.float32)], axis=1)
        weights = np.array([[0, 0, 0], [0, 1, 1]], np.float32)
        return Rendered(np.full((2, 3, 64, 64), index, np.uint8), Labels(marks, weights))


@pytest.fixture
def images(rendered, eye_crops, tmp_path):
    return built(
        [rendered, f"eyes:{eye_crops}"], tmp_path / "cache", Search(), clip_pattern=r"^(\d+)_"
    )


def loader(images, shard=None, stream=None, **changes):
    mixture = replace(EyeMixture(seed=1, batch_size=8, frames=2), **changes)
    device = torch.device("cpu")
    return EyeLoader(images, mixture, form=FORM, device=device, shard=shard, stream=stream)


def test_a_batch_has_what_the_losses_ask_for(images):
    batch = next(loader(images).iterate(0, 1))
    shapes = {name: (tuple(v.shape), v.dtype) for name, v in batch.items()}
    assert shapes == {
        "canvas": ((8, 1, 32, 64), torch.uint8),
        "eyes": ((8, 2, 2), torch.float32),
        "face": ((8, 1, 16, 16), torch.uint8),
        "face_eyes": ((8, 2, 2), torch.float32),
        "has_face": ((8,), torch.bool),
        "open": ((8,), torch.float32),
        "clip": ((8,), torch.int64),
        "index": ((8,), torch.int64),
    }
    # 9 of 15 images are eye-region crops: two clips of the four.
    assert batch["has_face"].tolist() == [True] * 4 + [False] * 4
    assert (batch["clip"][:4] < EYE_CROP_CLIPS).all()
    assert (batch["clip"][4:] >= EYE_CROP_CLIPS).all()
    assert (batch["clip"][::2] == batch["clip"][1::2]).all()
    assert (batch["face"][4:] == 0).all()
    assert batch["index"].tolist() == list(range(8))


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.25, 2), (0.75, 6), (1.0, 8)])
def test_the_fraction_of_eye_crops_can_be_given(images, fraction, count):
    batch = next(loader(images, eye_crop_fraction=fraction).iterate(0, 1))
    assert int((~batch["has_face"]).sum()) == count


def test_labelled_images_alone_may_be_asked_for(images):
    batches = list(loader(images, labelled=True).iterate(0, 3))
    assert all(batch["has_face"].all() for batch in batches)
    assert (
        loader(images, labelled=True).fingerprint
        != loader(images, eye_crop_fraction=0.0).fingerprint
    )


def test_batches_do_not_depend_on_where_one_starts(images):
    whole, later = list(loader(images).iterate(0, 5)), list(loader(images).iterate(3, 5))
    for one, other in zip(whole[3:], later, strict=True):
        for name in one:
            assert torch.equal(one[name].nan_to_num(9), other[name].nan_to_num(9)), name
    assert not torch.equal(whole[0]["clip"], whole[1]["clip"])


def test_processes_together_see_the_batch_of_one(images):
    whole = next(loader(images).iterate(2, 3))
    seen = []
    for rank in range(2):
        part = next(loader(images, Shard(rank, 2)).iterate(2, 3))
        seen += part["index"].tolist()
        for name in ("canvas", "eyes", "clip", "has_face"):
            assert torch.equal(part[name], whole[name][part["index"]]), name
    assert sorted(seen) == list(range(8))
    with pytest.raises(MienError, match="cannot be divided among 3"):
        loader(images, Shard(0, 3))


def test_rendered_clips_bring_their_eyes(images):
    alone = next(loader(None, stream=Stream(), stream_fraction=0.5).iterate(1, 2))
    assert alone["canvas"][:, 0, 0, 0].tolist() == [4, 4, 5, 5, 6, 6, 7, 7]
    assert sorted(alone["open"][:2].tolist()) == [0.0, 1.0]
    frame = 0 if alone["open"][0] == 1 else 1
    row = eye_row(np.zeros((64, 64, 3), np.uint8), EYES[frame], FORM)
    assert alone["eyes"][0].tolist() == row.eyes.tolist()
    mixed = next(loader(images, stream=Stream(), stream_fraction=0.5).iterate(0, 1))
    assert mixed["has_face"].tolist() == [True] * 4 + [False] * 4  # half: faces have no end


def test_batches_without_room_and_runs_without_images_are_refused(images):
    with pytest.raises(MienError, match="no room"):
        loader(images, batch_size=2)
    with pytest.raises(MienError, match="no images whose eyes are known"):
        loader(replace(images, labelled=np.zeros(len(images), bool)), labelled=True)
