"""An image that cannot be read is one without a face, and a note; it does not end a protocol."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

from made_factors import Describing
from mien.aliases import PROTOCOLS as OLD_NAMES
from mien.errors import MienError
from mien.evaluate.protocol import EvalContext, FactorColumns, Images
from mien.evaluate.protocols import PROTOCOLS, find_protocol
from mien.evaluate.runner import run_protocol
from mien.evaluate.scores import SIDE, shown
from mien.evaluate.tasks.copies import fingerprints, without_copies

SPEC = importlib.util.spec_from_file_location("gaze_sets", Path(__file__).with_name("gaze_sets.py"))
assert SPEC is not None
assert SPEC.loader is not None
sets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sets)


def reads_all(images: Images, columns: object, /) -> FactorColumns:
    """Return codes read off the pixels, as weights do: every image is opened."""
    gaze = find_angles(images)
    there = np.ones(len(images), dtype=bool)
    codes = np.array(
        [[*angles, images.read(row).mean() / 255] for row, angles in enumerate(gaze)], np.float32
    )
    return FactorColumns(there, there.copy(), {"gaze_code": codes})


def find_angles(images: Images) -> list[tuple[float, float]]:
    return [
        (float(name.rsplit("_", 1)[-1].split("H")[0]), float(name.split("_")[-2].split("V")[0]))
        for name in images.names
    ]


READER = Describing(reads_all, ("gaze_code",))


def test_a_damaged_image_counts_as_one_without_a_face(tmp_path):
    sets.columbia_tree(tmp_path, shape=(40, 90))
    protocol = find_protocol("columbia-eyes")
    files = sorted(tmp_path.rglob("*.jpg"))
    whole = run_protocol(protocol, tmp_path, EvalContext(READER, trials=2, gallery=50)).result
    assert whole is not None
    assert not any("cannot be read" in note for note in whole.notes)
    for file in files[3:5]:
        file.write_bytes(b"no image")
    result = run_protocol(protocol, tmp_path, EvalContext(READER, trials=2, gallery=50)).result
    assert result is not None
    name = files[3].relative_to(tmp_path).as_posix()
    assert (
        f"2 images cannot be read and count as images without a face, first {name}" in result.notes
    )
    assert any("in 2 of" in note for note in result.notes)
    # They are tested as any image without eyes.
    assert result.scores[0].count == whole.scores[0].count


def test_where_no_image_can_be_read_the_protocol_ends(tmp_path):
    sets.columbia_tree(tmp_path, shape=(40, 90))
    for file in tmp_path.rglob("*.jpg"):
        file.write_bytes(b"no image")
    with pytest.raises(MienError, match="eyes are found in no image"):
        run_protocol(find_protocol("columbia-eyes"), tmp_path, EvalContext(READER))


def test_a_damaged_image_is_shown_grey_and_is_no_duplicate():
    def read(row: int):
        if row == 1:
            raise MienError("damaged")
        return np.full((300, 200, 3), 7 * row, np.uint8)

    images = Images(("a", "b", "c"), read)
    assert shown(images, 0).shape == (SIDE, round(SIDE * 2 / 3), 3)
    assert (shown(images, 1) == 128).all()
    folds = ((np.array([0, 1]), np.array([2])),)
    kept, count, copied = without_copies(folds, fingerprints(images))
    assert (kept[0][0].tolist(), count, copied.any()) == ([0, 1], 0, False)


def test_an_old_name_of_a_protocol_is_read_and_warned_of():
    for old, name in OLD_NAMES.items():
        assert name in PROTOCOLS
        with pytest.warns(DeprecationWarning, match=f"{old} is now called {name}"):
            assert find_protocol(old).name == name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_protocol("columbia-eyes").name == "columbia-eyes"
