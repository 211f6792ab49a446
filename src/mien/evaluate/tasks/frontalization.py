"""The protocol `frontal`: frontal views made of turned faces against the true frontal drawing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.by_yaw import yaw_table
from mien.evaluate.datasets.synthetic import LABELS_FILE, Clips, read_clips, read_config
from mien.evaluate.datasets.synthetic_frontal import FrontalPair, FrontalStream
from mien.evaluate.digest import data_digest
from mien.evaluate.gallery import small
from mien.evaluate.protocol import EvalContext, Failure, Protocol, Result, Score, Table
from mien.evaluate.tasks.arcface import ArcFace
from mien.evaluate.tasks.frontal_identity import identity_scores
from mien.evaluate.tasks.frontal_views import KINDS, LEAST_HIDDEN, FrontalView, made_views
from mien.linear.bootstrap import mean_interval
from mien.media.names import to_text
from mien.model import Model
from mien.synth.head_model import load_head_model

__all__ = ["FRONTAL", "outcome_of"]

Array = NDArray[np.floating]
Given = tuple[list[FrontalPair], list[NDArray[np.uint8]]]

HEAD_FILES = ("head_model.npz", "ict_facekit.npz", "FaceXModel")
ARCFACE_FILE = "arcface.onnx"
MOST = 400
"""Images of a folder of clips that are looked at."""
PEOPLE, FRAMES, SIZE, SEED = 60, 5, 128, 4_000_037
"""Of the pairs that are drawn where there are no clips; added to the seed of the run."""
SAME_IMAGE = 8.0
"""A clip's image and its drawing differ by less than so many levels of 255 on average."""
LEVELS = "levels of 255"
LAYOUT = (
    "head_model.npz or ict_facekit.npz or FaceXModel/ (ICT-FaceKit, as for `mien synth`), and, if "
    "wanted, the folder of clips that `mien synth` drew with it: labels.parquet, config.json, "
    "person_NNNNNN/ (the head model may then stand beside the folder); without clips people are "
    "drawn for the purpose, up to 60 degrees to either side. arcface.onnx, if there, measures "
    "identity"
)


def run(path: Path, context: EvalContext) -> Result:
    """Make frontal views and hold them against the truth.

    Raises:
        MienError: no head model, or clips that it did not draw; a broken arcface.onnx.
    """
    model = context.drawing_model("frontal")
    file = _head_file(path)
    if file is None:
        raise MienError(
            f"frontal: {to_text(path)} has no {' or '.join(HEAD_FILES)}, nor is one beside it; "
            "clone ICT-FaceKit (USC Institute for Creative Technologies) and copy its FaceXModel"
        )
    head = load_head_model(file)
    arcface = ArcFace(path / ARCFACE_FILE) if (path / ARCFACE_FILE).is_file() else None
    if (path / LABELS_FILE).is_file():
        clips = read_clips(path, "frontal")
        config = read_config(clips.tree, "frontal")
        if config["head_model"] != head.fingerprint:
            raise MienError(
                f"frontal: {to_text(path)} was drawn with another head model than {to_text(file)}; "
                "give the one that it was drawn with"
            )
        stream = FrontalStream(
            head,
            seed=int(config["seed"]),
            frames=int(config["frames"]),
            size=int(config["size"]),
            gaze=str(config.get("gaze", "natural")),
            spread=False,
        )
        given = _of_clips(stream, clips, context.rng(0))
        data = clips.digest()
    else:
        seed = SEED + context.seed
        stream = FrontalStream(
            head, seed=seed, frames=FRAMES, size=SIZE, gaze="natural", spread=True
        )
        given = _drawn_ones(stream, PEOPLE)
        data = data_digest([head.fingerprint, seed, PEOPLE, FRAMES, SIZE])
    return outcome_of(given, model, context, data=data, arcface=arcface)


def outcome_of(
    given: Iterator[Given],
    model: Model,
    context: EvalContext,
    *,
    data: str,
    arcface: ArcFace | None = None,
) -> Result:
    """Make the frontal views of all people and sum up.

    Args:
        given: of each person the pairs and the turned images.
        model: makes the views.
        context: seed and gallery.
        data: names the data.
        arcface: measures identity where given.
    """
    views: list[FrontalView] = []
    for pairs, turned in given:
        context.say(f"frontal: person {pairs[0].person + 1}")
        views += made_views(model, pairs, turned)
    scores = _scores(views, context)
    tables = [_table(views), _by_yaw(views)]
    if arcface is not None:
        context.say("frontal: arcface")
        found, table = identity_scores(views, arcface, context.rng(2))
        scores += found
        tables.append(table)
    side = model.config.image_size
    return Result(
        scores=tuple(scores),
        data=data,
        tables=tuple(tables),
        failures=_failures(views, context.gallery),
        notes=(
            f"{len(views)} images of {len({v.pair.person for v in views})} people; compared at "
            f"{side} pixels, inside the face (an ellipse within the true head)",
            "the view is drawn without any turn where the model sees the true frontal face, so "
            "framing is not judged; hidden is what the turned image does not show, by geometry; "
            f"its colour is judged where it is {100 * LEAST_HIDDEN:.0f} % of the face or more",
        ),
    )


def _head_file(path: Path) -> Path | None:
    """Return the head model in a folder or, of clips, beside it."""
    inside = [path / name for name in HEAD_FILES]
    beside = [path.parent / name for name in HEAD_FILES]
    beside += [path.parent / "ict-facekit" / name for name in HEAD_FILES]
    places = [*inside, *beside] if (path / LABELS_FILE).is_file() else inside
    return next((place for place in places if place.exists()), None)


def _matches(path: Path) -> bool:
    try:
        return path.is_dir() and _head_file(path) is not None
    except OSError:
        return False


def _drawn_ones(stream: FrontalStream, people: int) -> Iterator[Given]:
    for index in range(people):
        pairs = list(stream.pairs(index))
        yield pairs, [pair.turned for pair in pairs]


def _of_clips(stream: FrontalStream, clips: Clips, rng: np.random.Generator) -> Iterator[Given]:
    """Yield people of a folder, drawn until there are images enough.

    Raises:
        MienError: the folder's images are not what the head model draws.
    """
    order = rng.permutation(np.unique(clips.person))
    people = order[: max(1, MOST // stream.frames_per_clip)]
    images, checked = clips.images(), False
    for person in sorted(int(p) for p in people):
        rows = np.flatnonzero(clips.person == person)
        frames = clips.table["frame"].to_numpy(np.int64)[rows]
        pairs = list(stream.pairs(person - 1))
        kept = [pairs[int(frame)] for frame in frames if frame < len(pairs)]
        turned = [images.read(int(row)) for row in rows]
        if not checked:
            _check(kept, turned, clips)
            checked = True
        yield kept, turned


def _check(pairs: list[FrontalPair], turned: list[NDArray[np.uint8]], clips: Clips) -> None:
    same = len(pairs) == len(turned) and all(
        pair.turned.shape == image.shape
        and np.abs(pair.turned.astype(np.float32) - image).mean() < SAME_IMAGE
        for pair, image in zip(pairs, turned, strict=True)
    )
    if not same:
        raise MienError(
            f"frontal: the images in {clips.tree} are not what this version of `mien synth` "
            "draws; render the folder again"
        )


def _scores(views: list[FrontalView], context: EvalContext) -> list[Score]:
    person, rng = np.array([view.pair.person for view in views]), context.rng(1)

    def score(name: str, values: Array, unit: str, *, main: bool = False) -> Score:
        known = np.isfinite(values)
        count = int(known.sum())
        if not count:
            return Score(name, float("nan"), unit, 0, higher_is_better=False)
        ends = mean_interval(values=values[known], groups=person[known], rng=rng)
        better = unit != LEVELS
        mean = float(values[known].mean())
        return Score(name, mean, unit, count, *ends, higher_is_better=better, main=main)

    made = np.array([view.psnr_db for view in views])
    alike = np.array([view.ssim for view in views])
    hidden = np.array([view.hidden_error for view in views])
    seen = np.array([view.seen_error for view in views])
    return [
        score("PSNR", made[:, 0], "dB", main=True),
        score("PSNR, gain over the turned image", made[:, 0] - made[:, 1], "dB"),
        score("PSNR, made of the true frontal image", made[:, 2], "dB"),
        score("SSIM", alike[:, 0], "", main=True),
        score("SSIM, gain over the turned image", alike[:, 0] - alike[:, 1], ""),
        score("SSIM, made of the true frontal image", alike[:, 2], ""),
        score("colour error, part that was hidden", hidden, LEVELS, main=True),
        score("colour error, part that was seen", seen, LEVELS),
    ]


def _table(views: list[FrontalView]) -> Table:
    names = {
        "made": "made of the turned image",
        "copy": "the turned image itself",
        "ceiling": "made of the true frontal image",
    }
    rows = []
    for place, kind in enumerate(KINDS):
        of_db = float(np.mean([view.psnr_db[place] for view in views]))
        alike = float(np.mean([view.ssim[place] for view in views]))
        rows.append((names[kind], round(of_db, 3), round(alike, 4)))
    return Table("against the true frontal image", ("view", "PSNR, dB", "SSIM"), tuple(rows))


def _by_yaw(views: list[FrontalView]) -> Table:
    def column(values: list[float]) -> Array:
        return np.array(values, dtype=np.float64)

    return yaw_table(
        title="by how far the given head is turned",
        yaw_rad=column([view.pair.yaw for view in views]),
        values={
            "PSNR, dB": column([view.psnr_db[0] for view in views]),
            "PSNR of the turned image, dB": column([view.psnr_db[1] for view in views]),
            "SSIM": column([view.ssim[0] for view in views]),
            "SSIM of the turned image": column([view.ssim[1] for view in views]),
            "hidden, % of the face": column([100 * view.hidden_share for view in views]),
            "colour error, hidden": column([view.hidden_error for view in views]),
            "colour error, seen": column([view.seen_error for view in views]),
        },
    )


def _failures(views: list[FrontalView], count: int) -> tuple[Failure, ...]:
    """Return the views farthest from the truth: given, made, true."""
    worst = sorted(views, key=lambda view: view.psnr_db[0])[:count]
    return tuple(
        Failure(
            (small(view.pair.turned), view.made, small(view.pair.frontal)),
            f"yaw {np.degrees(view.pair.yaw):+.0f} degrees: {view.psnr_db[0]:.1f} dB",
        )
        for view in worst
    )


FRONTAL = Protocol(
    name="frontal",
    factor="factors",
    title="the frontal view made of a turned face against the true one, rendered people",
    layout=LAYOUT,
    source="ICT-FaceKit: USC Institute for Creative Technologies (MIT); clips: yourself, with "
    "mien synth; an ArcFace network in ONNX: insightface's model zoo (non-commercial research)",
    matches=_matches,
    run=run,
    draws=True,
)
