"""Training, rendering of clips, and the files that they read: bad and hard inputs."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.cli.main import run
from robustness.cases import case, check, image

PRETRAIN = "pretrain latentface --device cpu --out run"
SYNTH = "synth --head-model toy --identities 1 --frames 1 --size 16 --out out"
CROPS = {"crops": None, "crops/a.png": image(32, 32), "crops/b.png": image(32, 32)}
DETECTOR = {**CROPS, "empty": None}
DEEP = "a: " + "[" * 3000 + "]" * 3000
RUN = ["run/config.yaml", "run/train.log"]
OURS = json.dumps({"program": "mien synth"})


def detector(words):
    words = f"pretrain detector --device cpu --out run --data crops {words}"
    return case(words, DETECTOR, env={"MIEN_YUNET": "nowhere"})


def config(text):
    return case(f"{PRETRAIN} --data crops --config mine.yaml", {**CROPS, "mine.yaml": text})


def changed(words, message):
    return case(f"{PRETRAIN} --data crops {words}", CROPS, message=message)


def npz(**changes):
    """Return the bytes of a small npz in the place of a head model."""
    arrays = {
        "neutral": np.zeros((4, 3), np.float32),
        "identity": np.zeros((1, 4, 3), np.float32),
        "expression": np.zeros((1, 4, 3), np.float32),
        "expression_names": np.array(["jawOpen"]),
        "faces": np.array([[0, 1, 2]]),
    }
    file = io.BytesIO()
    np.savez(file, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return file.getvalue()


def claiming(count):
    """Return an npz whose first array claims so many numbers and holds none."""
    file = io.BytesIO(npz())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (count, 3)}
    )
    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, header.getvalue() if name == "neutral.npy" else old.read(name))
    return made.getvalue()


def table(metadata=None, **changes):
    """Return a writer of a small table of faces."""
    columns = {
        "path": ["crops/a.png"],
        "frame": [0],
        "track_id": [None],
        "face_found": [True],
        "x1": [1],
        "y1": [1],
        "x2": [9],
        "y2": [9],
    }
    columns = {k: v for k, v in (columns | changes).items() if v is not None}

    def write(path):
        found = pa.table(columns)
        given = {"mien.detector": "haar"} if metadata is None else metadata
        pq.write_table(found.replace_schema_metadata(given or None), path)

    return write


def bomb(path):
    """Write a zip that claims to unpack to 2 GiB."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"tiny")
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)


def head(content, message):
    words = "synth --head-model head.npz --identities 1 --frames 1 --out out"
    return case(words, {"head.npz": content}, message=message)


def mesh(text, message):
    files = {"head": None, "head/generic_neutral_mesh.obj": text}
    return case("synth --head-model head --identities 1 --frames 1 --out o", files, message=message)


def of_table(write, message):
    return case(f"{PRETRAIN} --data t.parquet", {**CROPS, "t.parquet": write}, message=message)


CASES = [
    # configurations
    *[
        (config(text), message)
        for text, message in [
            (DEEP, "nested too deep"),
            ("stage1: {steps: " + "9" * 400 + "}", "beyond all bounds"),
            ("stage1: {steps: " + "9" * 5000 + "}", "is not YAML"),
            ("stage1: {learning_rate: 1e999}", "stage1.learning_rate must be"),
            ("stage1: {learning_rate: .inf}", "beyond all bounds"),
            ("stage1: {learning_rate: .nan}", "beyond all bounds"),
            ('data: {cache: "\\ud800"}', "is not YAML"),
            (b"\xff\xfe\x00", "is not UTF-8"),
            ("a: &a [1]\nb: *a", "alias"),
            ("a: !!python/object:os.system {}", "is not YAML"),
            ("a: 2020-01-01", "date"),
            ("- 1", "no keys"),
            ("{1: 2}", "unknown option '1'"),
            ("model: {image_size: 1073741824}", "must be from 32 to 1024"),
            ("model: {neutral_blocks: 1000000}", "must be from 0 to 256"),
            ("model: {sampling_steps: 0}", "must be from 1 to 1000"),
            ("model: {sampling_steps: -1}", "must be from 1 to 1000"),
            ("model: {sampling_steps: many}", "takes a whole number"),
            ("model: {width: 0}", "must be from 1 to"),
            ("stage1: {loss_weights: {cross: .nan}}", "beyond all bounds"),
            ("data: {detector: nose}", "data.detector takes"),
            ("data: {sources: 3}", "data.sources takes a list"),
            (lambda path: os.mkfifo(path), "pipe or a device"),
            (None, "is a folder"),
        ]
    ],
    # options on the command line
    *[
        (changed(words, message), message)
        for words, message in [
            ("stage1.learning_rate=nan", "must be from 0"),
            ("stage1.learning_rate=inf", "must be from 0"),
            ("stage1.learning_rate=1e999", "must be from 0"),
            ("loop.seed=99999999999999999999", "must be from 0"),
            ("loop.grad_clip=-1", "must be from 0"),
            ("stage1.loss_weights.cross=-inf", "must be from 0"),
            ("model.fov_deg=180", "must be from 0.1 to 150"),
            ("loop.precision=bf17", "loop.precision takes auto"),
            ("--device meta", "unknown device"),
            ("--device cpu:7", "unknown device"),
            ("data.exclude=nowhere", "nowhere does not exist"),
        ]
    ],
    # the detector's training
    *[
        (detector(words), message)
        for words, message in [
            ("", "no images without faces; give --backgrounds FOLDER"),
            ("--backgrounds nowhere", "nowhere does not exist"),
            ("--backgrounds empty", "no image or video in"),
            ("--backgrounds crops empty", "no image or video in"),
            ("--backgrounds synth:crops", "--backgrounds takes images without faces"),
            ("synth:crops --backgrounds crops", "is no source of photographs"),
            ("--backgrounds crops data.detector=haar", "data.detector takes yunet, none, not"),
            ("--backgrounds crops", "no YuNet file at nowhere"),
            ("--backgrounds crops data.validation=nowhere", "nowhere has no folder faces"),
            ("--backgrounds crops data.validation=empty", "empty has no folder faces"),
            ("--backgrounds crops detector.side=100", "must be a multiple of 32, not 100"),
            ("--backgrounds crops detector.side=352", "detector.side must be from 32 to 320"),
            ("--backgrounds crops detector.views=0", "detector.views must be from 1"),
            ("--backgrounds crops detector.batch_size=33", "must be a multiple of detector.views"),
            ("--backgrounds crops detector.least_score=2", "must be from 0 to 1"),
            ("--backgrounds crops detector.speed=1", "unknown option 'detector.speed'"),
        ]
    ],
    # data whose faults are found when they are cropped: the run folder is there, to be resumed
    (case(f"{PRETRAIN} --data crops data.detector=haar", CROPS, makes=RUN), "no face is found"),
    (case(f"{PRETRAIN} --data a.zip", {"a.zip": bomb}, makes=RUN), "unpacks to more than"),
    (case(f"{PRETRAIN} --data a.zip", {"a.zip": b"PK\x03\x04"}), "no whole zip file"),
    # tables of faces
    *[
        (of_table(write, message), message)
        for write, message in [
            (table(metadata={}), "says nothing of how its boxes frame a face"),
            (table(metadata={"mien.detector": b"\xff"}), "of how its boxes frame a face"),
            (table(path=None), "has no column path"),
            (table(path=[3]), "the column path holds int64, not string"),
            (table(path=[None]), "the column path holds nothing in row 1"),
            (table(path=[b"crops/a.png"]), "the column path holds binary, not string"),
            (table(x2=[1e30]), "1 boxes are none, first that of"),
            (table(x1=[float("nan")]), "1 boxes are none, first that of"),
            (table(x1=[20]), "1 boxes are none, first that of"),
            (table(x1=["left"]), "the column x1 holds string, not float"),
            (table(frame=[None]), "the column frame holds nothing in row 1"),
            (b"PAR1" + b"\0" * 40 + b"PAR1", "no Parquet file that can be read"),
        ]
    ],
    # head models
    *[
        (head(content, message), message)
        for content, message in [
            (npz(), "4 vertices, ICT-FaceKit has 26719"),
            (npz(faces=None), "lacks faces"),
            (claiming(10**12), "cannot read the head model"),
            (b"no zip", "cannot read the head model"),
            (npz(neutral=np.array([{}], dtype=object)), "cannot read the head model"),
            (lambda path: os.mkfifo(path), "no head model at"),
        ]
    ],
    *[
        (mesh(text, message), message)
        for text, message in [
            ("v 1 2\n", "line 1"),
            ("v 1 2 nan\n", "no number"),
            ("v 1 2 1e999\n", "no number"),
            ("v 1 2 3\nf 1 2 3\n", "a vertex that is not there"),
            ("v 1 2 3\nf 99999999999999999999 1 1\n", "line 2"),
            ("v 1 2 3\nf " + "9" * 5000 + " 1 1\n", "line 2"),
            ("v 1 2 3\nf -5 1 1\n", "a vertex that is not there"),
            ("", "holds no vertices"),
            (lambda path: os.mkfifo(path), "no generic_neutral_mesh.obj"),
        ]
    ],
    # folders of somebody else
    (case(f"{SYNTH} --overwrite", {"out": None, "out/config.json": "{}"}), "not of `mien synth`"),
    (case(SYNTH, {"out": None, "out/config.json": "[" * 5000}), "nested too deep"),
    (case(SYNTH, {"out": None, "out/config.json": '{"a": NaN}'}), "NaN is no number"),
    (case(SYNTH, {"out": None, "out/config.json": "9" * 5000}), "is not JSON"),
    (case(SYNTH, {"out": None, "out/mine.txt": "x"}), "not empty"),
    (
        case(
            f"{SYNTH} --overwrite",
            {"out": None, "out/config.json": OURS, "out/labels.parquet": b"mine"},
        ),
        "not of `mien synth`",
    ),
    (case(f"{PRETRAIN} --data crops --overwrite", {**CROPS, "run": None, "run/a": "x"}), "no run"),
    (case("synth --head-model toy --identities 1 --frames 1 --out o --size 20000", {}), "size"),
    (case("synth --head-model toy --identities 1 --frames 1 --out o --device meta", {}), "device"),
]


@pytest.mark.parametrize(("case", "message"), CASES, ids=[f"{i}" for i in range(len(CASES))])
def test_case(case, message, place, capfd):
    check(replace(case, message=message), place, capfd)


def test_overwrite_leaves_what_is_not_its_own(place, capfd):
    files = {
        "out": None,
        "out/config.json": OURS,
        "out/notes.txt": "mine",
        "out/person_000001": None,
        "out/person_000001/frame_000.png": "old",
        "out/person_000001/diary.txt": "mine",
        "out/person_000002": None,
        "out/person_000002/frame_000.png": "old",
        "out/person_000002/truth.zip": "old",
    }
    for name, content in files.items():
        if content is None:
            (place / name).mkdir()
        else:
            (place / name).write_text(content)
    assert run([*SYNTH.split(), "--overwrite"]) in (0, 2)
    assert (place / "out/notes.txt").read_text() == "mine"
    assert (place / "out/person_000001/diary.txt").read_text() == "mine"
    assert not (place / "out/person_000002").exists()
    capfd.readouterr()
