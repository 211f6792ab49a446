"""Kill `mien pretrain` at random moments, resume it, and compare with a whole run.

    python tests/killed_training.py FOLDER --kills 20
    python tests/killed_training.py FOLDER --kills 20 --recipe gaze

Prints one line of JSON: kills, how often each stage was resumed, and whether all ended alike. The
runs are forked from one process that has imported everything and computed nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import mien.train.recipes.gaze
import mien.train.recipes.latentface  # noqa: F401 - both imported once, before the forks
from mien.cli.main import run
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig

LATENTFACE = [
    *("model.image_size=32", "model.texture_dim=8", "model.shape_dim=8", "model.width=8"),
    *("model.feature_dim=16", "model.neutral_width=16", "model.neutral_blocks=1"),
    *("stage1.steps=6", "stage1.batch_size=6", "stage2.steps=6", "stage2.batch_size=6"),
    *("stage2.frames=2", "loop.checkpoint_every=2", "loop.log_every=1"),
    *("loop.log_images_every=0", "loop.tensorboard=false", "loop.precision=32-true"),
]


GAZE = [
    *("model.code_dim=4", "model.dim=16", "model.heads=2", "model.stem_width=4"),
    *("model.bottleneck_depth=1", "model.encoder_depth=1", "model.decoder_depth=1"),
    *("localizer.steps=8", "localizer.batch_size=4", "localizer.frames=2"),
    *("emib.steps=8", "emib.batch_size=4", "emib.frames=2"),
    *("loop.checkpoint_every=2", "loop.log_every=1", "loop.log_images_every=0"),
    "loop.tensorboard=false",
]
RECIPES = {
    "latentface": (["--config", "small", *LATENTFACE], 32, ("stage1", "stage2")),
    "gaze": (GAZE, 96, ("localizer", "emib")),
}
"""Options, side of the clips, stages."""


def make_clips(folder: Path, size: int) -> None:
    from made_clips import write_clips

    write_clips(toy_head(), SynthConfig(identities=3, frames=3, size=size), folder)


def started(work) -> int:
    """Start a piece of work in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        import torch

        torch.set_num_threads(1)
        code = work()
    finally:
        os._exit(code or 0)


def train(recipe: str, clips: Path, out: Path) -> int:
    words = ["pretrain", recipe, "--device", "cpu", "--resume"]
    return run([*words, "--data", str(clips), "--out", str(out), *RECIPES[recipe][0]])


def outcome(out: Path) -> str:
    """Return a hash of the exported weights and of the log, the speed left out."""
    found = hashlib.sha256()
    for path in sorted((out / "exported").iterdir()):
        found.update(path.name.encode() + path.read_bytes().replace(str(out).encode(), b"OUT"))
    for line in (out / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        row.pop("images_per_s")
        found.update(json.dumps(row).encode())
    return found.hexdigest()


def finish(work) -> None:
    _, status = os.waitpid(started(work), 0)
    if status:
        raise SystemExit(f"a run failed with status {status}")


def rows_of(out: Path) -> int:
    log = out / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def kill_after(child: int, out: Path, rows: int, more: float) -> bool:
    """Kill a run some moments after its log has so many rows; return whether it was not done."""
    while rows_of(out) < rows:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.005)
    time.sleep(more)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", choices=list(RECIPES), default="latentface")
    given = parser.parse_args()
    rng, clips = random.Random(given.seed), given.folder / "clips"
    _, size, stages = RECIPES[given.recipe]
    finish(lambda: make_clips(clips, size))
    finish(lambda: train(given.recipe, clips, given.folder / "whole"))
    whole, alike, killed = outcome(given.folder / "whole"), 0, 0
    rows = rows_of(given.folder / "whole")
    resumed = dict.fromkeys(stages, 0)
    for number in range(given.kills):
        out = given.folder / f"killed_{number}"
        for _ in range(2):  # the resumed run is killed, too
            child = started(lambda out=out: train(given.recipe, clips, out))
            killed += kill_after(child, out, rng.randint(1, rows), rng.uniform(0, 0.05))
        finish(lambda out=out: train(given.recipe, clips, out))
        text = (out / "train.log").read_text()
        for stage in resumed:
            resumed[stage] += text.count(f"{stage}: resumed from step")
        alike += outcome(out) == whole
    found = {"runs": given.kills, "killed": killed, "resumed": resumed, "alike": alike}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    sys.exit(main())
