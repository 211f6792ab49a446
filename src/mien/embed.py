"""Images and video in, a table of named factors out: one row per face per frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    import pandas as pd

    from mien.embedding.run import EmbedOptions
    from mien.embedding.summary import Status, Summary
    from mien.pipeline.encode import Encoder

__all__ = ["EmbedChoices", "embed", "embed_to_parquet"]

Paths = str | Path | Sequence[str | Path]


class EmbedChoices(TypedDict, total=False):
    """The choices of `embed`; what is left out is as in `mien.embedding.run.EmbedOptions`."""

    detector: str | None
    """auto (without it), haar, yunet; none if every image is a face crop already."""
    batch_size: int
    """Faces encoded at a time, 64 without it; it does not show in the result."""
    every: int | None
    """Take every N-th frame of a video."""
    fps: float | None
    """Take this many frames a second of a video."""
    crop: str
    """face; eyes if every image is a wide eye-region crop."""
    calibration: str | Path | None
    """File by `mien calibrate`, which makes directions of the gaze codes."""
    probes: Sequence[str | Path]
    """Files by `mien probe`, each of which adds two columns: what it says, and how sure it is."""
    features: bool
    """Add the encoder's features, for probes; they are no factor."""


def embed(
    paths: Paths,
    *,
    model: Encoder | None = None,
    device: str = "cpu",
    **choices: Unpack[EmbedChoices],
) -> pd.DataFrame:
    """Return the faces in images and videos as a DataFrame, one row per face per frame.

    The columns are those of `mien embed --schema`; a code is one float32 array [D] a row. What
    cannot be read, or shows no face, is a row with `face_found` False, the reason and no factors.
    A face without eyes has `eyes_found` False and no gaze; `gaze_code` and `eyes_found` are left
    out where the weights know no gaze, and of eye crops gaze is the only factor. `attrs` says
    what made the table, and under "columns" each column's unit, frame and range.

    Args:
        paths: images, videos, folders and globs.
        model: from `mien.load`; None loads the shipped weights onto `device`.
        device: where to load the shipped weights: cpu, cuda, cuda:N, mps. A given model stays
            where it is.
        choices: `detector`, `batch_size`, `every`, `fps`, `crop`, `calibration`, `probes` and
            `features`, as in `EmbedChoices`. With a calibration the table has the columns
            `gaze_x` to `gaze_std_rad`, with the probe of a label NAME the columns `NAME` and
            `NAME_prob` (classes) or `NAME_std` (numbers).

    Raises:
        MienError: if an input does not exist, nothing is found, an option cannot be met, or the
            calibration or a probe belongs to other weights.
    """
    from mien.embedding.run import EmbedOptions, embed_to_frame

    options = EmbedOptions(**choices)
    return embed_to_frame(_listed(paths), model=model or _shipped(device), options=options)


def embed_to_parquet(
    paths: Paths,
    out: str | Path,
    *,
    model: Encoder | None = None,
    options: EmbedOptions | None = None,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Status], None] | None = None,
) -> Summary:
    """Write the same table as `embed` to a Parquet file, in memory that does not grow with it.

    Finished rows are kept in the hidden folder `.NAME.parts` beside the table until it is complete;
    a run that was killed at any moment goes on with `resume` and gives the same table.

    Args:
        paths: images, videos, folders and globs.
        out: the table to be written.
        model: from `mien.load`; None loads the shipped weights onto the CPU.
        options: detector, batch size, choice of frames, eye-region crops, calibration, probes.
        overwrite: whether a table that is there, or an unfinished one, may be replaced.
        resume: go on with an unfinished table; begin if there is none; do nothing if it is
            complete.
        on_progress: called after each batch.

    Raises:
        MienError: as `embed`; also if the table may not be replaced or cannot be written, or if
            the unfinished one is from other inputs, options or weights.
    """
    from mien.embedding import run

    return run.embed_to_parquet(
        _listed(paths),
        out,
        model=model or _shipped("cpu"),
        options=options or run.EmbedOptions(),
        overwrite=overwrite,
        resume=resume,
        on_progress=on_progress,
    )


def _listed(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, (str, Path)) else list(paths)


def _shipped(device: str) -> Encoder:
    from mien.model import load

    return load(device=device)
