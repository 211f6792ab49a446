"""`mien download`: files that mien can use and does not bring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.terminal import show
from mien.media.names import to_text

__all__ = ["app", "yunet"]

app = typer.Typer(add_completion=False)


@app.callback()
def _download() -> None:
    """Fetch files that mien can use and does not bring."""


@app.command()
def yunet(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A copy of the file, for machines without network."),
    ] = None,
) -> None:
    """Fetch the face detector YuNet (230 KB, MIT) into the cache folder.

    Its address and SHA-256 are pinned. Commands whose --detector is auto use it from then on. The
    folder is MIEN_CACHE, else ~/.cache/mien; MIEN_OFFLINE=1 forbids the network.
    """
    from mien.faces.download import download_yunet

    place, written = download_yunet(source)
    show(f"{to_text(place)}: {'written' if written else 'was there already'}")
