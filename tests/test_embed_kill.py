"""`mien embed`, killed at random moments and resumed, writes the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


TRIALS = int(os.environ.get("MIEN_KILLS", "3"))


@pytest.mark.slow  # half a dozen runs
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_runs_killed_at_random_moments_give_one_table(tiny_folder: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "kill_embed.py")]
    options = ["--trials", str(TRIALS), "--weights", str(tiny_folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(int(line.split()[0]) for line in done.stdout.splitlines()) == TRIALS
