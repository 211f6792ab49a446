"""`mien eval`: a data set in its official layout in, named numbers with intervals out."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Device, Overwrite, Weights
from mien.cli.signals import exit_code
from mien.cli.terminal import printable, say, show
from mien.errors import MienError
from mien.media.names import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mien.evaluate.protocol import EvalContext, GetFactors, Protocol
    from mien.evaluate.report.report import Report, Run
    from mien.model import Model

__all__ = ["app"]

_ALL = "all"
_FAILED = 1
_SECONDS_PER_LINE = 10.0

app = typer.Typer(add_completion=False)


@app.command("eval")
def evaluate(
    protocol: Annotated[
        str | None,
        typer.Argument(
            metavar="PROTOCOL",
            help="Name of a protocol, as --list prints them; all: those --data has sets for.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The data set's folder or zip; with all, the folder of the data sets."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of report.json, report.html and scores.csv."),
    ] = None,
    weights: Weights = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Take the factors from this table of mien embed, not from weights."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            show_default="auto",
            help="auto, mien, yunet, haar; for images that are no face crops yet.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides all sampling.")] = 0,
    trials: Annotated[
        int, typer.Option(min=1, help="Repetitions where few samples are chosen.")
    ] = 10,
    draws: Annotated[int | None, typer.Option(min=1, hidden=True, help="Old name.")] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    list_protocols: Annotated[
        bool, typer.Option("--list", help="Print the protocols, their files, their source; stop.")
    ] = False,
) -> None:
    """Measure what the factors are worth on a labelled data set.

    The networks stay as they are; probes are chosen inside the training part only. With all, a
    protocol that fails is a line in the report, and the exit code is 1.
    """
    if draws is not None:
        say("--draws is now called --trials")
        trials = draws
    if list_protocols:
        _print_protocols()
        return
    if protocol is None:
        raise MienError("no PROTOCOL is given; mien eval --list names them")
    if data is None:
        raise MienError("no data are given; give --data FOLDER")
    if out is None:
        raise MienError("no report is named; give --out FOLDER")
    if table is not None and (weights is not None or detector is not None):
        raise MienError("--table has the factors already: leave --weights and --detector out")
    _need_extras()
    from mien.evaluate.runner import refuse_report

    refuse_report(out, overwrite=overwrite)
    jobs = _jobs(protocol, data)
    source = _by_table(table) if table else _by_weights(weights, detector or "auto", device)
    root = data if protocol == _ALL else None
    done, stopped = _run(jobs, _context(source, seed, trials), root)
    report = _report(done, source, seed, trials)
    if done:
        _finish(report, out, overwrite=overwrite)
    if stopped:
        left = len(jobs) - len(done)
        say(f"stopped; {left} of {len(jobs)} protocols are not in the report")
        raise typer.Exit(stopped)
    if report.failed:
        raise typer.Exit(_FAILED)


@dataclass(frozen=True)
class _Source:
    """Where the factors come from."""

    describe: GetFactors
    model: Model | None
    weights_id: str
    name: str


def _jobs(name: str, data: Path) -> tuple[tuple[Protocol, Path], ...]:
    """Return which protocols are to be run on what."""
    from mien.aliases import PROTOCOLS as OLD_NAMES
    from mien.evaluate.protocols import every_protocol, find_protocol
    from mien.evaluate.runner import find_data_sets, not_understood

    if name in OLD_NAMES:
        say(f"protocol {name} is now called {OLD_NAMES[name]}")
        name = OLD_NAMES[name]
    if name == _ALL:
        found = find_data_sets(data, every_protocol())
        for line in not_understood(data, found, every_protocol()):
            say(line)
        return found
    return ((find_protocol(name), data),)


def _by_weights(weights: str | None, detector: str, device: str) -> _Source:
    from mien.evaluate.by_weights import factors_by_weights
    from mien.faces.detect import open_detector
    from mien.model import load

    # What auto becomes here belongs into the report.
    localizer = open_detector(detector).name
    model = load(weights, device=device)
    describe = factors_by_weights(model, detector=localizer, on_progress=_Progress())
    return _Source(describe, model, model.weights_id, f"weights, detector {localizer}")


def _by_table(table: Path) -> _Source:
    from mien.evaluate.from_table import describe_from
    from mien.table.read import table_info

    describe = describe_from(table)
    info = table_info(table)
    weights_id = "unknown" if info is None else info.model_id
    detector = "unknown" if info is None else info.detector
    return _Source(describe, None, weights_id, f"table {table.name}, detector {detector}")


def _context(source: _Source, seed: int, trials: int) -> EvalContext:
    from mien.evaluate.protocol import EvalContext

    return EvalContext(source.describe, source.model, seed=seed, trials=trials, say=say)


def _run(
    jobs: Sequence[tuple[Protocol, Path]], context: EvalContext, root: Path | None
) -> tuple[list[Run], int]:
    """Return what is done, and the exit code if the user broke off, else 0.

    Without a root there is one protocol, and its failure is that of the command.
    """
    from mien.evaluate.runner import run_all, run_protocol

    done: list[Run] = []
    try:
        if root is None:
            done.append(run_protocol(*jobs[0], context))
        else:
            run_all(jobs, context, root=root, on_run=done.append)
    except KeyboardInterrupt as error:
        return done, exit_code(error)
    return done, 0


def _report(done: Sequence[Run], source: _Source, seed: int, trials: int) -> Report:
    from mien.evaluate.report.report import Report

    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    return Report(tuple(done), source.weights_id, source.name, today, seed, trials)


def _finish(report: Report, out: Path, *, overwrite: bool) -> None:
    """Write the report and show its main scores."""
    from mien.evaluate.runner import write_report

    paths = write_report(report, out, overwrite=overwrite)
    _print_scores(report)
    say(f"wrote {', '.join(map(to_text, paths))}")


def _print_scores(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from mien.evaluate.report.html import interval_text, score_text
    from mien.evaluate.report.report import main_scores

    grid = Grid(box=box.SIMPLE_HEAD)
    for name in ("protocol", "data", "score"):
        grid.add_column(name)
    for name in ("value", "95 % interval", "n"):
        grid.add_column(name, justify="right")
    for run in report.runs:
        where = Text(run.protocol.name), Text(printable(run.folder))
        if run.result is None:
            grid.add_row(*where, Text(printable(f"failed: {run.error}"), style="red"))
            continue
        for score in main_scores(run.result):
            values = score_text(score), interval_text(score), f"{score.count:,}"
            grid.add_row(*where, Text(score.name), *map(Text, values))
    Console().print(grid)


def _print_protocols() -> None:
    from mien.evaluate.protocols import every_protocol

    for protocol in every_protocol():
        show(
            f"{protocol.name} ({protocol.factor}): {protocol.title}",
            f"  files   {' '.join(protocol.layout.split())}",
            f"  source  {' '.join(protocol.source.split())}",
        )


def _need_extras() -> None:
    """Refuse before the work and not after it.

    Raises:
        MienError: the page or its plots cannot be made.
    """
    for module, name in (("matplotlib", "matplotlib"), ("jinja2", "Jinja2")):
        if find_spec(module) is None:
            raise MienError(f"the report wants {name}: pip install 'mien[eval]'")


class _Progress:
    """Reports now and then how many images are done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown = clock()

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if now - self._shown >= _SECONDS_PER_LINE:
            say(f"{done:,} of {total:,} images")
            self._shown = now
