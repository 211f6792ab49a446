"""Cross-pose LFW (Zheng and Deng 2018): 6000 pairs of LFW's people under unlike head poses."""

from __future__ import annotations

from pathlib import Path

from mien.evaluate.archive import holds
from mien.evaluate.identity.bins import bin_in, holds_bin, read_pairs
from mien.evaluate.identity.cross_lfw import read_cross
from mien.evaluate.identity.lfw import MIDDLE
from mien.evaluate.identity.outcome import verify
from mien.evaluate.protocol import Outcome, Protocol, Setting

__all__ = ["CPLFW"]

LIST = "pairs_CPLFW.txt"
BINS = ("cplfw.bin",)


def _matches(path: Path) -> bool:
    return holds(path, LIST) or holds(path, f"cplfw/{LIST}") or holds_bin(path, BINS)


def _run(path: Path, setting: Setting) -> Outcome:
    packed = bin_in(path, BINS, instead_of=(LIST, f"cplfw/{LIST}"))
    if packed is not None:
        pairs, notes = read_pairs(packed, protocol="cplfw")
    else:
        pairs, notes = read_cross(path, listing=LIST, protocol="cplfw", fallback=MIDDLE)
    return verify(pairs, setting, notes=notes)


CPLFW = Protocol(
    name="cplfw",
    factor="identity",
    title="CPLFW: 6000 pairs under unlike head poses, ten folds",
    layout=(
        "DATA/pairs_CPLFW.txt\n"
        "DATA/images/PERSON_1.jpg (or `aligned images`)\n"
        "or DATA/cplfw.bin (InsightFace's aligned 112 px pictures)"
    ),
    source=(
        "Cross-Pose LFW, Beijing University of Posts and Telecommunications (Zheng and Deng 2018); "
        "research use"
    ),
    matches=_matches,
    run=_run,
)
"""CPLFW with its list, or InsightFace's cplfw.bin."""
