"""What a run reports: metrics.jsonl, TensorBoard, contact sheets, train.log, printed lines."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mien.errors import MienError
from mien.media.atomic import write_text
from mien.media.bounded import parse_json
from mien.media.faults import fault
from mien.media.image import write_png
from mien.train.objective import ImageArray
from mien.train.run_folder import RunFolder

__all__ = ["Meter", "RunLog", "duration", "note"]


class Meter:
    """Means of named scalars between two lines of the log; kept on their device, not waited for."""

    def __init__(self) -> None:
        """Start empty."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Take one step's values."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the means since the last call, and start anew."""
        names = list(self._sums)
        values = torch.stack([self._sums[n].reshape(()) for n in names]).tolist() if names else []
        means = {name: s / self._counts[name] for name, s in zip(names, values, strict=True)}
        self._sums, self._counts = {}, {}
        return means

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return sums and counts, for a checkpoint between two lines."""
        return dict(self._sums), dict(self._counts)

    def restore(self, sums: Mapping[str, Tensor], counts: Mapping[str, int]) -> None:
        """Put back what state returned, in the order in which it was first met."""
        self._sums = {name: sums[name] for name in counts}
        self._counts = dict(counts)


class RunLog:
    """Writes for one stage of one run; a silent one for all processes but the first."""

    def __init__(
        self,
        run: RunFolder,
        *,
        step: int = 0,
        tensorboard: bool = False,
        echo: Callable[[str], None] | None = None,
        silent: bool = False,
    ) -> None:
        """Open the logs at a step: lines of this stage that are later are taken out.

        Args:
            run: the folder, seen from a stage.
            step: the step of the checkpoint that the stage is resumed from.
            tensorboard: write events too, where tensorboard is installed.
            echo: given every line that a person should see.
            silent: write nothing at all.
        """
        self._run, self._silent, self._echo = run, silent, echo
        self._board: Any = None
        self._clock, self._clock_step = time.monotonic(), step
        if silent:
            return
        _truncate(run, step)
        if tensorboard:
            self._board = self._open_board(step)

    def say(self, line: str) -> None:
        """Show a line to the person and keep it in train.log."""
        if self._silent:
            return
        if self._echo is not None:
            self._echo(line)
        note(self._run, line)

    def metrics(
        self, step: int, values: Mapping[str, float], *, batch_size: int, steps: int
    ) -> None:
        """Write one line of metrics.jsonl and one for the person."""
        now = time.monotonic()
        rate = (step - self._clock_step) / max(now - self._clock, 1e-9)
        self._clock, self._clock_step = now, step
        if self._silent:
            return
        row = {"stage": self._run.stage, "step": step, "images": step * batch_size}
        numbers = {**values, "images_per_s": rate * batch_size}
        row |= {k: float(f"{v:.9g}") if math.isfinite(v) else None for k, v in numbers.items()}
        _append(self._run, "metrics.jsonl", json.dumps(row, allow_nan=False) + "\n")
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
        left = duration((steps - step) / max(rate, 1e-9))
        self.say(
            f"{self._run.stage} step {step:,} of {steps:,}: loss {values['total']:.4f}, "
            f"{rate * batch_size:,.0f} images/s, {left} left"
        )

    def image(self, step: int, image: ImageArray) -> None:
        """Keep a contact sheet."""
        if self._silent:
            return
        path = self._run.sheet(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, image, overwrite=True)
        if self._board is not None:
            self._board.add_image("sheet", image, step, dataformats="HWC")

    def close(self) -> None:
        """Finish the event files."""
        if self._board is not None:
            self._board.close()

    def _open_board(self, step: int) -> Any:
        if importlib.util.find_spec("tensorboard") is None:
            self.say("TensorBoard events are left out: tensorboard is not installed")
            return None
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and optional

        return SummaryWriter(str(self._run.events), purge_step=step + 1 if step else None)


def note(run: RunFolder, line: str) -> None:
    """Keep a line in train.log, with the time."""
    _append(run, "train.log", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def duration(seconds: float) -> str:
    """Return a length of time for a person, such as 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _truncate(run: RunFolder, step: int) -> None:
    """Take out this stage's lines after a step, and a last line that was cut off."""
    if not run.metrics.is_file():
        return
    kept: list[str] = []
    text = run.metrics.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            row = parse_json(line)
            after = row.get("stage") == run.stage and row.get("step", 0) > step
        except (ValueError, AttributeError, TypeError, RecursionError):
            continue
        if not after:
            kept.append(line)
    write_text(run.metrics, "".join(f"{line}\n" for line in kept))


def _append(run: RunFolder, name: str, text: str) -> None:
    path = run.path / name
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise MienError(f"cannot write {path}: {fault(error)}") from error
