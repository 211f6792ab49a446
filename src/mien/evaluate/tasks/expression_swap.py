"""The swap test: the expression of A put on B, drawn, and read again. What moved, what stayed?

Every drawn image is held against the same face drawn with nothing changed, so that what drawing
alone changes does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.geometry.gaze import angle_between
from mien.geometry.rotation import rotation_to_angles
from mien.model import Model, prepare
from mien.types import Factors
from mien.views.edit import Edit, render_edited

__all__ = ["Read", "SwapScores", "Swaps", "choose_pairs", "draw_swaps", "swap_scores"]

Array = NDArray[np.floating]

BATCH = 32


@dataclass(frozen=True)
class Read:
    """What is read off drawn images."""

    identity: Array
    """[P, D]."""
    expression: Array
    """[P, D]."""
    angles: Array
    """yaw, pitch, roll, radians. [P, 3]."""
    light: Array
    """Unit vectors to the light, camera frame. [P, 3]."""


@dataclass(frozen=True)
class Swaps:
    """Faces drawn with another's expression, and with their own."""

    swapped: Read
    """Row i: face i with the expression of face `giver[i]`."""
    plain: Read
    """Row i: face i as it was, drawn and read again."""
    images: NDArray[np.uint8]
    """The swapped faces. RGB [P, H, W, 3]."""

    def centred(self, middle: Array) -> Swaps:
        """Return the same with a mean taken off the identities. [D]."""
        swapped = replace(self.swapped, identity=self.swapped.identity - middle)
        plain = replace(self.plain, identity=self.plain.identity - middle)
        return replace(self, swapped=swapped, plain=plain)


@dataclass(frozen=True)
class SwapScores:
    """One number a pair; means are the scores."""

    moved: NDArray[np.bool_]
    """Whether the probe reads the giver's expression off the swapped face. [P]."""
    stayed: NDArray[np.bool_]
    """Whether it reads the face's own former expression. [P]."""
    readable: NDArray[np.bool_]
    """Whether it reads the giver's expression off the giver, drawn unchanged: what can be had.
    [P]."""
    kept: NDArray[np.bool_]
    """Whether the swapped face resembles other images of its person more than the giver's.
    [P]."""
    margin: Array
    """By how much, in cosine. [P]."""
    turned_deg: Array
    """Change of yaw and pitch together. Degrees. [P]."""
    relit_deg: Array
    """Change of the direction to the light. Degrees. [P]."""
    yaw_carried: float
    """Share of the difference in yaw between giver and face that came along with the expression;
    0 = none."""


def choose_pairs(
    *,
    person: NDArray[np.integer],
    expression: NDArray[np.integer],
    most: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of faces, and for each the place of its giver among them.

    A giver is another person with another expression. Faces for whom there is none are left out.

    Args:
        person: who it is. [N].
        expression: classes. [N].
        most: faces at most.
        rng: draws.
    """
    rows = np.sort(rng.choice(len(person), min(most, len(person)), replace=False))
    who, what = person[rows], expression[rows]
    apart = (who[:, None] != who) & (what[:, None] != what)
    keep = apart.any(axis=1)
    rows, apart = rows[keep], apart[keep][:, keep]
    givers = [int(rng.choice(np.flatnonzero(others))) for others in apart]
    return rows, np.array(givers, dtype=np.int64)


@torch.no_grad()
def draw_swaps(
    model: Model, read: Callable[[int], NDArray[np.uint8]], givers: NDArray[np.int64]
) -> Swaps:
    """Draw every face with its giver's expression and with its own, and read both again.

    Where the model draws nothing the given image shows.

    Args:
        model: draws and reads.
        read: number of a face => its crop. RGB uint8 [H, W, 3].
        givers: the number of each face's giver. [P].
    """
    size = (model.config.image_size, model.config.image_size)
    crops, seen = [], []
    for start in range(0, len(givers), BATCH):
        batch = [read(row) for row in range(start, min(start + BATCH, len(givers)))]
        crops.append(torch.cat([prepare(_channels_first(c), size) for c in batch]))
        seen.append(model.network(crops[-1].to(model.device)))
    faces = Factors.cat(seen)
    plain, swapped, images = [], [], []
    for number, crop in enumerate(crops):
        rows = torch.arange(number * BATCH, number * BATCH + len(crop))
        own = faces[rows]
        other = faces[torch.from_numpy(givers)[rows]]
        plain.append(model.network(_over(model, own, Edit(), crop)))
        drawn = _over(model, own, Edit(expression=other), crop)
        swapped.append(model.network(drawn))
        images.append((drawn * 255).round().byte().movedim(1, -1).cpu().numpy())
    return Swaps(_read(swapped), _read(plain), np.concatenate(images))


def _channels_first(crop: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None]


def _over(model: Model, factors: Factors, edit: Edit, behind: Tensor) -> Tensor:
    drawn = render_edited(model, factors, edit)
    return drawn.image * drawn.mask + behind.to(model.device) * (1 - drawn.mask)


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


def swap_scores(
    swaps: Swaps,
    *,
    givers: NDArray[np.int64],
    expression: NDArray[np.integer],
    said: Mapping[str, NDArray[np.integer]],
    own: Array,
) -> SwapScores:
    """Say what moved and what stayed.

    Args:
        swaps: of P faces.
        givers: the number of each face's giver. [P].
        expression: true class of each face. [P].
        said: the expression probe's classes for the "swapped" and the "plain" faces. Each [P].
        own: mean identity of each face's person over other, real images; centred, as the
            identities in `swaps` are. [P, D].
    """
    like_own = _cosine(swaps.swapped.identity, own)
    like_giver = _cosine(swaps.swapped.identity, own[givers])
    change = swaps.swapped.angles[:, :2] - swaps.plain.angles[:, :2]
    apart = swaps.plain.angles[givers, 0] - swaps.plain.angles[:, 0]
    between = angle_between(swaps.swapped.light, swaps.plain.light)
    return SwapScores(
        moved=said["swapped"] == expression[givers],
        stayed=said["swapped"] == expression,
        readable=said["plain"][givers] == expression[givers],
        kept=like_own > like_giver,
        margin=like_own - like_giver,
        turned_deg=np.degrees(np.linalg.norm(change, axis=1)),
        relit_deg=np.degrees(between),
        yaw_carried=float(change[:, 0] @ apart / max(float(apart @ apart), 1e-12)),
    )


def _cosine(one: Array, other: Array) -> Array:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
