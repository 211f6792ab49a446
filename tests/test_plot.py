"""Figures and what notebooks show: the numbers that are drawn are those of the table."""

from __future__ import annotations

import base64
import io
import re
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mien
from mien import plot
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.table.read import read_table


def drawn(figure: Any, axes: int = 0) -> np.ndarray:
    """The numbers of the image in a figure."""
    return np.asarray(figure.axes[axes].images[0].get_array())


def html_of(shown: Any) -> str:
    """What a notebook asks for."""
    return getattr(shown, "_repr_html_")()  # noqa: B009 - a name of IPython's


def table(videos=("a.mp4",), frames=4, gaze=False):
    rows = []
    for path in videos:
        for frame in range(frames):
            for track in range(2):
                code = np.array([3.0, 4.0], np.float32) * (frame + 1)
                rows.append(
                    {
                        "path": path,
                        "frame": frame,
                        "time_s": frame / 2,
                        "track_id": track,
                        "face_found": True,
                        "yaw_rad": np.float32(0.1 * (frame - track)),
                        "expression": code,
                        "face_embedding": np.array([1.0, track, frame], np.float32),
                        **({"gaze_yaw_rad": 0.2} if gaze else {}),
                    }
                )
    nothing = {"path": "b.png", "frame": 0, "face_found": False}
    return pd.DataFrame([*rows, nothing])


@pytest.mark.parametrize("gaze", [False, True])
def test_a_timeline_draws_each_track(gaze):
    figure: Any = plot.timeline(table(gaze=gaze))
    yaw, *middle, expression = figure.axes
    assert len(middle) == gaze
    assert len(yaw.lines) == 2
    np.testing.assert_allclose(yaw.lines[1].get_xdata(), [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(
        yaw.lines[1].get_ydata(), np.rad2deg(0.1 * np.arange(-1, 3)), rtol=1e-5
    )
    np.testing.assert_allclose(expression.lines[0].get_ydata(), [5, 10, 15, 20], rtol=1e-6)
    assert "track 1" in [text.get_text() for text in yaw.get_legend().get_texts()]


def test_of_several_videos_one_is_named():
    two = table(("a.mp4", "c.mp4"))
    with pytest.raises(MienError, match="2 videos; name one"):
        plot.timeline(two)
    assert plot.timeline(two, "c.mp4").axes
    with pytest.raises(MienError, match="no video 'x'"):
        plot.timeline(two, "x")
    with pytest.raises(MienError, match="no video with faces"):
        plot.timeline(table(frames=1))


def test_similarities_are_cosines():
    codes = np.array([[1.0, 0], [0, 2], [-3, 0]])
    figure = plot.similarity(codes, ["anna", "ben", "carl"])
    np.testing.assert_allclose(drawn(figure), [[1, 0, -1], [0, 1, 0], [-1, 0, 1]], atol=1e-12)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "anna",
        "ben",
        "carl",
    ]
    moved = plot.similarity(codes, mean=[1.0, 0])
    assert drawn(moved)[0, 0] == 0
    of_table = plot.similarity(table())
    assert drawn(of_table).shape == (8, 8)
    assert of_table.axes[1].get_ylabel() == "cosine of face_embedding"
    assert figure.axes[1].get_ylabel() == "cosine"
    for wrong in (lambda: plot.similarity(codes, ["anna"]), lambda: plot.similarity(codes[0])):
        with pytest.raises(MienError):
            wrong()
    with pytest.raises(MienError, match="no code gaze_code"):
        plot.similarity(table(), code="gaze_code")


@pytest.fixture
def faces(tiny_model):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(2)]
    return mien.analyze(images, model=tiny_model, detector="none")


def test_a_sheet_has_a_row_for_each_face(faces, tiny_model):
    one, two = (plot.factor_sheet(faces[:n], tiny_model) for n in (1, 2))
    heights = [drawn(figure).shape[0] for figure in (one, two)]
    assert heights[1] > heights[0] + 100
    one.savefig(io.BytesIO())
    with pytest.raises(MienError, match="no face"):
        plot.factor_sheet([], tiny_model)


def test_a_notebook_shows_a_face(faces):
    shown = html_of(faces[1])
    image = re.search(r"data:image/png;base64,([^\"]+)", shown)
    assert image
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image[1]))))
    assert (pixels == faces[1].crop).all()
    assert "yaw, pitch, roll" in shown
    assert "<th>image</th><td>1</td>" in shown


def test_a_notebook_shows_a_table(tmp_path, tiny_model):
    place = tmp_path / "a<b>"
    place.mkdir()
    for number in range(12):
        pixels = np.full((32, 32, 3), 10 * number, np.uint8)
        pixels[:16] = 200
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    out = tmp_path / "f<aces.parquet"
    embed_to_parquet(place, out, model=tiny_model, options=EmbedOptions("none"))
    shown = html_of(read_table(out))
    assert "f&lt;aces.parquet: 12 rows, 12 faces, weights" in shown
    assert "09.png" in shown
    assert "10.png" not in shown


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MienError, match=r"pip install 'mien\[plot\]'"):
        plot.similarity(np.eye(2))
