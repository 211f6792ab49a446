"""Images kept back from training, to judge by: whole clips, from the end of every source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.data.eye_cache import EyeCache

__all__ = ["hold_out", "in_order"]

_COLUMNS = ("clip", "eyes", "face_eyes", "open", "labelled", "has_face")


def hold_out(pack: EyeCache, *, share: float, most: int) -> tuple[EyeCache, EyeCache]:
    """Part a pack in what is trained on and what is kept back.

    A source's images come in the order of their names, so that its end is other people than its
    start where names go by person; of stills without such names nobody knows. A clip is never in
    both parts.

    Args:
        pack: of one folder or several.
        share: of each folder that is kept back.
        most: images kept back of all folders together.

    Returns:
        The first part shares the pack's memory, the second is a copy.
    """
    share = min(share, most / max(1, len(pack)))
    sizes = [len(canvas) for canvas in pack.canvas]
    starts = np.cumsum([0, *sizes])[:-1]
    cuts = [size - int(size * share) for size in sizes]
    trained = np.concatenate([s + np.arange(n) for s, n in zip(starts, cuts, strict=True)])
    rest = np.setdiff1d(np.arange(len(pack)), trained)
    kept = rest[~np.isin(pack.clip[rest], pack.clip[trained]) | (pack.clip[rest] < 0)]
    canvas, face = pack.gather(kept)
    train = replace(
        pack,
        canvas=tuple(one[:n] for one, n in zip(pack.canvas, cuts, strict=True)),
        face=tuple(one[:n] for one, n in zip(pack.face, cuts, strict=True)),
        key=f"{pack.key}-{len(trained)}",
        **_rows(pack, trained),
    )
    return train, replace(
        pack, canvas=(canvas,), face=(face,), key=f"{pack.key}-held", **_rows(pack, kept)
    )


def in_order(pack: EyeCache, device: torch.device, *, at_once: int) -> Iterator[dict[str, Tensor]]:
    """Yield all images of a pack once, as batches of mien.data.eye_loader."""
    for start in range(0, len(pack), at_once):
        rows = np.arange(start, min(start + at_once, len(pack)))
        canvas, face = pack.gather(rows)
        batch = {"canvas": canvas[:, None], "face": face[:, None], "index": rows}
        batch |= {name: np.array(getattr(pack, name)[rows]) for name in _COLUMNS}
        yield {name: torch.from_numpy(value).to(device) for name, value in batch.items()}


def _rows(pack: EyeCache, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {name: getattr(pack, name)[rows] for name in _COLUMNS}
