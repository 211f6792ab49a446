"""Expression transfer: the expression of one face (source) rendered on another (target), and read.

Every rendered image is compared with the same face rendered with nothing changed, so that what
rendering alone changes does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.evaluate.datasets.synthetic import Clips
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Score, Table
from mien.evaluate.scores import mean_score, rounded, shown, worst
from mien.geometry.gaze import angle_between
from mien.geometry.rotation import rotation_to_angles
from mien.linear.cross_subject import fit_classes
from mien.model import Model, prepare
from mien.types import Factors
from mien.views.edit import Edit, render_edited

__all__ = ["transfer_result"]

Array = NDArray[np.floating]

MAX_FACES = 400
"""Target faces at most."""


BATCH = 32
TITLE = "expression transfer"


@dataclass(frozen=True)
class Read:
    """The factors of rendered images."""

    identity: Array
    """[P, D]."""
    expression: Array
    """[P, D]."""
    angles: Array
    """yaw, pitch, roll, radians. [P, 3]."""
    light: Array
    """Unit vectors to the light, camera frame. [P, 3]."""


@dataclass(frozen=True)
class Transfers:
    """Faces rendered with another's expression, and with their own."""

    transferred: Read
    """Row i: face i with the expression of face `source[i]`."""
    plain: Read
    """Row i: face i with nothing changed, rendered and read again."""
    images: NDArray[np.uint8]
    """The faces with the source's expression. RGB [P, H, W, 3]."""

    def centred(self, mean: Array) -> Transfers:
        """Return the same with a mean taken off the identities. [D]."""
        transferred = replace(self.transferred, identity=self.transferred.identity - mean)
        plain = replace(self.plain, identity=self.plain.identity - mean)
        return replace(self, transferred=transferred, plain=plain)


@dataclass(frozen=True)
class TransferScores:
    """One value a target; their means are the scores."""

    transferred: NDArray[np.bool_]
    """Whether the probe recognises the source's expression in the target. [P]."""
    unchanged: NDArray[np.bool_]
    """Whether it recognises the target's former expression. [P]."""
    upper_bound: NDArray[np.bool_]
    """Whether it recognises the source's expression in the source, rendered unchanged. [P]."""
    identity_kept: NDArray[np.bool_]
    """Whether the identity is closer to other images of the target's person than to those of the
    source's. [P]."""
    margin: Array
    """By how much, in cosine. [P]."""
    rotation_deg: Array
    """Change of yaw and pitch together. Degrees. [P]."""
    light_deg: Array
    """Change of the direction to the light. Degrees. [P]."""
    yaw_transferred: float
    """Fraction of the difference in yaw between source and target that came with the expression;
    0 = none."""


@dataclass(frozen=True)
class TransferResult:
    """What expression transfer adds to a protocol's result."""

    scores: tuple[Score, ...] = ()
    tables: tuple[Table, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()


def transfer_result(clips: Clips, faces: FactorColumns, context: EvalContext) -> TransferResult:
    """Transfer expressions between people; the probe of expression is trained on other people.

    The probe is trained on the images of half of the people, sampled; the others are targets.

    Args:
        clips: the truth.
        faces: factors of the real images.
        context: with its model; without one nothing is rendered, and a note says so.
    """
    if context.model is None:
        return TransferResult(
            notes=("no expression transfer: factors from a table cannot be rendered",)
        )
    rng = context.rng(5)
    people = rng.permutation(np.unique(clips.person))
    first_half = np.isin(clips.person, people[: len(people) // 2])
    train, pool = first_half & faces.found, np.flatnonzero(~first_half & faces.found)
    picked, sources = choose_pairs(
        person=clips.person[pool], expression=clips.expression[pool], max_faces=MAX_FACES, rng=rng
    )
    if not len(picked):
        return TransferResult(
            notes=("no expression transfer: no two people show different expressions",)
        )
    rows, images = pool[picked], clips.images()
    transfers = render_transfers(context.model, lambda row: images.read(int(rows[row])), sources)
    probe = fit_classes(
        np.asarray(faces["expression"][train], np.float64),
        clips.expression[train],
        clips.person[train],
    )
    kinds = {
        "transferred": transfers.transferred.expression,
        "plain": transfers.plain.expression,
    }
    predicted = {
        name: probe.predict(np.asarray(codes, np.float64)) for name, codes in kinds.items()
    }
    mean = np.asarray(faces["identity"], np.float64)[train].mean(axis=0)
    found = transfer_scores(
        transfers.centred(mean),
        sources=sources,
        expression=clips.expression[rows],
        predicted=predicted,
        own=_others(clips, faces, rows) - mean,
    )
    return TransferResult(
        scores=_scores(found, clips.person[rows], rng),
        tables=(_table(found),),
        failures=_failures(
            clips, rows, sources, transfers, (found, predicted["transferred"]), context.gallery
        ),
        notes=(
            f"expression transfer: {len(rows)} target faces of people that the expression probe "
            "has not seen; what rendering alone changes does not count; each source is another "
            "person with another expression",
        ),
    )


def choose_pairs(
    *,
    person: NDArray[np.integer],
    expression: NDArray[np.integer],
    max_faces: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of target faces, and for each the place of its source among them.

    A source is another person with another expression. Faces without any are left out.

    Args:
        person: who it is. [N].
        expression: classes. [N].
        max_faces: rows at most.
        rng: samples them.
    """
    rows = np.sort(rng.choice(len(person), min(max_faces, len(person)), replace=False))
    who, what = person[rows], expression[rows]
    apart = (who[:, None] != who) & (what[:, None] != what)
    keep = apart.any(axis=1)
    rows, apart = rows[keep], apart[keep][:, keep]
    sources = [int(rng.choice(np.flatnonzero(others))) for others in apart]
    return rows, np.array(sources, dtype=np.int64)


@torch.no_grad()
def render_transfers(
    model: Model, read: Callable[[int], NDArray[np.uint8]], sources: NDArray[np.int64]
) -> Transfers:
    """Render every face with its source's expression and with its own, and read both again.

    Where the model renders nothing the given image shows.

    Args:
        model: renders and reads.
        read: number of a face => its crop. RGB uint8 [H, W, 3].
        sources: the number of each face's source. [P].
    """
    size = (model.config.image_size, model.config.image_size)
    crops, seen = [], []
    for start in range(0, len(sources), BATCH):
        batch = [read(row) for row in range(start, min(start + BATCH, len(sources)))]
        crops.append(torch.cat([prepare(_channels_first(c), size) for c in batch]))
        seen.append(model.network(crops[-1].to(model.device)))
    faces = Factors.cat(seen)
    plain, transferred, images = [], [], []
    for number, crop in enumerate(crops):
        rows = torch.arange(number * BATCH, number * BATCH + len(crop))
        own = faces[rows]
        other = faces[torch.from_numpy(sources)[rows]]
        plain.append(model.network(_over(model, own, Edit(), crop)))
        rendered = _over(model, own, Edit(expression=other), crop)
        transferred.append(model.network(rendered))
        images.append((rendered * 255).round().byte().movedim(1, -1).cpu().numpy())
    return Transfers(_read(transferred), _read(plain), np.concatenate(images))


def _channels_first(crop: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None]


def _over(model: Model, factors: Factors, edit: Edit, behind: Tensor) -> Tensor:
    face = render_edited(model, factors, edit)
    return face.image * face.mask + behind.to(model.device) * (1 - face.mask)


def _read(parts: list[Factors]) -> Read:
    factors = Factors.cat(parts)
    angles = torch.stack(rotation_to_angles(factors.pose.rotation), dim=1)
    return Read(
        identity=_array(factors.identity),
        expression=_array(factors.expression),
        angles=_array(angles),
        light=_array(factors.light.direction),
    )


def _array(values: Tensor) -> Array:
    return values.cpu().numpy().astype(np.float64)


def transfer_scores(
    transfers: Transfers,
    *,
    sources: NDArray[np.int64],
    expression: NDArray[np.integer],
    predicted: Mapping[str, NDArray[np.integer]],
    own: Array,
) -> TransferScores:
    """Return what was transferred, and what else changed.

    Args:
        transfers: of P faces.
        sources: the number of each face's source. [P].
        expression: true class of each face. [P].
        predicted: the expression probe's classes of the "transferred" and the "plain" faces. Each
            [P].
        own: mean identity of each face's person over other, real images; centred, as the
            identities in `transfers` are. [P, D].
    """
    new, plain = transfers.transferred, transfers.plain
    to_target = _cosine(new.identity, own)
    to_source = _cosine(new.identity, own[sources])
    change = new.angles[:, :2] - plain.angles[:, :2]
    apart = plain.angles[sources, 0] - plain.angles[:, 0]
    return TransferScores(
        transferred=predicted["transferred"] == expression[sources],
        unchanged=predicted["transferred"] == expression,
        upper_bound=predicted["plain"][sources] == expression[sources],
        identity_kept=to_target > to_source,
        margin=to_target - to_source,
        rotation_deg=np.degrees(np.linalg.norm(change, axis=1)),
        light_deg=np.degrees(angle_between(new.light, plain.light)),
        yaw_transferred=float(change[:, 0] @ apart / max(float(apart @ apart), 1e-12)),
    )


def _cosine(one: Array, other: Array) -> Array:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)


def _others(clips: Clips, faces: FactorColumns, rows: NDArray[np.int64]) -> Array:
    """Return the mean identity of each image's person over the other images. [P, D]."""
    identity = np.asarray(faces["identity"], np.float64)
    found = []
    for row in rows:
        mine = (clips.person == clips.person[row]) & faces.found
        # A person of whom no other image has a face is compared with this one.
        if mine.sum() > 1:
            mine[row] = False
        found.append(identity[mine].mean(axis=0))
    return np.stack(found)


def _scores(
    found: TransferScores, person: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Score, ...]:
    percent = partial(mean_score, groups=person, rng=rng, unit="%", higher_is_better=True)
    degrees = partial(mean_score, groups=person, rng=rng)
    return (
        percent(f"{TITLE}: source expression recognised", 100.0 * found.transferred, main=True),
        percent(
            f"{TITLE}: the same in the rendered source (upper bound)", 100.0 * found.upper_bound
        ),
        percent(f"{TITLE}: identity kept", 100.0 * found.identity_kept, main=True),
        degrees(f"{TITLE}: head rotation", found.rotation_deg),
        degrees(f"{TITLE}: change of light direction", found.light_deg),
        Score(
            f"{TITLE}: fraction of the source's yaw transferred",
            found.yaw_transferred,
            "",
            len(found.transferred),
            higher_is_better=False,
        ),
    )


def _table(found: TransferScores) -> Table:
    neither = ~found.transferred & ~found.unchanged
    kinds = {
        "the source's": found.transferred,
        "the target's own": found.unchanged,
        "another": neither,
    }
    rows = zip(kinds, rounded((100 * kind.mean() for kind in kinds.values()), 2), strict=True)
    return Table("expression recognised after transfer", ("expression", "%"), tuple(rows))


def _failures(
    clips: Clips,
    rows: NDArray[np.int64],
    sources: NDArray[np.int64],
    transfers: Transfers,
    found: tuple[TransferScores, NDArray[np.int64]],
    gallery: int,
) -> tuple[Failure, ...]:
    """Return failed transfers: another identity, or another expression; half a gallery.

    Shown are the target, the source, and the rendered face.
    """
    scores, predicted = found
    wrong = ~scores.transferred | ~scores.identity_kept
    names = sorted(set(clips.table["expression"]))
    images = clips.images()
    failures = []
    for row in worst(np.where(wrong, -scores.margin, -np.inf), gallery // 2):
        source = rows[sources[row]]
        wanted = clips.table["expression"].iloc[source]
        identity = "identity kept" if scores.identity_kept[row] else "identity lost"
        failures.append(
            Failure(
                (
                    shown(images, int(rows[row])),
                    shown(images, int(source)),
                    transfers.images[row],
                ),
                f"{wanted} on {clips.table['expression'].iloc[rows[row]]}, recognised as "
                f"{names[predicted[row]]}; {identity}",
            )
        )
    return tuple(failures)
