"""The demonstration: the shipped clips through the shipped weights, to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.media.folder import made_folder
from mien.media.image import to_uint8, write_png
from mien.media.outputs import check_outputs, written_together
from mien.media.video import write_mp4
from mien.model import Model
from mien.pipeline.portrait import read_clip
from mien.types import Factors
from mien.views.colours import on_background
from mien.views.edit import Edit, render_edited
from mien.views.poses import turntable_poses
from mien.views.sheet import contact_sheet, factor_columns

__all__ = ["run_demo", "shipped_clips"]

_FACES, _FILM_FACES, _FILM_SIZE, _FRAMES, _FPS = 8, 6, 128, 72, 24.0


def shipped_clips() -> Path:
    """Return the folder of the clips that come with the package."""
    return Path(__file__).parent / "shipped" / "clips"


def run_demo(
    out: Path,
    *,
    model: Model,
    clips: Path | None = None,
    detector: str = "none",
    overwrite: bool = False,
) -> dict[Path, str]:
    """Embed clips, then render their faces in every way; all files are written or none.

    Args:
        out: folder to write to.
        model: what embeds and renders.
        clips: folder of videos, or of folders of PNG frames; the shipped ones where not given.
        detector: `none` where the clips are face crops, as the shipped ones are.
        overwrite: replace an earlier demonstration.

    Returns:
        The files that were written: a table, a sheet, a film; and what each of them shows.

    Raises:
        MienError: no clips, one that cannot be read or shows no face, or files are there that may
            not be replaced or are clips themselves.
    """
    clips = clips or shipped_clips()
    each = _clips_in(clips)
    files = [out / name for name in ("faces.parquet", "faces.png", "turntable.mp4")]
    check_outputs(files, inputs=each, overwrite=overwrite)
    with made_folder(out), written_together(files, inputs=each, overwrite=overwrite) as places:
        table, sheet, film = places
        options = EmbedOptions(detector=detector)
        rows = embed_to_parquet(clips, table, model=model, options=options).rows
        crops = _choose(each[:_FACES], detector, model.config.image_size)
        title = "mien: what these faces are made of"
        subtitle = (
            f"weights {model.weights_id}; each row is one image, "
            "each column a way to render its factors"
        )
        columns = factor_columns(model, crops)
        write_png(sheet, contact_sheet(columns, title=title, subtitle=subtitle))
        write_mp4(film, _film(model, model.encode(crops[:_FILM_FACES])), fps=_FPS)
    shown = (
        f"{rows} faces and their factors",
        "what they are made of: look at this first",
        "the same faces, rotating",
    )
    return dict(zip(files, shown, strict=True))


def _clips_in(folder: Path) -> list[Path]:
    """Return the videos and frame folders of a folder, by name."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise MienError(f"no clips to show: cannot read {folder}: {error.strerror}") from error
    each = [path for path in inside if path.is_dir() or path.suffix.lower() == ".mp4"]
    if not each:
        raise MienError(f"no clips to show in {folder}; install the package again")
    return each


def _choose(clips: list[Path], detector: str, size: int) -> Tensor:
    """Take one frame of each clip, later and later, so that expressions and poses differ."""
    chosen = []
    for i, path in enumerate(clips):
        crops = read_clip(path, detector=detector, size=size)
        at = round(i / max(len(clips) - 1, 1) * (len(crops) - 1))
        chosen.append(crops[at : at + 1])
    return torch.cat(chosen)


def _film(model: Model, factors: Factors) -> Iterator[NDArray[np.uint8]]:
    """Render the faces side by side over one rotation, frame by frame."""
    poses = turntable_poses(_FRAMES, device=model.device)
    for i in range(_FRAMES):
        rendered = render_edited(model, factors, Edit(pose=poses[i : i + 1]), size=_FILM_SIZE)
        row = on_background(rendered.image, rendered.mask)
        yield np.concatenate(list(to_uint8(row)), axis=1)
