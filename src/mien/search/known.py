"""Which faces are in an index already: those of one place with one code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.search.file import Content

__all__ = ["Known"]

_KEYS = ("path", "frame", "face_id")


class Known:
    """The faces of an index, to look others up.

    Two folders may both hold a `1.jpg`: the place alone does not tell. Both are compared by hashes
    of 64 bits.
    """

    def __init__(self, content: Content) -> None:
        self._codes = content.codes
        self._places = _places(content.rows)

    def __call__(self, codes: NDArray[np.uint8], rows: pa.Table) -> NDArray[np.bool_]:
        """Return which faces have the path, frame, number and code of one that is there. [n].

        Args:
            codes: of the faces. [n, 2, D].
            rows: likewise. [n].
        """
        new = _places(rows)
        perhaps = np.flatnonzero(np.isin(new, self._places))
        known = np.zeros(len(new), dtype=bool)
        if len(perhaps):
            there = np.flatnonzero(np.isin(self._places, new))
            before = self._places[there] ^ _digests(self._codes.take(there))
            known[perhaps] = np.isin(new[perhaps] ^ _digests(codes[perhaps]), before)
        return known


def _places(rows: pa.Table) -> NDArray[np.uint64]:
    import pandas as pd
    import pandas.util as pandas_util

    columns = [rows.column(name) for name in _KEYS]
    frame = pd.DataFrame(
        {
            "path": columns[0].to_pandas(),
            "frame": columns[1].to_numpy(),
            "face_id": columns[2].fill_null(-1).to_numpy(),
        }
    )
    hashing: Any = pandas_util  # whose offer pyright does not see
    return hashing.hash_pandas_object(frame, index=False).to_numpy()


def _digests(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    flat = codes.reshape(len(codes), -1)
    factors = np.random.default_rng(0).integers(0, 1 << 63, flat.shape[1], np.uint64) * 2 + 1
    total = np.zeros(len(flat), np.uint64)
    for column, factor in zip(flat.T, factors, strict=True):
        total += column * factor  # modulo 2^64
    return total
