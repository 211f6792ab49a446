"""Boxes of other tools in place of a detector."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mien.cli.main import run
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.pipeline.known_faces import is_box_file, read_known_faces
from mien.table.read import read_table


@pytest.fixture
def photos(tmp_path):
    """Two images of noise in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (80, 120, 3), np.uint8)).save(folder / name)
    return folder


def written(path, rows):
    frame = pd.DataFrame(rows)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def test_names_of_files():
    assert is_box_file("boxes.CSV")
    assert is_box_file("a/b.parquet")
    assert not is_box_file("auto")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "columns",
    [
        {"x1": [10.0, 50.0], "y1": [20.0, 5.0], "x2": [40.0, 90.0], "y2": [60.0, 55.0]},
        {"x": [10, 50], "y": [20, 5], "w": [30, 40], "h": [40, 50]},
        {"x": [10, 50], "y": [20, 5], "width": [30, 40], "height": [40, 50]},
        {
            "FaceRectX": [10, 50],
            "FaceRectY": [20, 5],
            "FaceRectWidth": [30, 40],
            "FaceRectHeight": [40, 50],
        },
    ],
)
def test_forms_of_boxes(tmp_path, suffix, columns):
    known = read_known_faces(
        written(tmp_path / f"t{suffix}", {"file": ["a.png", "a.png"], **columns})
    )
    faces = known.of("a.png", str(tmp_path / "a.png"), 0)
    assert [face.box for face in faces] == [(10, 20, 40, 60), (50, 5, 90, 55)]
    assert {face.framing for face in faces} == {"yunet"}
    assert {face.score for face in faces} == {1.0}
    assert known.of("b.png", "b.png", 0) == []
    assert known.of("a.png", "a.png", 1) == []


@pytest.mark.parametrize("how", ["label", "absolute", "beside", "name"])
def test_an_image_is_known_by_any_of_its_names(tmp_path, how):
    image = tmp_path / "photos" / "a.png"
    name = {"label": "x/a.png", "absolute": str(image), "beside": "photos/a.png", "name": "a.png"}[
        how
    ]
    box = {"x1": [1], "y1": [2], "x2": [3], "y2": [4]}
    known = read_known_faces(written(tmp_path / "t.csv", {"path": [name], **box}))
    assert len(known.of("x/a.png", str(image), 0)) == 1


def test_embed_takes_them(tmp_path, photos, tiny_model):
    rows = {
        "path": ["a.png", "a.png"],
        "x1": [60, 10],
        "y1": [5, 20],
        "x2": [100, 40],
        "y2": [55, 60],
    }
    boxes = written(tmp_path / "boxes.csv", rows)
    out = tmp_path / "out.parquet"
    embed_to_parquet(photos, out, model=tiny_model, options=EmbedOptions(str(boxes)))
    table = read_table(out)
    frame = table.frame
    assert frame.path.tolist() == ["a.png", "a.png", "b.png"]
    assert frame.face_found.tolist() == [True, True, False]
    assert frame[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [10, 20, 40, 60]
    assert table.info is not None
    assert table.info.detector.startswith("boxes-")


def test_a_table_of_mien_is_such_a_file(tmp_path, photos, tiny_model):
    first, again = tmp_path / "first.parquet", tmp_path / "again.parquet"
    embed_to_parquet(photos, first, model=tiny_model, options=EmbedOptions("none"))
    embed_to_parquet(photos, again, model=tiny_model, options=EmbedOptions(str(first)))
    one, two = read_table(first), read_table(again)
    assert np.array_equal(one.codes("identity"), two.codes("identity"))
    assert one.frame.framing.tolist() == two.frame.framing.tolist() == ["image"] * 2


def test_the_turn_of_a_table_of_mien_is_kept(tmp_path):
    rows = {"path": ["a.png"], "x1": [1], "y1": [1], "x2": [5], "y2": [5]}
    known = read_known_faces(written(tmp_path / "t.parquet", rows | {"turn_deg": [270]}))
    assert [face.turn for face in known.of("a.png", "a.png", 0)] == [3]
    with pytest.raises(MienError, match="a turn of 45 degrees"):
        read_known_faces(written(tmp_path / "u.parquet", rows | {"turn_deg": [45]}))


def test_the_table_is_not_written_over_the_boxes(tmp_path, photos, capsys):
    boxes = written(
        tmp_path / "boxes.csv", {"path": ["a.png"], "x": [1], "y": [1], "w": [9], "h": [9]}
    )
    before = boxes.read_bytes()
    words = ["embed", str(photos), "--detector", str(boxes), "--out", str(boxes), "--overwrite"]
    assert run(words) == 2
    assert boxes.read_bytes() == before
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"name": ["a"], "x1": [1], "y1": [1], "x2": [2], "y2": [2]}, "no column path"),
        ({"path": ["a"], "x1": [1], "y1": [1], "x2": [2]}, "has no boxes"),
        ({"path": ["a"], "x1": [3], "y1": [1], "x2": [2], "y2": [2]}, "row 1 has no box"),
        ({"path": ["a"], "x1": [np.nan], "y1": [1], "x2": [2], "y2": [2]}, "row 1 has no box"),
        ({"path": ["a"], "x1": [0], "y1": [1], "x2": [1e30], "y2": [2]}, "row 1 has no box"),
        ({"path": ["a"], "x1": ["u"], "y1": [1], "x2": [2], "y2": [2]}, "not numbers"),
        (
            {"path": ["a"], "x1": [1], "y1": [1], "x2": [2], "y2": [2], "framing": ["dlib"]},
            "framing dlib",
        ),
    ],
)
def test_what_is_no_table_of_boxes(tmp_path, rows, message):
    with pytest.raises(MienError, match=message):
        read_known_faces(written(tmp_path / "t.parquet", rows))


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"path,x1\n1,2,3\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "folder.csv"])
def test_what_is_no_table(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MienError):
        read_known_faces(tmp_path / name)


def test_other_commands_want_a_detector(tmp_path, photos, capsys):
    boxes = written(
        tmp_path / "boxes.csv", {"path": ["a.png"], "x": [1], "y": [1], "w": [9], "h": [9]}
    )
    pair = [str(photos / "a.png"), str(photos / "b.png")]
    assert run(["verify", *pair, "--detector", str(boxes)]) == 2
    assert "mien embed alone" in capsys.readouterr().err
