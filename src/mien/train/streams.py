"""The endless stream of rendered clips that a run may be given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien.data.seeds import seed_of
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["open_stream"]


def open_stream(models: Sequence[Path], *, seed: int, frames: int, size: int) -> Stream | None:
    """Return the stream of a head model, or None where none is given.

    Args:
        models: head models of the run's sources.
        seed: of the run.
        frames: rendered for each clip.
        size: side of the images. Pixels.

    Raises:
        MienError: several models, or one that cannot be read.
    """
    if len(models) > 1:
        raise MienError("give one synth:HEAD_MODEL; several cannot be mixed")
    if not models:
        return None
    from mien.synth.head_model import load_head_model  # the renderer is slow to import
    from mien.synth.stream import Stream

    head = load_head_model(models[0])
    return Stream(head, seed=seed_of(seed, "stream"), frames_per_clip=frames, size=size)
