"""`mien demo`: look at the factors of the shipped faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Detector, Device, Overwrite, Weights
from mien.cli.terminal import show
from mien.media.names import to_text

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(
        "demo_out"
    ),
    clips: Annotated[
        Path | None,
        typer.Option("--clips", help="Your own folder of clips; else the shipped ones."),
    ] = None,
    detector: Detector = "none",
    weights: Weights = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Embed the shipped clips with the shipped weights, and render what was found.

    Writes faces.parquet (the table), faces.png (one row a face, one column a factor) and
    turntable.mp4.
    """
    import time

    from mien.demo import run_demo
    from mien.model import load

    start = time.monotonic()
    model = load(weights, device=device)
    files = run_demo(out, model=model, clips=clips, detector=detector, overwrite=overwrite)
    for path, what in files.items():
        show(f"{to_text(path)}  {what}")
    show(f"done in {time.monotonic() - start:.0f} s")
