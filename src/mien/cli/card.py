"""`mien card`: what a model is, and whether it was trained on given images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.terminal import say, show
from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["card"]


def card(
    weights: Annotated[
        str | None,
        typer.Argument(help="A folder of weights or hub:owner/name; else the shipped ones."),
    ] = None,
    has: Annotated[
        list[str] | None,
        typer.Option("--has", help="Image, video, folder or .zip to look for; may be repeated."),
    ] = None,
) -> None:
    """Print the model card; or, with --has, which of your files the model was trained on.

    Files are recognized by the checksum of their content, whatever their names; an image that was
    cropped or saved again is another file.
    """
    from mien import weights as weights_folder

    where = weights_folder.shipped_folder() if weights is None else weights
    if not has:
        text = weights_folder.read_card(where) or "no card was written with these weights"
        show(text)
        return
    known = weights_folder.trained_on(where)
    if not known:
        raise MienError(f"{where} has no list of the images that it was trained on")
    _look_for(has, known)


def _look_for(given: list[str], known: frozenset[str]) -> None:
    """Print each file that is known."""
    from mien.data.provenance import hashes
    from mien.data.sources import find_sources

    count = found = 0
    for piece, hashed in hashes(find_sources(given).pieces):
        count += 1
        if hashed in known:
            found += 1
            show(to_text(Path(piece.file, piece.member)))
    say(f"{found:,} of {count:,} files were trained on")
