"""All that is compared: mien's weights, the peers and dlib, each ready to describe images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.peers.autoencoder import PlainAutoencoder
from benchmarks.peers.choice import Choice, Trial, choose, class_trial, rendered_trials
from benchmarks.peers.cost import steps_for
from benchmarks.peers.crops import CropStore
from benchmarks.peers.describe import Features, describe_peer
from benchmarks.peers.dlib_embedding import (
    NAME,
    PARAMETERS,
    TRAINED_ON,
    DlibFactors,
    wide_crops_for_speed,
)
from benchmarks.peers.hog import HOG_SETTINGS, Hog
from benchmarks.peers.lbp import LBP_SETTINGS, Lbp
from benchmarks.peers.learner import Learner, NetworkFeatures
from benchmarks.peers.mae import MaskedAutoencoder
from benchmarks.peers.simclr import SimClr
from benchmarks.peers.speed import crops_for_speed, mien_encoder
from benchmarks.peers.training import Training, train

from mien.data.sources import LABELS_FILE, place_of
from mien.errors import MienError
from mien.evaluate.protocol import GetFactors
from mien.model import Model

__all__ = [
    "LEARNERS",
    "MIEN",
    "NAMES",
    "SAME_COST",
    "Method",
    "dlib_method",
    "mien_method",
    "peers",
    "trials_of",
]

MIEN = "mien"
SAME_COST = "mien, at the peers' cost"
LEARNERS: dict[str, Callable[[], Learner]] = {
    "autoencoder": PlainAutoencoder,
    "simclr": SimClr,
    "mae": MaskedAutoencoder,
}
"""Networks that are trained, by name."""
NAMES = (MIEN, "hog", "lbp", *LEARNERS)

Setting = TypeVar("Setting")


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    name: str
    describe: Callable[[str], GetFactors]
    """A protocol's factor => what describes its images."""
    encode: Callable[[], object]
    """Describes `speed.BATCH` crops, to be timed; as `milliseconds_a_face` takes it."""
    parameters: int
    """Learned numbers that a description takes."""
    model: Model | None = None
    """For protocols that render faces."""
    images: int = 0
    """Different training images; 0 where nothing was trained, or where it is not said."""
    shown: int = 0
    """Training images, each as often as it was shown; 0 where that is not known."""
    minutes: float | None = None
    """Of training, processor time; None where nothing was trained here."""
    settings: Mapping[str, Choice] = field(default_factory=dict)
    """What was chosen for each factor, and by which scores."""
    protocols: frozenset[str] | None = None
    """Names of those that it runs; None: all."""


def dlib_method(describe: DlibFactors, protocols: Sequence[str] | None) -> Method:
    """Return dlib's embedding as a method.

    Args:
        describe: by dlib.
        protocols: that it runs; it takes ten times as long as others. None: all.
    """
    crops = wide_crops_for_speed()
    return Method(
        NAME,
        lambda _: describe,
        lambda: describe.encode(crops),
        PARAMETERS,
        images=TRAINED_ON,
        protocols=None if protocols is None else frozenset(protocols),
    )


def mien_method(
    name: str, model: Model, describe: GetFactors, *, images: int, shown: int
) -> Method:
    """Return mien's weights as a method.

    Args:
        name: of the row.
        model: the weights.
        describe: by these weights.
        images: different ones they were trained on.
        shown: to stage 1.
    """
    parts = model.network.autoencoder
    # What renders faces takes no part in describing them.
    rendering = (parts.decode_albedo, parts.decode_depth)
    silent = sum(p.numel() for part in rendering for p in part.parameters())
    confidence = getattr(parts, "decode_confidence", None)
    if confidence is not None:
        silent += sum(p.numel() for p in confidence.parameters())
    return Method(
        name,
        lambda _: describe,
        mien_encoder(model, crops_for_speed(side=model.config.image_size)),
        sum(p.numel() for p in model.network.parameters()) - silent,
        model=model,
        images=images,
        shown=shown,
    )


def peers(
    names: Sequence[str],
    crops: CropStore,
    *,
    trials: Mapping[str, Trial],
    training: Training | None,
    shown: int,
    steps: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> list[Method]:
    """Return the peers, trained where they need it, in the order of their names.

    Args:
        names: some of `NAMES`; mien is passed over.
        crops: cuts the faces.
        trials: factor => what HOG's and LBP's settings are chosen by.
        training: needed where a network is named.
        shown: images of mien's stage 1, which decide how long networks are trained.
        steps: that long instead.
        seed: of the choices.
        cache: where the choices are kept; None: nowhere.

    Raises:
        MienError: a network is named and there is nothing to train it with; training fails.
    """
    found = []
    for name in names:
        if name == "hog":
            found.append(_fixed(name, HOG_SETTINGS, Hog, Hog(), crops, trials, seed, cache))
        elif name == "lbp":
            found.append(_fixed(name, LBP_SETTINGS, Lbp, Lbp(), crops, trials, seed, cache))
        elif name in LEARNERS:
            if training is None:
                raise MienError(f"{name} must be trained; give --train")
            found.append(_learned(name, crops, training, shown, steps))
    return found


def trials_of(sources: Sequence[str], by_class: Path | None, *, seed: int) -> dict[str, Trial]:
    """Return what settings are chosen by: rendered clips and, for expression, images by class.

    Args:
        sources: of training images; the first folder of `mien synth` among them is taken.
        by_class: folder or zip of CLASS/image, training images; None: rendered ones only.
        seed: decides which images are looked at.
    """
    places = [place_of(source) for source in sources]
    rendered = [place for place in places if (place / LABELS_FILE).is_file()]
    trials = rendered_trials(rendered[0], seed=seed) if rendered else {}
    if by_class is not None:
        trials["expression"] = class_trial(by_class, seed=seed)
    return trials


def _fixed(
    name: str,
    settings: Sequence[Setting],
    make: Callable[[Setting], Features],
    usual: Features,
    crops: CropStore,
    trials: Mapping[str, Trial],
    seed: int,
    cache: Path | None,
) -> Method:
    """Return a method without learning, with a setting of its own for each factor."""
    chosen, tried = {}, {}
    for factor, trial in trials.items():
        best, tried[factor] = choose(settings, make, trial, seed=seed, cache=cache)
        chosen[factor] = make(best)
    describes = {
        factor: describe_peer(name, features, crops) for factor, features in chosen.items()
    }
    # What no trial is about is asked of the setting that shows expression best.
    rest = chosen.get("expression", usual)
    otherwise = describe_peer(name, rest, crops)
    batch = crops_for_speed()
    return Method(
        name,
        lambda factor: describes.get(factor, otherwise),
        lambda: rest(batch),
        0,
        settings=tried,
    )


def _learned(
    name: str, crops: CropStore, training: Training, shown: int, steps: int | None
) -> Method:
    """Return a trained network."""
    make = LEARNERS[name]
    trained = train(make, name, steps or steps_for(make(), shown), training)
    features = NetworkFeatures(trained.network.to(training.device))
    describe, batch = describe_peer(name, features, crops), crops_for_speed()
    return Method(
        name,
        lambda _: describe,
        lambda: features(batch),
        features.parameters,
        images=len(training.crop_cache),
        shown=trained.shown,
        minutes=trained.minutes,
    )
