"""Tables of faces with made-up codes, for the search among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["WEIGHTS_ID", "people", "write_faces"]

WEIGHTS_ID = "0123456789ab"


def people(
    count: int, each: int, dim: int, *, seed: int = 0, noise: float = 0.5
) -> NDArray[np.float32]:
    """Return codes of length one, the faces of a person near each other. [count * each, D]."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((count, 1, dim), dtype=np.float32)
    codes = centre + noise * rng.standard_normal((count, each, dim), dtype=np.float32)
    codes = codes.reshape(count * each, dim)
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def write_faces(
    path: Path,
    codes: NDArray[np.float32],
    *,
    person: Sequence[str] | None = None,
    paths: Sequence[str] | None = None,
    found: Sequence[bool] | None = None,
    tracks: Sequence[int | None] | None = None,
    weights: str = WEIGHTS_ID,
    code: str = "face_embedding",
) -> Path:
    """Write a table with a face a row."""
    count = len(codes)
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), codes.shape[1])
    box = pa.array(np.arange(count), pa.float32())
    columns = {
        "path": pa.array(paths or [f"{path.stem}/{i}.jpg" for i in range(count)]),
        "frame": pa.array([0] * count, pa.int64()),
        "face_id": pa.array([0] * count, pa.int32()),
        "track_id": pa.array(tracks or [None] * count, pa.int32()),
        "face_found": pa.array([True] * count if found is None else found),
        **dict.fromkeys(("x1", "y1", "x2", "y2"), box),
        code: pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), type=kind),
    }
    if person is not None:
        columns["who"] = pa.array(person)
    metadata = {"mien.version": "0", "mien.model_id": weights, "mien.detector": "none"}
    table = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=30)
    return path
