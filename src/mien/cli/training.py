"""What the commands that train have in common: options, the run folder, how a run ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.terminal import say, show
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.train.run_folder import RunFolder

__all__ = [
    "ASSIGNMENT",
    "Device",
    "Devices",
    "EyeCrop",
    "EyeData",
    "Method",
    "Nodes",
    "Out",
    "Overwrite",
    "Request",
    "Resume",
    "Words",
    "absolute_weights",
    "run_method",
    "sort_words",
]

ASSIGNMENT = re.compile(r"[a-z][a-z0-9_.]*=")
"""How KEY=VALUE starts."""
# What may be changed on --resume: it decides how the run is watched, not what it computes.
_FREE = frozenset(
    [
        "loop.keep_last",
        "loop.tensorboard",
        "loop.log_images_every",
        "loop.checkpoint_every",
        "data.workers",
        "data.cache",
    ]
)

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Options to change; further data."),
]
EyeData = Annotated[
    list[str] | None,
    typer.Option(
        help="Folder, .zip, .parquet of `mien embed`, video, clips:FOLDER, synth:HEAD; "
        "eyes:SOURCE for wide eye-region crops."
    ),
]
EyeCrop = Annotated[
    str | None,
    typer.Option(help="face, or eyes: every image is an eye-region crop with both eyes."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in OUT.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in OUT.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Devices = Annotated[int | None, typer.Option(help="Processes on each machine.")]
Nodes = Annotated[int | None, typer.Option(help="Machines.")]


@dataclass(frozen=True)
class Method:
    """What is trained: how its options are read, checked and used."""

    load: Callable[[str, Sequence[str]], Any]
    """Name of a preset or a file, and key=value changes => configuration."""
    check: Callable[[Any], None]
    """Refuses what a run cannot be made of."""
    train: Callable[..., Path]
    """Takes the configuration, data, run, device and echo."""


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    out: Path | None
    config: str
    sources: list[str]
    changes: list[str]
    resume: bool
    overwrite: bool
    device: str
    backgrounds: list[str] = field(default_factory=list)


def sort_words(
    data: list[str] | None, words: list[str] | None, devices: int | None, num_nodes: int | None
) -> tuple[list[str], list[str]]:
    """Return sources and key=value changes."""
    sources, changes = list(data or []), []
    for word in words or []:
        (changes if ASSIGNMENT.match(word) else sources).append(word)
    changes += [f"loop.devices={devices}"] if devices is not None else []
    changes += [f"loop.num_nodes={num_nodes}"] if num_nodes is not None else []
    return sources, changes


def absolute_weights(weights: str) -> str:
    """Return weights so that they mean the same in another working folder; names stay."""
    from mien.weights import SHIPPED

    named = weights in SHIPPED or not Path(weights).exists()
    return weights if named else str(Path(weights).absolute())


def run_method(method: Method, request: Request) -> None:
    """Check everything that can be wrong, open the run folder, train.

    Raises:
        MienError: what was asked for cannot be done; the run folder is as it was.
        typer.Exit: the run was interrupted.
    """
    if request.out is None:
        raise MienError("no folder for the run; give --out RUN")
    config = _resolve(method, request, request.out)
    with ExitStack() as stack:
        run = _open(config, request, request.out, stack)
        _train(method, config, run, request.device)


def _resolve(method: Method, request: Request, out: Path) -> Any:
    """Return the configuration, checked; nothing is written."""
    from mien.data.sources import absolute
    from mien.train.engine import check_device, choose_precision

    saved = out / "config.yaml"
    resuming = request.resume and saved.is_file()
    fallback = str(saved) if resuming else "small"
    resolved = method.load(request.config or fallback, request.changes)
    for name, sources in (("sources", request.sources), ("backgrounds", request.backgrounds)):
        if sources:
            given = tuple(absolute(source) for source in sources)
            resolved = replace(resolved, data=replace(resolved.data, **{name: given}))
        elif request.config and resuming and hasattr(resolved.data, name):
            kept = getattr(method.load(str(saved), ()).data, name)
            resolved = replace(resolved, data=replace(resolved.data, **{name: kept}))
    before = method.load(str(saved), ()) if resuming else None
    if resolved.loop.precision == "auto":
        kept = before.loop.precision if before else "auto"
        precision = choose_precision(kept, request.device)
        resolved = replace(resolved, loop=replace(resolved.loop, precision=precision))
    if before is not None:
        _refuse_changes(before, resolved, out)
    method.check(resolved)
    check_device(request.device)
    return resolved


def _open(config: Any, request: Request, out: Path, stack: ExitStack) -> RunFolder:
    """Open the folder of the run for this run alone, until the stack is closed."""
    from mien.media.atomic import write_text
    from mien.media.folder import only_writer
    from mien.train.config import to_yaml
    from mien.train.run_folder import RunFolder, is_first_process

    if is_first_process():
        stack.enter_context(only_writer(out))
    run = RunFolder.open(out, resume=request.resume, overwrite=request.overwrite)
    if is_first_process():
        write_text(run.config, to_yaml(config))
    return run


def _refuse_changes(before: Any, now: Any, out: Path) -> None:
    from mien.train.config import differences

    changed = [name for name in differences(before, now) if name not in _FREE]
    if changed:
        raise MienError(
            f"--resume cannot change {', '.join(changed)} of the run in {out}; "
            "leave that out, or start anew with --overwrite"
        )


def _train(method: Method, config: Any, run: RunFolder, device: str) -> None:
    from mien.train.process import Interrupted
    from mien.train.run_folder import is_first_process

    first = is_first_process()
    try:
        method.train(
            config,
            data=list(config.data.sources),
            run=run,
            device=device,
            echo=show if first else _nothing,
        )
    except Interrupted as stop:
        if first:
            say(str(stop))
        raise typer.Exit(128 + stop.number) from stop


def _nothing(line: str) -> None:
    """Print nothing: another process prints for all."""
