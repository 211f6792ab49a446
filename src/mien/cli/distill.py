"""`mien distill`: train a small network to give a large one's outputs, on unlabelled faces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

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
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.train.recipes.distill_options import DistillConfig

__all__ = ["app", "encoder", "gaze"]

app = typer.Typer(add_completion=False)

_STUDENTS = ("cnn", "emib")
_Teacher = Annotated[
    str | None, typer.Option("--weights", help="The teacher's weights; by default the package's.")
]
_Steps = Annotated[int | None, typer.Option(help="Length of the training.")]
_Config = Annotated[str, typer.Option(help="small or a YAML file.")]


@app.callback()
def _distill() -> None:
    """Train a small network to give a large one's outputs, on unlabelled faces."""


@app.command()
def gaze(
    words: Words = None,
    student: Annotated[str, typer.Option(help="Kind of network: cnn, emib.")] = "cnn",
    data: EyeData = None,
    out: Out = None,
    weights: _Teacher = None,
    steps: _Steps = None,
    crop: EyeCrop = None,
    config: _Config = "",
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train a small network to give the gaze code, without labels.

    cnn: a convolutional network of about a megabyte; it sees a grey band around the eyes. emib: a
    narrower eye localizer and bottleneck, in a copy of the teacher's weights. Both give the
    teacher's code, so that a calibration fits. At the end: R2 of the code, size, speed. Faces are
    detected; where the images are face crops already, add data.detector=none.
    """
    if student not in _STUDENTS:
        raise MienError(f"--student takes {', '.join(_STUDENTS)}, not {student!r}")
    sources, changes = sort_words(data, words, devices, num_nodes)
    changes += [f"data.crop={crop}"] if crop is not None else []
    changes += _changes(weights, steps)
    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(_cnn() if student == "cnn" else _emib(), request)


def _changes(weights: str | None, steps: int | None) -> list[str]:
    """Return what both commands' options change, as key=value."""
    changes = [f"distill.steps={steps}"] if steps is not None else []
    if weights is not None:
        changes.append(f"distill.teacher={absolute_weights(weights)}")
    return changes


def _cnn() -> Method:
    from mien.train.recipes.distill import check, distill

    return Method(_load, check, distill)


def _emib() -> Method:
    from mien.train.config import read_config
    from mien.train.recipes.distill_emib import check, distill
    from mien.train.recipes.distill_emib_options import DistillEmibConfig

    return Method(partial(read_config, DistillEmibConfig), check, distill)


@app.command()
def encoder(
    words: Words = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or .zip of photographs, .parquet of `mien embed`, video, clips:FOLDER, "
            "synth:HEAD."
        ),
    ] = None,
    out: Out = None,
    weights: _Teacher = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the student's first convolution.")
    ] = None,
    steps: _Steps = None,
    config: _Config = "",
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Devices = None,
    num_nodes: Nodes = None,
) -> None:
    """Train narrower encoders to read what the teacher reads off faces, without labels.

    The weights that are exported are the teacher's with these encoders: the same factors in the
    same units, in a fraction of the time. At the end: how near they come on people held out.
    """
    sources, changes = sort_words(data, words, devices, num_nodes)
    changes += [f"distill.encoder_width={width}"] if width is not None else []
    changes += _changes(weights, steps)
    from mien.train.config import read_config
    from mien.train.recipes.distill_encoder import check, distill
    from mien.train.recipes.distill_encoder_options import EncoderDistillConfig

    request = Request(out, config, sources, changes, resume, overwrite, device)
    run_method(Method(partial(read_config, EncoderDistillConfig), check, distill), request)


def _load(name: str, changes: Sequence[str]) -> DistillConfig:
    """Return the configuration; the code is as long as the teacher's unless it is given."""
    from dataclasses import replace

    from mien.train.config import read_config
    from mien.train.recipes.distill import load_teacher
    from mien.train.recipes.distill_options import DistillConfig

    config = read_config(DistillConfig, name, changes)
    if any(change.startswith("student.code_dim=") for change in changes):
        return config
    branch = load_teacher(config.distill.teacher).config.gaze
    assert branch is not None
    return replace(config, student=replace(config.student, code_dim=branch.code_dim))
