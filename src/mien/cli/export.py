"""`mien export`: a model as files that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Overwrite, Weights
from mien.cli.terminal import say, show

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["export"]

_MOST_CROPS = 256


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    form: Annotated[
        str, typer.Option("--format", help="onnx, openvino or torch (torch.export's .pt2).")
    ] = "onnx",
    weights: Weights = None,
    crops: Annotated[
        list[Path] | None,
        typer.Option(
            help="Face crops to compare with torch on, at most 256: files, folders, globs; "
            "repeat it. Else the shipped clips."
        ),
    ] = None,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Weights of ONNX in a file beside the graph.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="The ONNX graph gaze in 8 bits; others would lose.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the encoder whole, and its face, localizer, gaze and decoder networks one by one.

    Each graph takes any number of rows. Before anything is written each is run on face crops and
    compared with torch; the largest differences are printed and stored in the file, beside the
    weights' checksum.
    """
    from mien import weights as weights_folder
    from mien.exporting.files import check_format, export as write, files_of
    from mien.exporting.parts import parts_of
    from mien.media.outputs import check_outputs
    from mien.model import load

    check_format(form, external_data=external_data, int8=int8)
    where = weights_folder.shipped_folder() if weights is None else weights
    model = load(where, engine="torch")
    names = ("encoder", "face", "decoder", *(("localizer", "gaze") if model.gaze else ()))
    every = files_of(names, out, form, external_data=external_data)
    check_outputs([path for each in every for path in each], overwrite=overwrite)
    given = _read(crops, model.crop_size, one_in=1 if int8 else 4)
    done = write(
        parts_of(model, given),
        out,
        form,
        weights_sha256=weights_folder.checksum(where),
        external_data=external_data,
        int8=int8,
        overwrite=overwrite,
    )
    if model.gaze is None:
        say("no gaze branch in these weights: no localizer, no gaze")
    show(f"largest differences to torch over {len(given)} crops:")
    for each in done:
        differences = ", ".join(f"{k} {v:.1e}" for k, v in each.parity.items())
        kind = " (int8, over the half that gave no ranges)" if each.kept_float == "" else ""
        show(f"{each.path}{kind}: {differences}")
        if each.kept_float:
            say(f"{each.path.name} stays in floating point: {each.kept_float}")


def _read(crops: list[Path] | None, size: int, *, one_in: int) -> Tensor:
    """Return at least two face crops in [0, 1]: those given, or one in `one_in` shipped frames.

    [B, 3, size, size].
    """
    import torch

    from mien.batch import read_crops
    from mien.demo import shipped_clips
    from mien.errors import MienError
    from mien.media.inputs import expand
    from mien.pipeline.portrait import read_clip

    if crops:
        found = [each.full_path for each in expand(crops) if each.kind == "image"]
        if len(found) < 2:
            raise MienError("give at least two --crops: one is run alone, the others together")
        return read_crops(found[:: -(-len(found) // _MOST_CROPS)], size)
    clips = sorted(shipped_clips().glob("*.mp4"))
    every = [read_clip(clip, detector="none", size=size)[::one_in] for clip in clips]
    return torch.cat(every).float() / 255
