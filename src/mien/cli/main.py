"""`mien`: the table of commands; each is imported only when it is called.

Every command lives in the module of its own name, as a function of its own name or as a
`typer.Typer` named `app` where it has commands below it. Whatever a user does wrong ends here as
one line on stderr.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import mien
from mien.cli.signals import exit_code
from mien.cli.terminal import one_line, say, show, stop_output
from mien.errors import MienError
from mien.extras import missing_line
from mien.media.faults import fault

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "embed": "Images and video to a table of factors, one row a face.",
    "render": "Render a face again: frontal, rotated, relit, with another expression, as a mesh.",
    "calibrate": "Learn what gaze codes mean in degrees, from few samples.",
    "probe": "Learn what any column of labels is in the codes, from few rows.",
    "verify": "Compare two faces: similarity, threshold, false match rate.",
    "search": "Find faces like this one among a million; find who is who.",
    "view": "Look at faces in a browser: in 3D, compared, a whole table of them.",
    "serve": "Answer requests of programs and pages on this machine.",
    "eval": "Measure weights or a table by published protocols, with a report.",
    "pretrain": "Learn a model from unlabelled images and clips.",
    "distill": "Train a small network to give the same codes.",
    "synth": "Render labelled clips of made-up people.",
    "export": "Write a model as ONNX, OpenVINO or torch graphs, compared with torch.",
    "card": "What a model is, and whether it was trained on your images.",
    "table": "Merge the tables of several machines; inspect and convert tables.",
    "forget": "Take people out of a table of faces.",
    "download": "Fetch the face detector YuNet.",
    "demo": "Show the factors of the shipped faces.",
    "doctor": "Check versions, devices, detectors, kernels and weights.",
}

_USAGE_ERROR = 2


class _Interrupted(Exception):
    """Ctrl-C or another signal, which typer would turn into an exit code without a word."""

    def __init__(self, error: KeyboardInterrupt) -> None:
        super().__init__()
        self.code = exit_code(error)


class _LazyCommands(TyperGroup):
    """Lists commands from the table; imports one only to run it or to show its own help."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Interrupted(error) from error

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
    if sys.flags.optimize > 1:
        _restore_docstrings(module)
    app = getattr(module, "app", None)
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name, help=None)(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command


def _restore_docstrings(module: ModuleType) -> None:
    """Give functions the help texts that `python -OO` has dropped."""
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            getattr(module, node.name).__doc__ = ast.get_docstring(node)


_app = typer.Typer(
    cls=_LazyCommands,
    name="mien",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        show(f"mien {mien.__version__}")
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


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code: 0 done, 1 a check failed or an unforeseen error, 2 bad input or a fault of
        the machine (no space, no permission), 130 interrupted, 143 and 129 stopped by SIGTERM and
        SIGHUP.
    """
    words, debug = _take_debug(list(arguments))
    words = words or ["--help"]
    try:
        code = typer.main.get_command(_app).main(words, prog_name="mien", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
        if debug:
            traceback.print_exception(error)
        code, line = _explain(error)
        _leave(line)
        return code
    return code if isinstance(code, int) else 0


def _leave(line: str) -> None:
    """Print the last line, if there is one, and see that nothing is left to fail at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        stop_output()
    if line:
        say(line)


def _take_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take --debug out of the words before a `--`, wherever it stands."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _explain(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the one line that a person is shown; no line where none is due."""
    name, text = type(error).__name__, one_line(error) or type(error).__name__
    match error:
        case typer.Exit():
            answer = error.exit_code, ""
        case _Interrupted():
            answer = error.code, "interrupted"
        case KeyboardInterrupt() | typer.Abort():
            answer = exit_code(error), "interrupted"
        case MienError():
            answer = _USAGE_ERROR, f"error: {text}"
        case BrokenPipeError():  # whoever read our output has left
            answer = 1, ""
        case _ if _is_memory(error):
            answer = _USAGE_ERROR, f"error: not enough memory; give less at a time ({text})"
        case OSError(errno=int()):
            answer = _USAGE_ERROR, f"error: {_fault(error)}"
        case ModuleNotFoundError() if missing := missing_line(error):
            answer = _USAGE_ERROR, f"error: {missing}"
        case _ if hasattr(error, "format_message"):
            answer = _misuse(error)
        case _:
            answer = 1, f"error: {name}: {text} (unforeseen; run again with --debug)"
    return answer


def _is_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch says so in words on the CPU."""
    named = type(error).__name__ == "OutOfMemoryError"
    return named or isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _misuse(error: Any) -> tuple[int, str]:
    """Explain a command line that could not be read."""
    path = getattr(getattr(error, "ctx", None), "command_path", None) or "mien"
    return _USAGE_ERROR, f"error: {one_line(error.format_message())} (see {path} --help)"


def _fault(error: OSError) -> str:
    """Name the file that the system refused and what can be done."""
    where = f": {one_line(error.filename)}" if error.filename is not None else ""
    reason, _, cure = fault(error).partition("; ")
    return f"{reason.lower()}{where}" + (f"; {cure}" if cure else "")
