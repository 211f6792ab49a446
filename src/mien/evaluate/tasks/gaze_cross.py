"""Gaze across data sets: a ridge regression fitted on one set, tested on another, as it is.

All readers give gaze in the frame of a camera that looks at the face, so that nothing is rotated
between sets. Of sets with a split of their own the training part is trained on and the test part
tested; of the others all images do both. Nothing of the tested set is used but its images.
Images without eyes are not trained on, but are tested.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table, checksum
from mien.evaluate.scores import mean_score
from mien.evaluate.tasks.gaze_few_shot import (
    GazePrediction,
    angular_error_deg,
    predict_codes,
    predict_gaze,
)
from mien.evaluate.tasks.gaze_within import filled, worst_gaze

__all__ = ["score_cross"]

Array = NDArray[np.floating]

INTERVAL = 3  # stream of random numbers


def score_cross(data: Mapping[str, GazeSet], context: EvalContext) -> Result:
    """Return the errors on every set by a fit to every other.

    Args:
        data: two sets or more, by name.
        context: with what.

    Raises:
        MienError: eyes are found in no image of a set.
    """
    predicted = {}
    for name, gaze_set in data.items():
        context.say(name)
        predicted[name] = predict_codes(gaze_set, context)
    scores: list[Score] = []
    failures: list[tuple[float, Failure]] = []
    for source in data:
        for target in data:
            if source != target:
                found, worst_ones = _pair(source, target, data, predicted, context)
                scores += found
                failures += worst_ones
    failures.sort(key=lambda pair: -pair[0])
    return Result(
        scores=tuple(scores),
        data=checksum(f"{name} {gaze_set.checksum}" for name, gaze_set in data.items()),
        tables=tuple(_table(list(data), scores, posed=posed) for posed in (False, True)),
        failures=tuple(failure for _, failure in failures[: context.gallery]),
        notes=("the head pose is the one that the weights predict", *_notes(data, predicted)),
    )


def _pair(
    source: str,
    target: str,
    data: Mapping[str, GazeSet],
    predicted: dict[str, GazePrediction],
    context: EvalContext,
) -> tuple[list[Score], list[tuple[float, Failure]]]:
    """Return the errors on one set of a fit to another, and the worst cases."""
    train, test = data[source].source_rows(), data[target].target_rows()
    train = train[predicted[source].found[train]]
    scores: list[Score] = []
    failures: list[tuple[float, Failure]] = []
    for posed in (False, True):
        one, other = (
            _features(predicted[source], posed=posed),
            _features(predicted[target], posed=posed),
        )
        if one is None or other is None:
            continue
        learned = filled(one, train)
        # Where the target shows no eyes the source's mean stands in.
        both = filled(np.concatenate([one, other]), train)[len(one) :]
        gaze = predict_gaze(
            train_features=learned[train],
            train_gaze=data[source].gaze[train],
            test_features=both[test],
        )
        errors = angular_error_deg(predicted=gaze, truth=data[target].gaze[test])
        name, person = _score_name(source, target, posed=posed), data[target].person[test]
        scores.append(mean_score(name, errors, person, context.rng(INTERVAL), main=not posed))
        if not posed:
            shown = worst_gaze(data[target], test, errors, 2)
            sizes = np.sort(errors)[::-1]
            failures = [(float(sizes[i]), failure) for i, failure in enumerate(shown)]
    return scores, failures


def _features(predicted: GazePrediction, *, posed: bool) -> Array | None:
    if not posed:
        return predicted.code
    if predicted.pose is None:
        return None
    # A row without eyes becomes the mean as a whole, its head pose too.
    return np.concatenate([predicted.code, predicted.pose], axis=1)


def _table(names: list[str], scores: list[Score], *, posed: bool) -> Table:
    values = {score.name: round(score.value, 3) for score in scores}
    rows = tuple(
        (source, *(values.get(_score_name(source, target, posed=posed)) for target in names))
        for source in names
    )
    how = "gaze code and predicted head pose" if posed else "gaze code"
    title = f"Error in degrees, {how} (rows: trained on, columns: tested on)"
    return Table(title, ("trained on", *names), rows)


def _score_name(source: str, target: str, *, posed: bool) -> str:
    how = "gaze code and predicted head pose" if posed else "gaze code"
    return f"error, {source} to {target}, {how}"


def _notes(data: Mapping[str, GazeSet], predicted: dict[str, GazePrediction]) -> list[str]:
    return [
        f"{name}: no eyes are found in {(~predicted[name].found).sum()} of {len(data[name])}"
        for name in data
    ]
