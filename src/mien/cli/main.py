"""`mien`: the table of commands; each is imported only when it is called.

Every command lives in the module of its own name, as a function of its own name or as a
`typer.Typer` named `app` where it has commands below it. Whatever a user does wrong ends here as
one line on stderr.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import mien
from mien.errors import MienError

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = {
    "embed": "Images and video to a table of factors, one row a face.",
    "render": "Render a face again: frontal, rotated, relit, with another expression, as a mesh.",
    "calibrate": "Learn what gaze codes mean in degrees, from few samples.",
    "probe": "Learn what any column of labels is in the codes, from few rows.",
    "eval": "Measure weights or a table by published protocols, with a report.",
    "pretrain": "Learn a model from unlabelled images and clips.",
    "distill": "Train a small network to give the same codes.",
    "synth": "Render labelled clips of made-up people.",
    "card": "What a model is, and whether it was trained on your images.",
    "forget": "Take people out of a table of faces.",
    "demo": "Show the factors of the shipped faces.",
    "doctor": "Check versions, devices, detectors, kernels and weights.",
}

_USAGE_ERROR = 2
_INTERRUPTED = 130


class _LazyCommands(TyperGroup):
    """Lists commands from the table; imports one only to run it or to show its own help."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return _stub(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _load(name), rest


def _stub(name: str) -> Any:
    """Return a command that has only its line in the list."""
    app = typer.Typer(add_completion=False)
    app.command(name, help=COMMANDS[name])(lambda: None)
    return typer.main.get_command(app)


def _load(name: str) -> Any:
    """Import the module of a command and build it."""
    module = importlib.import_module(f"mien.cli.{name}")
    app = getattr(module, "app", None)
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name, help=None)(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command


_app = typer.Typer(
    cls=_LazyCommands,
    name="mien",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"mien {mien.__version__}")
        raise typer.Exit


@_app.callback()
def _mien(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """What a face is made of: identity, expression, shape, texture, pose, light."""


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    # Before torch is imported: its threads else wait for work by spinning, and take the processors
    # from those that read and detect (22 s of processor time in place of 13 for 100 images).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code: 0 done, 1 a check failed or an unforeseen error, 2 bad input or a fault of
        the machine (no space, no permission), 130 interrupted.
    """
    words, debug = _take_debug(list(arguments))
    words = words or ["--help"]
    try:
        code = typer.main.get_command(_app).main(words, prog_name="mien", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
        if debug:
            traceback.print_exception(error)
        code, line = _explain(error)
        if line:
            print(line, file=sys.stderr)
        return code
    return code if isinstance(code, int) else 0


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take --debug out of the words before a `--`, wherever it stands."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _explain(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the one line that a person is shown; no line where none is due."""
    name, text = type(error).__name__, _one_line(error)
    match error:
        case typer.Exit():
            answer = error.exit_code, ""
        case KeyboardInterrupt() | typer.Abort():
            answer = _INTERRUPTED, "interrupted"
        case MienError():
            answer = _USAGE_ERROR, f"error: {text}"
        case BrokenPipeError():
            # Whoever read our output has left; the interpreter must not write to it when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            answer = 1, ""
        case OSError(errno=int()):
            answer = _USAGE_ERROR, f"error: {_fault(error)}"
        case _ if hasattr(error, "format_message"):
            answer = _misuse(error)
        case _:
            answer = 1, f"error: {name}: {text} (unforeseen; run again with --debug)"
    return answer


def _misuse(error: Any) -> tuple[int, str]:
    """Explain a command line that could not be read."""
    path = getattr(getattr(error, "ctx", None), "command_path", None) or "mien"
    return _USAGE_ERROR, f"error: {_one_line(error.format_message())} (see {path} --help)"


def _fault(error: OSError) -> str:
    """Name the file that the system refused and what can be done."""
    what = (error.strerror or str(error)).lower()
    where = f": {error.filename}" if error.filename is not None else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{where}; free some and run again"
    return f"{what}{where}"


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()
