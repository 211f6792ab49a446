"""Tables and saved probes made to be read, and their text files, for the cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COUNT, DIM = 12, 4
CODES = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)
EMBED = "embed a.png --weights tiny --detector none"
LABELS = "path,mood\n" + "".join(f"{i}.png,{'xy'[i % 2]}\n" for i in range(COUNT))
TARGETS = "path,gaze_yaw_deg,gaze_pitch_deg\n" + "".join(
    f"{i}.png,{20 * (i % 3 - 1) + i / 10},{15 * (i // 3 - 1) - i / 7}\n" for i in range(COUNT)
)
PROBE = "probe t.parquet --columns identity --labels l.csv -o p.json"
CALIBRATE = "calibrate t.parquet --targets l.csv -o c.json"
SCREEN = CALIBRATE + " --screen s.json"


def table(**changes: Any) -> Callable[[Path], None]:
    """Return what writes a table; None leaves a column out."""

    def write(path: Path) -> None:
        kind = pa.list_(pa.field("element", pa.float32(), nullable=False), DIM)
        columns: dict[str, Any] = {
            "path": pa.array([f"{i}.png" for i in range(COUNT)]),
            "frame": pa.array([0] * COUNT, pa.int64()),
            "face_id": pa.array([0] * COUNT, pa.int32()),
            "track_id": pa.nulls(COUNT, pa.int32()),
            "face_found": pa.array([True] * COUNT),
            "identity": pa.array(CODES.tolist(), kind),
            "gaze_code": pa.array(CODES.tolist(), kind),
            "eyes_found": pa.array([True] * COUNT),
            **{
                n: pa.array(CODES[:, i]) for i, n in enumerate(("yaw_rad", "pitch_rad", "roll_rad"))
            },
        }
        metadata = changes.pop("metadata", {"mien.version": "0", "mien.model_id": "0123456789ab"})
        there = {n: column for n, column in (columns | changes).items() if column is not None}
        pq.write_table(pa.table(there).replace_schema_metadata(metadata), path)

    return write


def damaged(path: Path) -> None:
    table()(path)
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)


def twice(path: Path) -> None:
    table()(path)
    read = pq.read_table(path)
    pq.write_table(read.append_column("path", read.column("path")), path)


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def changed(part: str, value: object) -> Callable[[Path], None]:
    """Return what writes a probe that was changed at `part` and sealed again."""

    def write(path: Path) -> None:
        from mien.probes.probe import FILE

        length = 1.0 / DIM
        body: dict[str, Any] = {
            "label": "mood",
            "columns": [["identity", 32]],
            "classes": ["x", "y"],
            "model_id": "",
            "samples": 12,
            "function": {
                "mean": [0.0] * 32,
                "scale": [1.0] * 32,
                "weights": [[length, -length]] * 32,
                "intercept": [0.0, 0.0],
                "strength": 1.0,
                "spread": None,
            },
            "held_out": {
                "score": 50.0,
                "low": 40.0,
                "high": 60.0,
                "baseline": 50.0,
                "by": "faces",
                "recall": [50.0, 50.0],
                "correlation": None,
            },
            "curve": [{"labels": 6, "score": 50.0, "low": 40.0, "high": 60.0}],
        }
        *way, last = part.split(".")
        inner = body
        for name in way:
            inner = inner[name]
        inner[last] = value
        FILE.write(body, path, overwrite=False)

    return write
