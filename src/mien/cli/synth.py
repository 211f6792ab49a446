"""`mien synth`: render labelled clips of made-up people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.terminal import show
from mien.media.names import to_text

__all__ = ["synth"]


def synth(
    head_model: Annotated[
        str,
        typer.Option(
            "--head-model",
            help="ICT-FaceKit's FaceXModel folder or an .npz of it; `toy` needs no download.",
        ),
    ],
    identities: Annotated[int, typer.Option("--identities", help="Number of people.")],
    frames: Annotated[int, typer.Option("--frames", help="Images of each person.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    size: Annotated[int, typer.Option("--size", help="Side of the images, pixels.")] = 128,
    seed: Annotated[int, typer.Option("--seed", help="Other seeds give other people.")] = 0,
    image_format: Annotated[str, typer.Option("--format", help="png or jpg.")] = "png",
    gaze: Annotated[
        str, typer.Option("--gaze", help="natural: mostly ahead; wide: anywhere within 25 degrees.")
    ] = "natural",
    light: Annotated[
        str,
        typer.Option(
            "--light",
            help="natural: half of the clips keep their lamp; changing: none does; hard: none "
            "does, and shadows may be nearly black.",
        ),
    ] = "natural",
    turns: Annotated[
        str,
        typer.Option("--turns", help="natural: heads turn by up to 45 degrees; wide: up to 75."),
    ] = "natural",
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")
    ] = False,
) -> None:
    """Render clips of people who do not exist, with the ground truth of every image.

    Writes person_000001/frame_000.png and so on, beside them truth.zip with depth and masks, and
    labels.parquet with expression, pose, gaze, light, landmarks and identity. Start it again with
    the same settings to resume a run that was interrupted.
    """
    from rich.console import Console
    from rich.progress import track

    from mien.media.folder import only_writer
    from mien.synth.head_model import load_head_model
    from mien.synth.toy import toy_head
    from mien.synth.writer import SynthConfig, clip_writer

    words: Any = (image_format, gaze, light, turns)  # checked there
    config = SynthConfig(identities, frames, size, seed, *words)
    head = toy_head() if head_model == "toy" else load_head_model(head_model)
    console = Console(stderr=True)
    shown = {"console": console, "transient": True, "disable": not console.is_terminal}
    with only_writer(out):
        writer = clip_writer(head, config, out, overwrite=overwrite, device=device)
        for _ in track(writer, "rendering", total=identities, **shown):
            pass
    show(f"{identities * frames} images of {identities} people in {to_text(out)}")
