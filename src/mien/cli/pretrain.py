"""`mien pretrain`: learn a model from unlabelled pictures and clips."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.errors import MienError

if TYPE_CHECKING:
    from mien.train.options import TrainConfig
    from mien.train.run_folder import RunFolder

__all__ = ["app", "latentface"]

app = typer.Typer(add_completion=False, no_args_is_help=True)

_ASSIGNMENT = re.compile(r"[a-z][a-z0-9_.]*=")
# What may be changed on --resume: it decides how the run is watched, not what it computes.
_FREE = frozenset(
    [
        "loop.keep",
        "loop.tensorboard",
        "loop.sheet_every",
        "loop.checkpoint_every",
        "data.workers",
        "data.cache",
    ]
)


@app.callback()
def _pretrain() -> None:
    """Learn a model from unlabelled pictures and clips."""


@app.command()
def latentface(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Options to change; further data."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, .zip, .parquet of `mien embed`, video, clips:FOLDER or synth:HEAD."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    config: Annotated[str, typer.Option(help="small, paper or a YAML file.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in OUT.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[int | None, typer.Option(help="Processes on each machine.")] = None,
    num_nodes: Annotated[int | None, typer.Option(help="Machines.")] = None,
) -> None:
    """Train the 3D-aware autoencoder, then the neutral codes of clips; export the weights.

    Several sources may follow one --data. Stills serve the first stage, clips and videos both.
    """
    if out is None:
        raise MienError("no folder for the run; give --out RUN")
    sources = list(data or [])
    changes = []
    for word in words or []:
        (changes if _ASSIGNMENT.match(word) else sources).append(word)
    changes += [f"loop.devices={devices}"] if devices is not None else []
    changes += [f"loop.num_nodes={num_nodes}"] if num_nodes is not None else []

    resolved, run = _prepare(
        out, config, sources, changes, resume=resume, overwrite=overwrite, device=device
    )
    _train(resolved, run, device)


def _prepare(
    out: Path,
    name: str,
    sources: list[str],
    changes: list[str],
    *,
    resume: bool,
    overwrite: bool,
    device: str,
) -> tuple[TrainConfig, RunFolder]:
    """Check everything that can be wrong before the run folder is touched."""
    from dataclasses import replace

    from mien.data.sources import absolute, find_sources
    from mien.train.config import load_config, to_yaml
    from mien.train.engine import check_device
    from mien.train.run_folder import RunFolder, is_first_process, write_text

    saved = out / "config.yaml"
    going_on = resume and saved.is_file()
    fallback = str(saved) if going_on else "small"
    resolved = load_config(name or fallback, changes)
    if sources:
        given = tuple(absolute(source) for source in sources)
        resolved = replace(resolved, data=replace(resolved.data, sources=given))
    elif name and going_on:
        kept = load_config(str(saved)).data.sources
        resolved = replace(resolved, data=replace(resolved.data, sources=kept))
    if going_on:
        _refuse_changes(load_config(str(saved)), resolved, out)
    find_sources(resolved.data.sources)
    check_device(device)
    run = RunFolder.open(out, resume=resume, overwrite=overwrite)
    if is_first_process():
        write_text(run.config, to_yaml(resolved))
    return resolved, run


def _refuse_changes(before: TrainConfig, now: TrainConfig, out: Path) -> None:
    from mien.train.config import differences

    changed = [name for name in differences(before, now) if name not in _FREE]
    if changed:
        raise MienError(
            f"--resume cannot change {', '.join(changed)} of the run in {out}; "
            "leave that out, or start anew with --overwrite"
        )


def _train(config: TrainConfig, run: RunFolder, device: str) -> None:
    from mien.train.interrupt import Interrupted
    from mien.train.latentface import pretrain
    from mien.train.run_folder import is_first_process

    first = is_first_process()
    try:
        pretrain(
            config,
            data=list(config.data.sources),
            run=run,
            device=device,
            echo=print if first else _nothing,
        )
    except Interrupted as stop:
        if first:
            print(stop, file=sys.stderr)
        raise typer.Exit(128 + stop.number) from stop


def _nothing(line: str) -> None:
    """Say nothing: another process speaks for all."""
