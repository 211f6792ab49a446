"""Valence and arousal by a frozen linear probe, scored by their concordance with the truth.

The probe is a ridge regression on standardised codes. How strongly it is held back is chosen on a
fifth of the training rows (of the clips, where there are some); then it is fitted to all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.evaluate.datasets.sets import ValenceArousalSet as Amounts
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
from mien.evaluate.tasks.labelled import MAIN, codes_of, known_sets, stream
from mien.linear.bootstrap import bootstrap
from mien.linear.heldout_logistic import held_out

__all__ = ["concordance", "measure_amounts", "predict_amounts"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridge strengths divided by the number of rows, to choose from."""


def concordance(*, prediction: Array, target: Array) -> float:
    """Return Lin's concordance correlation coefficient. -1 to 1; NaN where neither varies.

    CCC = 2 cov(p, t) / (var(p) + var(t) + (mean(p) - mean(t))^2): it is 1 only where the numbers
    themselves agree, not only their ups and downs.

    Args:
        prediction: p. [N].
        target: t. [N].
    """
    p, t = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    shared = ((p - p.mean()) * (t - t.mean())).mean()
    spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    return float(2 * shared / spread) if spread > 0 else float("nan")


def predict_amounts(
    *,
    train: Array,
    values: Array,
    test: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return what a ridge regression says of the test rows, kept within the training's range.

    Args:
        train: codes. [N, D].
        values: [N, K].
        test: codes. [M, D].
        groups: clips of the training rows. [N].
        rng: draws the held-out fifth.

    Returns:
        [M, K].
    """
    fit, held = held_out(labels=np.zeros(len(train), np.int64), groups=groups, rng=rng)
    penalty = PENALTIES[len(PENALTIES) // 2]
    if len(held) > 1:
        scores = []
        for candidate in PENALTIES:
            said = _fit(train[fit], values[fit], candidate).predict(train[held])
            agreed = [
                concordance(prediction=p, target=t)
                for p, t in zip(said.T, values[held].T, strict=True)
            ]
            scores.append(float(np.nan_to_num(agreed).mean()))
        penalty = PENALTIES[int(np.argmax(scores))]
    said = _fit(train, values, penalty).predict(test)
    return np.asarray(np.clip(said, values.min(axis=0), values.max(axis=0)), dtype=np.float64)


def measure_amounts(
    task: Amounts, described: FactorColumns, context: EvalContext, *, main: bool = True
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
    said = predicted[MAIN]
    truth = task.values[task.test]
    off = np.abs(said - truth)
    return Result(
        scores=tuple(scores),
        data=checksum(
            f"{part} {task.images.names[int(row)]} {task.values[row].tolist()}"
            for part, rows in (("train", task.train), ("test", task.test))
            for row in rows
        ),
        tables=_by_yaw(task, described, off),
        failures=_failures(task, said, truth, context),
        notes=_notes(task, described),
    )


def _fit(codes: Array, values: Array, penalty: float) -> Pipeline:
    ridge = Ridge(alpha=penalty * len(codes), solver="cholesky")
    return make_pipeline(StandardScaler(), ridge).fit(codes, values)


def _predict(
    task: Amounts, described: FactorColumns, codes: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float64]:
    seen = task.train[described.found[task.train]]
    found = described.found[task.test]
    said = np.repeat(task.values[seen].mean(axis=0)[None], len(task.test), axis=0)
    if found.any():
        said[found] = predict_amounts(
            train=codes[seen].astype(np.float64),
            values=task.values[seen],
            test=codes[task.test[found]].astype(np.float64),
            groups=None if task.groups is None else task.groups[seen],
            rng=rng,
        )
    return said


def _scores(
    task: Amounts, said: NDArray[np.float64], name: str, context: EvalContext, *, main: bool
) -> list[Score]:
    truth = task.values[task.test]
    groups = None if task.groups is None else task.groups[task.test]

    def one(rows: Rows, column: int) -> float:
        return concordance(prediction=said[rows, column], target=truth[rows, column])

    def mean(rows: Rows) -> float:
        return float(np.mean([one(rows, column) for column in range(len(task.names))]))

    statistics = {
        amount: (lambda rows, column=column: one(rows, column))
        for column, amount in enumerate(task.names)
    }
    scores = []
    for place, (amount, statistic) in enumerate({**statistics, "mean": mean}.items()):
        low, high = bootstrap(
            statistic, count=len(truth), groups=groups, rng=stream(context, 6, place)
        )
        value = statistic(np.arange(len(truth)))
        known = main and amount != "mean"
        title = f"CCC, {amount}, linear, {name}"
        scores.append(Score(title, value, "CCC", len(truth), low, high, main=known))
    return scores


def _by_yaw(task: Amounts, described: FactorColumns, off: NDArray[np.float64]) -> tuple[Table, ...]:
    yaw = described["yaw_rad"][task.test]
    if not np.isfinite(yaw).any():
        return ()
    title = f"Mean absolute error by head yaw as predicted by the factors themselves; {MAIN}"
    values: dict[str, Array] = {name: off[:, k] for k, name in enumerate(task.names)}
    return (yaw_table(title=title, yaw_rad=yaw, values=values),)


def _failures(
    task: Amounts, said: NDArray[np.float64], truth: NDArray[np.float64], context: EvalContext
) -> tuple[Failure, ...]:
    worst = np.argsort(-np.linalg.norm(said - truth, axis=1), kind="stable")[: context.gallery]
    failures = []
    for row in worst:
        words = [
            f"{name} {truth[row, k]:+.2f}, said {said[row, k]:+.2f}"
            for k, name in enumerate(task.names)
        ]
        image = shown(task.images, int(task.test[row]))
        failures.append(Failure((image,), "; ".join(words)))
    return tuple(failures)


def _notes(task: Amounts, described: FactorColumns) -> tuple[str, ...]:
    what = " and ".join(task.names)
    notes = [f"{len(task.train)} images to learn {what} from, {len(task.test)} to test on"]
    lost = int((~described.found[task.train]).sum())
    missing = int((~described.found[task.test]).sum())
    if lost:
        notes.append(f"{lost} training images without a face are left out of {what}")
    if missing:
        notes.append(f"{missing} test images without a face are given the mean {what}")
    return tuple(notes)
