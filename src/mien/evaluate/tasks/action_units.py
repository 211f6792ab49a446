"""Action units by frozen linear probes, a binary one for each, scored by the mean F1.

How strongly each probe is regularised, and its threshold of probability, are chosen on a fifth of
the training rows (of the clips, where there are some); then it is fitted to all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import ActionUnitSet
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Result, Score, Table
from mien.evaluate.scores import missing_notes, shown, worst
from mien.evaluate.tasks.labelled import MAIN, codes_of, stream, yaw_tables
from mien.linear.bootstrap import bootstrap
from mien.linear.folds import held_out
from mien.linear.logistic import STRENGTHS, fit_linear, probabilities
from mien.linear.metrics import binary_f1

__all__ = ["measure_action_units"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

PROBED = ("expression", MAIN)
"""Sets of factors; each costs a dozen probes."""


def best_threshold(*, probability: Array, target: Flags) -> tuple[float, float]:
    """Return the threshold of probability with the best F1, and that F1.

    Args:
        probability: that the action unit is there. [N].
        target: [N].
    """
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(target[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + max(int(target.sum()), 1))
    # Rows of one probability are all on one side.
    last = np.append(np.diff(probability[order]) != 0, [True])
    place = int(np.argmax(np.where(last, f1, -1)))
    return float(probability[order][place]), float(f1[place])


def predict_action_unit(
    *,
    train: Array,
    seen: Flags,
    test: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
) -> tuple[Flags, NDArray[np.float64]]:
    """Return whether each test row shows the action unit, and its probability less the threshold.

    Where the training rows all agree, so do the predictions.

    Args:
        train: codes. [N, D].
        seen: whether they show it. [N].
        test: codes. [M, D].
        groups: clips of the training rows. [N].
        rng: samples the held-out fifth.
    """
    labels = seen.astype(np.int64)
    if seen.all() or not seen.any():
        return np.full(len(test), bool(seen[0])), np.zeros(len(test))
    fit, held = held_out(labels=labels, groups=groups, rng=rng)
    strength, threshold = STRENGTHS[len(STRENGTHS) // 2], 0.5
    if len(np.unique(labels[fit])) == 2 and seen[held].any():
        tried = []
        for candidate in STRENGTHS:
            probe = fit_linear(codes=train[fit], labels=labels[fit], strength=candidate)
            chance = probabilities(probe, train[held], 2)[:, 1]
            tried.append(best_threshold(probability=chance, target=seen[held]))
        best = int(np.argmax([f1 for _, f1 in tried]))
        strength, threshold = STRENGTHS[best], tried[best][0]
    probe = fit_linear(codes=train, labels=labels, strength=strength)
    chance = probabilities(probe, test, 2)[:, 1]
    return chance >= threshold, chance - threshold


def measure_action_units(
    task: ActionUnitSet, described: FactorColumns, context: EvalContext
) -> Result:
    """Score action units: F1 of each and their mean, which is the main score.

    For test images without a face the more frequent value in training is predicted.

    Args:
        task: images with action units.
        described: their factors.
        context: seed and size of the gallery.
    """
    scores: list[Score] = []
    predicted, margin = np.empty((0, 0), dtype=bool), np.empty((0, 0))
    for place, name in enumerate(PROBED):
        context.say(f"{len(task.names)} action units from {name}")
        predicted, margin = _predict(task, described, codes_of(described, name), context, place)
        scores += _scores(task, predicted, name, context)
    truth = task.values[task.test].astype(bool)
    return Result(
        scores=tuple(scores),
        data=task.checksum,
        tables=_tables(task, described, predicted, truth),
        failures=_failures(task, predicted, margin, truth, context),
        notes=_notes(task, described),
    )


def _predict(
    task: ActionUnitSet,
    described: FactorColumns,
    codes: NDArray[np.float32],
    context: EvalContext,
    place: int,
) -> tuple[Flags, NDArray[np.float64]]:
    rows = task.train[described.found[task.train]]
    found = described.found[task.test]
    predicted = np.repeat(task.values[rows].mean(axis=0)[None] > 0.5, len(task.test), axis=0)
    margin = np.zeros(predicted.shape)
    for unit in range(len(task.names)):
        if found.any():
            predicted[found, unit], margin[found, unit] = predict_action_unit(
                train=codes[rows],
                seen=task.values[rows, unit].astype(bool),
                test=codes[task.test[found]],
                groups=None if task.groups is None else task.groups[rows],
                rng=stream(context, 7, place, unit),
            )
    return predicted, margin


def _scores(task: ActionUnitSet, predicted: Flags, name: str, context: EvalContext) -> list[Score]:
    truth = task.values[task.test].astype(bool)
    groups = None if task.groups is None else task.groups[task.test]

    def f1(rows: Rows, unit: int) -> float:
        return binary_f1(prediction=predicted[rows, unit], target=truth[rows, unit])

    def mean(rows: Rows) -> float:
        return 100 * float(np.mean([f1(rows, k) for k in range(len(task.names))]))

    everyone = np.arange(len(truth))
    low, high = bootstrap(mean, count=len(truth), groups=groups, rng=stream(context, 8))
    title = f"mean F1, linear, {name}"
    scores = [Score(title, mean(everyone), "%", len(truth), low, high, main=name == MAIN)]
    if name == MAIN:
        scores += [
            Score(f"F1, {unit}, linear, {name}", 100 * f1(everyone, k), "%", len(truth))
            for k, unit in enumerate(task.names)
        ]
    return scores


def _tables(
    task: ActionUnitSet, described: FactorColumns, predicted: Flags, truth: Flags
) -> tuple[Table, ...]:
    rows = tuple(
        (
            name,
            int(truth[:, k].sum()),
            int(predicted[:, k].sum()),
            round(100 * float((predicted[:, k] == truth[:, k]).mean()), 2),
        )
        for k, name in enumerate(task.names)
    )
    columns = ("action unit", "images that show it", "predicted", "accuracy, %")
    right = 100.0 * (predicted == truth).mean(axis=1)
    return (
        Table(f"Action units; linear, {MAIN}", columns, rows),
        *yaw_tables(described, task.test, {"accuracy, %": right}),
    )


def _failures(
    task: ActionUnitSet,
    predicted: Flags,
    margin: NDArray[np.float64],
    truth: Flags,
    context: EvalContext,
) -> tuple[Failure, ...]:
    wrong = predicted != truth
    cost = np.where(wrong, np.abs(margin), 0).sum(axis=1)
    failures = []
    for row in worst(np.where(wrong.any(axis=1), cost, -np.inf), context.gallery):
        names = np.array(task.names)
        missed, added = names[truth[row] & wrong[row]], names[~truth[row] & wrong[row]]
        words = [f"missed {' '.join(missed)}"] * bool(len(missed))
        words += [f"false {' '.join(added)}"] * bool(len(added))
        image = shown(task.images, int(task.test[row]))
        failures.append(Failure((image,), "; ".join(words)))
    return tuple(failures)


def _notes(task: ActionUnitSet, described: FactorColumns) -> tuple[str, ...]:
    train, test = described.found[task.train], described.found[task.test]
    text = "for {} test images without a face the more frequent value is predicted"
    return (
        f"{len(task.train)} images to train on, {len(task.test)} to test on",
        *missing_notes(train, "{} training images without a face are left out"),
        *missing_notes(test, text),
    )
