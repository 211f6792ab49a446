"""Gaze within a data set: k labelled samples of some people, tested on others.

A ridge regression on the frozen codes, with and without head pose; its strength is chosen among the
samples.

Samples come from images in which eyes are found: nobody could calibrate with others. Every
tested image counts; where no eyes are found the code is the training rows' mean code, so that the
prediction is near the mean gaze; likewise the predicted head pose where there is no face.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext, Failure, Plot, Result, Score, Table
from mien.evaluate.scores import MAX_MISSING, mean_score, rounded, shown, worst, yaw_table
from mien.evaluate.tasks.gaze_few_shot import (
    COUNTS,
    GazePrediction,
    angular_error_deg,
    predict_codes,
    sampled_errors,
)
from mien.geometry.gaze import gaze_angles, gaze_vector

__all__ = ["filled", "score_within", "worst_gaze"]

Array = NDArray[np.floating]

SHOWN = 100
"""The number of samples whose error is the main score, as in the papers."""
SAMPLES, INTERVAL = 1, 2  # streams of random numbers


@dataclass(frozen=True)
class _Errors:
    """Errors of the tested rows by one kind of features. Degrees."""

    rows: NDArray[np.int64]
    """The tested rows, fold after fold. [M]."""
    of: dict[int | None, Array]
    """Number of samples => error in each trial. [trials, M]."""


def score_within(data: GazeSet, context: EvalContext) -> Result:
    """Return errors by number of samples, with and without head pose.

    Raises:
        MienError: eyes are found in no image, or factors cannot be had.
    """
    predicted = predict_codes(data, context)
    data = _with_eyes_found(data, predicted)
    fewest = min(len(train) for train, _ in data.folds)
    counts = [count for count in COUNTS if count is None or count <= fewest]
    kinds = {name: _errors(data, parts, counts, context) for name, parts in _kinds(data, predicted)}
    main = SHOWN if SHOWN in counts else None
    known = "predicted" if data.head is None else "true"
    mains = {("gaze code", main), (f"gaze code and {known} head pose", main)}
    scores = [
        mean_score(
            f"error, {name}, {_samples(count)}",
            errors.of[count].mean(axis=0),
            data.person[errors.rows],
            context.rng(INTERVAL),
            main=(name, count) in mains,
        )
        for name, errors in kinds.items()
        for count in counts
    ]
    scores += _scores_of_parts(data, predicted, kinds["gaze code"], main, context)
    return Result(
        scores=(*scores, _mean_gaze(data)),
        data=data.checksum,
        tables=(_table(kinds, counts), _by_yaw(data, predicted, kinds, main)),
        plots=(_plot(kinds, fewest),),
        failures=worst_gaze(
            data,
            kinds["gaze code"].rows,
            kinds["gaze code"].of[main].mean(axis=0),
            context.gallery,
        ),
        notes=(*data.notes, *_notes(data, predicted, counts)),
    )


def _with_eyes_found(data: GazeSet, predicted: GazePrediction) -> GazeSet:
    """Return the set with training rows in which eyes are found only.

    Raises:
        MienError: there are fewer than two in a fold.
    """
    folds = tuple((train[predicted.found[train]], test) for train, test in data.folds)
    if min(len(train) for train, _ in folds) < 2:
        raise MienError("eyes are found in fewer than two training images; are these faces?")
    lost = sum(len(train) for train, _ in data.folds) - sum(len(train) for train, _ in folds)
    if not lost:
        return data
    percent = 100 * lost / sum(len(train) for train, _ in data.folds)
    note = f"no samples come from the {percent:.1f} % of training images without eyes"
    return replace(data, folds=folds, notes=(*data.notes, note))


def filled(features: Array, train: NDArray[np.int64]) -> Array:
    """Return features whose rows of NaN are the mean of the known training rows; 0 if none is."""
    known = np.asarray(np.isfinite(features).all(axis=1))
    learned = features[train][known[train]]
    usual = learned.mean(axis=0) if len(learned) else np.zeros(features.shape[1])
    return np.where(known[:, None], features, usual)


def worst_gaze(
    data: GazeSet, rows: NDArray[np.int64], errors: Array, count: int
) -> tuple[Failure, ...]:
    """Return the images with the largest errors, reduced, the worst first.

    Args:
        data: the set.
        rows: of the set. [M].
        errors: of these rows. Degrees [M].
        count: how many are wanted.
    """
    failures = []
    for place in worst(errors, count):
        row = int(rows[place])
        yaw, pitch = (float(np.degrees(angle)) for angle in gaze_angles(data.gaze[row]))
        failures.append(
            Failure(
                (shown(data.images, row),),
                f"{data.images.names[row]}: off by {errors[place]:.0f} degrees; looks "
                f"{abs(yaw):.0f} to the {'left' if yaw > 0 else 'right'} of the image and "
                f"{abs(pitch):.0f} {'up' if pitch > 0 else 'down'}",
            )
        )
    return tuple(failures)


def _kinds(data: GazeSet, predicted: GazePrediction) -> list[tuple[str, tuple[Array, ...]]]:
    """Return what is regressed on, by name; the parts are filled one by one."""
    kinds: list[tuple[str, tuple[Array, ...]]] = [("gaze code", (predicted.code,))]
    if predicted.pose is not None:
        kinds.append(("gaze code and predicted head pose", (predicted.code, predicted.pose)))
    if data.head is not None:
        kinds.append(("gaze code and true head pose", (predicted.code, data.head)))
    if predicted.pose is not None:
        kinds.append(("predicted head pose alone", (predicted.pose,)))
    if data.head is not None:
        kinds.append(("true head pose alone", (data.head,)))
    return kinds


def _errors(
    data: GazeSet, parts: tuple[Array, ...], counts: list[int | None], context: EvalContext
) -> _Errors:
    found: dict[int | None, list[Array]] = {count: [] for count in counts}
    for number, (train, test) in enumerate(data.folds):
        features = np.concatenate([filled(part, train) for part in parts], axis=1)
        # The same samples whatever the features are.
        rng = context.rng(SAMPLES, number)
        for count in counts:
            found[count].append(
                sampled_errors(
                    train_features=features[train],
                    train_gaze=data.gaze[train],
                    test_features=features[test],
                    test_gaze=data.gaze[test],
                    count=count,
                    trials=context.trials,
                    rng=rng,
                )
            )
    rows = np.concatenate([test for _, test in data.folds])
    return _Errors(rows, {count: np.concatenate(each, axis=1) for count, each in found.items()})


def _scores_of_parts(
    data: GazeSet,
    predicted: GazePrediction,
    errors: _Errors,
    count: int | None,
    context: EvalContext,
) -> list[Score]:
    """Return the error on parts of the tested rows: those the set names, and those with eyes."""
    parts = dict(data.parts)
    if (~predicted.found).mean() > MAX_MISSING:
        parts["where eyes are found"] = predicted.found
    scores = []
    for name, mask in parts.items():
        inside = mask[errors.rows]
        if inside.any():
            values = np.where(inside, errors.of[count].mean(axis=0), np.nan)
            title = f"error, gaze code, {_samples(count)}, {name}"
            person = data.person[errors.rows]
            scores.append(mean_score(title, values, person, context.rng(INTERVAL)))
    return scores


def _mean_gaze(data: GazeSet) -> Score:
    """Return the error of predicting the training rows' mean yaw and pitch."""
    errors = []
    for train, test in data.folds:
        yaw, pitch = (np.full(len(test), a.mean()) for a in gaze_angles(data.gaze[train]))
        mean = gaze_vector(yaw, pitch)
        errors.append(angular_error_deg(predicted=mean, truth=data.gaze[test]))
    joined = np.concatenate(errors)
    name = "error, mean gaze of the training part"
    return Score(name, float(joined.mean()), "degrees", len(joined), higher_is_better=False)


def _table(kinds: dict[str, _Errors], counts: list[int | None]) -> Table:
    rows = []
    for name, errors in kinds.items():
        cells: list[float] = []
        for count in counts:
            trials = errors.of[count].mean(axis=1)
            std = float(trials.std(ddof=1)) if len(trials) > 1 else 0.0
            cells += rounded([trials.mean(), std])
        rows.append((name, *cells))
    titles = [title for count in counts for title in (_samples(count), "std over trials")]
    return Table("Angular error in degrees", ("regressed on", *titles), tuple(rows))


def _by_yaw(
    data: GazeSet, predicted: GazePrediction, kinds: dict[str, _Errors], count: int | None
) -> Table:
    rows = kinds["gaze code"].rows
    if data.head is not None:
        # A label of just 15 degrees is in the bin that begins there, however it is rounded.
        yaw, whose = data.head[rows, 0], "true head yaw"
    elif predicted.pose is not None:
        yaw, whose = predicted.pose[rows, 0], "predicted head yaw"
    else:
        yaw, whose = np.full(len(rows), np.nan), "unknown head yaw"
    values = {
        name: errors.of[count].mean(axis=0)
        for name, errors in kinds.items()
        if not name.endswith("alone")
    }
    title = f"Error in degrees by {whose}, {_samples(count)}"
    return yaw_table(title=title, yaw_rad=yaw, values=values)


def _plot(kinds: dict[str, _Errors], everything: int) -> Plot:
    lines = {
        name: (
            [float(everything if count is None else count) for count in errors.of],
            [float(each.mean()) for each in errors.of.values()],
        )
        for name, errors in kinds.items()
    }
    return Plot("Error by number of samples", "samples", "degrees", lines, log_x=True)


def _notes(data: GazeSet, predicted: GazePrediction, counts: list[int | None]) -> list[str]:
    tested = np.concatenate([test for _, test in data.folds])
    lost = int((~predicted.found[tested]).sum())
    notes = [f"eyes are not found in {lost} of {len(tested)} tested images"]
    left_out = [str(count) for count in COUNTS if count not in counts]
    if left_out:
        notes.append(f"there are too few training images for {' and '.join(left_out)} samples")
    return notes


def _samples(count: int | None) -> str:
    return "all samples" if count is None else f"{count} samples"
