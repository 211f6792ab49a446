"""Kill `mien embed` at random moments (SIGKILL), resume it, and compare the tables byte by byte.

    python tools/kill_embed.py --trials 50
    python tools/kill_embed.py --trials 50 --weights FOLDER --seed 1

Each trial is begun, killed, and resumed, being killed again now and then, until it is done; then
its table must be, to the last byte, that of a run that nothing happened to, and nothing else may be
left. Exit 1 if one is not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["main"]

_IMAGES, _FRAMES, _AGAIN = 50, 24, 0.3


def main(arguments: Sequence[str]) -> int:
    """Run the trials; print a line for each outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--weights", default=None, help="those of the package if not given")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    # Once, and not in every run: what is killed is then the work and not the start.
    import mien.embedding.run
    import mien.media.video
    import mien.model
    import mien.table.writer  # noqa: F401

    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _wait(_start(lambda: _make_inputs(place / "in")))
        began = time.monotonic()
        whole = place / "whole.parquet"
        if _wait(_start(lambda: _embed(place / "in", whole, given.weights))):
            raise RuntimeError("embed failed though nothing happened to it")
        seconds = time.monotonic() - began
        counts: Counter[str] = Counter()
        for trial in range(given.trials):
            counts[_trial(place, whole, given.weights, chance, seconds, trial)] += 1
    sys.stdout.write("".join(f"{count:4} {what}\n" for what, count in sorted(counts.items())))
    return int(any(not what.startswith("identical") for what in counts))


def _trial(
    place: Path, whole: Path, weights: str | None, chance: random.Random, seconds: float, trial: int
) -> str:
    """Kill and resume one run; return what came of it."""
    out = place / "out" / f"{trial}.parquet"
    kills, killed = 0, True
    while killed:
        process = _start(lambda: _embed(place / "in", out, weights))
        if not kills or chance.random() < _AGAIN:
            time.sleep(chance.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        status = _wait(process)
        killed = status == -signal.SIGKILL
        kills += killed
        if not killed and status:
            return f"failed with {status} after {kills} kills"
    left = sorted(path.name for path in out.parent.iterdir())
    if left != [out.name]:
        return f"left {left}"
    same = out.read_bytes() == whole.read_bytes()
    out.unlink()
    return f"{'identical' if same else 'another table'}, killed {kills} times"


def _start(work) -> int:  # noqa: ANN001 - a function without arguments
    """Return the number of a process that does the work: forked, so that all is imported."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a fork must not go on as its parent
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


def _wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _embed(inputs: Path, out: Path, weights: str | None) -> None:
    import torch

    from mien.embedding.options import EmbedOptions
    from mien.embedding.run import embed_to_parquet
    from mien.model import load
    from mien.table.writer import PartWriter

    torch.set_num_threads(1)
    (PartWriter.__init__.__kwdefaults__ or {})["rows_per_part"] = 8
    options = EmbedOptions(detector="none", batch_size=8, workers=2)
    embed_to_parquet(inputs, out, model=load(weights), options=options, resume=True)


def _make_inputs(folder: Path) -> None:
    from mien.media.image import write_png
    from mien.media.video import write_mp4

    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(_IMAGES):
        write_png(folder / f"{number:03}.png", rng.integers(0, 256, (48, 48, 3), np.uint8))
    (folder / "020.png").write_text("no image")
    frames = (np.full((64, 64, 3), 20 + 5 * i, dtype=np.uint8) for i in range(_FRAMES))
    write_mp4(folder / "040.mp4", frames, fps=10)


if __name__ == "__main__":
    import mien.embedding.run  # noqa: F401 - once, before the forks

    raise SystemExit(main(sys.argv[1:]))
