"""Several views of each of many people, in memory-mapped files; made once, found again by content.

People of an endless source are rendered with one look, then with another: hair, beard, glasses and
make-up are not who somebody is. A photograph gives its person's further views by a head model, some
of them with glasses; a clip gives its frames. CACHE/KEY/views.u8 holds uint8 [N, V, P, P, 3], the
crops with their margin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.data.cache import (
    Progress,
    Skipped,
    content_key,
    fill_folder,
    known_crops,
    read_rows,
    wanted,
    write_rows,
)
from mien.data.options import PeopleDataOptions
from mien.data.reading import PieceCropper, TrainingCrop
from mien.data.seeds import seed_of
from mien.data.sources import Piece, find_sources
from mien.data.turned import Turned
from mien.faces.detect import open_detector
from mien.synth.clip import ClipPlan
from mien.synth.frame import Framing
from mien.synth.head_model import HeadModel
from mien.synth.stream import Stream

__all__ = [
    "PeopleCache",
    "build_photograph_cache",
    "build_rendered_cache",
    "margin_of",
    "open_people",
    "worn_glasses",
]

FORMAT = 1
_MARGIN = 0.25
_FRAMING = Framing(yaw_std_deg=28.0, yaw_limit_deg=75.0, crop_scale=1 + 2 * _MARGIN)
_LOOKS = (
    (
        "hair",
        "hair_style",
        "hair_thickness",
        "hair_length",
        "hairline",
        "hairline_part",
        "receding",
    ),
    ("beard", "moustache"),
    ("glasses", "glasses_shape", "glasses_colour"),
    ("lips", "lashes", "brow_strength", "redness", "eye_rings", "shine"),
    ("shirt",),
)
"""What another look of a person may change, together."""

Views = np.ndarray[Any, np.dtype[np.uint8]]
Row = tuple[dict[str, Views], dict[str, Any]]


@dataclass(frozen=True)
class PeopleCache:
    """Views that are ready to be sampled from."""

    views: Views
    """Memory-mapped RGB. uint8 [N, V, P, P, 3]."""
    key: str
    """Hash of content and options."""

    def __len__(self) -> int:
        return len(self.views)


def margin_of(image_size: int) -> int:
    """Return the pixels that are kept on each side of a face crop of this side."""
    return round(image_size * _MARGIN)


def build_rendered_cache(
    head: HeadModel,
    cache: Path,
    *,
    image_size: int,
    options: PeopleDataOptions,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder with the views of rendered people, made if it is not there.

    Args:
        head: the model that all of them share.
        cache: folder that all caches are kept in.
        image_size: S, side of the face crop. Pixels.
        options: how many people and views.
        seed: decides them.
        report: called with lines on how far it is.

    Raises:
        MienError: the cache cannot be written.
    """
    side = image_size + 2 * margin_of(image_size)
    shape = (FORMAT, "rendered", head.fingerprint, image_size, options.people, options.views, seed)
    target = Path(cache) / content_key(shape, [])

    def fill(folder: Path) -> None:
        report(f"rendering {options.people:,} people, {2 * (1 + options.views)} views each")
        streams = _streams(head, side, options, seed)
        rows = (_rendered_person(streams, person, seed) for person in range(options.people))
        write_rows(folder, rows, Skipped(), side=side, views=2 * (1 + options.views))

    return fill_folder(target, fill)


def worn_glasses(
    head: HeadModel, *, image_size: int, options: PeopleDataOptions, seed: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether rendered people wear glasses in each of their views. [N, V].

    Arguments as of build_rendered_cache.
    """
    side = image_size + 2 * margin_of(image_size)
    streams = _streams(head, side, options, seed)
    plans = (_planned(streams, person, seed) for person in range(options.people))
    worn = [[bool(look.person.glasses) for look in looks] for looks in plans]
    return np.repeat(worn, 1 + options.views, axis=1)


def _streams(
    head: HeadModel, side: int, options: PeopleDataOptions, seed: int
) -> tuple[Stream, Stream]:
    """Return the sources of people in one light and in another."""

    def of(light: Literal["changing", "hard"]) -> Stream:
        return Stream(
            head,
            seed=seed_of(seed, light),
            frames_per_clip=1 + options.views,
            size=side,
            light=light,
            framing=_FRAMING,
        )

    return of("changing"), of("hard")


def _rendered_person(streams: tuple[Stream, Stream], number: int, seed: int) -> Row:
    """Return a person's views: half with one look and light, half with another."""
    looks = zip(streams, _planned(streams, number, seed), strict=True)
    clips = [stream.render(plan) for stream, plan in looks]
    images = np.concatenate([clip.images for clip in clips]).transpose(0, 2, 3, 1)
    return {"views": images}, {"name": f"rendered {number}", "clip": ""}


def _planned(streams: tuple[Stream, Stream], number: int, seed: int) -> tuple[ClipPlan, ClipPlan]:
    """Return what a person's views show, with one look and with another."""
    rng = np.random.default_rng(seed_of(seed, "looks", number))
    first, second = (stream.plan(number) for stream in streams)
    changed = {
        name: getattr(second.person, name)
        for group in _LOOKS
        if rng.random() < 0.5
        for name in group
    }
    if rng.random() < 0.3:
        changed["glasses"] = not first.person.glasses
    return first, replace(second, person=replace(first.person, **changed))


def build_photograph_cache(
    pieces: Sequence[Piece],
    head: HeadModel | None,
    cache: Path,
    *,
    image_size: int,
    options: PeopleDataOptions,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder with the views of people in photographs and clips, made if need be.

    Args:
        pieces: what is read; the first view of a still is the photograph itself.
        head: draws the others; None: they repeat the photograph.
        cache: folder that all caches are kept in.
        image_size: S, side of the face crop. Pixels.
        options: detector, frames of videos, number of views, glasses.
        seed: decides the views.
        report: called with lines on how far it is and on what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    margin, detector = margin_of(image_size), open_detector(options.detector)
    cropper = PieceCropper(image_size, margin, detector, options.every)
    made_by = head.fingerprint if head else ""
    named = (made_by, image_size, detector.name, options.every, options.views, seed)
    worn = ("glasses", options.glasses) if head and options.glasses else ()
    shape = (FORMAT, "photographs", *named, *worn, *known_crops(pieces, detector.name))
    target = Path(cache) / content_key(shape, pieces, excluded)

    def fill(folder: Path) -> None:
        skipped = Skipped()
        crops = wanted(Progress(pieces, report), cropper, excluded, skipped)
        turned = Turned(head, options.views, seed, glasses=options.glasses)
        people = _People(turned, options.views)
        index, _ = write_rows(
            folder,
            people.rows(crops),
            skipped,
            side=image_size + 2 * margin,
            views=1 + options.views,
        )
        report(f"cached {index['count']:,} people, {1 + options.views} views each")
        if line := people.turned.report():
            report(line)
        for line in skipped.lines():
            report(line)

    return fill_folder(target, fill)


class _People:
    """Makes rows of crops."""

    def __init__(self, turned: Turned, views: int) -> None:
        self.turned, self._views = turned, views

    def rows(self, crops: Iterator[TrainingCrop]) -> Iterator[Row]:
        """Yield a row a person: a still, or all crops of a clip that follow one another."""
        for number, (_, some) in enumerate(groupby(crops, key=lambda c: c.clip or c.name)):
            views = self._of(list(islice(some, 64)), number)
            yield {"views": views}, {"name": f"person {number}", "clip": ""}

    def _of(self, crops: list[TrainingCrop], number: int) -> Views:
        first = crops[0]
        if len(crops) > 1:
            chosen = np.linspace(0, len(crops) - 1, 1 + self._views).round().astype(int)
            return np.stack([crops[i].pixels for i in chosen])
        views = self.turned(first, number)
        if views is None:
            return np.stack([first.pixels] * (1 + self._views))
        return np.concatenate([first.pixels[None], views.pixels])


def open_people(folder: Path) -> PeopleCache:
    """Return a cache for reading.

    Raises:
        MienError: it is not whole.
    """
    _, rows = read_rows(folder, {"views": ("views", "side", "side", 3)}, {})
    return PeopleCache(rows["views"], folder.name)
