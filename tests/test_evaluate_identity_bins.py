"""InsightFace's .bin files: read without unpickling, refused where that would be needed."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from made_factors import Describing
from mien.errors import MienError
from mien.evaluate.datasets.insightface_bin import SQUARE, read_bin
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.protocols import find_protocol

AGEDB30 = find_protocol("agedb30")
CALFW = find_protocol("calfw")
CPLFW = find_protocol("cplfw")
CFP_FF = find_protocol("cfp-ff")
CFP_FP = find_protocol("cfp-fp")
LFW = find_protocol("lfw")
SLLFW = find_protocol("sllfw")


def jpeg(grey, size):
    out = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), grey, np.uint8)).save(out, "JPEG")
    return out.getvalue()


def new_bin(files, labels):
    """What Python 3 writes for (files, labels), protocol 4: no frames, as those are passed over."""
    body = b"".join(b"B" + struct.pack("<I", len(data)) + data + b"\x94" for data in files)
    flags = b"".join(b"\x88" if label else b"\x89" for label in labels)
    return b"\x80\x04]\x94(" + body + b"e]\x94(" + flags + b"e\x86\x94."


def old_bin(files, labels):
    """What Python 2 writes, protocol 2: byte strings, numbered memo, the list in two batches."""
    text = [b"T" + struct.pack("<i", len(data)) + data + b"q\x07" for data in files]
    half = len(text) // 2
    batches = b"(" + b"".join(text[:half]) + b"e(" + b"".join(text[half:]) + b"e"
    flags = b"".join(b"\x88" if label else b"\x89" for label in labels)
    return b"\x80\x02]q\x01" + batches + b"]q\x02(" + flags + b"e\x86q\x03."


@pytest.mark.parametrize("write", [new_bin, old_bin])
def test_bins_are_read_without_unpickling(write):
    files = [bytes([i]) * 300 + b"\xff\xd8" for i in range(4)]
    found, same = read_bin(write(files, [True, False]), where="x.bin")
    assert found == files
    assert same.tolist() == [True, False]


def test_what_a_bin_may_repeat_is_fetched():
    one = b"B" + struct.pack("<I", 2) + b"ab"
    data = b"\x80\x02](" + one + b"q\x05h\x05e](K\x01e\x86."
    assert read_bin(data, where="x.bin")[0] == [b"ab", b"ab"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "never unpickled.*asks for os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for os.system"),
        (b"\x80\x02]}\x86.", "asks for EMPTY_DICT"),
        (b"\x80\x02](", "never unpickled"),
        (b"", "never unpickled"),
        (b"\x80\x02\x86.", "never unpickled"),
        (b"\x80\x02K\x01K\x02a.", "appends to what is no list"),
        (b"\x80\x02].", "does not hold two lists"),
        (b"\x80\x02]](K\x02e\x86.", "list of bytes and one of booleans"),
        (new_bin([b"a"], [True]), "holds 1 images for 1 pairs"),
        (b"PK\x03\x04 no pickle at all", "never unpickled"),
    ],
)
def test_other_pickles_are_refused(data, message):
    with pytest.raises(MienError, match=message):
        read_bin(data, where="x.bin")


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (LFW, "lfw.bin"),
        (SLLFW, "sllfw.bin"),
        (CPLFW, "cplfw.bin"),
        (CALFW, "calfw.bin"),
        (CFP_FP, "cfp_fp.bin"),
        (CFP_FF, "cfp_ff.bin"),
        (AGEDB30, "agedb_30.bin"),
    ],
)
def test_every_set_is_taken_from_its_bin(tmp_path, protocol, name):
    square = (112, 112)
    one, two = (jpeg(grey, square) for grey in (40, 200))
    files = [one, one, one, two, two, two, two, one]
    (tmp_path / name).write_bytes(new_bin(files, [True, False, True, False]))
    assert protocol.matches(tmp_path)
    assert protocol.matches(tmp_path / name)

    def describe(images, columns):
        assert images.crop == "box"
        grey = np.array([images.read(i).mean() for i in range(len(images))])
        codes = np.stack([grey - 120, 3 + 0 * grey], axis=1).astype(np.float32)
        found = np.ones(len(images), dtype=bool)
        boxes = images.boxes
        assert boxes is not None
        # The square is in the middle, so it is its own mirror image.
        assert boxes[0].tolist() == pytest.approx(SQUARE)
        turn = np.zeros(len(images), np.float32)
        values = {name: turn if name == "yaw_rad" else codes for name in columns}
        return FactorColumns(found, found, values)

    for place in (tmp_path, tmp_path / name):
        result = protocol.run(place, EvalContext(Describing(describe)))
        (score,) = [score for score in result.scores if score.main]
        assert (score.name, score.value, score.count) == ("accuracy, cosine", 100, 4)
        assert name in result.notes[0]


def test_a_bin_of_other_sizes_is_refused(tmp_path):
    files = [jpeg(i, (96, 112)) for i in range(8)]
    (tmp_path / "lfw.bin").write_bytes(new_bin(files, [True, False, True, False]))

    def describe(images, columns):
        raise AssertionError(images.read(0).shape)

    with pytest.raises(MienError, match="is 96 x 112; aligned images are 112 x 112"):
        LFW.run(tmp_path, EvalContext(Describing(describe)))
