"""Pre-training of LatentFace: data, stage 1, stage 2, export; the whole run on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien import weights
from mien.card import Card, card_text
from mien.data.batches import Sampler
from mien.data.cache import CropCache, build_cache, open_cache
from mien.data.labels import read_expression_weights
from mien.data.loader import Loader
from mien.data.provenance import image_hashes
from mien.data.seeds import seed_of
from mien.data.sources import Sources, find_sources, place_of
from mien.errors import MienError
from mien.latentface.discriminant import FaceEmbedding
from mien.latentface.latentface import LatentFace
from mien.model import tensors_of
from mien.train.engine import once_per_node
from mien.train.options import Stage2Options, TrainConfig
from mien.train.recipes.bases import check_bases, fit_bases
from mien.train.recipes.clips import ClipImages, clip_codes, clip_maps, stream_weights
from mien.train.recipes.data import load_head, open_stream
from mien.train.recipes.kept import Kept, find_kept
from mien.train.recipes.pose import NO_POSES, fit_pose
from mien.train.recipes.run import Run, start_run
from mien.train.recipes.stage1 import AutoencoderObjective
from mien.train.recipes.stage2 import CodeBatches, Layout, NeutralObjective
from mien.train.run_folder import RunFolder

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["check", "pretrain"]

_SIZES = ("networks", "image_size", "encoder_width", "width", "feature_dim")
_SCALES = ("rotation_range_deg", "translation_range", "distance_range", "depth_range", "fov_deg")
"""Options by which a network's outputs are multiplied: with others, what was learned is lost."""
Values = np.ndarray[Any, np.dtype[np.float32]]
_STAGE1_ALONE = (
    "Stage 2 was not trained: there were no clips. Pose, light, albedo and depth are as trained; "
    "identity and expression, which stage 2 parts from each other, mean nothing."
)


@dataclass(frozen=True)
class _Data:
    cache: CropCache | None
    stream: Stream | None
    expression: Values | None
    """Weights of the expression shapes in each cached crop, as ClipImages takes them. [N, E]."""

    def clips(self, stage: Stage2Options) -> float:
        """Return the number of clips of two frames or more; endless with a stream."""
        return float("inf") if self._streamed(stage) else sum(self._cached(stage))

    def refuse_clips(self, stage: Stage2Options) -> None:
        """Refuse photographs without views, and what asks for clips of a kind that is not there.

        Raises:
            MienError: names the option.
        """
        others, photographs = self._cached(stage)
        if stage.turned_clips and not photographs:
            raise MienError(
                "stage2.turned_clips: no photograph has further views; for these the data need a "
                "synth:HEAD_MODEL and photographs, and data.detector=yunet"
            )
        fraction = 1.0 if stage.turned_fraction is None else stage.turned_fraction
        if fraction < 1 and not others and not self._streamed(stage):
            raise MienError("stage2.turned_fraction: there are no other clips; leave it out")
        known = self.expression is not None and not np.isnan(self.expression).all()
        if not known and not self._streamed(stage):
            _refuse_expressions(stage)

    def _streamed(self, stage: Stage2Options) -> bool:
        return self.stream is not None and stage.stream_clips > 0

    def _cached(self, stage: Stage2Options) -> tuple[int, int]:
        """Return how many other clips, and how many photographs with views there are."""
        if self.cache is None:
            return 0, 0
        photograph = self.cache.photograph if stage.turned_clips else np.empty(0, np.int64)
        return _groups(self.cache.clip), _groups(photograph)


def check(config: TrainConfig) -> None:
    """Refuse data, options and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources and find_kept; options that contradict each other.
    """
    sources, stage, model = find_sources(config.data.sources), config.stage2, config.model
    if config.data.exclude:
        find_sources(config.data.exclude)
    if stage.turned_clips and not config.data.turned:
        raise MienError(
            "stage2.turned_clips: photographs have no further views; add data.turned=2 and a "
            "synth:HEAD_MODEL"
        )
    if stage.removed_directions > min(model.texture_dim, model.shape_dim):
        raise MienError(
            f"stage2.removed_directions={stage.removed_directions}: codes have no so many numbers"
        )
    check_bases(config)
    rendered = any(piece.face_crop for piece in sources.pieces)
    if config.pose.steps and not rendered:
        raise MienError(NO_POSES)
    if not rendered and not (sources.streams and stage.stream_clips):
        _refuse_expressions(stage)
    find_kept(config)


def _refuse_expressions(stage: Stage2Options) -> None:
    """Refuse what needs rendered people."""
    for name in ("added_expression", "removed_directions", "erased_expressions"):
        if getattr(stage, name):
            raise MienError(
                f"stage2.{name} needs rendered people; add a folder of `mien synth` to --data"
            )


def pretrain(
    config: TrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run both stages, resuming from the run folder's checkpoints, and export the weights.

    Without clips stage 1 alone is run and exported.

    Args:
        config: everything that decides the run.
        data: folders, zips, tables, videos, `synth:HEAD_MODEL`.
        run: opened run folder.
        device: `cpu`, `cuda`, `mps` or `auto`.
        echo: given every line that a person should see.

    Returns:
        The folder of the exported weights.

    Raises:
        MienError: bad data, a device that is not there, a loss that is not finite.
        Interrupted: stopped by a signal; a checkpoint was written.
    """
    this = start_run(config, data, run, device, echo)
    kept, found = find_kept(config), _open_data(this)
    with_stage2 = _learns_stage2(this, found)
    with this.initial_weights():
        model = LatentFace(config.model)
    model.to(this.fabric.device)
    if config.stage1.init_from:
        _init_from(model, config.stage1.init_from)
    if config.stage1.steps:
        _stage1(this, model, found, kept.shared_levels)
    if config.pose.steps:
        fit_pose(this, model.autoencoder, found.cache)
    if with_stage2:
        _stage2(this, model, found)
    if this.is_first:
        limits = [_STAGE1_ALONE] if config.stage2.steps and not with_stage2 else []
        _export(this, model, kept, found, limits)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


def _export(
    run: Run[TrainConfig], model: LatentFace, kept: Kept, data: _Data, limits: list[str]
) -> None:
    """Write the weights, with what is kept of those that training started from."""
    folders = [place_of(source) for source in run.data]
    limits = [*limits, *kept.put_into(model, folders, data.stream, run.say)]
    config = run.config
    start = config.stage1.init_from
    how = "trained on from" if config.stage1.steps else "that of"
    trained = [*run.data, *([f"autoencoder: {how} {start}"] if start else []), *kept.origins]
    card = card_text(Card(data=trained, config=asdict(config), limits=limits))
    sizes = {**asdict(config.model), **kept.sizes}
    weights.save(
        run.folder.exported,
        tensors_of(model, kept.gaze),
        sizes,
        card,
        images=_images(config, run.data),
        half=True,
        overwrite=True,
    )


def _open_data(run: Run[TrainConfig]) -> _Data:
    """Crop what is given, once per node, and open streams."""
    sources, size, cache = find_sources(run.data), run.config.model.image_size, None
    if sources.pieces:
        paths = [source for source in run.data if not source.startswith("synth:")]

        options, head = run.config.data, load_head(sources.streams)
        seed = seed_of(run.config.loop.seed, "turned")

        def build() -> Path:
            shared = {"image_size": size, "options": options, "head": head, "seed": seed}
            return build_cache(paths, run.cache, **shared, report=run.say)

        cache = open_cache(once_per_node(run.fabric, build))
    stage, expression = run.config.stage2, None
    stream = open_stream(run, sources.streams, size)
    if stage.added_expression or stage.removed_directions or stage.erased_expressions:
        expression = _expression(run, sources, cache, stream if stage.stream_clips else None)
    return _Data(cache, stream, expression)


def _expression(
    run: Run[TrainConfig], sources: Sources, cache: CropCache | None, stream: Stream | None
) -> Values:
    """Return the weights of expression shapes in cached crops of rendered people; else NaN. [N, E].

    They are infinite where labels do not say.

    Raises:
        MienError: people of head models with different numbers of shapes.
    """
    known: dict[Path, Values] = {}
    for source in run.data:
        try:
            known |= read_expression_weights([place_of(source)])
        except MienError as error:
            run.say(f"warning: {error}; the mean of each of its clips is taken for neutral")
    lengths = sorted(
        {len(weights) for weights in known.values()}
        | ({stream_weights(stream, 0).shape[1]} if stream else set())
    )
    if len(lengths) > 1:
        raise MienError(
            f"rendered people have {lengths[0]} and {lengths[-1]} expression shapes; give those of "
            "one head model"
        )
    unknown = np.full(lengths[0] if lengths else 1, np.inf, np.float32)
    of_piece = {p.name: known.get(p.file, unknown) for p in sources.pieces if p.face_crop}
    names = cache.name if cache else ()
    other = np.full_like(unknown, np.nan)
    rows = [of_piece.get(name, other) for name in names]
    return np.stack(rows) if rows else np.empty((0, len(unknown)), np.float32)


def _learns_stage2(run: Run[TrainConfig], data: _Data) -> bool:
    """Return whether stage 2 is run; report at the start what it lacks.

    Raises:
        MienError: then there would be nothing to train.
    """
    config = run.config
    # The face embedding tells clips apart.
    enough = 2 if config.model.face_embedding_dim else 1
    if not config.stage2.steps:
        return False
    data.refuse_clips(config.stage2)
    if data.clips(config.stage2) >= enough:
        return True
    needs = (
        f"stage 2 needs clips, at least {enough} (videos, a folder of `mien synth` or clips:FOLDER)"
    )
    if not config.stage1.steps:
        raise MienError(f"{needs}, and stage1.steps is 0: nothing to train; add clips to --data")
    run.say(f"warning: {needs}; without them stage 1 alone is trained and exported")
    return False


def _images(config: TrainConfig, data: list[str]) -> frozenset[str]:
    """Return checksums of all images trained on, those of `init_from` included."""
    options = config.data
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    known = image_hashes(find_sources(data).pieces, excluded)
    start = config.stage1.init_from
    return known | weights.trained_on(start) if start else known


def _init_from(model: LatentFace, start: str) -> None:
    """Load another model's autoencoder into this one.

    Raises:
        MienError: its networks are of other sizes, or its angles or lengths of another scale.
    """
    options, tensors = weights.read(start)
    for name in (*_SCALES, *_SIZES):
        theirs, ours = options.get(name), getattr(model.config, name)
        if theirs is not None and theirs != ours:
            raise MienError(
                f"stage1.init_from: {start} was trained with model.{name}={_shown(theirs)}, "
                f"not {_shown(ours)}; add model.{name}={_shown(theirs)}"
            )
    prefix = "autoencoder."
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    weights.check_keys(model.autoencoder.state_dict(), found, start)
    model.autoencoder.load_state_dict(found)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _stage1(run: Run[TrainConfig], model: LatentFace, data: _Data, fixed: int) -> None:
    """Train the autoencoder but for its `fixed` finest levels; it ends with averaged weights."""
    config, stage = run.config, run.config.stage1
    clip = data.cache.clip if data.cache else np.empty(0, dtype=np.int64)
    sampler = Sampler(
        clip,
        seed=config.loop.seed,
        batch_size=stage.batch_size,
        frames=stage.frames,
        stills_fraction=stage.stills_fraction,
        stream_fraction=config.data.stream_fraction if data.stream else 0.0,
    )
    loader = Loader(
        data.cache,
        sampler,
        options=config.data,
        image_size=config.model.image_size,
        device=run.fabric.device,
        shard=run.shard,
        stream=data.stream,
    )
    if fixed:
        run.say(f"stage1: the encoder's {fixed} finest levels stay; the face embedding reads them")
    objective = AutoencoderObjective(model.autoencoder, stage.loss_weights, fixed=fixed)
    found = run.train(objective, loader, "stage1")
    model.autoencoder.load_state_dict(found, strict=False)


def _stage2(run: Run[TrainConfig], model: LatentFace, data: _Data) -> None:
    """Train the neutral networks on the frozen autoencoder's codes; fit basis and embedding."""
    config, stage = run.config, run.config.stage2
    images = ClipImages.of(
        data.cache,
        data.stream,
        frames=stage.frames,
        stream_clips=stage.stream_clips,
        image_size=config.model.image_size,
        rng=np.random.default_rng(seed_of(config.loop.seed, "codes")),
        turned=stage.turned_clips,
        expression=data.expression,
    )
    layout = Layout.of(images)
    if stage.erased_expressions and not len(layout.shown):
        raise MienError(
            "stage2.erased_expressions: no labels say which expressions are shown; render the "
            "people anew with `mien synth`"
        )
    raw = clip_codes(model.autoencoder, images, run.fabric, run.say)
    model.texture_scale.fit(raw.texture)
    model.shape_scale.fit(raw.shape)
    codes = {"texture": model.texture_scale(raw.texture), "shape": model.shape_scale(raw.shape)}
    seed = config.loop.seed
    batches = CodeBatches(**codes, layout=layout, options=stage, seed=seed, shard=run.shard)
    objective = NeutralObjective(model.neutral_texture, model.neutral_shape, stage.weighting)
    found = run.train(objective, batches, "stage2")
    objective.module.load_state_dict(found, strict=False)
    fit_bases(model, codes, raw.view, layout, stage)
    if isinstance(model.face_embedding, FaceEmbedding):
        run.say("stage2: fitting the face embedding to the maps of all clips")
        model.face_embedding.fit(clip_maps(model.autoencoder, images, run.fabric))


def _groups(numbers: np.ndarray[Any, Any]) -> int:
    """Return how many numbers from 0 two rows or more have."""
    _, rows = np.unique(numbers[numbers >= 0], return_counts=True)
    return int((rows > 1).sum())
