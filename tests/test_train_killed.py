"""A run that is killed at any moment, and again when it is resumed, ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow  # a process that forks four runs
@pytest.mark.parametrize("kills", [int(os.environ.get("MIEN_KILLS", "1"))])
def test_killed_runs_end_like_an_undisturbed_one(tmp_path, kills):
    words = [sys.executable, HERE / "killed_training.py", tmp_path, "--kills", str(kills)]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["alike"] == found["runs"] == kills
    assert found["killed"] > kills / 2  # a run may be done before its moment comes
    assert sum(found["resumed"].values()) > 0
