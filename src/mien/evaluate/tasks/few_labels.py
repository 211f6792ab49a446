"""Few labels: a linear probe on 1, 4, 16 and 64 of each class, in several trials.

The codes are standardised by all training rows, which uses no labels: unlabelled images are there
for the asking. How strongly the probe is regularised is chosen by cross-validation within the
sampled labels; with one of a class there is nothing to choose by, and it is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import LabelledSet, sample_per_class
from mien.evaluate.protocol import EvalContext, Plot, Score, Table
from mien.evaluate.scores import rounded
from mien.evaluate.tasks.labelled import stream
from mien.linear.folds import stratified_parts
from mien.linear.logistic import STRENGTHS, fit_linear, probabilities, strength_by_parts

__all__ = ["COUNTS", "FewLabels", "few_labels", "few_labels_report"]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

COUNTS = (1, 4, 16, 64)
"""Labels of each class."""
ALONE = STRENGTHS[0]
"""Strength with one label of a class."""
FOLDS = 4


@dataclass(frozen=True)
class FewLabels:
    """The accuracy with so many labels of each class."""

    count: int
    """Labels of each class; of a class with fewer images all are taken."""
    trials: tuple[float, ...]
    """Accuracy of each trial. 0 to 1."""

    @property
    def mean(self) -> float:
        """Mean accuracy over trials. 0 to 1."""
        return float(np.mean(self.trials))

    @property
    def std(self) -> float:
        """Standard deviation over trials (n - 1); 0 where there is one trial. 0 to 1."""
        return float(np.std(self.trials, ddof=1)) if len(self.trials) > 1 else 0.0


def few_labels(
    task: LabelledSet, codes: Array, found: NDArray[np.bool_], context: EvalContext
) -> tuple[FewLabels, ...]:
    """Return the accuracy with each number of labels.

    Trial t is trained and tested in fold t modulo the number of folds. Test rows without a face
    count as wrong.

    Args:
        task: labelled images.
        codes: [N, D].
        found: whether an image has a face. [N].
        context: number of trials, and seed.
    """
    scales = [_scale(codes[train[found[train]]]) for train, _ in task.folds]
    results = []
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
                strength = strength_by_parts(codes=few, labels=labels, classes=classes, part=part)
            probe = fit_linear(codes=few, labels=labels, strength=strength)
            chance = probabilities(probe, (codes[asked] - mean) / std, classes)
            right = chance.argmax(axis=1) == task.labels[asked]
            scores.append(float(right.sum() / len(test)))
        results.append(FewLabels(count, tuple(scores)))
    return tuple(results)


def few_labels_report(
    found: dict[str, tuple[FewLabels, ...]], *, tested: int, label: str = ""
) -> tuple[list[Score], Table, Plot]:
    """Return the scores, the table and the plot of `few_labels`.

    Args:
        found: by name of the set of factors.
        tested: number of test rows.
        label: added to the names, as ", 7 classes".
    """
    each = [(name, result) for name, results in found.items() for result in results]
    scores = [
        Score(f"accuracy, {r.count} labels a class, {name}{label}", 100 * r.mean, "%", tested)
        for name, r in each
    ]
    rows = tuple((name, r.count, *rounded((100 * r.mean, 100 * r.std), 2)) for name, r in each)
    trials = len(next(iter(found.values()))[0].trials)
    table = Table(
        f"Few labels: accuracy of a linear probe, {trials} trials{label}",
        ("factors", "labels a class", "mean, %", "std, %"),
        rows,
    )
    lines = {
        name: ([r.count for r in results], [100 * r.mean for r in results])
        for name, results in found.items()
    }
    plot = Plot(f"Few labels{label}", "labels of each class", "accuracy, %", lines, log_x=True)
    return scores, table, plot


def _scale(codes: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation in the precision of the codes, as in earlier releases."""
    std = codes.std(axis=0)
    return codes.mean(axis=0), np.where(std > 0, std, 1)
