"""Verification: are two images of one person? Pairs in folds => scores, tables, worst cases.

Codes are the mean of each image's and its mirror image's. A pair is decided by the cosine of its
codes, and by a verifier that is trained on the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.pairs import Pairs
from mien.evaluate.protocol import (
    MIRRORED,
    EvalContext,
    FactorColumns,
    Failure,
    Images,
    Plot,
    Result,
    Score,
    Table,
    checksum,
)
from mien.evaluate.scores import MAX_MISSING, mean_score, rounded, shown, worst, yaw_table
from mien.linear.bootstrap import bootstrap_each
from mien.linear.verification import (
    Folded,
    auc,
    decide_over_folds,
    eer,
    fold_similarity,
    rank_1,
    roc,
    tar_at_far,
)
from mien.linear.verifier import trained_decisions

__all__ = ["mirrored", "verify"]

Array = NDArray[np.floating]

CODES: Mapping[str, tuple[str, ...]] = {
    "face_embedding": ("face_embedding",),
    "identity": ("identity",),
    "both codes": ("texture_code", "shape_code"),
}
"""What is compared => the columns that it is made of; the first that can be had is the main one:
not all weights, and not all tables, have a face embedding."""
FALSE_MATCH_RATES = (0.1, 0.01, 0.001)
"""False match rates at which the true match rate is reported, where there are pairs enough."""
# Streams of random numbers.
_INTERVALS, _TRAINED = 1, 2


@dataclass(frozen=True)
class FaceCodes:
    """What verification needs of images."""

    found: NDArray[np.bool_]
    """Whether there is a code. [N]."""
    detected: NDArray[np.bool_]
    """Whether a face was detected in the image as it is. [N]."""
    codes: Mapping[str, NDArray[np.float32]]
    """By the names of `CODES`, the main one first; NaN where there is none. Each [N, D]."""
    yaw_rad: NDArray[np.floating] | None
    """Predicted head yaw; None where that cannot be had. [N]."""
    with_mirror: bool
    """Whether mirror images have been described too."""


def verify(pairs: Pairs, context: EvalContext) -> Result:
    """Score same-person decisions on pairs in folds, by cosine and by a trained verifier.

    Raises:
        MienError: the codes cannot be had.
    """
    faces = face_codes(pairs.images, context, width=pairs.width)
    similarity = {
        name: fold_similarity(pairs, codes, faces.found) for name, codes in faces.codes.items()
    }
    folded = {name: decide_over_folds(pairs, values) for name, values in similarity.items()}
    main = next(iter(faces.codes))
    scores: list[Score] = []
    for name in faces.codes:
        ending = "" if name == main else f", {name}"
        context.say(f"comparing {len(pairs)} pairs by {name}")
        scores += _cosine_scores(pairs, similarity[name], folded[name], ending, context)
        if name == main:
            scores += _found_only(pairs, faces, folded[name], context)
        context.say(f"training verifiers on {name}")
        rng = context.rng(_TRAINED)
        right = trained_decisions(pairs, faces.codes[name], faces.found, rng) == pairs.same
        scores.append(_percent(f"accuracy, trained verifier{ending}", right, pairs.group, context))
    if pairs.identify and pairs.person is not None:
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
            *pairs.notes,
            *([f"compared by {main} where no code is named"] if main == "face_embedding" else []),
            *_face_notes(pairs, faces),
        ),
    )


def face_codes(images: Images, context: EvalContext, *, width: float | None = None) -> FaceCodes:
    """Describe images and their mirror images.

    Args:
        images: N of them.
        context: gives the factors.
        width: of every image, with crop "box". Pixels.

    Raises:
        MienError: the codes cannot be had.
    """
    known = context.describe.columns
    there = {
        name: parts
        for name, parts in CODES.items()
        if name != "face_embedding" or "face_embedding" in known
    }
    columns = tuple(dict.fromkeys(name for names in there.values() for name in names))
    yaw_known = "yaw_rad" in known
    context.say(f"describing {len(images)} images")
    plain = context.describe(images, (*columns, "yaw_rad") if yaw_known else columns)
    mirror = None
    if context.describe.reads_pixels:
        context.say("describing their mirror images")
        mirror = context.describe(mirrored(images, width=width), columns)
    codes = {name: _mean_code(plain, mirror, parts) for name, parts in there.items()}
    found = plain.found if mirror is None else plain.found | mirror.found
    yaw = plain["yaw_rad"] if yaw_known else None
    return FaceCodes(found, plain.detected, codes, yaw, mirror is not None)


def mirrored(images: Images, *, width: float | None = None) -> Images:
    """Return the images as in a mirror, under other names.

    Args:
        images: N of them.
        width: of every image, with crop "box". Pixels.
    """
    boxes, fallback = images.boxes, images.fallback
    if boxes is not None:
        if width is None:
            raise ValueError("boxes are mirrored about the middle of a known width")
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    if fallback is not None:
        fallback = (1 - fallback[2], fallback[1], 1 - fallback[0], fallback[3])
    return replace(
        images,
        names=tuple(name + MIRRORED for name in images.names),
        read=lambda i: np.ascontiguousarray(images.read(i)[:, ::-1]),
        boxes=boxes,
        fallback=fallback,
    )


def _mean_code(
    plain: FactorColumns, mirror: FactorColumns | None, parts: tuple[str, ...]
) -> NDArray[np.float32]:
    """Return the mean of both where both have a face, else the one that has; else NaN. [N, D]."""
    one = plain.joined(*parts).astype(np.float32)
    if mirror is None:
        return one
    other = mirror.joined(*parts).astype(np.float32)
    both = (plain.found & mirror.found)[:, None]
    single = np.where(plain.found[:, None], one, other)
    return np.where(both, (one + other) / 2, single)


def _percent(
    name: str, right: NDArray[np.bool_], group: NDArray[np.int64] | None, context: EvalContext
) -> Score:
    """Return the accuracy of decisions with its interval; people are resampled as a whole. %."""
    rng = context.rng(_INTERVALS)
    return mean_score(name, 100.0 * right, group, rng, unit="%", higher_is_better=True)


def _cosine_scores(
    pairs: Pairs, similarity: Array, folded: Folded, ending: str, context: EvalContext
) -> list[Score]:
    accuracy = _percent(f"accuracy, cosine{ending}", folded.correct, pairs.group, context)

    def curve_numbers(rows: NDArray[np.int64]) -> list[float]:
        same = pairs.same[rows]
        if same.all() or not same.any():
            return [float("nan")] * (2 + len(rates))
        curve = roc(similarity=similarity[rows], same=same)
        accepts = [100 * tar_at_far(curve=curve, far=rate)[0] for rate in rates]
        return [auc(curve=curve), 100 * eer(curve=curve), *accepts]

    rates = [rate for rate in FALSE_MATCH_RATES if rate * (~pairs.same).sum() >= 1]
    names = ["AUC", "EER", *(f"TAR at FAR {100 * rate:g} %" for rate in rates)]
    every = curve_numbers(np.arange(len(pairs)))
    rng = context.rng(_INTERVALS)
    ends = bootstrap_each(curve_numbers, count=len(pairs), groups=pairs.group, rng=rng)
    out = [replace(accuracy, main=not ending)]
    for name, value, both in zip(names, every, ends, strict=True):
        unit = "AUC" if name == "AUC" else "%"
        full = f"{name}, cosine{ending}"
        better = name != "EER"
        out.append(Score(full, value, unit, len(pairs), *both, higher_is_better=better))
    return out


def _found_only(
    pairs: Pairs, faces: FaceCodes, folded: Folded, context: EvalContext
) -> list[Score]:
    seen = pairs.seen(faces.found)
    if seen.mean() >= 1 - MAX_MISSING or not seen.any():
        return []
    group = None if pairs.group is None else pairs.group[seen]
    name = "accuracy, cosine, pairs with faces only"
    return [_percent(name, folded.correct[seen], group, context)]


def _rank_scores(pairs: Pairs, faces: FaceCodes, main: str, context: EvalContext) -> list[Score]:
    assert pairs.person is not None
    probes, correct = rank_1(codes=faces.codes[main], found=faces.found, person=pairs.person)
    if not len(probes):
        return []
    return [_percent("rank-1, cosine", correct, pairs.person[probes], context)]


def _fold_table(pairs: Pairs, folded: dict[str, Folded]) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for i, fold in enumerate(np.unique(pairs.fold)):
        cells: list[float] = []
        for part in folded.values():
            cells += rounded([100 * part.accuracy[i]], 2) + rounded([part.threshold[i]], 4)
        rows.append((f"fold {int(fold) + 1}", int((pairs.fold == fold).sum()), *cells))
    errors: list[float | None] = []
    for part in folded.values():
        errors += [*rounded([100 * part.accuracy.std(ddof=1) / len(rows) ** 0.5], 2), None]
    rows.append(("standard error", len(pairs), *errors))
    names = [f"{name}: {what}" for name in folded for what in ("accuracy, %", "threshold")]
    return Table("Folds, by cosine", ("fold", "pairs", *names), tuple(rows))


def _threshold_table(pairs: Pairs, similarity: Array, folded: Folded) -> Table:
    """Return the false and the true match rate at some thresholds."""
    curve = roc(similarity=similarity, same=pairs.same)
    rows: list[tuple[str | float | None, ...]] = []
    for rate in FALSE_MATCH_RATES:
        if rate * (~pairs.same).sum() >= 1:
            threshold = tar_at_far(curve=curve, far=rate)[1]
            accepted = similarity >= threshold
            rows.append(_rates(f"FAR {100 * rate:g} % at most", threshold, accepted, pairs.same))
    chosen = float(folded.threshold.mean())
    rows.append(_rates("most accurate (mean of folds)", chosen, similarity > chosen, pairs.same))
    columns = ("threshold", "cosine", "false match rate, %", "true match rate, %")
    return Table("Thresholds and their match rates", columns, tuple(rows))


def _rates(
    name: str, threshold: float, accepted: NDArray[np.bool_], same: NDArray[np.bool_]
) -> tuple[str | float | None, ...]:
    rates = (round(100 * float(accepted[kind].mean()), 2) for kind in (~same, same))
    return (name, round(threshold, 4) if np.isfinite(threshold) else None, *rates)


def _yaw_table(pairs: Pairs, yaw_rad: Array, folded: dict[str, Folded]) -> Table:
    yaw = np.abs(np.asarray(yaw_rad, dtype=np.float64))
    return yaw_table(
        title="Accuracy by the larger predicted yaw of a pair's two heads (rows are pairs)",
        yaw_rad=np.fmax(yaw[pairs.first], yaw[pairs.second]),
        values={f"{name}, %": 100.0 * part.correct for name, part in folded.items()},
    )


def _plot(pairs: Pairs, similarity: dict[str, NDArray[np.float64]]) -> Plot:
    lines = {}
    for name, values in similarity.items():
        curve = roc(similarity=values, same=pairs.same)
        shown = curve.far > 0  # the axis is logarithmic
        lines[name] = (curve.far[shown].tolist(), curve.tar[shown].tolist())
    return Plot("ROC curve", "false match rate", "true match rate", lines, log_x=True)


def _failures(pairs: Pairs, similarity: Array, folded: Folded, wanted: int) -> tuple[Failure, ...]:
    """Return the wrong decisions that are furthest from the threshold."""
    threshold = folded.threshold[np.unique(pairs.fold, return_inverse=True)[1].reshape(-1)]
    margin = np.where(folded.correct, -np.inf, np.abs(similarity - threshold))
    out = []
    for row in worst(margin, wanted):
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
    lost = int((~pairs.seen(faces.found)).sum())
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
    if not faces.with_mirror:
        out.append("Codes are of the images alone: mirror images could not be described")
    return out
