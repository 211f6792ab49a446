"""A peer as protocols ask for factors: every code is the peer's features, and there is no more.

A peer has one description of a face, not several. Whichever code a protocol names, it gets that
one; what a peer does not give (head pose, light) is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from benchmarks.peers.crops import CropStore
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.by_weights import FACE_COLUMNS, GAZE_COLUMNS
from mien.evaluate.protocol import FactorColumns, GetFactors, Images

__all__ = ["CODES", "Features", "PeerDescribed", "describe_peer"]

CODES = ("identity", "expression", "texture_code", "shape_code", "face_embedding", "gaze_code")
"""Columns under which a peer's one description is given."""


class Features(Protocol):
    """Describes crops; a network, or a computation without one."""

    @property
    def parameters(self) -> int:
        """How many learned numbers the description takes."""
        ...

    def __call__(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return one row a crop; RGB. [B, S, S, 3] -> [B, D]."""
        ...


@dataclass(frozen=True)
class PeerDescribed(FactorColumns):
    """The one description, under the name of each code."""

    def joined(self, *names: str) -> NDArray[np.float32]:
        """Return the features once, however many codes are named; with codes, nothing else.

        Equal columns would only weigh a probe down, and columns of NaN break it.
        """
        codes = [name for name in names if self.columns[name].ndim == 2]
        return super().joined(*(codes[:1] or names))


def describe_peer(
    name: str, features: Features, crops: CropStore, *, batch_size: int = 256
) -> GetFactors:
    """Return what describes images by a peer's features.

    Args:
        name: of the peer, for messages.
        features: what it makes of crops.
        crops: cuts the faces.
        batch_size: crops at a time.

    Raises:
        MienError: by what is returned: the images show no whole faces, or a column is unknown.
    """
    return _ByPeer(name, features, crops, batch_size)


@dataclass(frozen=True)
class _ByPeer:
    name: str
    features: Features
    crops: CropStore
    batch_size: int
    columns: frozenset[str] = frozenset({*FACE_COLUMNS, *GAZE_COLUMNS})
    reads_pixels: bool = True

    def __call__(self, images: Images, columns: Sequence[str], /) -> PeerDescribed:
        """Return the named columns of all images."""
        for column in columns:
            if column not in self.columns:
                raise MienError(f"{self.name} gives no column {column}")
        cut = self.crops(images)
        rows = np.flatnonzero(cut.found)
        codes = np.full((len(images), 1), np.nan, dtype=np.float32)
        for start in range(0, len(rows), self.batch_size):
            made = self.features(np.asarray(cut.crops[start : start + self.batch_size]))
            if start == 0:
                codes = np.full((len(images), made.shape[1]), np.nan, dtype=np.float32)
            codes[rows[start : start + self.batch_size]] = made
        if not np.isfinite(codes[rows]).all():
            raise MienError(f"{self.name} gives features that are not finite: it is badly trained")
        unknown = np.full(len(images), np.nan, dtype=np.float32)
        given: dict[str, NDArray[np.float32]] = dict.fromkeys(CODES, codes)
        given["eyes_found"] = cut.found.astype(np.float32)
        return PeerDescribed(
            cut.found, cut.detected, {column: given.get(column, unknown) for column in columns}
        )
