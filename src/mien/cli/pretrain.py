"""`mien pretrain`: learn a model from unlabelled images and clips."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from mien.cli.training import (
    Device,
    Devices,
    EyeCrop,
    EyeData,
    Method,
    Nodes,
    Out,
    Overwrite,
    Request,
    Resume,
    Words,
    absolute_weights,
    run_method,
    sort_words,
)

__all__ = ["app", "gaze", "latentface"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

_Config = Annotated[str, typer.Option(help="small, paper or a YAML file.")]


@app.callback()
def _pretrain() -> None:
    """Learn a model from unlabelled images and clips."""


@app.command()
def latentface(
    words: Words = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, .zip, .parquet of `mien embed`, video, clips:FOLDER or synth:HEAD."
        ),
    ] = None,
    out: Out = None,
    config: _Config = "",
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train the 3D-aware autoencoder, then the neutral codes of clips; export the weights.

    Several sources may follow one --data. Stills are used in the first stage alone, clips and
    videos in both.
    """
    from mien.train.config import load_config
    from mien.train.recipes.latentface import check, pretrain

    sources, changes = sort_words(data, words, devices, num_nodes)
    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(Method(load_config, check, pretrain), request)


@app.command()
def gaze(
    words: Words = None,
    data: EyeData = None,
    out: Out = None,
    crop: EyeCrop = None,
    config: _Config = "",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights that get the gaze branch; by default the package's."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train the eye localizer, then EM-IB, without gaze labels; export the weights.

    Several sources may follow one --data. The eye localizer is trained on folders of `mien synth`
    and synth:HEAD alone; without them that of WEIGHTS is kept.
    """
    from mien.train.config import read_config
    from mien.train.recipes.gaze import check, pretrain
    from mien.train.recipes.gaze_options import GazeTrainConfig

    sources, changes = sort_words(data, words, devices, num_nodes)
    changes += [f"data.crop={crop}"] if crop is not None else []
    changes += [f"init_from={absolute_weights(weights)}"] if weights is not None else []
    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(Method(partial(read_config, GazeTrainConfig), check, pretrain), request)
