"""Lasso regression: which columns a number can be read from, the fewest that do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV

from mien.linear.folds import Fold

__all__ = ["lasso_weights"]

Array = NDArray[np.floating]


def lasso_weights(features: Array, target: Array, split: Fold) -> NDArray[np.float64]:
    """Return the weights of a lasso regression whose strength is the best on held-out rows. [D].

    Args:
        features: standardised. [N, D].
        target: standardised. [N].
        split: rows to fit to, and rows to choose the strength by.
    """
    # The weakest penalty that leaves no weight at all.
    strongest = np.abs(features.T @ target).max() / len(features)
    if strongest <= 0:
        return np.zeros(features.shape[1])
    alphas = strongest * np.logspace(-0.05, -1.5, 10)
    options: dict[str, Any] = {"precompute": True, "fit_intercept": False, "tol": 1e-3}
    model = LassoCV(alphas=alphas, cv=[split], **options)
    with warnings.catch_warnings():
        # One that has not quite converged ranks the columns all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit(features, target).coef_)
