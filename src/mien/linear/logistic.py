"""Multinomial logistic regression to classes; its strength is chosen on parts left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from mien.linear.model import Linear, standards
from mien.probes.samples import Samples

__all__ = ["STRENGTHS", "classification"]

Array = NDArray[np.float64]

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)
"""Tried, the strongest first: a fit goes on from the one before, and of equals it is taken."""
_PARTS = 3
_STEPS = 200
_SMALL_SLOPE = 1e-4
_LEAST_SHARE = 1e-3
"""No right class counts as less probable than this: one mistake must not decide the strength."""
_NEVER = -50.0
"""Log-odds of a class that no sample has."""


def classification(samples: Samples, rng: np.random.Generator) -> Linear:
    """Return the logistic regression whose strength has the least log-loss on parts left out.

    Args:
        samples: classes as labels; those that no sample has are never predicted.
        rng: makes the parts.
    """
    mean, scale = standards(samples.codes)
    features = (samples.codes - mean) / scale
    # Weights lie in the span of the samples: with few samples few numbers are to be found.
    right = np.linalg.svd(features, full_matrices=False)[2].T if _is_wide(features) else None
    inputs = features if right is None else features @ right
    count = len(samples.classes)
    strength = _chosen(inputs, samples, rng)
    weights, intercept = _path(inputs, samples.labels, count, (strength,))[0]
    full = weights if right is None else right @ weights
    return Linear(mean, scale, full, intercept, strength)


def _is_wide(features: Array) -> bool:
    return features.shape[0] < features.shape[1]


def _chosen(inputs: Array, samples: Samples, rng: np.random.Generator) -> float:
    part = samples.parts(_PARTS, rng)
    loss = np.zeros(len(STRENGTHS))
    for k in np.unique(part):
        rest, held = np.flatnonzero(part != k), np.flatnonzero(part == k)
        fits = _path(inputs[rest], samples.labels[rest], len(samples.classes), STRENGTHS)
        for i, (weights, intercept) in enumerate(fits):
            logits = inputs[held] @ weights + intercept
            logits -= logits.max(axis=1, keepdims=True)
            right = logits[np.arange(len(held)), samples.labels[held]]
            share = np.exp(right) / np.exp(logits).sum(axis=1)
            loss[i] -= np.log(np.maximum(share, _LEAST_SHARE)).sum()
    return STRENGTHS[int(np.argmin(loss))]


def _path(
    inputs: Array, labels: NDArray[np.int64], count: int, strengths: tuple[float, ...]
) -> list[tuple[Array, Array]]:
    """Return weights [r, K] and intercepts [K] for every strength.

    Args:
        inputs: [N, r].
        labels: numbers of classes. [N].
        count: K, of classes.
        strengths: each fit begins where the one before ended.
    """
    there, number = np.unique(labels, return_inverse=True)
    size = inputs.shape[1]
    with_one = np.hstack([inputs, np.ones((len(inputs), 1))])
    truth = np.eye(len(there))[number.reshape(-1)]
    start = np.zeros((size + 1) * len(there))
    found = []
    for strength in strengths:
        fit = minimize(
            _loss,
            start,
            args=(with_one, truth, strength),
            method="L-BFGS-B",
            jac=True,
            # A fit that is stopped early is regularised more; the parts left out judge it.
            options={"maxiter": _STEPS, "gtol": _SMALL_SLOPE, "maxfun": 2 * _STEPS},
        )
        start = fit.x
        table = start.reshape(size + 1, len(there))
        weights, offsets = np.zeros((size, count)), np.full(count, _NEVER)
        weights[:, there], offsets[there] = table[:-1], table[-1]
        found.append((weights, offsets))
    return found


def _loss(flat: Array, inputs: Array, truth: Array, strength: float) -> tuple[float, Array]:
    """Return the penalised log-loss, a sample, and its slope in each weight.

    (sum_n -log softmax(W' x_n)_right + strength / 2 |W|^2) / N, the intercepts, which are the last
    row of W, not penalised.

    Args:
        flat: W. [(r + 1) K].
        inputs: x, the last column 1. [N, r + 1].
        truth: 1 for the right class, 0 for the others. [N, K].
        strength: of the penalty.
    """
    weights = flat.reshape(inputs.shape[1], -1)
    logits = inputs @ weights
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    total = shares.sum(axis=1, keepdims=True)
    held = strength * weights
    held[-1] = 0
    loss = np.log(total).sum() - (logits * truth).sum() + (held * weights).sum() / 2
    slope = inputs.T @ (shares / total - truth) + held
    return float(loss) / len(inputs), slope.ravel() / len(inputs)
