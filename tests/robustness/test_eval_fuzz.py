"""Data-set files with any byte bent: what comes is read or refused by one MienError."""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - made here to be read inertly

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, strategies as st
from scipy.io import savemat

from mien.errors import MienError
from mien.evaluate.datasets.affectnet import read_affectnet
from mien.evaluate.datasets.affwild2 import read_expressions
from mien.evaluate.datasets.fer2013 import read_fer_images
from mien.evaluate.datasets.gaze360 import read_gaze360
from mien.evaluate.datasets.insightface_bin import read_bin
from mien.evaluate.datasets.lfw import read_lfw
from mien.evaluate.datasets.rafdb import read_rafdb
from robustness.bent import CHANGES, CUT, bent, one_line

FILES = [b"\xff\xd8" + bytes([number] * 9) for number in range(4)]
ARRAYS = [np.frombuffer(file, np.uint8) for file in FILES]
BINS = [
    pickle.dumps(packed, protocol=protocol)
    for packed in ((FILES, [True, False]), (ARRAYS, np.array([True, False])))
    for protocol in (0, 2, 4, 5)
]


def gaze360() -> bytes:
    file = io.BytesIO()
    fields = {"recordings": np.array(["rec_000"]), "recording": [[0, 0, 0]]}
    fields |= {"person_identity": [[0, 0, 1]], "frame": [[5, 6, 7]], "split": [[0, 0, 2]]}
    savemat(file, {**fields, "gaze_dir": np.tile([0.0, 0, -1], (3, 1))})
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array("3"))
    return file.getvalue()


PIXELS = " ".join(["7"] * 2304)
FILES_OF = {
    "fer2013.csv": (f"emotion,pixels,Usage\n0,{PIXELS},Training\n".encode(), read_fer_images),
    "metadata.mat": (gaze360(), read_gaze360),
    "pairs.txt": (b"10 1\n" + b"A\t1\t2\nA\t1\tB\t1\n" * 10, read_lfw),
    "pairs.csv": (b"name,imagenum1,imagenum2,\n" + b"A,1,2,\nA,1,B,1\n" * 10, read_lfw),
    "list_patition_label.txt": (b"train_00001.jpg 5\ntest_0001.jpg 2\n", read_rafdb),
    "val_set/annotations/0_exp.npy": (
        npy(),
        lambda path: read_affectnet(path, np.random.default_rng(0)),
    ),
    "annotations/EXPR_Set/Train_Set/v.txt": (b"Neutral,Anger\n0\n1\n", read_expressions),
}


@given(st.sampled_from(BINS), CHANGES, CUT)
def test_bin_files(data, changes, cut):
    found = one_line(read_bin, bent(data, changes, cut), where="x.bin")
    assert found is None or len(found[0]) == 2 * len(found[1])


@given(st.binary(max_size=200))
def test_bin_files_of_any_bytes(data):
    with pytest.raises(MienError):
        read_bin(data, where="x.bin")


@given(st.sampled_from(sorted(FILES_OF)), CHANGES, CUT)
def test_lists_and_arrays(tmp_path_factory, name, changes, cut):
    place = tmp_path_factory.mktemp("set")
    data, read = FILES_OF[name]
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(bent(data, changes, cut))
    if name.endswith(".npy"):
        other = place / name.replace("val_set", "train_set")
        other.parent.mkdir(parents=True)
        other.write_bytes(data)
    one_line(read, place)
