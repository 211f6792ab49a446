"""The service as a process of its own, around small weights with thresholds."""

from __future__ import annotations

import re
import shutil
import signal
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from forked import Command
from made_service import reference
from mien.verification import Reference
from mien.weights import weights_id

QUIET = ("--detector", "none", "--batch-wait-ms", "0")


def with_thresholds(weights: Path, folder: Path) -> Path:
    """Copy small weights and measure thresholds for them, as it were."""
    shutil.copytree(weights, folder)
    known = Reference(
        weights_id(folder), "identity", np.zeros(32, "f4"), reference().thresholds, "nobody"
    )
    known.save(folder)
    return folder


class Served:
    """A running service."""

    def __init__(self, *words: str) -> None:
        self.process = Command(["serve", "--port", "0", *QUIET, *words])
        self.line = self.process.first_line()
        found = re.match(r"http://127\.0\.0\.1:(\d+) ", self.line)
        assert found, (self.line, self.process.finish())
        self.port = int(found[1])

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "image/png"):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"content-type": kind} if body else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        code, _, errors = self.process.finish(60)
        return code, errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
