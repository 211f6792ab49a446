"""The table of protocols: which data set is scored by which task.

Readers (mien.evaluate.datasets) know files and labels, tasks (mien.evaluate.tasks) know metrics;
this is the one place that knows both. A reader's or task's module is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mien.aliases import current_protocol
from mien.errors import MienError
from mien.evaluate.datasets.files import data_places
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.protocol import EvalContext, Protocol, Result

__all__ = ["PROTOCOLS", "every_protocol", "find_protocol"]


@dataclass(frozen=True)
class _Task:
    factor: str
    score: str
    """Module below mien.evaluate.tasks and function: what a data set's reader gives, and the
    context => Result."""
    renders: bool = False


IDENTITY = _Task("identity", "verification:verify")
EXPRESSION = _Task("expression", "classification:score_expressions")
GAZE = _Task("gaze", "gaze_within:score_within")
CROSS = _Task("gaze", "gaze_cross:score_cross")
POSE = _Task("pose", "pose:score_pose")
LIGHT = _Task("light", "light:score_light")
SHAPE = _Task("shape", "shape:render_and_score", renders=True)
FACTORS = _Task("factors", "disentanglement:score_factors")
FRONTAL = _Task("factors", "frontalization:score_frontal", renders=True)

PROTOCOLS: dict[str, tuple[str, _Task]] = {
    "lfw": ("lfw:LFW", IDENTITY),
    "sllfw": ("lfw:SLLFW", IDENTITY),
    "cplfw": ("lfw:CPLFW", IDENTITY),
    "calfw": ("lfw:CALFW", IDENTITY),
    "cfp-fp": ("cfp:CFP_FP", IDENTITY),
    "cfp-ff": ("cfp:CFP_FF", IDENTITY),
    "agedb": ("sampled_pairs:AGEDB", IDENTITY),
    "agedb30": ("sampled_pairs:AGEDB30", IDENTITY),
    "lfw-people": ("sampled_pairs:LFW_PEOPLE", IDENTITY),
    "fer2013": ("fer2013:FER2013", EXPRESSION),
    "ferplus": ("fer2013:FERPLUS", EXPRESSION),
    "rafdb": ("rafdb:RAFDB", EXPRESSION),
    "affectnet": ("affectnet:AFFECTNET", EXPRESSION),
    "affwild2-expression": ("affwild2:AFFWILD2_EXPRESSION", EXPRESSION),
    "affwild2-va": ("affwild2:AFFWILD2_VA", EXPRESSION),
    "affwild2-units": ("affwild2:AFFWILD2_UNITS", EXPRESSION),
    "ckplus": ("ckplus:CKPLUS", EXPRESSION),
    "columbia": ("columbia:COLUMBIA", GAZE),
    "columbia-eyes": ("columbia:COLUMBIA_EYE_CROPS", GAZE),
    "mpiigaze": ("mpii:MPIIGAZE", GAZE),
    "mpiifacegaze": ("mpii:MPIIFACEGAZE", GAZE),
    "ut-multiview": ("ut_multiview:UT_MULTIVIEW", GAZE),
    "eth-xgaze": ("eth_xgaze:ETH_XGAZE", GAZE),
    "gaze360": ("gaze360:GAZE360", GAZE),
    "eyediap": ("eyediap:EYEDIAP", GAZE),
    "gaze-cross": ("", CROSS),
    "biwi": ("head_pose:BIWI", POSE),
    "aflw2000": ("head_pose:AFLW2000", POSE),
    "yale-b": ("yale_b:YALE_B", LIGHT),
    "rendered-shape": ("true_depth:RENDERED_SHAPE", SHAPE),
    "synface": ("true_depth:SYNFACE", SHAPE),
    "factors": ("synthetic:FACTORS", FACTORS),
    "frontal": ("synthetic_frontal:FRONTAL", FRONTAL),
}
"""Name => data set (module below mien.evaluate.datasets and constant) and task; in the order in
which they run."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of this name; an old name is read, and warned of.

    Raises:
        MienError: there is none.
    """
    name = current_protocol(name)
    if name not in PROTOCOLS:
        near = get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MienError(f"there is no protocol {name}; {hint}see mien eval --list")
    task, data_set = PROTOCOLS[name][1], _data_set(name)

    def run(path: Path, context: EvalContext) -> Result:
        score = _imported("tasks", task.score)
        return score(data_set.read(path, context), context)

    return Protocol(
        name=name,
        factor=task.factor,
        title=data_set.title,
        layout=data_set.layout,
        source=data_set.source,
        matches=data_set.matches,
        run=run,
        renders=task.renders,
    )


def every_protocol() -> tuple[Protocol, ...]:
    """Return all protocols, in the order of the table."""
    return tuple(find_protocol(name) for name in PROTOCOLS)


def find_gaze_sets(root: Path) -> dict[str, Path]:
    """Return which gaze sets stand in a folder, by name; never raises."""
    found = {}
    for name in _gaze_names():
        place = next(filter(_data_set(name).matches, data_places(root)), None)
        if place is not None:
            found[name] = place
    return found


def _gaze_names() -> list[str]:
    return [name for name, (_, task) in PROTOCOLS.items() if task is GAZE]


def _data_set(name: str) -> DataSet[Any]:
    """Import the reader of a protocol."""
    where = PROTOCOLS[name][0]
    return _imported("datasets", where) if where else GAZE_SETS


def _imported(folder: str, where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(f"mien.evaluate.{folder}.{module}"), name)


def _read_gaze_sets(root: Path, context: EvalContext) -> dict[str, GazeSet]:
    places = find_gaze_sets(root)
    if len(places) < 2:
        raise MienError(
            f"{root} holds {len(places)} gaze data sets, of which at least two are needed: "
            f"{', '.join(_gaze_names())}, each in a folder of its own"
        )
    return {name: _data_set(name).read(place, context) for name, place in places.items()}


GAZE_SETS = DataSet(
    title="Gaze across data sets: fitted on all of one, tested on another",
    layout="a folder that holds at least two of the gaze data sets, each in a folder of its own",
    source="as the single data sets",
    matches=lambda root: len(find_gaze_sets(root)) >= 2,
    read=_read_gaze_sets,
)
"""All gaze sets of a folder, by name."""
