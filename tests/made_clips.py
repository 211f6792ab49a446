"""A folder of rendered clips for tests, written in one call."""

from __future__ import annotations

from pathlib import Path

from mien.synth.head_model import HeadModel
from mien.synth.writer import SynthConfig, clip_writer


def write_clips(
    head: HeadModel,
    config: SynthConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    device: str = "cpu",
) -> Path:
    """Return the path of labels.parquet."""
    for _ in clip_writer(head, config, folder, overwrite=overwrite, device=device):
        pass
    return folder / "labels.parquet"
