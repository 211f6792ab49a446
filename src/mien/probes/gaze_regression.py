"""The regression behind a calibration: features and strength chosen on samples left out.

It sees code and head pose, standardised, and products of the strongest of them where these serve.
For people who are known, each has a column of its own beside the features: 1 for their samples,
0 for others', times a scale. Its weight is the person's offset, held by the same penalty as the
rest and so shrunk towards 0 where the samples are few: a random effect, whose standard deviation
the scale sets against that of the other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.linear.model import leverage, standards
from mien.linear.ridge import Ridge

__all__ = ["Basis", "Persons", "Regression", "make_basis", "regress", "strongest"]

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

_STRENGTHS = 10.0 ** np.arange(-5, 1.1, 0.5)
"""Per sample: features are standardised, so that 1 halves the weight of a single feature."""
_MORE_DIRECTIONS = (0, 4)
"""Principal components of the code in products, beside what the linear regression follows."""
_GAIN = 0.95
"""More features must bring the mean square error on samples left out below this fraction."""
_SCALES = (0.0, 0.5, 2.0)
"""Of the columns of people."""
_GROUPS = 25
"""More groups than this are left out several at a time, if they are not single samples."""


@dataclass(frozen=True)
class Basis:
    """The features of one calibration, each standardised over its samples."""

    mean: Array
    """Of code and pose. [f]."""
    scale: Array
    """Standard deviation of code and pose; 1 where they do not vary. [f]."""
    directions: Array
    """What is multiplied: directions in standardised code and pose. [f, m], m = 0: no products."""
    product_mean: Array
    """[m (m + 1) / 2]."""
    product_scale: Array
    """[m (m + 1) / 2]."""

    @property
    def size(self) -> int:
        """Return the number of features."""
        return len(self.mean) + len(self.product_mean)

    def features(self, inputs: Array) -> Array:
        """Return the features. [N, f] => [N, f + m (m + 1) / 2].

        Args:
            inputs: code, then head pose if it is used. [N, f].
        """
        linear = (inputs - self.mean) / self.scale
        products = _products(linear @ self.directions)
        return np.hstack([linear, (products - self.product_mean) / self.product_scale])


def make_basis(inputs: Array, directions: Array | None = None) -> Basis:
    """Return the features of these samples.

    Args:
        inputs: code, then head pose if it is used. [N, f].
        directions: in standardised inputs: what is squared and multiplied with each other; None
            for features that are linear. [f, m].
    """
    mean, scale = standards(inputs)
    chosen = np.zeros((len(mean), 0)) if directions is None else directions
    products = _products((inputs - mean) / scale @ chosen)
    return Basis(mean, scale, chosen, *standards(products))


def strongest(basis: Basis, inputs: Array, weights: Array, *, code_dim: int, more: int) -> Array:
    """Return the directions whose products are worth trying. [f, 2 + pose + more].

    First those in the code that a linear regression follows, one for each angle; then each angle
    of the head pose on its own: what the head does to the gaze must not depend on how much of the
    variance it makes up; then leading principal components of the code.

    Args:
        basis: linear features.
        inputs: code, then head pose if it is used. [N, f].
        weights: of the linear regression. [f, 2].
        code_dim: length of the code.
        more: number of principal components.
    """
    size = len(basis.mean)
    followed = np.where(np.arange(size)[:, None] < code_dim, weights, 0.0)
    followed /= np.maximum(np.linalg.norm(followed, axis=0), 1e-30)
    code = basis.features(inputs)[:, :code_dim]
    rows = np.linalg.svd(code, full_matrices=False)[2][:more]
    # The sign of a component is arbitrary; its products must not depend on the machine.
    signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])
    components = np.zeros((size, len(rows)))
    components[:code_dim] = (rows * signs[:, None]).T
    return np.hstack([followed, np.eye(size)[:, code_dim:], components])


@dataclass(frozen=True)
class Persons:
    """The columns of people."""

    names: tuple[str, ...]
    shares: Array
    """Fraction of the samples of each person; `shares` in the file. [P]."""
    scale: float

    def columns(self, people: Sequence[str]) -> Array:
        """Return the columns, of mean 0 over the samples; all 0 before for others. [N, P]."""
        place = {name: i for i, name in enumerate(self.names)}
        found = np.zeros((len(people), len(self.names)))
        for row, name in enumerate(people):
            if name in place:
                found[row, place[name]] = 1
        return self.scale * (found - self.shares)


@dataclass(frozen=True)
class Regression:
    """A ridge regression from features to yaw and pitch."""

    basis: Basis
    weights: Array
    """Of the features, then of the people. [F, 2]."""
    intercept: Array
    """Mean yaw and pitch of the samples, rad. [2]."""
    strengths: Array
    """Of the regularisation of yaw and of pitch. [2]."""
    right: Array
    """Right singular vectors of the samples' features: for the leverage. [F, r]."""
    values: Array
    """Singular values of the samples' features. [r]."""
    noise: Array
    """Standard deviation of yaw and pitch about the regression, rad. [2]."""
    samples: int
    """Number that it was made from."""
    persons: Persons | None = None

    def predict(self, inputs: Array, people: Sequence[str] | None = None) -> tuple[Array, Array]:
        """Return yaw and pitch, and their errors' variance to be expected, rad. Each [N, 2].

        Args:
            inputs: code, then head pose if it is used. [N, f].
            people: who it is; needed where there are columns of people. [N].
        """
        features = self.basis.features(inputs)
        if self.persons is not None and people is not None:
            features = np.hstack([features, self.persons.columns(people)])
        away = [leverage(features, self.right, self.values, s) for s in self.strengths]
        variance = self.noise**2 * (1 + 1 / self.samples + np.stack(away, axis=1))
        return features @ self.weights + self.intercept, variance


def regress(
    inputs: Array,
    angles: Array,
    groups: Whole,
    *,
    code_dim: int,
    people: Sequence[str] | None = None,
) -> Regression:
    """Return the regression whose errors on samples left out are least.

    Yaw and pitch have a strength each; the features are the same for both.

    Args:
        inputs: code, then head pose if it is used. [N, f].
        angles: yaw and pitch, rad. [N, 2].
        groups: which samples are left out together. [N].
        code_dim: length of the code.
        people: who each sample is, to give each an offset; None for one regression for all. [N].
    """
    groups = _few(groups)
    linear = make_basis(inputs)
    scales = _SCALES if people is not None else (0.0,)
    samples = (inputs, angles, groups)
    tried = [_fit(linear, _persons(people, scale), people, samples) for scale in scales]
    best, least = min(tried, key=lambda found: found[1])
    start = best
    for more in _MORE_DIRECTIONS:
        weights = start.weights[: inputs.shape[1]]
        directions = strongest(linear, inputs, weights, code_dim=code_dim, more=more)
        basis = make_basis(inputs, directions)
        found, loss = _fit(basis, start.persons, people, samples)
        if loss < _GAIN * least:
            best, least = found, loss
    return best


def _fit(
    basis: Basis,
    persons: Persons | None,
    people: Sequence[str] | None,
    samples: tuple[Array, Array, Whole],
) -> tuple[Regression, float]:
    """Return the regression on these features, and its mean square error left out.

    Args:
        basis: the features.
        persons: the columns of people, if any.
        people: who each sample is. [N].
        samples: inputs, angles, groups.
    """
    inputs, angles, groups = samples
    features = basis.features(inputs)
    if persons is not None and people is not None:
        features = np.hstack([features, persons.columns(people)])
    ridge = Ridge.fit(features, angles, standardise=False)
    strengths = _STRENGTHS * len(inputs)
    errors = ridge.left_out(strengths, groups)
    squares = errors.residual**2
    chosen = squares.mean(axis=1).argmin(axis=0)
    angle = np.arange(2)
    squares, excess = squares[chosen, :, angle], errors.excess[chosen]
    found = Regression(
        basis=basis,
        weights=ridge.weights(strengths[chosen]),
        intercept=angles.mean(axis=0),
        strengths=strengths[chosen],
        right=ridge.right,
        values=ridge.values,
        # What the leverage adds to the error is added again where it is asked for.
        noise=np.sqrt((squares / excess).mean(axis=1)),
        samples=len(inputs),
        persons=persons,
    )
    return found, float(squares.mean())


def _persons(people: Sequence[str] | None, scale: float) -> Persons | None:
    if people is None:
        return None
    names, counts = np.unique(np.asarray(people), return_counts=True)
    return Persons(tuple(str(name) for name in names), counts / len(people), scale)


def _few(groups: Whole) -> Whole:
    number = np.unique(groups, return_inverse=True)[1]
    count = number.max() + 1
    return number if count == len(groups) or count <= _GROUPS else number % _GROUPS


def _products(values: Array) -> Array:
    """Return all squares and products of two columns. [N, m] => [N, m (m + 1) / 2]."""
    first, second = np.triu_indices(values.shape[1])
    return values[:, first] * values[:, second]
