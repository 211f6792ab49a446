"""The run that all verification protocols share: pairs in folds => scores, tables, worst cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.pairs import Pairs
from mien.evaluate.protocol import EvalContext, Failure, Plot, Result, Score, Table, checksum
from mien.evaluate.scores import shown, yaw_table
from mien.evaluate.tasks.identity_codes import FaceCodes, face_codes
from mien.evaluate.tasks.verification_metrics import (
    Folded,
    area,
    at_false_accepts,
    equal_error,
    fold_similarity,
    nearest,
    over_folds,
    roc,
)
from mien.linear.bootstrap import bootstrap, mean_interval
from mien.linear.verifier import trained_decisions

__all__ = ["FALSE_ACCEPTS", "verify"]

Array = NDArray[np.floating]

FALSE_ACCEPTS = (0.1, 0.01, 0.001)
"""Shares of false accepts at which true accepts are told, where there are pairs enough."""
WORTH_SAYING = 0.01
"""From this share of pairs without a face on, those with one are scored apart too."""
# Streams of random numbers.
_INTERVALS, _TRAINED = 1, 2


def verify(
    pairs: Pairs, context: EvalContext, *, notes: Sequence[str] = (), identify: bool = False
) -> Result:
    """Score same-person decisions on pairs in folds, by cosine and by a trained verifier.

    Args:
        pairs: the pairs.
        context: with what.
        notes: what a reader must know of the data.
        identify: whether the nearest image is also looked for among all people (rank-1).

    Raises:
        MienError: the codes cannot be had.
    """
    faces = face_codes(pairs.images, context, width=pairs.width)
    similarity = {name: _similarity(pairs, faces, name) for name in faces.codes}
    folded = {
        name: over_folds(similarity=alike, same=pairs.same, fold=pairs.fold)
        for name, alike in similarity.items()
    }
    main = next(iter(faces.codes))
    scores: list[Score] = []
    for name in faces.codes:
        ending = "" if name == main else f", {name}"
        context.say(f"comparing {len(pairs)} pairs by {name}")
        scores += _cosine_scores(pairs, similarity[name], folded[name], ending, context)
        if name == main:
            scores += _found_only(pairs, faces, folded[name], context)
        context.say(f"training verifiers on {name}")
        scores.append(_trained_score(pairs, faces, name, ending, context))
    if identify and pairs.person is not None:
        scores += _rank_scores(pairs, faces, main, context)
    tables = [_fold_table(pairs, folded), _threshold_table(pairs, similarity[main], folded[main])]
    if faces.yaw_rad is not None:
        tables.append(_yaw_table(pairs, faces.yaw_rad, folded))
    return Result(
        scores=tuple(scores),
        data=_digest(pairs),
        tables=tuple(tables),
        plots=(_plot(pairs, similarity),),
        failures=_failures(pairs, similarity[main], folded[main], context.gallery),
        notes=(
            *notes,
            *([f"compared by {main} where no code is named"] if main == "face_embedding" else []),
            *_face_notes(pairs, faces),
        ),
    )


def _similarity(pairs: Pairs, faces: FaceCodes, name: str) -> NDArray[np.float64]:
    return fold_similarity(
        codes=faces.codes[name],
        found=faces.found,
        first=pairs.first,
        second=pairs.second,
        fold=pairs.fold,
    )


def _percent(
    name: str, right: NDArray[np.bool_], group: NDArray[np.int64] | None, context: EvalContext
) -> Score:
    """Return the share of right decisions with its interval, people drawn whole. %."""
    values = 100.0 * np.asarray(right, dtype=np.float64)
    low, high = mean_interval(values=values, groups=group, rng=context.rng(_INTERVALS))
    return Score(name, float(values.mean()), "%", len(values), low, high)


def _cosine_scores(
    pairs: Pairs, similarity: Array, folded: Folded, ending: str, context: EvalContext
) -> list[Score]:
    accuracy = _percent(f"accuracy, cosine{ending}", folded.correct, pairs.group, context)
    known_for = Score(
        accuracy.name,
        accuracy.value,
        "%",
        len(pairs),
        accuracy.low,
        accuracy.high,
        main=not ending,
    )

    def curve_numbers(rows: NDArray[np.int64]) -> list[float]:
        same = pairs.same[rows]
        if same.all() or not same.any():
            return [float("nan")] * (2 + len(rates))
        curve = roc(similarity=similarity[rows], same=same)
        accepts = [100 * at_false_accepts(curve=curve, far=rate)[0] for rate in rates]
        return [area(curve=curve), 100 * equal_error(curve=curve), *accepts]

    rates = [rate for rate in FALSE_ACCEPTS if rate * (~pairs.same).sum() >= 1]
    names = ["AUC", "EER", *(f"TAR at FAR {100 * rate:g} %" for rate in rates)]
    every = curve_numbers(np.arange(len(pairs)))
    out = [known_for]
    for place, name in enumerate(names):
        low, high = bootstrap(
            lambda rows, place=place: curve_numbers(rows)[place],
            count=len(pairs),
            groups=pairs.group,
            rng=context.rng(_INTERVALS),
        )
        unit = "AUC" if name == "AUC" else "%"
        full = f"{name}, cosine{ending}"
        better = name != "EER"
        out.append(Score(full, every[place], unit, len(pairs), low, high, higher_is_better=better))
    return out


def _found_only(
    pairs: Pairs, faces: FaceCodes, folded: Folded, context: EvalContext
) -> list[Score]:
    seen = faces.found[pairs.first] & faces.found[pairs.second]
    if seen.mean() >= 1 - WORTH_SAYING or not seen.any():
        return []
    group = None if pairs.group is None else pairs.group[seen]
    name = "accuracy, cosine, pairs with faces only"
    return [_percent(name, folded.correct[seen], group, context)]


def _trained_score(
    pairs: Pairs, faces: FaceCodes, name: str, ending: str, context: EvalContext
) -> Score:
    decided = trained_decisions(
        codes=faces.codes[name],
        found=faces.found,
        first=pairs.first,
        second=pairs.second,
        same=pairs.same,
        fold=pairs.fold,
        rng=context.rng(_TRAINED),
    )
    right = decided == pairs.same
    return _percent(f"accuracy, trained verifier{ending}", right, pairs.group, context)


def _rank_scores(pairs: Pairs, faces: FaceCodes, main: str, context: EvalContext) -> list[Score]:
    assert pairs.person is not None
    probes, correct = nearest(codes=faces.codes[main], found=faces.found, person=pairs.person)
    if not len(probes):
        return []
    return [_percent("rank-1, cosine", correct, pairs.person[probes], context)]


def _fold_table(pairs: Pairs, folded: dict[str, Folded]) -> Table:
    rows: list[tuple[str | float | None, ...]] = [
        (
            f"fold {int(fold) + 1}",
            int((pairs.fold == fold).sum()),
            *(
                value
                for part in folded.values()
                for value in (
                    round(100 * float(part.accuracy[i]), 2),
                    round(float(part.threshold[i]), 4),
                )
            ),
        )
        for i, fold in enumerate(np.unique(pairs.fold))
    ]
    count = len(rows)
    spread: list[float | None] = []
    for part in folded.values():
        error = 100 * float(part.accuracy.std(ddof=1)) / count**0.5
        spread += [round(error, 2), None]
    rows.append(("standard error", len(pairs), *spread))
    names = [f"{name}: {what}" for name in folded for what in ("accuracy, %", "threshold")]
    return Table("Folds, by cosine", ("fold", "pairs", *names), tuple(rows))


def _threshold_table(pairs: Pairs, similarity: Array, folded: Folded) -> Table:
    """Return what a threshold costs: false accepts and true accepts."""
    curve = roc(similarity=similarity, same=pairs.same)
    rows: list[tuple[str | float | None, ...]] = []
    for rate in FALSE_ACCEPTS:
        if rate * (~pairs.same).sum() >= 1:
            threshold = at_false_accepts(curve=curve, far=rate)[1]
            accepted = similarity >= threshold
            rows.append(_cost(f"FAR {100 * rate:g} % at most", threshold, accepted, pairs.same))
    chosen = float(folded.threshold.mean())
    rows.append(_cost("most accurate (mean of folds)", chosen, similarity > chosen, pairs.same))
    columns = ("threshold", "cosine", "false accepts, %", "true accepts, %")
    return Table("Thresholds and what they cost", columns, tuple(rows))


def _cost(
    name: str, threshold: float, accepted: NDArray[np.bool_], same: NDArray[np.bool_]
) -> tuple[str | float | None, ...]:
    shares = (round(100 * float(accepted[kind].mean()), 2) for kind in (~same, same))
    return (name, round(threshold, 4) if np.isfinite(threshold) else None, *shares)


def _yaw_table(pairs: Pairs, yaw_rad: Array, folded: dict[str, Folded]) -> Table:
    turn = np.abs(np.asarray(yaw_rad, dtype=np.float64))
    return yaw_table(
        title="Accuracy by the larger turn of a pair's two heads, as predicted (rows are pairs)",
        yaw_rad=np.fmax(turn[pairs.first], turn[pairs.second]),
        values={f"{name}, %": 100.0 * part.correct for name, part in folded.items()},
    )


def _plot(pairs: Pairs, similarity: dict[str, NDArray[np.float64]]) -> Plot:
    lines = {}
    for name, alike in similarity.items():
        curve = roc(similarity=alike, same=pairs.same)
        shown = curve.far > 0  # the axis is logarithmic
        lines[name] = (curve.far[shown].tolist(), curve.tar[shown].tolist())
    return Plot(
        "One person's pairs accepted over two people's",
        "false accepts",
        "true accepts",
        lines,
        True,
    )


def _failures(pairs: Pairs, similarity: Array, folded: Folded, wanted: int) -> tuple[Failure, ...]:
    """Return the wrong decisions that are furthest from the threshold."""
    threshold = folded.threshold[np.unique(pairs.fold, return_inverse=True)[1].reshape(-1)]
    margin = np.where(folded.correct, -np.inf, np.abs(similarity - threshold))
    worst = np.argsort(-margin, kind="stable")[: min(wanted, int((~folded.correct).sum()))]
    out = []
    for row in worst:
        truth = "one person" if pairs.same[row] else "two people"
        caption = f"{truth}: cosine {similarity[row]:.2f}, threshold {threshold[row]:.2f}"
        both = (int(pairs.first[row]), int(pairs.second[row]))
        out.append(Failure(tuple(shown(pairs.images, i) for i in both), caption))
    return tuple(out)


def _digest(pairs: Pairs) -> str:
    names = pairs.images.names
    columns = (pairs.first, pairs.second, pairs.same, pairs.fold)
    return checksum(
        f"{names[a]}\t{names[b]}\t{int(same)}\t{fold}"
        for a, b, same, fold in zip(*columns, strict=True)
    )


def _face_notes(pairs: Pairs, faces: FaceCodes) -> list[str]:
    out = []
    missing = int((~faces.found).sum())
    lost = int((~(faces.found[pairs.first] & faces.found[pairs.second])).sum())
    if missing:
        out.append(
            f"No face in {missing} of {len(faces.found)} images: {lost} pairs count as two people"
        )
    fallen = int((faces.found & ~faces.detected).sum())
    if fallen and pairs.images.crop == "detect":
        out.append(
            f"No face was detected in {fallen} images as they are: the square in the middle, or "
            "the mirror image, was taken"
        )
    if not faces.both_sides:
        out.append("Codes are of the images alone: mirror images could not be described")
    return out
