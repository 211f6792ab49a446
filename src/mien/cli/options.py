"""Options that several commands have, each worded once."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Detector", "Device", "Overwrite", "Weights"]

Detector = Annotated[
    str, typer.Option(help="auto, mien, yunet or haar; none: images are face crops.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps; it must be there.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
Weights = Annotated[
    str | None, typer.Option(help="Folder, file or hub:owner/name; else the shipped ones.")
]
