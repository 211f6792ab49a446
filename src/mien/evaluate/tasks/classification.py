"""Classification of expression by frozen probes: linear, nearest neighbours and few labels.

Scores are of all test images; for an image without a face the most frequent class is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import ActionUnitSet, ExpressionSet, LabelledSet
from mien.evaluate.protocol import (
    EvalContext,
    FactorColumns,
    Failure,
    Result,
    Score,
    Table,
    checksum,
)
from mien.evaluate.scores import MAX_MISSING, missing_notes, shown, worst
from mien.evaluate.tasks.action_units import measure_action_units
from mien.evaluate.tasks.few_labels import few_labels, few_labels_report
from mien.evaluate.tasks.labelled import (
    COLUMNS,
    FEATURES,
    MAIN,
    Predicted,
    codes_of,
    known_sets,
    predict_over_folds,
    stream,
    yaw_tables,
)
from mien.evaluate.tasks.valence_arousal import measure_valence_arousal
from mien.linear.bootstrap import bootstrap, proportion_interval
from mien.linear.knn import knn_probabilities
from mien.linear.logistic import linear_probabilities
from mien.linear.metrics import accuracy, balanced_accuracy, confusion, macro_f1

__all__ = ["measure", "score_expressions"]

Rows = NDArray[np.int64]
Method = Callable[..., NDArray[np.float64]]
Metric = Callable[[NDArray[np.int64]], float]

METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro-F1": macro_f1,
    "balanced accuracy": balanced_accuracy,
}
FEW = ("expression", MAIN, FEATURES)
"""The sets of factors that are probed with few labels."""


def score_expressions(data: ExpressionSet, context: EvalContext) -> Result:
    """Score every kind of labels of a set; the factors are asked for once.

    Raises:
        MienError: no image has a face, or a set of factors cannot be had of the images.
    """
    described = context.describe_faces(data.images, COLUMNS)
    results, notes = [], list(data.notes)
    for labels in data.labels:
        if isinstance(labels, LabelledSet):
            notes += labels.absent()
            results.append(measure(labels, described, context))
        elif isinstance(labels, ActionUnitSet):
            results.append(measure_action_units(labels, described, context))
        else:
            results.append(measure_valence_arousal(labels, described, context))
    if len(results) == 1:
        return replace(results[0], notes=(*notes, *results[0].notes))
    return merged(results, gallery=context.gallery, notes=notes)


def measure(task: LabelledSet, described: FactorColumns, context: EvalContext) -> Result:
    """Score labelled images by linear probes, nearest neighbours and few labels.

    Args:
        task: labelled images.
        described: their factors, the columns of `mien.evaluate.tasks.labelled`.
        context: seed, trials, size of the gallery.

    Raises:
        MienError: a set of factors cannot be had of the images.
    """
    label = task.variant
    scores: list[Score] = []
    few = {}
    best: Predicted | None = None
    for place, name in enumerate(known_sets(described)):
        context.say(f"probes on {name}{label}")
        codes = codes_of(described, name)
        linear = _by(linear_probabilities, task, described, codes, context, (1, place))
        main = task.main if name in (MAIN, FEATURES) else ()
        scores += _scores(task, linear, f"linear, {name}{label}", context, main)
        near = _by(knn_probabilities, task, described, codes, context, (2, place))
        scores.append(_scores(task, near, f"k-NN, {name}{label}", context)[0])
        if name in FEW:
            few[name] = few_labels(task, codes, described.found, context)
        if name == MAIN:
            best = linear
    assert best is not None
    some, table, plot = few_labels_report(few, tested=len(task.tested), label=label)
    scores += some + _parts(task, described, best, context)
    right = best.label == task.labels[task.tested]
    return Result(
        scores=tuple(scores),
        data=checksum(_lines(task)),
        tables=(
            _confusion_table(task, best, label),
            *yaw_tables(described, task.tested, {"accuracy, %": 100.0 * right}, label),
            table,
        ),
        plots=(plot,),
        failures=_failures(task, best, context),
        notes=tuple(_notes(task, described, label)),
    )


def merged(results: Sequence[Result], *, gallery: int, notes: Sequence[str] = ()) -> Result:
    """Return several results on one data set as one.

    Args:
        results: the first one's failures come first.
        gallery: how many failures are kept.
        notes: further ones; those that several results share are kept once.
    """
    more = [note for result in results for note in result.notes]
    return Result(
        scores=tuple(score for result in results for score in result.scores),
        data=checksum(result.data for result in results),
        tables=tuple(table for result in results for table in result.tables),
        plots=tuple(plot for result in results for plot in result.plots),
        failures=tuple(failure for result in results for failure in result.failures)[:gallery],
        notes=tuple(dict.fromkeys([*notes, *more])),
    )


def _by(
    method: Method,
    task: LabelledSet,
    described: FactorColumns,
    codes: NDArray[np.float32],
    context: EvalContext,
    numbers: tuple[int, int],
) -> Predicted:
    """Return the predictions of a method over the folds."""

    def predict(train: Rows, test: Rows, fold: int) -> NDArray[np.floating]:
        return method(
            train=codes[train],
            labels=task.labels[train],
            test=codes[test],
            classes=len(task.classes),
            groups=None if task.groups is None else task.groups[train],
            balanced=task.balanced,
            rng=stream(context, *numbers, fold),
        )

    return predict_over_folds(task, described.found, predict)


def _scores(
    task: LabelledSet,
    predicted: Predicted,
    name: str,
    context: EvalContext,
    main: Sequence[str] = (),
    among: NDArray[np.bool_] | None = None,
) -> list[Score]:
    """Return the three metrics with their intervals, of all tested rows or of those `among`."""
    among = np.ones(len(predicted.label), dtype=bool) if among is None else among
    label, truth = predicted.label[among], task.labels[task.tested][among]
    groups = None if task.groups is None else task.groups[task.tested][among]
    scores = []
    for place, (metric, of) in enumerate(METRICS.items()):
        title = f"{metric}, {name}"
        value = _statistic(np.arange(len(label)), of=of, label=label, truth=truth, task=task)
        if metric == "accuracy" and groups is None:
            right = int((label == truth).sum())
            low, high = proportion_interval(successes=right, count=len(label))
        else:
            statistic = partial(_statistic, of=of, label=label, truth=truth, task=task)
            low, high = bootstrap(
                statistic, count=len(label), groups=groups, rng=stream(context, 4, place)
            )
        scores.append(
            Score(title, 100 * value, "%", len(label), 100 * low, 100 * high, main=metric in main)
        )
    return scores


def _statistic(
    rows: Rows, *, of: Metric, label: NDArray[np.int64], truth: NDArray[np.int64], task: LabelledSet
) -> float:
    matrix = confusion(prediction=label[rows], target=truth[rows], classes=len(task.classes))
    return of(matrix)


def _parts(
    task: LabelledSet,
    described: FactorColumns,
    predicted: Predicted,
    context: EvalContext,
) -> list[Score]:
    """Return the accuracies of parts of the test rows."""
    tested = task.tested
    parts = {name: np.isin(tested, rows) for name, rows in task.subsets.items()}
    found = described.found[tested]
    if (~found).mean() > MAX_MISSING:
        parts["faces found"] = found
    return [
        _scores(task, predicted, f"linear, {MAIN}, {name}{task.variant}", context, among=among)[0]
        for name, among in parts.items()
        if among.any()
    ]


def _confusion_table(task: LabelledSet, predicted: Predicted, label: str) -> Table:
    matrix = confusion(
        prediction=predicted.label, target=task.labels[task.tested], classes=len(task.classes)
    )
    rows = []
    for name, row in zip(task.classes, matrix, strict=True):
        there = int(row.sum())
        percent = [round(100 * int(count) / there, 1) if there else None for count in row]
        rows.append((name, there, *percent))
    title = f"Confusion matrix, in % of the true class; linear, {MAIN}{label}"
    return Table(title, ("true class", "images", *task.classes), tuple(rows))


def _failures(task: LabelledSet, predicted: Predicted, context: EvalContext) -> tuple[Failure, ...]:
    """Return the images that were classified wrongly with the greatest certainty."""
    truth = task.labels[task.tested]
    chance = predicted.probability
    rows = np.arange(len(truth))
    margin = chance[rows, predicted.label] - chance[rows, truth]
    wrong = (predicted.label != truth) & np.isfinite(margin)
    failures = []
    for row in worst(np.where(wrong, margin, -np.inf), context.gallery):
        name = task.classes[int(predicted.label[row])]
        probability = chance[row, predicted.label[row]]
        caption = f"{task.classes[int(truth[row])]}, predicted {name} ({probability:.2f})"
        image = shown(task.images, int(task.tested[row]))
        failures.append(Failure((image,), caption))
    return tuple(failures)


def _notes(task: LabelledSet, described: FactorColumns, label: str) -> list[str]:
    trained = np.unique(np.concatenate([train for train, _ in task.folds]))
    if len(task.folds) > 1:
        sizes = f"{len(task.tested)} images in {len(task.folds)} folds"
    else:
        sizes = f"{len(trained)} images to train on, {len(task.tested)} to test on"
    notes = [f"{sizes}{label}"]
    if len(task.folds) == 1:
        text = f"{{}} training images without a face are left out{label}"
        notes += missing_notes(described.found[trained], text)
    text = f"{{}} test images without a face count as the most frequent class{label}"
    return notes + missing_notes(described.found[task.tested], text)


def _lines(task: LabelledSet) -> list[str]:
    lines = []
    for number, (train, test) in enumerate(task.folds):
        for part, rows in (("train", train), ("test", test)):
            lines += [
                f"{number} {part} {task.images.names[int(row)]} "
                f"{task.classes[int(task.labels[row])]}"
                for row in rows
            ]
    return lines
