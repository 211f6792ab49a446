"""The list of all protocols; a module is imported when its protocol is asked for."""

from __future__ import annotations

import importlib
from difflib import get_close_matches

from mien.errors import MienError
from mien.evaluate.protocol import Protocol

__all__ = ["PROTOCOLS", "every_protocol", "find_protocol"]

PROTOCOLS: dict[str, str] = {
    "lfw": "datasets.lfw:LFW",
    "sllfw": "datasets.sllfw:SLLFW",
    "cplfw": "datasets.calfw_cplfw:CPLFW",
    "calfw": "datasets.calfw_cplfw:CALFW",
    "cfp-fp": "datasets.cfp:CFP_FP",
    "cfp-ff": "datasets.cfp:CFP_FF",
    "agedb": "datasets.agedb:AGEDB",
    "agedb30": "datasets.agedb:AGEDB30",
    "lfw-people": "datasets.identity_folders:LFW_PEOPLE",
    "fer2013": "datasets.fer2013:FER2013",
    "ferplus": "datasets.ferplus:FERPLUS",
    "rafdb": "datasets.rafdb:RAFDB",
    "affectnet": "datasets.affectnet:AFFECTNET",
    "affwild2-expression": "datasets.affwild2:AFFWILD2_EXPRESSION",
    "affwild2-va": "datasets.affwild2:AFFWILD2_AMOUNTS",
    "affwild2-units": "datasets.affwild2:AFFWILD2_UNITS",
    "ckplus": "datasets.ckplus:CKPLUS",
    "columbia": "datasets.columbia_protocol:COLUMBIA",
    "columbia-eyes": "datasets.columbia_protocol:COLUMBIA_EYE_CROPS",
    "mpiigaze": "datasets.mpiigaze:MPIIGAZE",
    "mpiifacegaze": "datasets.mpiifacegaze:MPIIFACEGAZE",
    "ut-multiview": "datasets.ut_multiview:UT_MULTIVIEW",
    "eth-xgaze": "datasets.eth_xgaze:ETH_XGAZE",
    "gaze360": "datasets.gaze360:GAZE360",
    "eyediap": "datasets.eyediap:EYEDIAP",
    "gaze-cross": "tasks.gaze_cross:GAZE_CROSS",
    "biwi": "datasets.biwi:BIWI",
    "aflw2000": "datasets.aflw2000:AFLW2000",
    "yale-b": "datasets.yale_b:YALE_B",
    "rendered-shape": "datasets.synthetic_shape:RENDERED_SHAPE",
    "synface": "datasets.synface:SYNFACE",
    "factors": "tasks.disentanglement:FACTORS",
    "frontal": "tasks.frontalization:FRONTAL",
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
