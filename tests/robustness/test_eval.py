"""Bad and hard data sets, one line each."""

from __future__ import annotations

import io
import pickle  # noqa: TID251 - made here to be refused or read inertly
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from made_factors import png
from robustness.cases import case, check
from robustness.made_sets import EYE, FER, HEAD, PIXELS, RGB, Harmful


def mat(**fields: Any) -> Any:
    return lambda path: savemat(path, fields)


def pickled(thing: Any) -> bytes:
    return pickle.dumps(thing, protocol=4)


def npy(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """The start of an array that claims to be of some shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def zipped(names: dict[str, bytes], **changes: int) -> Any:
    """A zip of whose members the records are changed: flags, method or size."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in names.items():
                archive.writestr(name, data)
        data = bytearray(path.read_bytes())
        for mark, offsets in (
            (b"PK\x03\x04", {"flags": (6, "<H"), "method": (8, "<H"), "size": (22, "<I")}),
            (b"PK\x01\x02", {"flags": (8, "<H"), "method": (10, "<H"), "size": (24, "<I")}),
        ):
            for name, value in changes.items():
                offset, form = offsets[name]
                struct.pack_into(form, data, data.index(mark) + offset, value)
        path.write_bytes(data)

    return make


def h5(**fields: Any) -> Any:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, value in fields.items():
                if value is None:
                    file.create_group(name)
                elif isinstance(value, tuple):
                    file.create_dataset(name, value, dtype="f8", chunks=(1, *value[1:]))
                else:
                    file[name] = value

    return make


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def fifo(path: Path) -> None:
    import os

    os.mkfifo(path)


def labels(**changes: Any) -> Any:
    """A table of `mien synth` with some columns changed."""
    rows = 3
    columns: dict[str, Any] = dict.fromkeys(
        (
            *("yaw_rad", "pitch_rad", "roll_rad", "gaze_x", "gaze_y", "gaze_z", "light_x"),
            *("light_y", "light_z", "light_ambient", "light_diffuse"),
        ),
        [0.1] * rows,
    )
    columns |= {"path": ["a.png", "b.png", "c.png"], "person": [1, 2, 3], "frame": [0, 0, 0]}
    columns |= {"identity": [[0.0] * 5] * rows, "expression": ["smile"] * rows}
    columns |= {"rotation": [[1.0] * 9] * rows, "landmarks": [[0.0] * 10] * rows}
    return lambda path: pq.write_table(pa.table(columns | changes), path)


def folders(classes: dict[str, str], *, part: str = "train", other: str = "test") -> dict[str, Any]:
    """Images in folders of classes, in both parts."""
    return {f"d/{p}/{name}/{p}_1.jpg": RGB for p in (part, other) for name in classes}


def ask(protocol: str, data: str = "d") -> str:
    return f"eval {protocol} --data {data} --out r --weights tiny --detector none"


GAZE360 = {
    "recordings": np.array(["rec_000"]),
    "recording": [[0, 0, 0]],
    "person_identity": [[0, 0, 1]],
    "frame": [[5, 6, 7]],
    "gaze_dir": np.tile([0.0, 0, -1], (3, 1)),
    "split": [[0, 0, 2]],
}
CAMERA = {"cameraMatrix": np.diag([900.0, 900, 1]), "distCoeffs": np.zeros((1, 5))}
FACE = ["day01/0001.jpg", *["1"] * 14, *["0.1"] * 3, *["10"] * 3, *["1", "1", "500"] * 2, "left"]
POINTS = np.arange(204.0).reshape(3, 68) % 17
SUBJECT = {"face_patch": np.zeros((2, 8, 8, 3), np.uint8), "face_gaze": np.zeros((2, 2))}
AFFECT_TITLES = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal\n"
)


def fer(text: str | bytes | Any) -> dict[str, Any]:
    return {"d/fer2013.csv": text}


def gaze360(**changes: Any) -> dict[str, Any]:
    return {"d/imgs/x.jpg": RGB, "d/metadata.mat": mat(**GAZE360 | changes)}


def face_gaze(line: list[str], **camera: Any) -> dict[str, Any]:
    return {"d/p00/p00.txt": " ".join(line), "d/p00/Calibration/Camera.mat": mat(**CAMERA | camera)}


def aflw(pose: Any = None, points: Any = None) -> dict[str, Any]:
    fields = {"Pose_Para": np.zeros((1, 7)) if pose is None else pose}
    fields["pt3d_68"] = POINTS if points is None else points
    return {f"d/image0000{n}.jpg": RGB for n in (2, 4)} | {
        f"d/image0000{n}.mat": mat(**fields) for n in (2, 4)
    }


def xgaze(**changes: Any) -> dict[str, Any]:
    fields = {**SUBJECT, "face_head_pose": np.zeros((2, 2)), **changes}
    return {"d/train/subject0000.h5": h5(**fields)}


def biwi(text: str) -> dict[str, Any]:
    return {"d/01/frame_00003_pose.txt": text, "d/01/frame_00003_rgb.png": png(9)}


def affwild(line: str) -> dict[str, Any]:
    lists = "d/annotations/EXPR_Set"
    text = f"Neutral,Anger\n{line}\n"
    return {f"{lists}/{part}_Set/v{part}.txt": text for part in ("Train", "Validation")} | {
        f"d/cropped_aligned/v{part}/00001.jpg": RGB for part in ("Train", "Validation")
    }


def affect_npy(data: bytes) -> dict[str, Any]:
    return {f"d/{part}/annotations/0_exp.npy": data for part in ("train_set", "val_set")} | {
        f"d/{part}/images/0.jpg": RGB for part in ("train_set", "val_set")
    }


def affect_csv(row: str) -> dict[str, Any]:
    lists = "d/Manually_Annotated_file_lists"
    return {f"{lists}/{n}.csv": AFFECT_TITLES + row for n in ("training", "validation")} | {
        "d/Manually_Annotated_Images/1/a.jpg": RGB
    }


def synth(config: str = '{"frames": 1, "size": 8, "seed": 0, "head_model": "x"}', **changes: Any):
    return {"d/labels.parquet": labels(**changes), "d/config.json": config}


CASES = [
    # FER-2013: lists and archives.
    case(ask("fer2013"), fer(HEAD + "0," + "1 " * 70_000 + ",Training\n"), message="field larger"),
    case(ask("fer2013"), fer(HEAD + f"{'9' * 5000},{PIXELS},Training\n"), message="is not a row"),
    case(ask("fer2013"), fer(HEAD + f"0,{'9' * 30} {PIXELS},Training\n"), message="is not a row"),
    case(ask("fer2013"), fer(HEAD + f"0,{PIXELS},Test\n"), message="line 2"),
    case(ask("fer2013"), fer(HEAD + f"nan,{PIXELS},Training\n"), message="is not a row"),
    case(ask("fer2013"), fer(b"\xff\xfe\x00"), message="no column emotion"),
    case(ask("fer2013"), fer(""), message="no column emotion"),
    case(ask("fer2013"), fer(fifo), message="is no file"),
    case(ask("fer2013"), fer(zero), message="is no file"),
    case(ask("fer2013", "d.zip"), {"d.zip": b"PK"}, message="neither a folder nor a zip"),
    case(
        ask("fer2013", "d.zip"),
        {"d.zip": zipped({"fer2013.csv": b"x" * 99}, flags=1)},
        message="encrypted",
    ),
    case(
        ask("fer2013", "d.zip"),
        {"d.zip": zipped({"fer2013.csv": b"x" * 99}, method=77)},
        message="cannot be read",
    ),
    case(
        ask("fer2013", "d.zip"),
        {"d.zip": zipped({"fer2013.csv": b"x" * 99}, size=2**31)},
        message="at most 1024 MiB",
    ),
    case(ask("fer2013"), {"d/train/angry/1.jpg": RGB}, message="no test images"),
    case(
        ask("fer2013"),
        folders(dict.fromkeys((*FER[:5], "surpise", "neutral"), "")),
        message="has no image of surprise",
    ),
    case(
        ask("fer2013"),
        folders(dict.fromkeys(FER, "")) | {"d/x/train/angry/train_1.jpg": RGB},
        message="two images",
    ),
    # RAF-DB, AffectNet, Aff-Wild2, CK+.
    case(ask("rafdb"), {"d/list_patition_label.txt": "train_1.jpg 9\n"}, message="line 1"),
    case(ask("rafdb"), {"d/list_patition_label.txt": "train_../../x 5\n"}, message="missing"),
    case(ask("affectnet"), affect_npy(npy((10**12,))), message="is not one number"),
    case(ask("affectnet"), affect_npy(npy((1,))), message="is not one number"),
    case(ask("affectnet"), affect_npy(npy((1,), struct.pack("<d", np.nan))), message="no class"),
    case(ask("affectnet"), affect_npy(b"\x93NUMPY\x01\x00\xff\xff"), message="is not one number"),
    case(ask("affectnet"), affect_npy(pickled(Harmful())), message="is not one number"),
    case(ask("affectnet"), affect_csv("../../x.jpg,1,1,9,9,,3,0,0\n"), message="missing"),
    case(ask("affectnet"), affect_csv(f"1/a.jpg,1,1,9,9,,{'9' * 5000},0,0\n"), message="not a row"),
    case(ask("affectnet"), affect_csv("1/a.jpg,1,1,9,9,,3,0,0\n"), message="twice"),
    case(ask("affectnet"), affect_csv(f"1/a.jpg,{'1' * 140_000}\n"), message="field larger"),
    case(ask("affwild2-expression"), affwild("nan"), message="line 2"),
    case(ask("affwild2-expression"), affwild("1e300"), message="line 2"),
    case(ask("affwild2-expression"), affwild("0.5"), message="beyond the 2 classes"),
    case(ask("affwild2-expression"), affwild("0\n1,2"), message="not as many in each line"),
    case(
        ask("ckplus"),
        {"d/Emotion/S005/001/S005_001_00000011_emotion.txt": "1e999"},
        message="not 1 to 7",
    ),
    # Pairs.
    case(ask("lfw", "d.bin"), {"d.bin": pickled(Harmful())}, message="never unpickled"),
    case(ask("lfw", "d.bin"), {"d.bin": pickled(([RGB], [True]))[:-9]}, message="never unpickled"),
    case(ask("lfw", "d.bin"), {"d.bin": b"]" * 5000 + b"a" * 4999 + b"."}, message="d.bin"),
    case(ask("lfw", "d.bin"), {"d.bin": b"]\x94h\x00a."}, message="d.bin"),
    case(ask("lfw", "d.bin"), {"d.bin": pickled(([RGB, RGB], [7]))}, message="booleans"),
    case(ask("lfw", "d.bin"), {"d.bin": pickled(([np.zeros(3)], [1]))}, message="array of f8"),
    case(ask("lfw"), {"d/pairs.txt": "10 300\nA 1 2\n"}, message="has 1 pairs"),
    case(ask("lfw"), {"d/pairs.csv": "name,imagenum1,imagenum2,\nA,1,4,\n"}, message="pairs.csv"),
    case(
        ask("cfp-fp"),
        {"d/Protocol/Pair_list_F.txt": "1 ../../../x.jpg", "d/Protocol/Pair_list_P.txt": "1 a"},
        message="folds",
    ),
    # Gaze.
    case(ask("gaze360"), gaze360(gaze_dir=np.array(["a", "b", "c"])), message="numbers"),
    case(ask("gaze360"), gaze360(recording=np.array([[1], "x"], object)), message="numbers"),
    case(ask("gaze360"), gaze360(split={"a": 1}), message="numbers"),
    case(ask("gaze360"), gaze360(frame=[[np.nan, 6, 7]]), message="NaN"),
    case(ask("gaze360"), gaze360(gaze_dir=np.full((3, 3), 1e300)), message="do not fit"),
    case(ask("gaze360"), gaze360(recording=[[0, 0, 9]]), message="do not fit together"),
    case(ask("gaze360"), gaze360() | {"d/metadata.mat": b"MATLAB 5.0" * 99}, message="Matlab"),
    case(ask("gaze360"), gaze360() | {"d/metadata.mat": h5(gaze_dir=None)}, message="Matlab"),
    case(ask("mpiifacegaze"), face_gaze(FACE, distCoeffs=np.array(["a"])), message="numbers"),
    case(ask("mpiifacegaze"), face_gaze(FACE, distCoeffs=np.zeros((1, 3))), message="distortion"),
    case(ask("mpiifacegaze"), face_gaze(FACE, cameraMatrix=EYE * np.nan), message="camera matrix"),
    case(ask("mpiifacegaze"), face_gaze([*FACE[:20], "1e300", *FACE[21:]]), message="line 1"),
    case(ask("mpiifacegaze"), face_gaze([*FACE[:20], "nan", *FACE[21:]]), message="line 1"),
    case(ask("mpiifacegaze"), face_gaze([*FACE[:20], "9" * 5000, *FACE[21:]]), message="line 1"),
    case(ask("mpiifacegaze"), face_gaze(FACE[:9]), message="9 words"),
    case(ask("eth-xgaze"), xgaze(face_patch=None), message="no face_patch"),
    case(ask("eth-xgaze"), xgaze(face_gaze=["a", "b"]), message="no face_gaze"),
    case(ask("eth-xgaze"), xgaze(face_gaze=np.full((2, 2), np.nan)), message="one label an image"),
    case(ask("eth-xgaze"), xgaze(face_gaze=(10**12, 2)), message="claims to hold"),
    case(ask("eth-xgaze"), xgaze(face_patch=(2, 10**6, 8, 3)), message="no face_patch"),
    case(ask("eth-xgaze"), {"d/train/subject0000.h5": b"\x89HDF"}, message="as HDF5"),
    # Head pose, light, rendered people.
    case(ask("aflw2000"), aflw(points=np.full((3, 68), 1e300)), message="landmarks in pixels"),
    case(ask("aflw2000"), aflw(points=POINTS * np.nan), message="landmarks in pixels"),
    case(ask("aflw2000"), aflw(pose=np.array([["a"]])), message="numbers"),
    case(ask("aflw2000"), aflw(pose={"a": 1}), message="numbers"),
    case(ask("aflw2000"), aflw(points=np.zeros((3, 9))), message="not [7] and [3, 68]"),
    case(ask("biwi"), biwi("1 0 0\n0 1 0\n0 0 1\n\n0 0 1e300\n"), message="beyond"),
    case(ask("biwi"), biwi("9e9 0 0\n0 1 0\n0 0 1\n\n0 0 900\n"), message="holds no rotation"),
    case(ask("biwi"), biwi("1 0 0\n0 1 0\n0 0 nan\n\n0 0 900\n"), message="NaN"),
    case(
        ask("yale-b"),
        {f"d/yaleB01_P00A+0{n}E+00.pgm": b"P5" for n in (10, 20)},
        message="cannot be read",
    ),
    case(ask("factors"), synth() | {"d/labels.parquet": b"PAR1"}, message="cannot be read"),
    case(ask("factors"), synth(yaw_rad=["a", "b", "c"]), message="yaw_rad is no number"),
    case(ask("factors"), synth(light_x=[0.0, np.nan, 0.0]), message="light_x is NaN"),
    case(ask("factors"), synth(rotation=[[1.0] * 8] * 3), message="rotation is NaN"),
    case(ask("factors"), synth(rotation=[[1.0] * 9, [1.0], None]), message="rotation is no number"),
    case(ask("factors"), synth(person=[1, 2, None]), message="person is NaN"),
    # All of a folder.
    case(ask("all"), {"d/RAF-DB/x.txt": "x"}, message="RAF-DB is not understood: it is called as"),
    case(ask("all"), {"d/photos/a/x.txt": "x"}, message="photos is not understood: it holds a"),
    case(ask("all"), {"d/x.zip": b"PK"}, message="x.zip is not understood"),
    case(ask("all"), {"d": None}, message="nothing in d is a data set"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)


def test_hdf5_and_archives_are_made_as_meant(tmp_path):
    zipped({"a": b"x"})(tmp_path / "a.zip")
    assert zipfile.ZipFile(tmp_path / "a.zip").read("a") == b"x"
    assert np.load(io.BytesIO(npy((1,), struct.pack("<d", 3)))) == [3]
