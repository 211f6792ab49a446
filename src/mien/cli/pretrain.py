"""`mien pretrain`: learn a model from unlabelled images and clips."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mien.cli.training import (
    ASSIGNMENT,
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

__all__ = ["app", "detector", "gaze", "latentface", "recognition"]

app = typer.Typer(add_completion=False)

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
    videos in both. Faces are detected; where the images are face crops already, add
    data.detector=none.
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
    and synth:HEAD alone; without them that of WEIGHTS is kept. Faces are detected; where the
    images are face crops already, add data.detector=none.
    """
    from mien.train.config import read_config
    from mien.train.recipes.gaze import check, pretrain
    from mien.train.recipes.gaze_options import GazeTrainConfig

    sources, changes = sort_words(data, words, devices, num_nodes)
    changes += [f"data.crop={crop}"] if crop is not None else []
    changes += [f"init_from={absolute_weights(weights)}"] if weights is not None else []
    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(Method(partial(read_config, GazeTrainConfig), check, pretrain), request)


@app.command()
def recognition(
    words: Words = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or .zip of photographs, one of each person, .parquet of `mien embed`, "
            "video, clips:FOLDER, synth:HEAD."
        ),
    ] = None,
    out: Out = None,
    config: _Config = "",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights that get the network; by default the package's."),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train a network for the face embedding, without labels; export the weights.

    Every photograph is taken for another person; with synth:HEAD it is shown turned, relit and with
    other expressions, where the detector gives landmarks. Every clip shows one person.
    """
    from mien.train.config import read_config
    from mien.train.recipes.recognition import check, pretrain
    from mien.train.recipes.recognition_options import RecognitionTrainConfig

    sources, changes = sort_words(data, words, devices, num_nodes)
    changes += [f"init_from={absolute_weights(weights)}"] if weights is not None else []
    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(Method(partial(read_config, RecognitionTrainConfig), check, pretrain), request)


class _SourcesAfterOptions(TyperCommand):
    """Takes several sources after one --backgrounds, as they may follow one --data."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        inside = False
        for word in args:
            if word.startswith("-"):
                inside = word == "--backgrounds"
            elif inside and spread[-1] != "--backgrounds" and not ASSIGNMENT.match(word):
                spread.append("--backgrounds")
            spread.append(word)
        return super().parse_args(ctx, spread)


@app.command(cls=_SourcesAfterOptions)
def detector(
    words: Words = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or .zip of photographs, .parquet of `mien embed`, video, folder of "
            "`mien synth`."
        ),
    ] = None,
    backgrounds: Annotated[
        list[str] | None,
        typer.Option(help="Folder or .zip of images without faces; several may follow."),
    ] = None,
    out: Out = None,
    config: _Config = "",
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train a small face detector on YuNet's answers, without labels; export it for ONNX Runtime.

    Scenes are made of the faces in DATA and of BACKGROUNDS; YuNet says where it finds faces in
    them, and the network learns that for the scenes turned and cut, too. Where the images are face
    crops already, add data.detector=none.
    """
    from mien.train.config import read_config
    from mien.train.recipes.detector import check, pretrain
    from mien.train.recipes.detector_options import DetectorTrainConfig

    sources, changes = sort_words(data, words, devices, num_nodes)
    request = Request(
        *(out, config, sources, changes, resume, overwrite, device), backgrounds=backgrounds or []
    )
    run_method(Method(partial(read_config, DetectorTrainConfig), check, pretrain), request)
