"""`mien embed`: images and video in, a table of factors out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from mien.cli.options import Device, Overwrite, Weights
from mien.cli.progress import ProgressDisplay
from mien.cli.signals import exit_code
from mien.cli.terminal import say, show
from mien.embedding.options import EmbedOptions, help_of
from mien.errors import MienError
from mien.media.names import to_text

if TYPE_CHECKING:
    from mien.embedding.summary import Summary

__all__ = ["app", "embed"]

_PRINT = "print the columns"


class _Embed(TyperCommand):
    """The command's line, in which --schema may stand without a name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        words = list(args)
        for place in range(end - 1, -1, -1):
            last = place + 1 == end or args[place + 1].startswith("-")
            if args[place] == "--schema" and last:
                words.insert(place + 1, _PRINT)
        return super().parse_args(ctx, words)


app = typer.Typer(add_completion=False)


@app.command(cls=_Embed)
def embed(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Images, videos, folders (searched to the bottom), globs; or addresses: s3://...",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="The table to write: .parquet, .feather, .csv or .jsonl; FOLDER/: in parts there.",
        ),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(show_default="auto", help=help_of("detector"))
    ] = None,
    crop: Annotated[str, typer.Option(help=help_of("crop"))] = EmbedOptions.crop,
    calibration: Annotated[Path | None, typer.Option(help=help_of("calibration"))] = None,
    probe: Annotated[list[Path] | None, typer.Option(help=help_of("probes"))] = None,
    features: Annotated[bool, typer.Option("--features", help=help_of("features"))] = False,
    device: Device = "cpu",
    batch_size: Annotated[
        int, typer.Option(min=1, help=help_of("batch_size"))
    ] = EmbedOptions.batch_size,
    every: Annotated[int | None, typer.Option(min=1, help=help_of("every"))] = None,
    fps: Annotated[float | None, typer.Option(help=help_of("fps"))] = None,
    min_score: Annotated[float | None, typer.Option(help=help_of("min_score"))] = None,
    min_size: Annotated[float | None, typer.Option(help=help_of("min_size"))] = None,
    weights: Weights = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only this of N parts of the inputs, I from 0 to N - 1; then mien table merge.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="On a Ray cluster: auto, HOST:PORT, or local for one on this machine.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Overwrite = False,
    schema: Annotated[
        str, typer.Option(metavar="[NAME]", help=help_of("schema"))
    ] = EmbedOptions.schema,
) -> None:
    """Embed faces: one row per face per frame, with identity, expression, pose, light and gaze.

    What cannot be read becomes a row with the reason. --resume continues an interrupted run.
    """
    if schema == _PRINT:
        _print_schema()
        return
    if not inputs:
        raise MienError("no INPUT is given; name images, videos or folders")
    if out is None:
        raise MienError("no table is named; give --out FILE.parquet")
    try:
        options = EmbedOptions(
            detector=detector,
            batch_size=batch_size,
            every=every,
            fps=fps,
            min_score=min_score,
            min_size=min_size,
            crop=crop,
            calibration=calibration,
            probes=tuple(probe or ()),
            features=features,
            schema=schema,
        )
        summary = _run(inputs, out, options, (weights, device), (overwrite, resume, shard, ray))
    except KeyboardInterrupt as error:
        say(f"stopped; {_where_it_stands(out)}")
        raise typer.Exit(exit_code(error)) from None
    say(*summary.lines())


def _run(
    inputs: list[str],
    out: str,
    options: EmbedOptions,
    model_options: tuple[str | None, str],
    begin_options: tuple[bool, bool, str | None, str | None],
) -> Summary:
    from mien.embedding.listing import check_shard
    from mien.embedding.parts import PartsFolder, embed_to_parts, is_folder
    from mien.embedding.remote_job import job_folder
    from mien.embedding.run import embed_to_parquet

    overwrite, resume, shard, ray = begin_options
    # Before the weights are read, which takes seconds.
    folder = PartsFolder(out) if is_folder(out) else job_folder(out)
    folder.refuse(overwrite=overwrite, resume=resume)
    check_shard(shard, out, options)
    weights, device = model_options
    if ray is not None:
        if shard is not None:
            raise MienError("--ray makes shards of its own: leave --shard out")
        return _run_on_ray(inputs, out, options, (ray, weights, device), (overwrite, resume))
    from mien.pipeline.encode import open_encoder

    model = open_encoder(weights, device=device, eyes_only=options.eyes_only)
    begin: Any = {"overwrite": overwrite, "resume": resume}
    with ProgressDisplay() as show:
        begin |= {"model": model, "options": options, "on_progress": show}
        if is_folder(out):
            return embed_to_parts(inputs, out, **begin)
        return embed_to_parquet(inputs, out, shard=shard, **begin)


def _run_on_ray(
    inputs: list[str],
    out: str,
    options: EmbedOptions,
    cluster: tuple[str, str | None, str],
    begin_options: tuple[bool, bool],
) -> Summary:
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    overwrite, resume = begin_options
    with ProgressDisplay() as show:
        return embed_on_ray(
            inputs,
            out,
            ray=RayOptions(*cluster),
            options=options,
            overwrite=overwrite,
            resume=resume,
            on_progress=show,
        )


def _where_it_stands(out: str) -> str:
    from mien.embedding.parts import is_folder
    from mien.embedding.remote_job import job_folder

    kept = f"what is finished is kept: the same command with --resume continues {to_text(out)}"
    try:
        return kept if is_folder(out) or job_folder(out).is_begun() else "nothing was begun"
    except MienError:  # of an address where nobody answers
        return kept


def _print_schema() -> None:
    from mien.table.schema import describe_columns

    show(*describe_columns())
