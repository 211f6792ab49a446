"""Boxes are those of the file's own pixels, and every named file is forgotten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.columns import code_lengths
from mien.embedding.frames import read_batches
from mien.embedding.options import EmbedOptions
from mien.media.frame import Frame
from mien.media.image import write_png
from mien.media.inputs import expand
from mien.pipeline import read as reading
from mien.pipeline.crops import Cropper
from mien.table.forget import forget_rows
from mien.table.read import read_table
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import TableInfo, arrow_schema
from mien.table.writer import write_batches


def test_boxes_are_in_pixels_of_the_file_where_it_was_read_reduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    write_png(tmp_path / "large.png", pixels)
    monkeypatch.setattr(reading, "read_image", lambda *_, **__: Frame(pixels, scale=8))
    cropper, options = Cropper.open("none", 16), EmbedOptions(workers=1)
    (batch,) = read_batches(expand([tmp_path]), cropper, options, start=0)
    assert [row.box for row in batch.rows] == [(0, 0, 320, 240)]


def test_the_rows_of_every_named_file_are_forgotten(tmp_path: Path) -> None:
    schema = arrow_schema(
        TableInfo("0", "m", "none", job="j"), code_lengths(texture_dim=2, shape_dim=1)
    )
    rows = [FaceRow(name, reason="no face found") for name in ("ann.png", "bob.png", "eve.png")]
    write_batches(tmp_path / "t.parquet", [record_batch(rows, None, schema)], schema)
    done = forget_rows(tmp_path / "t.parquet", tmp_path / "rest.parquet", paths=["ann*", "eve.png"])
    assert (done.removed, done.kept) == (2, 1)
    assert read_table(tmp_path / "rest.parquet").frame["path"].tolist() == ["bob.png"]
