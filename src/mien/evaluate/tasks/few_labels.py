"""How far a few labels of each class carry: a linear probe on 1, 4, 16 and 64 of them, drawn often.

The codes are standardised by all training rows, which uses no labels: unlabelled images are there
for the asking. How strongly the probe is held back is chosen by cross-validation within the drawn
labels; with one of a class there is nothing to choose by, and it is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import LabelledSet as Task, sample_per_class
from mien.evaluate.protocol import EvalContext, Plot, Score, Table
from mien.evaluate.tasks.labelled import stream
from mien.linear.heldout_logistic import (
    STRENGTHS,
    accuracy,
    confusion,
    fit_linear,
    probabilities,
)

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
    """What so many labels of each class are worth."""

    count: int
    """Labels of each class; of a class with fewer images all are taken."""
    draws: tuple[float, ...]
    """Accuracy of each draw of the labels. 0 to 1."""

    @property
    def mean(self) -> float:
        """Mean accuracy of the draws. 0 to 1."""
        return float(np.mean(self.draws))

    @property
    def sd(self) -> float:
        """Spread of the draws' accuracies (n - 1); 0 where there is one draw. 0 to 1."""
        return float(np.std(self.draws, ddof=1)) if len(self.draws) > 1 else 0.0


def few_labels(
    task: Task, codes: Array, found: NDArray[np.bool_], context: EvalContext
) -> tuple[FewLabels, ...]:
    """Return the accuracy with each number of labels.

    Draw d learns and is tested in fold d modulo the number of folds. Test rows without a face are
    told wrong.

    Args:
        task: labelled images.
        codes: [N, D].
        found: whether an image has a face. [N].
        context: says how many draws, and by which seed.
    """
    scales = [_scale(codes[train[found[train]]]) for train, _ in task.folds]
    results = []
    for count in COUNTS:
        scores = []
        for draw in range(max(context.trials, 1)):
            train, test = task.folds[draw % len(task.folds)]
            seen, asked = train[found[train]], test[found[test]]
            rng = stream(context, 3, count, draw)
            rows = seen[sample_per_class(labels=task.labels[seen], count=count, rng=rng)]
            middle, spread = scales[draw % len(task.folds)]
            labels, few = task.labels[rows], (codes[rows] - middle) / spread
            strength = ALONE if count == 1 else _choose(few, labels, len(task.classes), rng)
            probe = fit_linear(codes=few, labels=labels, strength=strength)
            chance = probabilities(probe, (codes[asked] - middle) / spread, len(task.classes))
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
    scores = [
        Score(
            f"accuracy, {result.count} labels a class, {name}{label}",
            100 * result.mean,
            "%",
            tested,
        )
        for name, results in found.items()
        for result in results
    ]
    rows = tuple(
        (name, result.count, round(100 * result.mean, 2), round(100 * result.sd, 2))
        for name, results in found.items()
        for result in results
    )
    draws = len(next(iter(found.values()))[0].draws)
    table = Table(
        f"Few labels: accuracy of a linear probe, {draws} draws{label}",
        ("factors", "labels a class", "mean, %", "sd, %"),
        rows,
    )
    lines = {
        name: ([r.count for r in results], [100 * r.mean for r in results])
        for name, results in found.items()
    }
    plot = Plot(f"Few labels{label}", "labels of each class", "accuracy, %", lines, log_x=True)
    return scores, table, plot


def _scale(codes: Array) -> tuple[Array, Array]:
    spread = codes.std(axis=0)
    return codes.mean(axis=0), np.where(spread > 0, spread, 1)


def _choose(codes: Array, labels: Labels, classes: int, rng: np.random.Generator) -> float:
    """Return the strength that is best over folds, of which every class fills all."""
    fold = np.zeros(len(labels), dtype=np.int64)
    for name in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == name))
        fold[rows] = np.arange(len(rows)) % FOLDS
    scores = []
    for strength in STRENGTHS:
        said = np.zeros(len(labels), dtype=np.int64)
        for number in range(FOLDS):
            inside = fold != number
            if not inside.all() and len(np.unique(labels[inside])) > 1:
                probe = fit_linear(codes=codes[inside], labels=labels[inside], strength=strength)
                said[~inside] = probabilities(probe, codes[~inside], classes).argmax(axis=1)
        scores.append(accuracy(confusion(prediction=said, target=labels, classes=classes)))
    return STRENGTHS[int(np.argmax(scores))]
