"""Run torchrun on two "nodes" of this machine, joined by loopback, kill one of them, and resume.

    python tests/killed_nodes.py FOLDER

Prints one line of JSON: the exit codes of both nodes, of an undisturbed run, of one whose first
node is killed, and of its resumption. The nodes and what they start are forked from one process
that has imported everything and computed nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import torch
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

import toy_training as toy

CHANGES = ["loop.precision=32-true"]
FEWEST_ROWS = 4
PATIENCE_S = 300


class Nodes:
    """Two torchruns, each the leader of a process group that is killed as a node goes down."""

    def __init__(self, folder: Path, pause_s: float = 0.0) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        logs = [folder.with_name(f"{folder.name}.node{node}.log") for node in range(2)]
        self.leaders: list[int] = []
        self.codes: dict[int, int] = {}
        for node, log in enumerate(logs):
            leader = os.fork()
            if not leader:
                run_node(node, port, log, (folder, pause_s))
            self.leaders.append(leader)

    def check(self) -> None:
        """Stop where a node has ended by itself."""
        if any(os.waitpid(leader, os.WNOHANG)[0] for leader in self.leaders):
            raise SystemExit("a node has ended")

    def kill(self, node: int) -> None:
        """Take a node down: torchrun and what it has started, at once."""
        leader = self.leaders[node]
        for child in children(leader):
            os.kill(child, signal.SIGKILL)
        os.killpg(leader, signal.SIGKILL)

    def wait(self) -> list[int]:
        """Return the exit codes of both; a node that hangs is killed."""
        until = time.monotonic() + PATIENCE_S
        while len(self.codes) < len(self.leaders):
            for node, leader in enumerate(self.leaders):
                if leader in self.codes:
                    continue
                done, status = os.waitpid(leader, os.WNOHANG)
                if done:
                    self.codes[leader] = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > until:
                    self.kill(node)
            time.sleep(0.02)
        return [self.codes[leader] for leader in self.leaders]


def run_node(node: int, port: int, log: Path, given: tuple[Path, float]) -> None:
    """Be one torchrun, in a process of its own; does not return."""
    code = 1
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT)
        for number in (1, 2):
            os.dup2(out, number)
        words = ["--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1"]
        words += ["--master-addr=127.0.0.1", f"--master-port={port}", "toy"]
        config = config_from_args(parse_args(words))[0]
        config.start_method = "fork"
        elastic_launch(config, work)(*given)
        code = 0
    finally:
        os._exit(code)


def work(folder: Path, pause_s: float) -> None:
    """Be one rank."""
    torch.set_num_threads(1)
    toy.toy_run(folder, CHANGES, toy.ToyObjective(pause_s=pause_s))


def children(parent: int) -> list[int]:
    """Workers of torchrun."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(number) for number in text.split()]


def rows_of(folder: Path) -> int:
    log = folder / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def main() -> None:
    folder = Path(sys.argv[1])
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"):
        os.environ.pop(name, None)
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    whole = Nodes(folder / "whole").wait()
    killed = Nodes(folder / "killed", 0.3)
    while rows_of(folder / "killed") < FEWEST_ROWS:
        killed.check()
        time.sleep(0.02)
    killed.kill(0)
    codes, rows = killed.wait(), rows_of(folder / "killed")
    again = Nodes(folder / "killed").wait()
    found = {"whole": whole, "killed": codes, "rows": rows, "again": again}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
