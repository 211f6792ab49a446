"""The gaze branch's data as its trainings share it: its sizes, and packs made once for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_fabric import Fabric

from mien.data.eye_cache import EyeSources, build_eye_cache
from mien.data.eye_canvas import EyeForm
from mien.data.options import EyeDataOptions
from mien.data.sources import Piece
from mien.gaze.config import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    EYE_CROP_HEIGHT,
    EYE_CROP_WIDTH,
    FACE_CROP,
    FACE_SIDE,
)
from mien.train.recipes.eye_search import LocalizerSearch
from mien.train.run_folder import RunFolder

__all__ = ["FORM", "packed_once"]

FORM = EyeForm(
    crop=FACE_CROP,
    eye_crop=(EYE_CROP_HEIGHT, EYE_CROP_WIDTH),
    canvas=(CANVAS_HEIGHT, CANVAS_WIDTH),
    face=FACE_SIDE,
)
"""The gaze branch's sizes, as its data has them."""


def packed_once(
    pieces: Sequence[Piece],
    sources: EyeSources,
    run: RunFolder,
    *,
    options: EyeDataOptions,
    search: LocalizerSearch | None,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> Path | None:
    """Pack pieces; the first process packs, the others wait for it.

    Args:
        pieces: some of the sources'; none give no pack.
        sources: hold the labels.
        run: holds the cache, unless the options name another.
        options: how images are read.
        search: finds the eyes that neither labels nor the detector tell.
        fabric: launched.
        echo: told how far it is and what was skipped.

    Raises:
        MienError: as build_eye_cache.
    """
    if not pieces:
        return None
    cache = Path(options.cache) if options.cache else run.cache
    folder = None
    if fabric.global_rank == 0:
        folder = build_eye_cache(
            pieces, sources.labels, cache, form=FORM, options=options, search=search, report=echo
        )
    return Path(fabric.broadcast(str(folder)))
