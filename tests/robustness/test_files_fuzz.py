"""Tables, labels, configurations, weights and head models bent in every field: one MienError."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("hypothesis")
import yaml
from hypothesis import given, strategies as st
from scipy.io import savemat

from mien.evaluate.datasets.matlab import read_variables
from mien.evaluate.from_table import describe_from
from mien.model import load
from mien.probes import gaze as calibrations, probe as probes
from mien.probes.gaze import Calibration
from mien.probes.labels import read_labels, read_targets
from mien.probes.probe import Probe
from mien.probes.screen import read_screen
from mien.synth.head_model import ICT_VERTICES, load_head_model
from mien.table.boxes import read_boxes
from mien.table.forget import forget_rows
from mien.table.read import read_codes, read_table, some_columns, table_info
from mien.train.config import from_mapping, load_config, read_config
from mien.train.options import TrainConfig
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.gaze_options import GazeTrainConfig
from mien.weights import read as read_weights
from robustness.bent import CHANGES, CUT, JSON, bent, one_line
from robustness.made_tables import CODES, COUNT, LABELS, TARGETS, changed, table


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "file"


FIXED = pa.list_(pa.field("element", pa.float32(), nullable=False), 4)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1e6, 1e38, -1e300])


def of_kind(kind: pa.DataType, cell: st.SearchStrategy) -> st.SearchStrategy[pa.Array]:
    cells = st.lists(cell | st.none(), min_size=COUNT, max_size=COUNT)
    return cells.map(lambda values: pa.array(values, kind))


LISTS = st.lists(NUMBERS, max_size=4)
COLUMN = st.one_of(
    of_kind(pa.float64(), NUMBERS),
    of_kind(pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    of_kind(pa.uint64(), st.integers(0, 2**64 - 1)),
    of_kind(pa.int8(), st.integers(-128, 127)),
    of_kind(pa.bool_(), st.booleans()),
    of_kind(pa.string(), st.text(max_size=4)),
    of_kind(pa.large_string(), st.sampled_from(["0.png", "", "1.png"])),
    of_kind(pa.binary(), st.binary(max_size=3)),
    of_kind(pa.timestamp("us"), st.integers(0, 2**40)),
    of_kind(pa.decimal128(9, 2), st.integers(0, 99).map(Decimal)),
    of_kind(pa.struct({"a": pa.float32()}), st.fixed_dictionaries({"a": st.floats(width=32)})),
    of_kind(pa.list_(pa.float64()), LISTS),
    of_kind(pa.large_list(pa.float64()), LISTS),
    of_kind(pa.list_(pa.list_(pa.float32())), st.lists(st.lists(st.floats(width=32), max_size=2))),
    of_kind(pa.list_(pa.string()), st.lists(st.text(max_size=2), max_size=2)),
    of_kind(pa.map_(pa.string(), pa.int32()), st.just([("a", 1)])),
    st.just(pa.nulls(COUNT)),
    st.just(pa.array(CODES.tolist(), FIXED)),
    st.lists(st.floats(width=32), min_size=4 * COUNT, max_size=4 * COUNT).map(
        lambda values: pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), 4)
    ),
    of_kind(pa.string(), st.sampled_from(["haar", "0.png"])).map(lambda a: a.dictionary_encode()),
)
NAMES = (
    *("path", "frame", "face_id", "track_id", "face_found", "identity", "gaze_code", "eyes_found"),
    *("yaw_rad", "x1", "y1", "x2", "y2", "framing", "turn_deg", "likeness", "face_embedding"),
    *("features", "reason", "time_s"),
)
BOXES = {name: pa.array([float(n)] * COUNT) for n, name in enumerate(("x1", "y1", "x2", "y2"))}
METADATA = st.dictionaries(
    st.sampled_from(["mien.version", "mien.options", "mien.columns", "mien.detector", "pandas"]),
    st.text(max_size=6) | JSON.map(json.dumps) | st.just("haar"),
    max_size=3,
)


def read_every_way(path: Path) -> None:
    """Call every reader of tables."""
    found = one_line(read_table, path)
    if found is not None:
        for name in found.code_names:
            one_line(found.codes, name)
    one_line(read_codes, path, "identity")
    one_line(table_info, path)
    one_line(some_columns, path, ("path", "frame", "face_id", "identity", "yaw_rad"))
    one_line(lambda: list(read_boxes(path)[0]))
    describe = one_line(describe_from, path)
    values = getattr(describe, "_values", None)
    if values is not None:
        one_line(values, "identity")
    one_line(forget_rows, path, path.with_name("rest"), paths=["0.png"], track=0, overwrite=True)


@given(st.dictionaries(st.sampled_from(NAMES), COLUMN | st.none(), max_size=4), METADATA)
def test_tables_with_bent_columns(file, columns, metadata):
    table(metadata=metadata, **{**BOXES, **columns})(file)
    read_every_way(file)


@given(CHANGES, CUT)
def test_tables_with_bent_bytes(file, changes, cut):
    table(**BOXES)(file)
    file.write_bytes(bent(file.read_bytes(), changes, cut))
    read_every_way(file)


CELLS = st.sampled_from(
    [
        "",
        "0.png",
        "x",
        "1",
        "-1",
        "1e999",
        "nan",
        '"',
        '""',
        "'",
        "=1",
        "\0",
        "é",
        "\ufeff",
        "9" * 30,
    ]
)
LINES = st.lists(st.lists(CELLS | st.text(max_size=5), max_size=4).map(",".join), max_size=6)
HEADS = st.sampled_from(
    [
        "path,mood",
        "path,frame,face_id,mood,person",
        "path,gaze_yaw_deg,gaze_pitch_deg",
        "path,gaze_x,gaze_y,gaze_z,person",
        "path,path",
        "",
    ]
)


@given(HEADS, LINES)
def test_lists_of_labels(file, head, lines):
    file.write_text("\n".join([head, *lines]), encoding="utf-8", errors="surrogatepass")
    one_line(read_labels, [file])
    one_line(read_labels, [file], label="mood", person="person")
    one_line(read_targets, file)


@given(st.sampled_from([LABELS, TARGETS]), CHANGES, CUT)
def test_bytes_of_labels(file, text, changes, cut):
    file.write_bytes(bent(text.encode(), changes, cut))
    one_line(read_labels, [file])
    one_line(read_targets, file)


OPTION = st.sampled_from(
    ["model", "data", "loop", "stage1", "stage2", "steps", "sources", "precision", "seed",
     "image_size", "loss_weights", "emib", "localizer", "student", "likeness_dim", "clip"]
)  # fmt: skip
OPTIONS = JSON | st.dictionaries(
    OPTION, JSON | st.dictionaries(OPTION, JSON, max_size=4), max_size=4
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(OPTIONS)
def test_configurations(tmp_path, value):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    for kind in (TrainConfig, GazeTrainConfig, DistillConfig):
        one_line(read_config, kind, str(path))
        if isinstance(value, dict):
            one_line(from_mapping, kind, value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@, \n\t\x00\x85\u2028.0e", max_size=40))
def test_configurations_of_any_text(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    one_line(load_config, str(path))
    one_line(read_screen, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(
    st.lists(
        st.sampled_from(
            ["model.width=", "loop.seed=", "stage1.loss_weights.", "data.", "x="]
        ).flatmap(lambda start: st.text(max_size=6).map(lambda end: start + end)),
        max_size=3,
    )
)
def test_assignments(words):
    one_line(load_config, "small", words)


KEYS = st.sampled_from(["pixel_mm", "origin_mm", "eye_mm", "eye_distance_mm", "x_axis", "y_axis"])
SOME = JSON | st.lists(NUMBERS, min_size=3, max_size=3) | NUMBERS


@given(st.dictionaries(KEYS, SOME, max_size=6))
def test_screens(tmp_path, value):
    path = tmp_path / "screen.json"
    path.write_text(json.dumps(value))
    one_line(read_screen, path)


SIZES = st.sampled_from(
    ["image_size", "texture_dim", "shape_dim", "width", "feature_dim", "neutral_width",
     "neutral_blocks", "face_embedding_dim", "gaze", "fov_deg", "more"]
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(st.dictionaries(SIZES, JSON, max_size=3))
def test_headers_of_weights(place, changes):
    path = place / "tiny" / "config.json"
    kept = path.read_text()
    header = json.loads(kept)
    header["model"] |= changes
    path.write_text(json.dumps(header))
    one_line(load, place / "tiny")
    path.write_text(kept)


@given(CHANGES, CUT)
def test_bytes_of_weights(place, changes, cut):
    path = place / "tiny" / "model.safetensors"
    kept, header = path.read_bytes(), (place / "tiny" / "config.json").read_text()
    # Most of a file is numbers: half of the changes go to its header.
    near = [(where % 4096 if n % 2 else where, value) for n, (where, value) in enumerate(changes)]
    path.write_bytes(bent(kept, near, cut))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("config.json").write_text(json.dumps(json.loads(header) | {"sha256": checksum}))
    one_line(read_weights, place / "tiny")
    one_line(load, place / "tiny")
    path.write_bytes(kept)
    path.with_name("config.json").write_text(header)


PARTS = ("label", "columns", "classes", "samples", "function", "function.weights", "held_out",
         "function.spread", "function.mean", "curve", "model_id", "held_out.recall")  # fmt: skip


@given(st.sampled_from(PARTS), JSON)
def test_saved_probes(tmp_path_factory, part, value):
    path = tmp_path_factory.mktemp("probe") / "p.json"
    finite = json.loads(json.dumps(value).replace("NaN", "0").replace("Infinity", "1"))
    changed(part, finite)(path)
    one_line(Probe.load, path)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_saved_calibrations(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("calibration") / "c.json"
    finite = json.loads(json.dumps(value).replace("NaN", "0").replace("Infinity", "1"))
    for file in (calibrations.FILE, probes.FILE):
        file.write(finite, path, overwrite=True)
        one_line(Calibration.load, path)
        one_line(Probe.load, path)


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array))
    return file.getvalue()


HEAD = {
    "neutral": np.zeros((ICT_VERTICES, 3), np.float32),
    "identity": np.zeros((1, ICT_VERTICES, 3), np.float32),
    "expression": np.zeros((1, ICT_VERTICES, 3), np.float32),
    "expression_names": np.array(["smile"]),
    "faces": np.zeros((1, 3), np.int32),
}
PLAIN = npz(**HEAD)
ARRAYS = st.one_of(
    st.sampled_from(
        [np.zeros(0), np.zeros((0, 3)), np.float32(1), np.array("x"), np.zeros((2, 2))]
    ),
    st.sampled_from(
        [np.array(["a", "a"]), np.array([b"\xff"]), np.array([1 + 2j]), np.zeros(1, "V4")]
    ),
    st.sampled_from([np.full((ICT_VERTICES, 3), n) for n in (np.nan, np.inf, 1e300, 0)]),
    st.sampled_from(
        [np.array([[0, 1, 2**31 - 1]]), np.array([[-1, 0, 1]]), np.array([[0.5, 1, 2]])]
    ),
    st.sampled_from([np.array(["2001-01-01"], "M8[D]"), np.zeros((1, 3), [("a", "i4")])]),
)


@given(st.dictionaries(st.sampled_from(sorted(HEAD)), ARRAYS, min_size=1, max_size=2))
def test_head_models_with_other_arrays(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("head") / "head.npz"
    path.write_bytes(npz(**{**HEAD, **arrays}))
    one_line(load_head_model, path)


@given(CHANGES, CUT)
def test_head_models_with_bent_bytes(tmp_path_factory, changes, cut):
    path = tmp_path_factory.mktemp("head") / "head.npz"
    path.write_bytes(bent(PLAIN, changes, cut))
    one_line(load_head_model, path)


def mat() -> bytes:
    file = io.BytesIO()
    names = np.array([["a.jpg"], ["b.jpg"]], dtype=object)
    savemat(file, {"names": names, "values": np.eye(3), "text": "x"}, do_compression=True)
    return file.getvalue()


MAT, MAT_NAMES = mat(), frozenset(["names", "values", "text"])


@given(CHANGES, CUT)
def test_matlab_lists_end_in_values_or_a_value_error(changes, cut):
    with suppress(ValueError):
        read_variables(bent(MAT, changes, cut), MAT_NAMES, most=1 << 20)
