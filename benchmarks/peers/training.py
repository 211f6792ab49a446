"""Training of the peers' networks: mien's own loop, batches, variation and average of weights.

What is trained is kept in a folder named by all that decides it, and found there again; a training
that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from benchmarks.peers.crops import SIZE
from benchmarks.peers.learner import Learner, LearnerObjective
from safetensors.torch import load_file, save_file
from torch import Tensor

from mien.data.batches import Sampler
from mien.data.cache import CropCache, build_cache, is_cache, open_cache
from mien.data.loader import Loader
from mien.data.options import DataOptions
from mien.errors import MienError
from mien.media.atomic import replacing, write_text
from mien.train.config import load_config
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.options import LoopOptions, Stage1Options
from mien.train.process import keep_freed_memory
from mien.train.run_folder import RunFolder

__all__ = ["Trained", "Training", "open_training_cache", "train"]

FORMAT = 1
WEIGHTS, RECORD = "peer.safetensors", "peer.json"


@dataclass(frozen=True)
class Training:
    """What all peers are trained with."""

    crop_cache: CropCache
    """Their images, the crops of mien's stage 1."""
    cache: Path
    """Where trained networks are kept."""
    seed: int = 0
    device: str = "cpu"
    image_size: int = SIZE
    """Side of the crops. Pixels."""
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Trained:
    """A trained network and what it took."""

    network: Learner
    steps: int
    shown: int
    """Images that it was shown, each as often as it came up."""
    minutes: float
    """Processor time that so many steps take, by those of the last sitting."""


def open_training_cache(
    given: Sequence[str],
    cache: Path,
    *,
    exclude: Sequence[str] = (),
    detector: str = "none",
    say: Callable[[str], None] = lambda _: None,
) -> CropCache:
    """Return the crops of sources, cached as by `mien pretrain`; or an existing cache.

    Args:
        given: sources as `mien pretrain --data` takes them, or one cache folder.
        cache: where caches are kept.
        exclude: sources whose images are left out.
        detector: none where images are face crops already.
        say: called with lines of progress.

    Raises:
        MienError: no usable image, an endless stream, or a cache of another crop size.
    """
    streams = [source for source in given if source.startswith("synth:")]
    if streams:
        raise MienError(f"{streams[0]} has no end; write it out with `mien synth` and give that")
    options = _data_options(tuple(exclude), detector)
    room = round(SIZE * options.margin)
    if len(given) == 1 and is_cache(Path(given[0])):
        found = open_cache(Path(given[0]))
    else:
        folder = build_cache(given, cache / "crops", image_size=SIZE, options=options, report=say)
        found = open_cache(folder)
    if found.crops.shape[1] != SIZE + 2 * room:
        side = found.crops.shape[1] - 2 * room
        raise MienError(f"{given[0]} is a cache of crops of {side} pixels; give one of {SIZE}")
    return found


def train(make: Callable[[], Learner], name: str, steps: int, training: Training) -> Trained:
    """Train a network, or return it as it was trained before.

    Args:
        make: builds the network; its weights come from torch's own generator.
        name: of the peer.
        steps: to train for.
        training: with what.

    Raises:
        MienError: a device that is not there, a loss that is not finite, a full disk.
        Interrupted: stopped by a signal; the same command goes on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(training.seed)
        network = make()
    folder = training.cache / f"{name}-{_key(name, network, steps, training)}"
    batch_size = network.recipe.batch_size
    if not (folder / RECORD).is_file():
        seconds = _fit(network, steps, folder, training)
        with replacing(folder / WEIGHTS, overwrite=True) as unfinished:
            plain = {k: v.cpu().contiguous() for k, v in network.state_dict().items()}
            save_file(plain, unfinished)
        write_text(folder / RECORD, json.dumps({"seconds": seconds}))
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Trained(network, steps, steps * batch_size, record["seconds"] / 60)


def _fit(network: Learner, steps: int, folder: Path, training: Training) -> float:
    """Train, leave the averaged weights in the network, and return the seconds of all steps.

    Processor time, all threads together: what else the machine does changes nothing.
    """
    keep_freed_memory()
    recipe = network.recipe
    loop = LoopOptions(
        seed=training.seed,
        beta2=recipe.beta2,
        log_images_every=0,
        tensorboard=False,
        log_every=max(1, min(200, steps // 10)),
    )
    pace = Stage1Options(
        steps=steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        warmup_steps=min(recipe.warmup_steps, steps // 10),
        min_lr_ratio=recipe.min_lr_ratio,
        weight_decay=recipe.weight_decay,
    )
    training.say(f"{folder.name}: {steps:,} steps of {recipe.batch_size} images")
    fabric = launch(training.device, loop)
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(run.config, json.dumps(asdict(recipe)))
    network.to(fabric.device)
    batches = _Watched(_loader(training, recipe.batch_size, fabric.device))
    fitted = fit(
        LearnerObjective(network),
        batches,
        run=run.of_stage("peer"),
        options=loop,
        pace=pace,
        fabric=fabric,
        echo=training.say,
    )
    network.load_state_dict(fitted.weights, strict=False)
    network.cpu()
    return batches.seconds_for(steps)


def _loader(training: Training, batch_size: int, device: torch.device) -> Loader:
    """Return batches as mien's stage 1 has them, but for one frame of each clip and not two.

    Nothing here uses that two frames are of one person, and to a contrastive loss they would be
    two people.
    """
    stills = load_config("small").stage1.stills_fraction
    sampler = Sampler(
        training.crop_cache.clip,
        seed=training.seed,
        batch_size=batch_size,
        frames=1,
        stills_fraction=stills,
    )
    options, size = _data_options((), "none"), training.image_size
    return Loader(training.crop_cache, sampler, options=options, image_size=size, device=device)


def _data_options(exclude: tuple[str, ...], detector: str) -> DataOptions:
    """Return the `small` preset's variation of crops."""
    options = asdict(load_config("small").data)
    return DataOptions(**(options | {"exclude": exclude, "detector": detector}))


class _Watched:
    """Batches, and how long the steps between them take."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._first = self._last = 0.0
        self._done = 0

    @property
    def fingerprint(self) -> str:
        return self._loader.fingerprint

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        self._first = self._last = time.process_time()
        for batch in self._loader.iterate(start, stop):
            yield batch
            self._done += 1
            self._last = time.process_time()

    def seconds_for(self, steps: int) -> float:
        """Return the processor time of so many steps."""
        return steps * (self._last - self._first) / max(1, self._done)


def _key(name: str, network: Learner, steps: int, training: Training) -> str:
    """Return a hash of all that decides the trained weights."""
    shapes = [(key, tuple(value.shape)) for key, value in network.state_dict().items()]
    decisive = (
        FORMAT,
        name,
        asdict(network.recipe),
        shapes,
        steps,
        training.seed,
        training.crop_cache.key,
    )
    return hashlib.blake2b(repr(decisive).encode(), digest_size=8).hexdigest()
