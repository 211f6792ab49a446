"""Gaze across data sets: a ridge regression fitted on one set, tested on another, as it is.

All readers give gaze in the frame of a camera that looks at the face, so that nothing is turned
between sets. Sets with a split of their own teach by their training part and are tested on their
test part; of the others all images do both. Nothing of the tested set is used but its images.
Images without eyes teach nothing, but are tested.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table, checksum
from mien.evaluate.tasks.gaze import filled, worst
from mien.evaluate.tasks.gaze_few_shot import angular_error_deg, predict_gaze
from mien.evaluate.tasks.gaze_set import Seen, see
from mien.linear.bootstrap import mean_interval

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
    seen = {}
    for name, gaze_set in data.items():
        context.say(name)
        seen[name] = see(gaze_set, context)
    scores: list[Score] = []
    failures: list[tuple[float, Failure]] = []
    for source in data:
        for target in data:
            if source != target:
                found, worst_ones = _pair(source, target, data, seen, context)
                scores += found
                failures += worst_ones
    failures.sort(key=lambda pair: -pair[0])
    return Result(
        scores=tuple(scores),
        data=checksum(f"{name} {gaze_set.checksum}" for name, gaze_set in data.items()),
        tables=tuple(_table(list(data), scores, posed=posed) for posed in (False, True)),
        failures=tuple(failure for _, failure in failures[: context.gallery]),
        notes=("the head pose is the one that the weights predict", *_notes(data, seen)),
    )


def _pair(
    source: str,
    target: str,
    data: Mapping[str, GazeSet],
    seen: dict[str, Seen],
    context: EvalContext,
) -> tuple[list[Score], list[tuple[float, Failure]]]:
    """Return the errors on one set by what another taught, and the worst cases."""
    train, test = data[source].source_rows(), data[target].target_rows()
    train = train[seen[source].found[train]]
    scores: list[Score] = []
    failures: list[tuple[float, Failure]] = []
    for posed in (False, True):
        one, other = _features(seen[source], posed=posed), _features(seen[target], posed=posed)
        if one is None or other is None:
            continue
        learned = filled(one, train)
        # What is not seen in the target is put at the source's mean.
        both = filled(np.concatenate([one, other]), train)[len(one) :]
        said = predict_gaze(
            train_features=learned[train],
            train_gaze=data[source].gaze[train],
            test_features=both[test],
        )
        errors = angular_error_deg(predicted=said, truth=data[target].gaze[test])
        low, high = mean_interval(
            values=errors, groups=data[target].person[test], rng=context.rng(INTERVAL)
        )
        scores.append(
            Score(
                _score_name(source, target, posed=posed),
                float(errors.mean()),
                "degrees",
                len(errors),
                low=low,
                high=high,
                higher_is_better=False,
                main=not posed,
            )
        )
        if not posed:
            shown = worst(data[target], test, errors, 2)
            sizes = np.sort(errors)[::-1]
            failures = [(float(sizes[i]), failure) for i, failure in enumerate(shown)]
    return scores, failures


def _features(seen: Seen, *, posed: bool) -> Array | None:
    if not posed:
        return seen.code
    if seen.own is None:
        return None
    # A row without eyes is put at the mean as a whole, its head pose too.
    return np.concatenate([seen.code, seen.own], axis=1)


def _table(names: list[str], scores: list[Score], *, posed: bool) -> Table:
    values = {score.name: round(score.value, 3) for score in scores}
    rows = tuple(
        (source, *(values.get(_score_name(source, target, posed=posed)) for target in names))
        for source in names
    )
    how = "gaze code and own head pose" if posed else "gaze code"
    title = f"Error in degrees, {how}: rows taught, columns tested"
    return Table(title, ("taught by", *names), rows)


def _score_name(source: str, target: str, *, posed: bool) -> str:
    how = "gaze code and own head pose" if posed else "gaze code"
    return f"error, {source} to {target}, {how}"


def _notes(data: Mapping[str, GazeSet], seen: dict[str, Seen]) -> list[str]:
    lost = {name: int(np.count_nonzero(~seen[name].found)) for name in data}
    return [f"{name}: no eyes are found in {lost[name]} of {len(data[name])}" for name in data]
