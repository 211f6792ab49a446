"""torchrun on two "nodes" of this machine, joined by loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("lightning_fabric", reason="needs mien[train]")

ROOT = Path(__file__).parents[1]
CHANGES = ["loop.precision=32-true"]

pytestmark = [
    pytest.mark.slow,  # starts a process a rank and one a node, each of which imports torch
    pytest.mark.skipif(not importlib.util.find_spec("torch.distributed"), reason="no distributed"),
]


class Nodes:
    """Two torchruns, each the leader of a process group that is killed as a node goes down."""

    def __init__(
        self, folder: Path, *arguments: str, processes: int = 1, mien: bool = False
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
        environment = os.environ | {
            "PYTHONPATH": paths,
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"):
            environment.pop(name, None)
        self.logs = [folder.with_name(f"{folder.name}.node{node}.log") for node in range(2)]
        self.processes = []
        for node, log in enumerate(self.logs):
            words = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2"]
            words += [f"--node-rank={node}", f"--nproc-per-node={processes}"]
            words += ["--master-addr=127.0.0.1", f"--master-port={port}"]
            toy_run = [str(ROOT / "tests" / "toy_training.py"), str(folder)]
            words += ["-m", "mien", *arguments] if mien else [*toy_run, *arguments]
            with log.open("w") as file:
                process = subprocess.Popen(
                    words, env=environment, stdout=file, stderr=file, start_new_session=True
                )
            self.processes.append(process)

    def kill(self, node: int) -> None:
        """Take a node down: torchrun and what it has started, at once."""
        leader = self.processes[node].pid
        for child in children(leader):
            os.kill(child, signal.SIGKILL)
        os.killpg(leader, signal.SIGKILL)

    def wait(self, timeout: float = 300) -> list[int]:
        until = time.monotonic() + timeout
        return [process.wait(max(1, until - time.monotonic())) for process in self.processes]

    def close(self) -> None:
        for node, process in enumerate(self.processes):
            if process.poll() is None:
                self.kill(node)
                process.wait()

    def said(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in self.logs)


def children(parent: int) -> list[int]:
    """Workers of torchrun: they are leaders of groups of their own."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in text.split()]


def rows(folder: Path) -> list[dict[str, float]]:
    file = folder / "metrics.jsonl"
    if not file.exists():
        return []
    found = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return [{k: v for k, v in row.items() if k != "images_per_s"} for row in found]


@pytest.fixture
def start():
    begun: list[Nodes] = []

    def one(*given, **more) -> Nodes:
        begun.append(Nodes(*given, **more))
        return begun[-1]

    yield one
    for nodes in begun:
        nodes.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("node", [0])
def test_a_node_that_is_killed_ends_the_run_which_resumes_as_if_nothing_had_been(
    tmp_path, start, node
):
    whole = start(tmp_path / "whole", *CHANGES)
    assert whole.wait() == [0, 0], whole.said()
    killed = start(tmp_path / "killed", "--pause", "0.3", *CHANGES)
    until = time.monotonic() + 300
    while len(rows(tmp_path / "killed")) < 4:
        assert None in [process.poll() for process in killed.processes], killed.said()
        assert time.monotonic() < until
        time.sleep(0.02)
    killed.kill(node)
    codes = killed.wait(120)  # the other must not wait for hours
    assert codes[node] == -signal.SIGKILL
    assert codes[1 - node] not in (0, -signal.SIGKILL), killed.said()
    assert 4 <= len(rows(tmp_path / "killed")) < 9
    again = start(tmp_path / "killed", *CHANGES)
    assert again.wait() == [0, 0], again.said()
    assert "resumed from step" in (tmp_path / "killed" / "train.log").read_text()
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
