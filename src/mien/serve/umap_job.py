"""UMAP of a table's factors, one at a time, in the background: started, looked at, cancelled."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.extras import EXTRAS
from mien.serve.errors import ApiError

__all__ = ["FEWEST", "FIT_ROWS", "UmapJobs", "umap_missing"]

FIT_ROWS = 30_000
"""Rows that UMAP is fitted to; of more, so many evenly chosen ones."""
FEWEST = 10
"""Rows without which nothing can be laid out."""
_DIM = 50
_ERROR = 400

Floats = NDArray[np.float32]
State = Literal["none", "running", "done", "failed", "cancelled"]


def umap_missing() -> str:
    """Return what to install where UMAP is not there, else nothing."""
    missing = [name for name in ("umap", "faiss") if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    extra = EXTRAS["umap"]
    return f"{missing[0]} is not installed, which this needs; run: pip install 'mien[{extra}]'"


@dataclass(eq=False)
class _Job:
    factor: str
    seed: int
    state: State = "running"
    stage: str = "reading"
    done: int = 0
    total: int = 0
    fitted: int = 0
    placed: int = 0
    message: str = ""
    process: subprocess.Popen[bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def about(self) -> dict[str, Any]:
        names = ("factor", "seed", "state", "stage", "done", "total", "fitted", "placed", "message")
        return {name: getattr(self, name) for name in names}

    def cancel(self) -> None:
        with self.lock:
            if self.state == "running":
                self.state = "cancelled"
                if self.process is not None:
                    self.process.kill()


class UmapJobs:
    """The last UMAP of each factor of one table."""

    def __init__(
        self, components: Callable[[str, int], Floats], finished: Callable[[str, Floats], None]
    ) -> None:
        """Take what gives principal components of a factor, NaN without a code, and takes places.

        Args:
            components: of a factor, so many at most. [N, C].
            finished: is given the factor and places [N, 2], NaN without a code.
        """
        self._components, self._finished = components, finished
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def start(self, factor: str, seed: int) -> dict[str, Any]:
        """Start one, unless it is done or under way already, and say how far it is.

        Raises:
            ApiError: UMAP is not installed, or that of another factor is under way.
        """
        missing = umap_missing()
        if missing:
            raise ApiError("invalid", missing)
        with self._lock:
            known = self._jobs.get(factor)
            if known is not None and known.seed == seed and known.state in ("running", "done"):
                return known.about()
            busy = next((job for job in self._jobs.values() if job.state == "running"), None)
            if busy is not None:
                raise ApiError("busy", f"UMAP of {busy.factor} is under way", retry_after_s=5)
            job = self._jobs[factor] = _Job(factor, seed)
            threading.Thread(target=self._run, args=(job,), daemon=True).start()
            return job.about()

    def state(self, factor: str) -> dict[str, Any]:
        """Say how far the UMAP of a factor is; `state` is `none` where it was not started."""
        return (self._jobs.get(factor) or _Job(factor, 0, state="none", stage="")).about()

    def cancel(self, factor: str) -> dict[str, Any]:
        """End the UMAP of a factor if it is under way."""
        job = self._jobs.get(factor)
        if job is not None:
            job.cancel()
        return self.state(factor)

    def close(self) -> None:
        """End what is under way."""
        for job in list(self._jobs.values()):
            job.cancel()

    def _run(self, job: _Job) -> None:
        try:
            places = self._places(job)
            if places is not None:
                self._finished(job.factor, places)
                ended: State = "done"
                with job.lock:
                    if job.state == "running":
                        job.state = ended
        except Exception as error:  # noqa: BLE001 - the page is told, whatever it is
            with job.lock:
                if job.state == "running":
                    job.state = "failed"
                    job.message = " ".join(str(error).split())[:_ERROR]

    def _places(self, job: _Job) -> Floats | None:
        """Return places, NaN without a code; None if it was cancelled. [N, 2]."""
        vectors = self._components(job.factor, _DIM)
        there = (
            np.isfinite(vectors).all(axis=1) if vectors.shape[1] else np.zeros(len(vectors), bool)
        )
        count = int(there.sum())
        if count < FEWEST:
            raise ApiError(
                "invalid", f"UMAP takes {FEWEST} faces with {job.factor}; there are {count}"
            )
        known = vectors[there]
        known /= np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
        job.fitted, job.placed = min(FIT_ROWS, count), max(0, count - FIT_ROWS)
        found = _in_process(job, known)
        if found is None:
            return None
        places = np.full((len(vectors), 2), np.nan, np.float32)
        places[there] = found
        return places


def _in_process(job: _Job, vectors: Floats) -> Floats | None:
    """Let another process place unit vectors; None if it was cancelled. [N, D] => [N, 2]."""
    # -P: no module of the folder that the command was started in is taken for another.
    words = [sys.executable, "-P", "-m", "mien.serve.umap_fit"]
    pipe = subprocess.PIPE
    with job.lock:
        if job.state != "running":
            return None
        job.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe)
    process = job.process
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[bytes] = []
    # What it says of errors must be read, or it would wait when the pipe is full.
    errors = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    errors.start()
    try:
        rows, dim = vectors.shape
        asked = {"rows": rows, "dim": dim, "fit": job.fitted, "seed": job.seed}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        process.stdin.flush()
        found = _listen(job, process.stdout, rows)
    except BrokenPipeError:
        found = None
    finally:
        process.kill()
        process.wait()
        errors.join()
        for file in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):  # what was not sent yet
                file.close()
    if found is None and job.state == "running":
        last = said[-1].decode(errors="replace").strip() if said else "it was ended"
        raise RuntimeError(f"the process of UMAP ended early: {last}")
    return found


def _listen(job: _Job, out: Any, rows: int) -> Floats | None:
    """Pass on how far the process is; return the places, None if it ended early. [rows, 2]."""
    for line in out:
        said = json.loads(line)
        if said["stage"] == "end":
            data = out.read(rows * 8)
            return np.frombuffer(data, "<f4").reshape(rows, 2) if len(data) == rows * 8 else None
        job.stage, job.done, job.total = said["stage"], said["done"], said["total"]
    return None
