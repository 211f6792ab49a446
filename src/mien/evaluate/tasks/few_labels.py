"""Few labels: a linear probe on 1, 4, 16 and 64 of each class, in several trials.

The codes are standardised by all training rows, which uses no labels: unlabelled images are there
for the asking. How strongly the probe is regularised is chosen by cross-validation within the
sampled labels; with one of a class there is nothing to choose by, and it is fixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import LabelledSet, sample_per_class
from mien.evaluate.protocol import EvalContext, Plot, Score, Table
from mien.evaluate.scores import rounded
from mien.evaluate.tasks.labelled import stream
from mien.linear.folds import part_folds, stratified_parts
from mien.linear.logistic import STRENGTHS, best_strength, fit_linear, probabilities

__all__ = ["few_labels", "few_labels_report"]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

COUNTS = (1, 4, 16, 64)
"""Labels of each class."""
ALONE = STRENGTHS[0]
"""Strength with one label of a class."""
FOLDS = 4


def few_labels(
    task: LabelledSet, codes: Array, found: NDArray[np.bool_], context: EvalContext
) -> dict[int, Array]:
    """Return the accuracy of each trial, 0 to 1, by the number of labels of each class.

    Trial t is trained and tested in fold t modulo the number of folds. Test rows without a face
    count as wrong.

    Args:
        task: labelled images.
        codes: [N, D].
        found: whether an image has a face. [N].
        context: number of trials, and seed.
    """
    scales = [_scale(codes[train[found[train]]]) for train, _ in task.folds]
    results = {}
    for count in COUNTS:
        scores = []
        for trial in range(max(context.trials, 1)):
            train, test = task.folds[trial % len(task.folds)]
            seen, asked = train[found[train]], test[found[test]]
            rng = stream(context, 3, count, trial)
            rows = seen[sample_per_class(labels=task.labels[seen], count=count, rng=rng)]
            mean, std = scales[trial % len(task.folds)]
            labels, few = task.labels[rows], (codes[rows] - mean) / std
            strength, classes = ALONE, len(task.classes)
            if count > 1:
                part = stratified_parts(labels=labels, count=FOLDS, rng=rng)
                folds = part_folds(part)
                strength = best_strength(codes=few, labels=labels, classes=classes, folds=folds)
            probe = fit_linear(codes=few, labels=labels, strength=strength)
            chance = probabilities(probe, (codes[asked] - mean) / std, classes)
            right = chance.argmax(axis=1) == task.labels[asked]
            scores.append(float(right.sum() / len(test)))
        results[count] = np.array(scores)
    return results


def few_labels_report(
    found: dict[str, dict[int, Array]], *, tested: int, label: str = ""
) -> tuple[list[Score], Table, Plot]:
    """Return the scores, the table and the plot of `few_labels`.

    Args:
        found: by name of the set of factors.
        tested: number of test rows.
        label: added to the names, as ", 7 classes".
    """
    each = [(name, count, 100 * t) for name, of in found.items() for count, t in of.items()]
    scores = [
        Score(f"accuracy, {count} labels a class, {name}{label}", float(t.mean()), "%", tested)
        for name, count, t in each
    ]
    rows = tuple(
        (name, count, *rounded((t.mean(), t.std(ddof=1) if len(t) > 1 else 0.0), 2))
        for name, count, t in each
    )
    table = Table(
        f"Few labels: accuracy of a linear probe, {len(each[0][2])} trials{label}",
        ("factors", "labels a class", "mean, %", "std, %"),
        rows,
    )
    lines = {
        name: (list(of), [100 * float(t.mean()) for t in of.values()]) for name, of in found.items()
    }
    plot = Plot(f"Few labels{label}", "labels of each class", "accuracy, %", lines, log_x=True)
    return scores, table, plot


def _scale(codes: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation in the precision of the codes, as in earlier releases."""
    std = codes.std(axis=0)
    return codes.mean(axis=0), np.where(std > 0, std, 1)
