"""The real command in a process of its own, forked from one that has imported and computed nothing.

To import torch anew takes longer than what most commands then do.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["forked", "mien.embedding.run", "mien.serve.run", "mien.serve.view", "mien.table.read"]
)

Streams = Mapping[int, str | None]
"""Number of a stream => file that it is, or None: closed."""


class Command:
    """A command that runs, or has run; what it prints goes to files."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path | None = None,
        streams: Streams | None = None,
        before: str = "",
    ) -> None:
        """Start it.

        Args:
            words: without `mien`.
            cwd: where; by default here.
            streams: others than an empty input and the two files.
            before: Python that is run first.
        """
        self._folder = tempfile.mkdtemp()
        self._out, self._err = (Path(self._folder, name) for name in ("out", "err"))
        every = {0: os.devnull, 1: str(self._out), 2: str(self._err), **(streams or {})}
        given = (list(words), str(cwd or Path.cwd()), every, before)
        paths = [str(HERE), str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]
        old = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        try:
            self._process = _CONTEXT.Process(target=_run, args=given)
            self._process.start()
        finally:
            if old is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = old

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self._process.pid or 0, number)

    def first_line(self) -> str:
        """Wait for a line on the standard output, or the end, and return it."""
        while True:
            ended = self.poll() is not None
            line, end, _ = _read(self._out).partition("\n")
            if end or ended:
                return line + end
            time.sleep(0.01)

    def finish(self, timeout: float = 300) -> tuple[int, str, str]:
        """Wait for the end; return exit code, output and errors. What hangs is killed."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            errors = _read(self._err)
            self.kill()
            raise AssertionError(f"no end within {timeout} s: {errors[-3000:]}")
        found = code, _read(self._out), _read(self._err)
        shutil.rmtree(self._folder, ignore_errors=True)
        return found

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def _run(words: list[str], cwd: str, streams: Streams, before: str) -> None:
    """Be the command."""
    import torch

    torch.set_num_threads(1)
    os.chdir(cwd)
    _redirect(streams)
    # A shell that starts the tests in the background has its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["mien", *words]
    exec(before, {})  # noqa: S102 - of the tests themselves
    from mien.__main__ import main

    main()


def _redirect(streams: Streams) -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        path = streams[number]
        os.close(number)
        stream = None
        if path is not None:
            flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT
            opened = os.open(path, flags, 0o600)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            stream = os.fdopen(number, "r" if not number else "w", closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
