"""Action units by frozen linear probes: one of yes and no for each, scored by the mean F1.

How strongly each probe is held back, and from which probability it says yes, is chosen on a fifth
of the training rows (of the clips, where there are some); then it is fitted to all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import ActionUnitSet as Units
from mien.evaluate.protocol import (
    EvalContext,
    FactorColumns,
    Failure,
    Result,
    Score,
    Table,
    checksum,
)
from mien.evaluate.scores import shown, yaw_table
from mien.evaluate.tasks.labelled import MAIN, codes_of, stream
from mien.linear.bootstrap import bootstrap
from mien.linear.heldout_logistic import STRENGTHS, fit_linear, held_out, probabilities

__all__ = ["best_threshold", "binary_f1", "measure_units", "predict_unit"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

ASKED = ("expression", MAIN)
"""Sets of factors; each costs a dozen probes."""


def binary_f1(*, prediction: Flags, target: Flags) -> float:
    """Return 2 TP / (2 TP + FP + FN) of two series of yes and no; 0 where neither says yes."""
    both = int((prediction & target).sum())
    either = int(prediction.sum()) + int(target.sum())
    return 2 * both / either if either else 0.0


def best_threshold(*, probability: Array, target: Flags) -> tuple[float, float]:
    """Return the probability from which yes gives the best F1, and that F1.

    Args:
        probability: of yes. [N].
        target: [N].
    """
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(target[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + max(int(target.sum()), 1))
    # Rows of one probability are all on one side.
    last = np.append(np.diff(probability[order]) != 0, [True])
    place = int(np.argmax(np.where(last, f1, -1)))
    return float(probability[order][place]), float(f1[place])


def predict_unit(
    *,
    train: Array,
    seen: Flags,
    test: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
) -> tuple[Flags, NDArray[np.float64]]:
    """Return whether each test row shows the unit, and how far its probability is from the limit.

    Where the training rows all agree, so do the predictions.

    Args:
        train: codes. [N, D].
        seen: whether they show it. [N].
        test: codes. [M, D].
        groups: clips of the training rows. [N].
        rng: draws the held-out fifth.
    """
    labels = seen.astype(np.int64)
    if seen.all() or not seen.any():
        return np.full(len(test), bool(seen[0])), np.zeros(len(test))
    fit, held = held_out(labels=labels, groups=groups, rng=rng)
    strength, limit = STRENGTHS[len(STRENGTHS) // 2], 0.5
    if len(np.unique(labels[fit])) == 2 and seen[held].any():
        tried = []
        for candidate in STRENGTHS:
            probe = fit_linear(codes=train[fit], labels=labels[fit], strength=candidate)
            chance = probabilities(probe, train[held], 2)[:, 1]
            tried.append(best_threshold(probability=chance, target=seen[held]))
        best = int(np.argmax([f1 for _, f1 in tried]))
        strength, limit = STRENGTHS[best], tried[best][0]
    probe = fit_linear(codes=train, labels=labels, strength=strength)
    chance = probabilities(probe, test, 2)[:, 1]
    return chance >= limit, chance - limit


def measure_units(task: Units, described: FactorColumns, context: EvalContext) -> Result:
    """Score action units: F1 of each and their mean, which is the main score.

    Of test images without a face it is said of each unit what is the more frequent in training.

    Args:
        task: images with units.
        described: their factors.
        context: seed and size of the gallery.
    """
    scores: list[Score] = []
    said, far = np.empty((0, 0), dtype=bool), np.empty((0, 0))
    for place, name in enumerate(ASKED):
        context.say(f"{len(task.names)} action units from {name}")
        said, far = _predict(task, described, codes_of(described, name), context, place)
        scores += _scores(task, said, name, context)
    truth = task.seen[task.test]
    return Result(
        scores=tuple(scores),
        data=checksum(
            f"{part} {task.images.names[int(row)]} {task.seen[row].astype(int).tolist()}"
            for part, rows in (("train", task.train), ("test", task.test))
            for row in rows
        ),
        tables=_tables(task, described, said, truth),
        failures=_failures(task, said, far, truth, context),
        notes=_notes(task, described),
    )


def _predict(
    task: Units,
    described: FactorColumns,
    codes: NDArray[np.float32],
    context: EvalContext,
    place: int,
) -> tuple[Flags, NDArray[np.float64]]:
    rows = task.train[described.found[task.train]]
    found = described.found[task.test]
    said = np.repeat(task.seen[rows].mean(axis=0)[None] > 0.5, len(task.test), axis=0)
    far = np.zeros(said.shape)
    for unit in range(len(task.names)):
        if found.any():
            said[found, unit], far[found, unit] = predict_unit(
                train=codes[rows],
                seen=task.seen[rows, unit],
                test=codes[task.test[found]],
                groups=None if task.groups is None else task.groups[rows],
                rng=stream(context, 7, place, unit),
            )
    return said, far


def _scores(task: Units, said: Flags, name: str, context: EvalContext) -> list[Score]:
    truth = task.seen[task.test]
    groups = None if task.groups is None else task.groups[task.test]

    def mean(rows: Rows) -> float:
        return 100 * float(np.mean([_f1(said, truth, rows, k) for k in range(len(task.names))]))

    everyone = np.arange(len(truth))
    low, high = bootstrap(mean, count=len(truth), groups=groups, rng=stream(context, 8))
    title = f"mean F1, linear, {name}"
    scores = [
        Score(title, mean(everyone), "%", len(truth), low, high, main=name == MAIN),
    ]
    if name == MAIN:
        scores += [
            Score(
                f"F1, {unit}, linear, {name}", 100 * _f1(said, truth, everyone, k), "%", len(truth)
            )
            for k, unit in enumerate(task.names)
        ]
    return scores


def _f1(said: Flags, truth: Flags, rows: Rows, unit: int) -> float:
    return binary_f1(prediction=said[rows, unit], target=truth[rows, unit])


def _tables(task: Units, described: FactorColumns, said: Flags, truth: Flags) -> tuple[Table, ...]:
    rows = tuple(
        (
            name,
            int(truth[:, k].sum()),
            int(said[:, k].sum()),
            round(100 * float((said[:, k] == truth[:, k]).mean()), 2),
        )
        for k, name in enumerate(task.names)
    )
    columns = ("unit", "images that show it", "said to show it", "right, %")
    tables = [Table(f"Action units; linear, {MAIN}", columns, rows)]
    yaw = described["yaw_rad"][task.test]
    if np.isfinite(yaw).any():
        right = 100.0 * (said == truth).mean(axis=1)
        title = f"By head yaw as predicted by the factors themselves; linear, {MAIN}"
        tables.append(yaw_table(title=title, yaw_rad=yaw, values={"units right, %": right}))
    return tuple(tables)


def _failures(
    task: Units, said: Flags, far: NDArray[np.float64], truth: Flags, context: EvalContext
) -> tuple[Failure, ...]:
    wrong = said != truth
    cost = np.where(wrong, np.abs(far), 0).sum(axis=1)
    worst = np.argsort(-cost, kind="stable")[: context.gallery]
    failures = []
    for row in worst[wrong[worst].any(axis=1)]:
        missed = [name for k, name in enumerate(task.names) if truth[row, k] and not said[row, k]]
        added = [name for k, name in enumerate(task.names) if said[row, k] and not truth[row, k]]
        words = [f"missed {' '.join(missed)}"] * bool(missed)
        words += [f"imagined {' '.join(added)}"] * bool(added)
        image = shown(task.images, int(task.test[row]))
        failures.append(Failure((image,), "; ".join(words)))
    return tuple(failures)


def _notes(task: Units, described: FactorColumns) -> tuple[str, ...]:
    notes = [f"{len(task.train)} images to learn from, {len(task.test)} to test on"]
    lost = int((~described.found[task.train]).sum())
    missing = int((~described.found[task.test]).sum())
    if lost:
        notes.append(f"{lost} training images without a face are left out")
    if missing:
        notes.append(f"of {missing} test images without a face the usual is said of each unit")
    return tuple(notes)
