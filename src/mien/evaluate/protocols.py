"""The list of all protocols; a module is imported when its protocol is asked for."""

from __future__ import annotations

import importlib
from difflib import get_close_matches

from mien.errors import MienError
from mien.evaluate.protocol import Protocol

__all__ = ["PROTOCOLS", "every_protocol", "find_protocol"]

PROTOCOLS: dict[str, str] = {
    "lfw": "identity.lfw:LFW",
    "sllfw": "identity.sllfw:SLLFW",
    "cplfw": "identity.cross_lfw:CPLFW",
    "calfw": "identity.cross_lfw:CALFW",
    "cfp-fp": "identity.cfp:CFP_FP",
    "cfp-ff": "identity.cfp:CFP_FF",
    "agedb": "identity.agedb:AGEDB",
    "agedb30": "identity.agedb:AGEDB30",
    "lfw-people": "identity.people:LFW_PEOPLE",
    "fer2013": "expression.fer2013:FER2013",
    "ferplus": "expression.ferplus:FERPLUS",
    "rafdb": "expression.rafdb:RAFDB",
    "affectnet": "expression.affectnet:AFFECTNET",
    "affwild2-expression": "expression.affwild2:AFFWILD2_EXPRESSION",
    "affwild2-va": "expression.affwild2:AFFWILD2_AMOUNTS",
    "affwild2-units": "expression.affwild2:AFFWILD2_UNITS",
    "ckplus": "expression.ckplus:CKPLUS",
    "columbia": "gaze.columbia_protocol:COLUMBIA",
    "columbia-strips": "gaze.columbia_protocol:COLUMBIA_STRIPS",
    "mpiigaze": "gaze.mpiigaze:MPIIGAZE",
    "mpiifacegaze": "gaze.mpiifacegaze:MPIIFACEGAZE",
    "ut-multiview": "gaze.ut_multiview:UT_MULTIVIEW",
    "eth-xgaze": "gaze.eth_xgaze:ETH_XGAZE",
    "gaze360": "gaze.gaze360:GAZE360",
    "eyediap": "gaze.eyediap:EYEDIAP",
    "gaze-cross": "gaze.cross:GAZE_CROSS",
    "biwi": "pose.biwi:BIWI",
    "aflw2000": "pose.aflw2000:AFLW2000",
    "yale-b": "light.yale_b:YALE_B",
    "rendered-shape": "shape.rendered:RENDERED_SHAPE",
    "synface": "shape.bfm:SYNFACE",
    "factors": "factors.factors_protocol:FACTORS",
    "frontal": "factors.frontal:FRONTAL",
}
"""Name => module below mien.evaluate and the constant in it; in the order in which they run."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name.

    Raises:
        MienError: there is none.
    """
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MienError(f"there is no protocol {name}; {hint}see mien eval --list")
    module, constant = PROTOCOLS[name].split(":")
    found = getattr(importlib.import_module(f"mien.evaluate.{module}"), constant)
    if not isinstance(found, Protocol):
        raise TypeError(f"{PROTOCOLS[name]} is no protocol")
    return found


def every_protocol() -> tuple[Protocol, ...]:
    """Return all protocols, in the order of the list."""
    return tuple(find_protocol(name) for name in PROTOCOLS)
