"""What the tests of addresses share: photographs, damaged ones and a clip; tables without names."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.embedding.options import EmbedOptions
from mien.media.image import write_png
from mien.media.video import write_mp4

OPTIONS = EmbedOptions(detector="none", batch_size=4, workers=2)
WORDS = ["--detector", "none", "--batch-size", "4"]
INPUTS = 19
DAMAGED = {
    "bad.jpg": "the file is not an image that can be read; convert it to JPEG or PNG, or leave it "
    "out",
    "empty.png": "the file is empty (0 bytes); copy it again or leave it out",
}


def make_photos(folder: Path) -> Path:
    """Write sixteen images in two folders, a clip, damaged files and what is passed over."""
    rng = np.random.default_rng(0)
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for number in range(16):
        place = folder / ("sub" if number % 2 else ".") / f"{number:02}.png"
        write_png(place, rng.integers(0, 256, (24, 24, 3), np.uint8))
    write_png(folder / ".hidden" / "x.png", np.zeros((9, 9, 3), np.uint8))
    write_mp4(folder / "05.mp4", list(rng.integers(0, 256, (5, 32, 32, 3), np.uint8)), fps=10)
    (folder / "bad.jpg").write_bytes(b"no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def without_names(table: Path | pa.BufferReader) -> pa.Table:
    """Return a table's columns but for the paths, without what says which job it is of."""
    return pq.read_table(table).drop_columns("path").replace_schema_metadata()


@contextlib.contextmanager
def in_memory(photos: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give fsspec's memory with the photographs in it.

    Nothing is waited for between tries, and nothing may stay in the temporary folder `scratch`.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr("mien.media.remote_faults._WAIT_S", 0.0)
    system: Any = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    system.put(f"{photos}/", "/photos/", recursive=True)
    yield system
    system.store.clear()
    assert list(scratch.iterdir()) == []
