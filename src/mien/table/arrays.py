"""Arrow arrays made of buffers.

`pyarrow.array` gives the same, but imports pandas where it is installed, whatever it is given: more
than a tenth of the time that `mien embed` takes for one photograph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["list_to_arrow", "to_arrow"]


def to_arrow(
    values: NDArray[np.generic], kind: pa.DataType, there: NDArray[np.bool_] | None = None
) -> pa.Array:
    """Return numbers or truths as an array of a type, null where nothing is there.

    Args:
        values: of a type that `kind` holds. [N].
        kind: a number of fixed width, or bool.
        there: what is not null; None: everything. Bool [N].
    """
    data = values.astype(kind.to_pandas_dtype(), copy=False)
    return pa.Array.from_buffers(
        kind,
        len(values),
        [
            None if there is None or there.all() else _bits(there),
            _bits(data) if pa.types.is_boolean(kind) else pa.py_buffer(np.ascontiguousarray(data)),
        ],
    )


def list_to_arrow(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Return texts, numbers or truths as an array of a type; None is null.

    Args:
        values: of a type that `kind` holds. [N].
        kind: string, a number of fixed width, or bool.
    """
    there = np.array([value is not None for value in values], dtype=bool)
    if not pa.types.is_string(kind):
        known = [0 if value is None else value for value in values]
        return to_arrow(np.array(known, dtype=kind.to_pandas_dtype()), kind, there)
    texts = [b"" if value is None else str(value).encode() for value in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int64).astype(np.int32)
    validity = None if there.all() else _bits(there)
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _bits(truths: NDArray[np.generic]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths.astype(bool), bitorder="little"))
