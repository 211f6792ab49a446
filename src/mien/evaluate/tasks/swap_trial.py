"""The swap test as part of a protocol: who is swapped, what reads the result, what is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.synthetic import Clips
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Score, Table
from mien.evaluate.scores import small
from mien.evaluate.tasks.expression_swap import (
    Swaps,
    SwapScores,
    choose_pairs,
    draw_swaps,
    swap_scores,
)
from mien.linear.bootstrap import mean_interval
from mien.linear.cross_person import fit_classes

__all__ = ["SwapOutcome", "swap_outcome"]

Array = NDArray[np.floating]

MOST = 400
"""Faces that are given another's expression."""


@dataclass(frozen=True)
class SwapOutcome:
    """What the swap test adds to a protocol's result."""

    scores: tuple[Score, ...] = ()
    tables: tuple[Table, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()


def swap_outcome(clips: Clips, faces: FactorColumns, context: EvalContext) -> SwapOutcome:
    """Put expressions on others' faces; the probe that reads them learns from other people.

    Half of the people, drawn, teach the probe with their real images; the others are swapped.

    Args:
        clips: the truth.
        faces: factors of the real images.
        context: with its model; without one nothing is drawn, and the notes say so.
    """
    if context.model is None:
        return SwapOutcome(notes=("no swap test: factors from a table cannot be drawn",))
    rng = context.rng(5)
    people = rng.permutation(np.unique(clips.person))
    teaches = np.isin(clips.person, people[: len(people) // 2]) & faces.found
    pool = np.flatnonzero(~np.isin(clips.person, people[: len(people) // 2]) & faces.found)
    picked, givers = choose_pairs(
        person=clips.person[pool], expression=clips.expression[pool], most=MOST, rng=rng
    )
    if not len(picked):
        return SwapOutcome(notes=("no swap test: no two people show different expressions",))
    rows, images = pool[picked], clips.images()
    swaps = draw_swaps(context.model, lambda row: images.read(int(rows[row])), givers)
    probe = fit_classes(
        np.asarray(faces["expression"][teaches], np.float64),
        clips.expression[teaches],
        clips.person[teaches],
    )
    kinds = {"swapped": swaps.swapped.expression, "plain": swaps.plain.expression}
    said = {name: probe(codes) for name, codes in kinds.items()}
    middle = np.asarray(faces["identity"], np.float64)[teaches].mean(axis=0)
    found = swap_scores(
        swaps.centred(middle),
        givers=givers,
        expression=clips.expression[rows],
        said=said,
        own=_others(clips, faces, rows) - middle,
    )
    return SwapOutcome(
        scores=_scores(found, clips.person[rows], rng),
        tables=(_table(found),),
        failures=_failures(clips, rows, givers, swaps, (found, said["swapped"]), context.gallery),
        notes=(
            f"swaps: {len(rows)} faces of people that the expression probe has not seen; what "
            "drawing alone changes does not count; each face gets the expression of another "
            "person who shows another one",
        ),
    )


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
    found: SwapScores, person: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Score, ...]:
    def share(name: str, values: NDArray[np.bool_], *, main: bool = False) -> Score:
        ends = mean_interval(values=100.0 * values, groups=person, rng=rng)
        return Score(name, 100.0 * values.mean(), "%", len(values), *ends, main=main)

    def degrees(name: str, values: Array) -> Score:
        ends = mean_interval(values=values, groups=person, rng=rng)
        mean = float(values.mean())
        return Score(name, mean, "degrees", len(values), *ends, higher_is_better=False)

    return (
        share("swap: giver's expression read", found.moved, main=True),
        share("swap: the same off the giver, drawn (what can be had)", found.readable),
        share("swap: person kept", found.kept, main=True),
        degrees("swap: head turned by it", found.turned_deg),
        degrees("swap: light moved by it", found.relit_deg),
        Score(
            "swap: share of the giver's yaw that came along",
            found.yaw_carried,
            "",
            len(found.moved),
            higher_is_better=False,
        ),
    )


def _table(found: SwapScores) -> Table:
    neither = ~found.moved & ~found.stayed
    rows = (
        ("the giver's", round(100 * float(found.moved.mean()), 2)),
        ("the face's own", round(100 * float(found.stayed.mean()), 2)),
        ("another", round(100 * float(neither.mean()), 2)),
    )
    return Table("expression read off swapped faces", ("expression", "%"), rows)


def _failures(
    clips: Clips,
    rows: NDArray[np.int64],
    givers: NDArray[np.int64],
    swaps: Swaps,
    found: tuple[SwapScores, NDArray[np.int64]],
    gallery: int,
) -> tuple[Failure, ...]:
    """Return swaps that failed: the person lost, or else the expression not moved; half a gallery.

    Shown are the face, the giver, and what was drawn.
    """
    scores, said = found
    wrong = np.flatnonzero(~scores.moved | ~scores.kept)
    worst = wrong[np.argsort(scores.margin[wrong], kind="stable")][: gallery // 2]
    names = sorted(set(clips.table["expression"]))
    images = clips.images()
    shown = []
    for row in worst:
        giver = rows[givers[row]]
        wanted = clips.table["expression"].iloc[giver]
        kept = "person kept" if scores.kept[row] else "person lost"
        shown.append(
            Failure(
                (
                    small(images.read(int(rows[row]))),
                    small(images.read(int(giver))),
                    swaps.images[row],
                ),
                f"{wanted} put on {clips.table['expression'].iloc[rows[row]]}, read as "
                f"{names[said[row]]}; {kept}",
            )
        )
    return tuple(shown)
