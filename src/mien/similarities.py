"""How alike the codes of two faces are, and where that falls among people: numbers measured once.

    similarity = cos(x - m, y - m)

for each code, with the mean code m of many people, as in `mien.verification`. What was measured are
quantiles of that similarity over pairs of one person and over pairs of different people. They stand
beside the weights in similarities.json, which tools/verification.py writes; no face is in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import weights as weights_folder
from mien.linear.similarity import centred
from mien.measured import read_measured
from mien.media.atomic import write_text

__all__ = ["CODES", "LEVELS", "PairQuantiles", "Similarities", "quantiles_of"]

CODES = ("face_embedding", "identity", "expression", "texture_code", "shape_code")
"""What of two faces is compared by a similarity."""
LEVELS = (
    *(0.0, 0.001, 0.002, 0.005, 0.01, 0.02),
    *(level / 100 for level in range(5, 100, 5)),
    *(0.98, 0.99, 0.995, 0.998, 0.999, 1.0),
)
"""Fractions of the pairs of which the quantiles are kept."""

_FORMAT = "mien similarities 1"

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class PairQuantiles:
    """One code's similarities over pairs of people."""

    code: str
    """One of `CODES`."""
    mean: Array = field(repr=False)
    """Of the code over many people, within 1e6. [D]."""
    same_person: Array = field(repr=False)
    """Similarities at `LEVELS` among pairs of one person, rising. [L]."""
    different_people: Array = field(repr=False)
    """Likewise, among pairs of two people. [L]."""

    def __post_init__(self) -> None:
        """Raise ValueError where this cannot be."""
        if self.code not in CODES:
            raise ValueError(f"no such code is compared: {self.code[:40]!r}")
        if self.mean.ndim != 1 or not (np.abs(self.mean) <= 1e6).all():
            raise ValueError("the mean is a list of numbers within 1e6")
        for one in (self.same_person, self.different_people):
            if one.shape != (len(LEVELS),) or not (np.abs(one) <= 1).all():
                raise ValueError(f"quantiles are {len(LEVELS)} numbers in [-1, 1]")
            if (np.diff(one) < 0).any():
                raise ValueError("quantiles never fall from one to the next")

    def similarity(self, one: Array, other: Array) -> float:
        """Return the centred cosine of two codes, in [-1, 1]. [D] each."""
        product = (centred(one, self.mean) * centred(other, self.mean)).sum()
        # Rounding may take a face's likeness to itself beyond 1.
        return float(np.clip(product, -1, 1))

    def below(self, similarity: float) -> tuple[float, float]:
        """Return the fractions of pairs of one person, and of different people, less alike.

        Between two quantiles it rises evenly; 0 and 1: beyond all pairs that were measured.
        """
        same, different = (
            float(np.interp(similarity, quantiles, LEVELS))
            for quantiles in (self.same_person, self.different_people)
        )
        return same, different


@dataclass(frozen=True, eq=False)
class Similarities:
    """What similarities.json holds: measured once for some weights."""

    weights_id: str
    measured_on: str
    """People, images, pairs: one line."""
    codes: tuple[PairQuantiles, ...]

    def save(self, folder: str | Path) -> None:
        """Write similarities.json into a folder of weights, over one that is there.

        Raises:
            MienError: it cannot be written.
        """
        content = {
            "format": _FORMAT,
            "weights": self.weights_id,
            "measured_on": self.measured_on,
            "levels": LEVELS,
            "codes": {
                one.code: {
                    name: [round(float(x), 6) for x in getattr(one, name)]
                    for name in ("same_person", "different_people", "mean")
                }
                for one in self.codes
            },
        }
        path = Path(folder) / weights_folder.SIMILARITIES_FILE
        write_text(path, json.dumps(content) + "\n")

    @staticmethod
    def read(where: str | Path) -> Similarities | None:
        """Read what was measured for weights; None where nothing was.

        Raises:
            MienError: it was measured for other weights, or the file is damaged.
        """
        path = weights_folder.similarities_file(where)
        if path is None:
            return None
        return read_measured(path, where, _FORMAT, _similarities)


def _similarities(found: dict[str, Any]) -> Similarities:
    if [float(level) for level in found["levels"]] != list(LEVELS):
        raise ValueError("its quantiles are of other levels")
    codes = tuple(_quantiles(code, one) for code, one in found["codes"].items())
    return Similarities(str(found["weights"]), str(found["measured_on"]), codes)


def quantiles_of(
    code: str, mean: Array, same_person: Array, different_people: Array
) -> PairQuantiles:
    """Return what is kept of similarities.

    Args:
        code: one of `CODES`.
        mean: that was taken off. [D].
        same_person: of all pairs of one person. [N].
        different_people: of all pairs of two people. [M].
    """
    same, different = (
        # Rounded as they are kept, and within what a cosine may be.
        np.maximum.accumulate(np.quantile(each, LEVELS).clip(-1, 1).round(6))
        for each in (same_person, different_people)
    )
    return PairQuantiles(code, mean, same, different)


def _quantiles(code: str, found: dict[str, Sequence[float]]) -> PairQuantiles:
    parts = (found["mean"], found["same_person"], found["different_people"])
    return PairQuantiles(code, *(np.asarray(part, dtype=np.float64) for part in parts))
