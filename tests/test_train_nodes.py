"""torchrun on two "nodes" of this machine, of which one is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lightning_fabric", reason="needs mien[train]")

HERE = Path(__file__).parent


def rows(folder: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "images_per_s"} for row in found]


@pytest.mark.slow  # a process that forks three runs, each of two torchruns
@pytest.mark.skipif(not importlib.util.find_spec("torch.distributed"), reason="no distributed")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_node_that_is_killed_ends_the_run_which_resumes_as_if_nothing_had_been(tmp_path):
    path = os.pathsep.join([str(HERE), str(HERE.parent / "src")])
    words = [sys.executable, HERE / "killed_nodes.py", tmp_path]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["whole"] == found["again"] == [0, 0], logs
    killed, other = found["killed"]  # the other does not wait for hours
    assert killed == -signal.SIGKILL
    assert other not in (0, -signal.SIGKILL), logs
    assert 4 <= found["rows"] < 9
    assert "resumed from step" in (tmp_path / "killed" / "train.log").read_text()
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
