"""The error on samples held out of everything: of the fit and of every choice made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.geometry.gaze import angle_between, gaze_vector
from mien.probes.gaze import HeldOut
from mien.probes.gaze_samples import target_groups

__all__ = ["Learn", "Samples", "held_out"]

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

_FOLDS = 10
_ONE_BY_ONE = 20
"""So many groups, or fewer, are held out one by one."""
_DRAWS = 2000


@dataclass(frozen=True)
class Samples:
    """What a calibration is made of."""

    inputs: Array
    """Code, then head pose if it is used. [N, f]."""
    angles: Array
    """Yaw and pitch of the targets, rad. [N, 2]."""
    people: NDArray[np.str_] | None
    """Who it is. [N]."""
    code_dim: int

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Whole) -> Samples:
        """Return some of the samples."""
        people = None if self.people is None else self.people[rows]
        return Samples(self.inputs[rows], self.angles[rows], people, self.code_dim)

    def groups(self, *, by_people: bool) -> tuple[Whole, str]:
        """Return which samples are to be left out together, and the name of such a group.

        People where they are asked for and there are two; else what is looked at, because frames
        of one look at one target are nearly the same sample; else single samples.

        Returns:
            A number for each sample [N]; "people", "targets" or "samples".
        """
        if by_people and self.people is not None and len(set(self.people)) > 1:
            return np.unique(self.people, return_inverse=True)[1].astype(np.int64), "people"
        places = target_groups(self.angles)
        # A few random targets may fall together; then samples do not come in places.
        if 1 < len(set(places)) <= len(self) / 2:
            return places, "targets"
        return np.arange(len(self)), "samples"


Learn: TypeAlias = Callable[[Samples], Callable[[Samples], Array]]
"""From samples to a function from other samples, whose targets it ignores, to angles [M, 2]."""


def held_out(
    samples: Samples, learn: Learn, *, by_people: bool, rng: np.random.Generator
) -> HeldOut:
    """Return the error of learning anew without the samples on which it is measured.

    Up to twenty groups are held out one by one, more in ten parts. The interval is that of the
    mean over resampled groups.

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        by_people: hold out people, where there are two.
        rng: makes the parts and draws the resampled groups.
    """
    groups, by = samples.groups(by_people=by_people)
    number = np.unique(groups, return_inverse=True)[1]
    count = int(number.max()) + 1
    parts = np.arange(count) % (count if count <= _ONE_BY_ONE else _FOLDS)
    part = rng.permutation(parts)[number]
    predicted, usual = np.empty((2, len(samples), 2))
    for k in np.unique(part):
        rest, rows = samples.take(np.flatnonzero(part != k)), np.flatnonzero(part == k)
        predicted[rows] = learn(rest)(samples.take(rows))
        usual[rows] = rest.angles.mean(axis=0)
    errors = _errors_deg(predicted, samples.angles)
    low, high = _interval(errors, number, rng)
    return HeldOut(
        mean_deg=float(errors.mean()),
        low_deg=low,
        high_deg=high,
        baseline_deg=float(_errors_deg(usual, samples.angles).mean()),
        by=by,
    )


def _errors_deg(predicted: Array, truth: Array) -> Array:
    return np.rad2deg(angle_between(gaze_vector(*predicted.T), gaze_vector(*truth.T)))


def _interval(errors: Array, number: Whole, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean error by drawing groups with replacement."""
    sums, counts = np.bincount(number, errors), np.bincount(number)
    drawn = rng.integers(len(sums), size=(_DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
