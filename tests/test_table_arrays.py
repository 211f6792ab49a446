"""Arrays made of buffers are those of pyarrow.array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mien.table.arrays import list_to_arrow, to_arrow

KINDS = [pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("nulls", [False, True])
def test_numbers(kind, count, nulls):
    values = (np.arange(count) % 3).astype(kind.to_pandas_dtype())
    there = np.arange(count) % 2 == 0 if nulls else None
    found = to_arrow(values, kind, there)
    found.validate(full=True)
    assert found.equals(pa.array(values, type=kind, mask=None if there is None else ~there))
    listed = [None if nulls and i % 2 else value for i, value in enumerate(values.tolist())]
    assert list_to_arrow(listed, kind).equals(pa.array(listed, type=kind))


@pytest.mark.parametrize(
    "values", [[], ["a"], ["", None, "längere Wörter", "\N{GRINNING FACE}"], [None, None]]
)
def test_texts(values):
    found = list_to_arrow(values, pa.string())
    found.validate(full=True)
    assert found.equals(pa.array(values, type=pa.string()))


def test_slices_and_other_types_are_taken():
    values = np.arange(12, dtype=np.float64)[::3]
    assert to_arrow(values, pa.float32()).to_pylist() == [0, 3, 6, 9]
