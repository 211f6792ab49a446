"""The table of protocols: which data set is scored by which task.

Readers (mien.evaluate.datasets) know files and labels, tasks (mien.evaluate.tasks) know metrics;
this is the one place that knows both. A reader's or task's module is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.aliases import current_protocol
from mien.errors import MienError
from mien.evaluate.datasets.sets import ActionUnitSet, DataSet, ExpressionSet, GazeSet, LabelledSet
from mien.evaluate.protocol import EvalContext, Protocol, Result

if TYPE_CHECKING:
    from mien.evaluate.datasets.pairs import Pairs
    from mien.evaluate.datasets.sets import LightSet, PoseSet, ShapeSet
    from mien.evaluate.datasets.synthetic import Clips
    from mien.evaluate.datasets.synthetic_frontal import FrontalSet

__all__ = ["PROTOCOLS", "every_protocol", "find_gaze_sets", "find_protocol"]


def _verify(data: Pairs, context: EvalContext) -> Result:
    from mien.evaluate.tasks.verification import verify

    return verify(data, context, notes=data.notes, identify=data.identify)


def _classify(data: ExpressionSet, context: EvalContext) -> Result:
    """Score every kind of labels of a set; the factors are asked for once."""
    from mien.evaluate.tasks.action_units import measure_action_units
    from mien.evaluate.tasks.classification import measure, merged
    from mien.evaluate.tasks.labelled import describe
    from mien.evaluate.tasks.valence_arousal import measure_valence_arousal

    described = describe(data.images, context)
    results, notes = [], list(data.notes)
    for labels in data.labels:
        if isinstance(labels, LabelledSet):
            notes += labels.absent()
            results.append(
                measure(
                    labels,
                    described,
                    context,
                    main=labels.main,
                    label=labels.variant,
                    subsets=labels.subsets,
                )
            )
        elif isinstance(labels, ActionUnitSet):
            results.append(measure_action_units(labels, described, context))
        else:
            results.append(measure_valence_arousal(labels, described, context))
    if len(results) == 1:
        return replace(results[0], notes=(*notes, *results[0].notes))
    return merged(results, gallery=context.gallery, notes=notes)


def _gaze(data: GazeSet, context: EvalContext) -> Result:
    from mien.evaluate.tasks.gaze_within import score_within

    return score_within(data, context)


def _gaze_cross(data: Mapping[str, GazeSet], context: EvalContext) -> Result:
    from mien.evaluate.tasks.gaze_cross import score_cross

    return score_cross(data, context)


def _pose(data: PoseSet, context: EvalContext) -> Result:
    from mien.evaluate.tasks.pose import score_pose

    return score_pose(data, context)


def _light(data: LightSet, context: EvalContext) -> Result:
    from mien.evaluate.tasks.light import score_light

    return score_light(data, context)


def _shape(data: ShapeSet, context: EvalContext) -> Result:
    from mien.evaluate.tasks.shape import render_depth, score_shape

    model = context.rendering_model("shape")
    rendered = render_depth(model, len(data), data.read, say=context.say)
    return score_shape(data, rendered, model.config.fov_deg, context)


def _factors(data: Clips, context: EvalContext) -> Result:
    from mien.evaluate.tasks.disentanglement import score_factors

    return score_factors(data, context)


def _frontal(data: FrontalSet, context: EvalContext) -> Result:
    from mien.evaluate.tasks.frontalization import score_frontal

    return score_frontal(data, context)


@dataclass(frozen=True)
class _Task:
    factor: str
    score: Callable[[Any, EvalContext], Result]
    renders: bool = False


IDENTITY = _Task("identity", _verify)
EXPRESSION = _Task("expression", _classify)
GAZE = _Task("gaze", _gaze)
CROSS = _Task("gaze", _gaze_cross)
POSE = _Task("pose", _pose)
LIGHT = _Task("light", _light)
SHAPE = _Task("shape", _shape, renders=True)
FACTORS = _Task("factors", _factors)
FRONTAL = _Task("factors", _frontal, renders=True)

PROTOCOLS: dict[str, tuple[str, _Task, str]] = {
    "lfw": (
        "lfw:LFW",
        IDENTITY,
        "LFW View 2: 6000 pairs, ten folds; rank-1 among people with several images",
    ),
    "sllfw": (
        "lfw:SLLFW",
        IDENTITY,
        "SLLFW: 6000 pairs of LFW, the two people of a pair look alike",
    ),
    "cplfw": ("lfw:CPLFW", IDENTITY, "CPLFW: 6000 pairs under unlike head poses, ten folds"),
    "calfw": ("lfw:CALFW", IDENTITY, "CALFW: 6000 pairs at unlike ages, ten folds"),
    "cfp-fp": (
        "cfp:CFP_FP",
        IDENTITY,
        "CFP-FP: 7000 pairs of a frontal image and one in profile, ten folds",
    ),
    "cfp-ff": ("cfp:CFP_FF", IDENTITY, "CFP-FF: 7000 pairs of frontal images, ten folds"),
    "agedb": (
        "sampled_pairs:AGEDB",
        IDENTITY,
        "AgeDB: sampled pairs at ages 30 years apart or more, cross-subject folds",
    ),
    "agedb30": (
        "sampled_pairs:AGEDB30",
        IDENTITY,
        "AgeDB-30: 6000 pairs, ages 30 years apart, ten folds",
    ),
    "lfw-people": (
        "sampled_pairs:LFW_PEOPLE",
        IDENTITY,
        "People with a folder each: sampled pairs in cross-subject folds; rank-1",
    ),
    "fer2013": ("fer2013:FER2013", EXPRESSION, "Seven expressions on FER-2013 by frozen probes"),
    "ferplus": (
        "fer2013:FERPLUS",
        EXPRESSION,
        "Eight expressions on FER+ (majority votes) by frozen probes",
    ),
    "rafdb": ("rafdb:RAFDB", EXPRESSION, "Seven basic expressions on RAF-DB by frozen probes"),
    "affectnet": (
        "affectnet:AFFECTNET",
        EXPRESSION,
        "Seven and eight expressions, valence and arousal on AffectNet by frozen probes",
    ),
    "affwild2-expression": (
        "affwild2:AFFWILD2_EXPRESSION",
        EXPRESSION,
        "Expressions in the videos of Aff-Wild2 by frozen probes",
    ),
    "affwild2-va": (
        "affwild2:AFFWILD2_VA",
        EXPRESSION,
        "Valence and arousal in the videos of Aff-Wild2 by a frozen linear probe",
    ),
    "affwild2-units": (
        "affwild2:AFFWILD2_UNITS",
        EXPRESSION,
        "Twelve action units in the videos of Aff-Wild2 by frozen linear probes",
    ),
    "ckplus": (
        "ckplus:CKPLUS",
        EXPRESSION,
        "Seven and eight acted expressions on CK+ by frozen probes, ten folds of people",
    ),
    "columbia": (
        "columbia:COLUMBIA",
        GAZE,
        "Columbia Gaze, photographs: angular error by number of samples, 5 folds of people",
    ),
    "columbia-eyes": (
        "columbia:COLUMBIA_EYE_CROPS",
        GAZE,
        "Columbia Gaze, eye-region crops: angular error by number of samples, 4 folds",
    ),
    "mpiigaze": (
        "mpii:MPIIGAZE",
        GAZE,
        "MPIIGaze, eye-region crops: angular error by number of samples, one by the others",
    ),
    "mpiifacegaze": (
        "mpii:MPIIFACEGAZE",
        GAZE,
        "MPIIFaceGaze: angular error by number of samples, one person by the others",
    ),
    "ut-multiview": (
        "ut_multiview:UT_MULTIVIEW",
        GAZE,
        "UT Multiview, eye-region crops: angular error by number of samples, 3 folds",
    ),
    "eth-xgaze": (
        "eth_xgaze:ETH_XGAZE",
        GAZE,
        "ETH-XGaze, its training people: angular error by number of samples, 5 folds of people",
    ),
    "gaze360": (
        "gaze360:GAZE360",
        GAZE,
        "Gaze360, official split: angular error by number of samples",
    ),
    "eyediap": (
        "eyediap:EYEDIAP",
        GAZE,
        "EYEDIAP as GazeHub normalises it: angular error by number of samples, 4 folds of people",
    ),
    "gaze-cross": ("", CROSS, "Gaze across data sets: fitted on all of one, tested on another"),
    "biwi": (
        "head_pose:BIWI",
        POSE,
        "Head pose on BIWI, predicted angles and maps fitted cross-subject",
    ),
    "aflw2000": (
        "head_pose:AFLW2000",
        POSE,
        "Head pose on AFLW2000-3D, predicted angles and maps fitted on other images",
    ),
    "yale-b": (
        "yale_b:YALE_B",
        LIGHT,
        "Direction of light on Extended Yale B, predicted and by maps fitted cross-subject",
    ),
    "rendered-shape": (
        "true_depth:RENDERED_SHAPE",
        SHAPE,
        "Depth and normals of rendered people: SIDE and MAD as Wu et al. (2020)",
    ),
    "synface": (
        "true_depth:SYNFACE",
        SHAPE,
        "Depth and normals of unsup3d's rendered Basel faces: SIDE and MAD",
    ),
    "factors": (
        "synthetic:FACTORS",
        FACTORS,
        "leakage between factors, disentanglement and expression transfer, rendered people",
    ),
    "frontal": (
        "synthetic_frontal:FRONTAL",
        FRONTAL,
        "the frontal view made of a rotated face against the true one, rendered people",
    ),
}
"""Name => data set (module below mien.evaluate.datasets and constant), task, title; in the order in
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
    _, task, title = PROTOCOLS[name]
    data_set = _data_set(name)
    return Protocol(
        name=name,
        factor=task.factor,
        title=title,
        layout=data_set.layout,
        source=data_set.source,
        matches=data_set.matches,
        run=lambda path, context: task.score(data_set.read(path, context), context),
        renders=task.renders,
    )


def every_protocol() -> tuple[Protocol, ...]:
    """Return all protocols, in the order of the table."""
    return tuple(find_protocol(name) for name in PROTOCOLS)


def find_gaze_sets(root: Path) -> dict[str, Path]:
    """Return which gaze sets stand in a folder, by name; never raises."""
    if not root.is_dir():
        return {}
    try:
        places = sorted(path for path in root.iterdir() if not path.name.startswith("."))
        places += [
            inner for place in places if place.is_dir() for inner in sorted(place.glob("*.zip"))
        ]
    except OSError:
        return {}
    places = [path for path in places if path.is_dir() or path.suffix.lower() == ".zip"]
    found = {}
    for name in _gaze_names():
        data_set = _data_set(name)
        place = next((path for path in places if data_set.matches(path)), None)
        if place is not None:
            found[name] = place
    return found


def _gaze_names() -> list[str]:
    return [name for name, (_, task, _) in PROTOCOLS.items() if task is GAZE]


def _data_set(name: str) -> DataSet[Any]:
    """Import the reader of a protocol."""
    where = PROTOCOLS[name][0]
    if not where:
        return GAZE_SETS
    module, constant = where.split(":")
    found = getattr(importlib.import_module(f"mien.evaluate.datasets.{module}"), constant)
    if not isinstance(found, DataSet):
        raise TypeError(f"{where} is no data set")
    return found


def _read_gaze_sets(root: Path, context: EvalContext) -> dict[str, GazeSet]:
    places = find_gaze_sets(root)
    if len(places) < 2:
        raise MienError(
            f"{root} holds {len(places)} gaze data sets, of which at least two are needed: "
            f"{', '.join(_gaze_names())}, each in a folder of its own"
        )
    return {name: _data_set(name).read(place, context) for name, place in places.items()}


GAZE_SETS = DataSet(
    layout="a folder that holds at least two of the gaze data sets, each in a folder of its own",
    source="as the single data sets",
    matches=lambda root: len(find_gaze_sets(root)) >= 2,
    read=_read_gaze_sets,
)
"""All gaze sets of a folder, by name."""
