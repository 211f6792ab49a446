"""All methods on all protocols, one protocol after the other, and how long a face takes each."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.peers.crops import CropStore
from benchmarks.peers.dlib_embedding import DlibFactors, DlibWorker, make_environment
from benchmarks.peers.methods import (
    MIEN,
    SAME_COST,
    Method,
    dlib_method,
    mien_method,
    peers,
    trials_of,
)
from benchmarks.peers.people import EUCLIDEAN, PEOPLE
from benchmarks.peers.speed import milliseconds_a_face, shape_rows
from benchmarks.peers.table import Comparison
from benchmarks.peers.training import Training, open_training_cache

from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.protocol import EvalContext, Protocol
from mien.evaluate.report.report import Run
from mien.evaluate.runner import run_all
from mien.model import load

__all__ = ["Plan", "compare", "run_methods"]


@dataclass(frozen=True)
class Plan:
    """What is compared, and on what."""

    found: Sequence[tuple[Protocol, Path]]
    """Protocols and their data."""
    methods: Sequence[str]
    train: Sequence[str]
    """Sources of the peers' training images: those that mien was trained on."""
    cache: Path
    """Where cached crops, trained networks and what was chosen are kept."""
    shown: int
    """Images of mien's stage 1 that take as long as each peer is trained."""
    weights: str | None = None
    weights_shown: int | None = None
    """Images that their stage 1 was shown; None: `shown`."""
    weights_seen: int | None = None
    """Different images among those; None: those of `train`."""
    same_cost: str | None = None
    """Weights of mien's that took as long to train: another row."""
    same_cost_shown: int | None = None
    """Images that their stage 1 was shown; None: `shown`. Less where stage 2 counts, too."""
    beside: Sequence[str] = ()
    """More of mien's weights, each another row."""
    people: Path | None = None
    """CSV of people's photographs for one more protocol."""
    dlib: Path | None = None
    """Folder of dlib's environment, made if it is not there: another row. None: no such row."""
    dlib_protocols: Sequence[str] | None = None
    """Names of those that dlib runs; None: all."""
    by_class: Path | None = None
    """Folder or zip of CLASS/image to choose HOG's and LBP's cells for expression by."""
    exclude: Sequence[str] = ()
    """Sources whose images are left out of training."""
    steps: int | None = None
    """Steps of every network instead of those that cost as much as mien."""
    detector: str = "auto"
    """Finds faces in the protocols' images."""
    train_detector: str = "none"
    """Finds faces in training images."""
    device: str = "cpu"
    seed: int = 0
    trials: int = 10


def compare(plan: Plan, say: Callable[[str], None]) -> Comparison:
    """Train what must be trained, run everything, and return all numbers.

    Raises:
        MienError: weights or training images that are missing, a device that is not there.
    """
    with tempfile.TemporaryDirectory(prefix="mien-peers-") as folder:
        crops = CropStore(Path(folder), detector=plan.detector)
        with contextlib.ExitStack() as opened:
            methods = _methods(plan, crops, say)
            if plan.dlib is not None:
                methods.append(_dlib(plan, plan.dlib, opened, say))
            found = [*plan.found, *([(PEOPLE, plan.people)] if plan.people else [])]
            runs = run_methods(found, methods, crops, seed=plan.seed, trials=plan.trials, say=say)
            say("measuring how long a face takes")
            times = milliseconds_a_face({method.name: method.encode for method in methods})
    return Comparison(methods, times, runs, shape_rows(device=plan.device), _about(plan, methods))


def run_methods(
    found: Sequence[tuple[Protocol, Path]],
    methods: Sequence[Method],
    crops: CropStore,
    *,
    seed: int = 0,
    trials: int = 10,
    say: Callable[[str], None] = lambda _: None,
) -> list[Mapping[str, Run]]:
    """Return, for each protocol, what came of every method on it.

    Each method has the same seed, so that what is sampled is the same for all.

    Args:
        found: protocols and their data.
        methods: what is compared.
        crops: forgotten after each protocol.
        seed: of all random numbers.
        trials: repetitions where a protocol samples training rows.
        say: called with lines of progress.
    """
    results: list[Mapping[str, Run]] = []
    for protocol, data in found:
        runs = {}
        for method in methods:
            if method.protocols is not None and protocol.name not in method.protocols:
                continue
            say(f"{protocol.name}: {method.name}")
            context = EvalContext(
                describe=method.describe(protocol.factor),
                model=method.model,
                seed=seed,
                trials=trials,
                gallery=0,
            )
            (runs[method.name],) = run_all([(protocol, data)], context)
            if protocol.name in EUCLIDEAN and getattr(context.describe, "euclidean", False):
                runs[method.name] = _with_euclidean(runs[method.name], data, context)
            if runs[method.name].error:
                say(f"{protocol.name}: {method.name}: {runs[method.name].error}")
        results.append(runs)
        crops.clear()
    return results


def _methods(plan: Plan, crops: CropStore, say: Callable[[str], None]) -> list[Method]:
    """Return what is compared, in the plan's order."""
    training = None
    if plan.train:
        crop_cache = open_training_cache(
            plan.train,
            plan.cache,
            exclude=plan.exclude,
            detector=plan.train_detector,
            say=say,
        )
        training = Training(crop_cache, plan.cache, seed=plan.seed, device=plan.device, say=say)
    made = {}
    if MIEN in plan.methods:
        seen = len(training.crop_cache) if training else 0
        shown = plan.weights_shown or plan.shown
        made[MIEN] = _mien(plan, MIEN, plan.weights, plan.weights_seen or seen, shown)
        if plan.same_cost is not None:
            shown = plan.same_cost_shown or plan.shown
            made[SAME_COST] = _mien(plan, SAME_COST, plan.same_cost, seen, shown)
        for weights in plan.beside:
            name = f"{MIEN}, {weights}"
            made[name] = _mien(plan, name, weights, 0, 0)
    wanted = [name for name in plan.methods if name != MIEN]
    trials = {}
    if {"hog", "lbp"} & set(wanted):
        say("choosing the cells of HOG and LBP on training images")
        trials = trials_of(plan.train, plan.by_class, seed=plan.seed)
        # Trying takes minutes; what no trial is about is asked of the setting for expression.
        asked = {protocol.factor for protocol, _ in plan.found}
        asked |= {PEOPLE.factor} if plan.people else set()
        asked |= set() if asked <= trials.keys() else {"expression"}
        trials = {factor: trial for factor, trial in trials.items() if factor in asked}
    others = peers(
        wanted,
        crops,
        trials=trials,
        training=training,
        shown=plan.shown,
        steps=plan.steps,
        seed=plan.seed,
        cache=plan.cache,
    )
    made |= {method.name: method for method in others}
    order = [MIEN, *(f"{MIEN}, {weights}" for weights in plan.beside), SAME_COST, *wanted]
    return [made[name] for name in order if name in made]


def _mien(plan: Plan, name: str, weights: str | None, seen: int, shown: int) -> Method:
    """Return weights of mien's that were shown so many images, so many different ones."""
    model = load(weights, device=plan.device)
    describe = factors_by_weights(model, detector=plan.detector)
    return mien_method(name, model, describe, images=seen, shown=shown)


def _dlib(
    plan: Plan, folder: Path, opened: contextlib.ExitStack, say: Callable[[str], None]
) -> Method:
    """Return dlib's embedding; its process ends with the stack."""
    worker = DlibWorker(make_environment(folder.absolute()))
    opened.callback(worker.close)
    return dlib_method(DlibFactors(worker, plan.detector, say), plan.dlib_protocols)


def _with_euclidean(run: Run, data: Path, context: EvalContext) -> Run:
    """Return a run with one more score, or as it is where it failed."""
    if run.result is None:
        return run
    scores = (*run.result.scores, EUCLIDEAN[run.protocol.name](data, context))
    return replace(run, result=replace(run.result, scores=scores))


def _about(plan: Plan, methods: Sequence[Method]) -> dict[str, Any]:
    model = next((method.model for method in methods if method.model), None)
    return {
        "weights": model.weights_id if model else None,
        "seed": plan.seed,
        "trials": plan.trials,
        "detector": plan.detector,
        "device": plan.device,
        "threads": torch.get_num_threads(),
    }
