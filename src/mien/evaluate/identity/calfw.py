"""Cross-age LFW (Zheng, Deng and Hu 2017): 6000 pairs of LFW's people at unlike ages."""

from __future__ import annotations

from pathlib import Path

from mien.evaluate.archive import holds
from mien.evaluate.identity.bins import bin_in, holds_bin, read_pairs
from mien.evaluate.identity.cross_lfw import read_cross
from mien.evaluate.identity.lfw import MIDDLE
from mien.evaluate.identity.outcome import verify
from mien.evaluate.protocol import Outcome, Protocol, Setting

__all__ = ["CALFW"]

LIST = "pairs_CALFW.txt"
BINS = ("calfw.bin",)


def _matches(path: Path) -> bool:
    return holds(path, LIST) or holds(path, f"calfw/{LIST}") or holds_bin(path, BINS)


def _run(path: Path, setting: Setting) -> Outcome:
    packed = bin_in(path, BINS, instead_of=(LIST, f"calfw/{LIST}"))
    if packed is not None:
        pairs, notes = read_pairs(packed, protocol="calfw")
    else:
        pairs, notes = read_cross(path, listing=LIST, protocol="calfw", fallback=MIDDLE)
    return verify(pairs, setting, notes=notes)


CALFW = Protocol(
    name="calfw",
    factor="identity",
    title="CALFW: 6000 pairs at unlike ages, ten folds",
    layout=(
        "DATA/pairs_CALFW.txt\n"
        "DATA/images/PERSON_0001.jpg (or `aligned images`)\n"
        "or DATA/calfw.bin (InsightFace's aligned 112 px pictures)"
    ),
    source=(
        "Cross-Age LFW, Beijing University of Posts and Telecommunications (Zheng et al. 2017); "
        "research use"
    ),
    matches=_matches,
    run=_run,
)
"""CALFW with its list, or InsightFace's calfw.bin."""
