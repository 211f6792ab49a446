"""Valence and arousal by a frozen linear probe, scored by their concordance with the truth.

The probe is a ridge regression on standardised codes. How strongly it is regularised is chosen on a
fifth of the training rows (of the clips, where there are some); then it is fitted to all of them.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import ValenceArousalSet
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Result, Score
from mien.evaluate.scores import missing_notes, shown, worst
from mien.evaluate.tasks.labelled import MAIN, codes_of, known_sets, stream, yaw_tables
from mien.linear.bootstrap import bootstrap
from mien.linear.folds import held_out
from mien.linear.metrics import concordance
from mien.linear.ridge import Ridge, best_on

__all__ = ["measure_valence_arousal"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridge strengths divided by the number of rows, to choose from."""


def predict_valence_arousal(
    *,
    train: Array,
    values: Array,
    test: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the predictions of a ridge regression, kept within the range of the training.

    Args:
        train: codes. [N, D].
        values: [N, K].
        test: codes. [M, D].
        groups: clips of the training rows. [N].
        rng: samples the held-out fifth.

    Returns:
        [M, K].
    """
    fit, held = held_out(labels=np.zeros(len(train), np.int64), groups=groups, rng=rng)
    place = len(PENALTIES) // 2
    if len(held) > 1:
        strengths = np.array(PENALTIES) * len(fit)
        place = int(best_on(train, values, (fit, held), strengths, _disagreement))
    predicted = Ridge.fit(train, values).predict(test, PENALTIES[place] * len(train))
    return np.asarray(np.clip(predicted, values.min(axis=0), values.max(axis=0)), dtype=np.float64)


def measure_valence_arousal(
    task: ValenceArousalSet, described: FactorColumns, context: EvalContext, *, main: bool = True
) -> Result:
    """Score numbers by a linear probe: CCC of each and their mean.

    Test images without a face are given the training's mean.

    Args:
        task: images with numbers.
        described: their factors.
        context: seed and size of the gallery.
        main: whether the data set is known for these scores.
    """
    scores: list[Score] = []
    predicted = {}
    for place, name in enumerate(known_sets(described)):
        context.say(f"{' and '.join(task.names)} from {name}")
        codes = codes_of(described, name)
        predicted[name] = _predict(task, described, codes, stream(context, 5, place))
        scores += _scores(task, predicted[name], name, context, main=main and name == MAIN)
    main_set = predicted[MAIN]
    truth = task.values[task.test]
    error = np.abs(main_set - truth)
    return Result(
        scores=tuple(scores),
        data=task.checksum,
        tables=yaw_tables(
            described,
            task.test,
            dict(zip(task.names, error.T, strict=True)),
            title=f"Mean absolute error by predicted head yaw; {MAIN}",
        ),
        failures=_failures(task, main_set, truth, context),
        notes=_notes(task, described),
    )


def _disagreement(predicted: Array, truth: Array) -> float:
    """Return the negative mean concordance over the columns."""
    agreed = [
        concordance(prediction=p, target=t) for p, t in zip(predicted.T, truth.T, strict=True)
    ]
    return -float(np.nan_to_num(agreed).mean())


def _predict(
    task: ValenceArousalSet,
    described: FactorColumns,
    codes: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    seen = task.train[described.found[task.train]]
    found = described.found[task.test]
    predicted = np.repeat(task.values[seen].mean(axis=0)[None], len(task.test), axis=0)
    if found.any():
        predicted[found] = predict_valence_arousal(
            train=codes[seen].astype(np.float64),
            values=task.values[seen],
            test=codes[task.test[found]].astype(np.float64),
            groups=None if task.groups is None else task.groups[seen],
            rng=rng,
        )
    return predicted


def _scores(
    task: ValenceArousalSet,
    predicted: NDArray[np.float64],
    name: str,
    context: EvalContext,
    *,
    main: bool,
) -> list[Score]:
    truth = task.values[task.test]
    groups = None if task.groups is None else task.groups[task.test]

    def one(rows: Rows, column: int) -> float:
        return concordance(prediction=predicted[rows, column], target=truth[rows, column])

    def mean(rows: Rows) -> float:
        return float(np.mean([one(rows, column) for column in range(len(task.names))]))

    statistics = {name: partial(one, column=column) for column, name in enumerate(task.names)}
    scores = []
    for place, (number, statistic) in enumerate({**statistics, "mean": mean}.items()):
        low, high = bootstrap(
            statistic, count=len(truth), groups=groups, rng=stream(context, 6, place)
        )
        value = statistic(np.arange(len(truth)))
        known = main and number != "mean"
        title = f"CCC, {number}, linear, {name}"
        scores.append(Score(title, value, "CCC", len(truth), low, high, main=known))
    return scores


def _failures(
    task: ValenceArousalSet,
    predicted: NDArray[np.float64],
    truth: NDArray[np.float64],
    context: EvalContext,
) -> tuple[Failure, ...]:
    failures = []
    for row in worst(np.linalg.norm(predicted - truth, axis=1), context.gallery):
        words = [
            f"{name} {truth[row, k]:+.2f}, predicted {predicted[row, k]:+.2f}"
            for k, name in enumerate(task.names)
        ]
        image = shown(task.images, int(task.test[row]))
        failures.append(Failure((image,), "; ".join(words)))
    return tuple(failures)


def _notes(task: ValenceArousalSet, described: FactorColumns) -> tuple[str, ...]:
    what = " and ".join(task.names)
    train, test = described.found[task.train], described.found[task.test]
    return (
        f"{len(task.train)} images to train {what} on, {len(task.test)} to test on",
        *missing_notes(train, f"{{}} training images without a face are left out of {what}"),
        *missing_notes(test, f"{{}} test images without a face are given the mean {what}"),
    )
