"""`mien view`: faces in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.options import Detector, Device, Weights
from mien.cli.terminal import show

__all__ = ["view"]


def view(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[INPUT]...", help="Images, videos, folders; one faces.parquet."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Folder of the table's images; else the table's own."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="By mien calibrate: shows where faces look."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
    weights: Weights = None,
    device: Device = "cpu",
    detector: Detector = "auto",
) -> None:
    """Look at faces in a browser: turned and relit in 3D, compared, a table as a cloud of points.

    The page is served on this machine only, under an address that holds a token; what it is
    given leaves it for nowhere else, and nothing is kept. Ctrl-C stops it. More: docs/view.md.
    """
    from mien.serve.options import ServeOptions
    from mien.serve.view import view as run

    # The page asks for an image for each point that is hovered over.
    given: dict[str, Any] = {"weights": weights, "device": device, "detector": detector}
    options = ServeOptions(port=port, rate=1000.0, burst=2000, **given)

    def ready(url: str, opened: bool) -> None:
        what = "opened in the browser" if opened else "open it in a browser"
        show(f"{url} ({what}; Ctrl-C stops)")

    run(
        inputs or [],
        options,
        images=images,
        calibration=calibration,
        browser=browser,
        ready=ready,
    )
