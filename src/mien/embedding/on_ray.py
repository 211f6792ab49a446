"""`mien embed --ray`: a cluster of Ray shares a job; what it writes is one machine's table.

The driver lists the inputs and cuts the listing into shards. Each is embedded by a task, as `mien
embed --shard` does, into a part of its own in the hidden folder of the job, which all nodes must
see. A part is named after listing and shard and renamed into place when it is whole; what a task
had finished when its process, its node or the driver was killed is taken up by the next one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mien.embedding.job import JobFolder
from mien.embedding.listing import Listing, list_inputs
from mien.embedding.options import EmbedOptions
from mien.embedding.parts import WORK_PER_PART, PartsFolder, Work, is_folder
from mien.embedding.remote_job import job_folder, kept_is_told
from mien.embedding.run import Job, Paths, embed_listing, read_by
from mien.embedding.summary import Status, Summary, summarise
from mien.errors import MienError
from mien.media.lock import LockedError
from mien.media.outputs import check_outputs
from mien.pipeline.encode import AnyEncoder, open_encoder
from mien.table.merge import join_shards
from mien.table.schema import job_digest
from mien.table.shard import Shard

__all__ = ["RayOptions", "embed_on_ray"]

_AHEAD = 2
"""Tasks handed out for each that can run: the next one's inputs are there when one ends."""
_RETRIES = 3
"""Times that a task is begun again whose process or node died."""
_WAIT_S = 5.0
_LOCKED_S = 120.0
"""How long a task waits for one before it, which its dead node may not have let go of yet."""
_CONNECT_S = 10.0


@dataclass(frozen=True)
class RayOptions:
    """The cluster and how the work is cut for it."""

    address: str = "auto"
    """auto (the cluster that this machine is in, or RAY_ADDRESS), HOST:PORT, or local: one on this
    machine for as long as the job takes."""
    weights: str | None = None
    """As of `mien.load`; the same on all nodes."""
    device: str = "cpu"
    """cpu: one task a processor; cuda: one task a GPU."""
    work_per_shard: int = WORK_PER_PART
    """Images, or as many frames, of a task."""


def embed_on_ray(
    paths: Paths,
    out: str | Path,
    *,
    ray: RayOptions,
    options: EmbedOptions | None = None,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Status], None] | None = None,
) -> Summary:
    """Write the table that `mien.embedding.run.embed_to_parquet` writes, on a cluster.

    Args:
        paths: images, videos, folders and globs, under the same names on all nodes; or addresses.
        out: the table; its folder is one that all nodes share, or it is an address; with `/`
            at its end the folder in which the parts stay.
        ray: the cluster.
        options: as of `embed_to_parquet`.
        overwrite: likewise.
        resume: likewise; continues on any cluster what was begun on one.
        on_progress: called when a shard is done.

    Raises:
        MienError: as `embed_to_parquet`; also if another schema is asked for, the cluster is not
            there or has no room, or a task failed.
    """
    folder = PartsFolder(str(out)) if is_folder(out) else job_folder(out)
    folder.refuse(overwrite=overwrite, resume=resume)
    options = options or EmbedOptions()
    options.refuse_schema("--ray")
    if ray.device not in ("cpu", "cuda"):
        raise MienError(f"with --ray give --device cpu or cuda, not {ray.device}")
    with _connected(ray.address) as library, list_inputs(paths) as listing:
        cluster = _Cluster.of(library, ray)
        job = Job.of(open_encoder(ray.weights, eyes_only=options.eyes_only), options)
        work = Work(job, listing, folder, ray.work_per_shard)
        begin = (cluster, overwrite, resume, on_progress)
        if isinstance(folder, PartsFolder):
            return _left_in_parts(work, folder, *begin)
        return _put_together(work, folder, *begin)


def _left_in_parts(
    work: Work,
    folder: PartsFolder,
    cluster: _Cluster,
    overwrite: bool,  # noqa: FBT001
    resume: bool,  # noqa: FBT001
    on_progress: Callable[[Status], None] | None,
) -> Summary:
    folder.begin(set(map(work.name, work.shards)), overwrite=overwrite, resume=resume)
    before = work.done_before()
    with kept_is_told():
        cluster.run(work, before, on_progress)
        return work.summary(folder.out, before)


def _put_together(
    work: Work,
    folder: JobFolder,
    cluster: _Cluster,
    overwrite: bool,  # noqa: FBT001
    resume: bool,  # noqa: FBT001
    on_progress: Callable[[Status], None] | None,
) -> Summary:
    job, listing = work.job, work.listing
    check_outputs([folder.target], inputs=read_by(job.options, listing), overwrite=True)
    pinned = job.pinned(listing)
    if resume and folder.is_finished(job_digest(pinned)):
        folder.remove()
        return summarise(folder.target, inputs=listing.count, resumed_at=listing.count)
    if resume:
        folder.refuse_another(overwrite=overwrite)
    with contextlib.closing(folder), kept_is_told():
        # A run without Ray would not know what to do with these parts.
        shards = {"shards": len(work.shards), "batch size": job.options.batch_size}
        folder.begin(pinned | shards, resume=resume)
        with folder.writing():
            before = work.done_before()
        cluster.run(work, before, on_progress)
        with folder.writing():
            tables = folder.shard_tables([work.name(shard) for shard in work.shards])
            join_shards(tables, folder.unfinished)
        resumed = sum(shard.stop - shard.first for shard in before)
        counted = summarise(folder.unfinished, inputs=listing.count, resumed_at=resumed)
        folder.place(folder.unfinished)
    return replace(counted, out=folder.target)


@dataclass(frozen=True)
class _Cluster:
    """Ray, connected, and what a task needs of a node."""

    library: Any
    ray: RayOptions
    cpus: int
    gpus: int

    @staticmethod
    def of(library: Any, ray: RayOptions) -> _Cluster:
        gpus = int(ray.device == "cuda")
        found = _Cluster(library, ray, 1, gpus)
        if gpus:
            # All processors of a node read images for its GPUs.
            nodes = [node for node in found.nodes() if node.get("GPU", 0) >= 1]
            each = [int(node.get("CPU", 0) // node["GPU"]) for node in nodes]
            found = replace(found, cpus=max(1, min(16, *each, 16)))
        if not found.room():
            what = "a GPU" if gpus else "a processor"
            raise MienError(f"the Ray cluster has no node with {what} to give")
        return found

    def nodes(self) -> list[dict[str, float]]:
        """Return what the nodes that are alive have."""
        return [node["Resources"] for node in self.library.nodes() if node["Alive"]]

    def room(self) -> int:
        """Return how many tasks can run at once."""
        return sum(
            int(min(node.get("CPU", 0) // self.cpus, *([node.get("GPU", 0)] * self.gpus), 1e6))
            for node in self.nodes()
        )

    def run(
        self, work: Work, before: list[Shard], on_progress: Callable[[Status], None] | None
    ) -> None:
        """Have all shards embedded that are left.

        Raises:
            MienError: a task failed.
        """
        ray, left = self.library, work.left(before)
        # Without max_calls=0 a process would end, and the model be read again, after each GPU task.
        remote = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=_RETRIES, max_calls=0
        )(_embed_shard)
        options = replace(work.job.options, workers=self.cpus)
        given = (self.ray.weights, self.ray.device, str(Path.cwd()), options)
        done = sum(shard.stop - shard.first for shard in before)
        status = Status(work.listing.total, float(done), 0, 0)
        running: dict[Any, Shard] = {}
        while True:
            _tell(on_progress, status)
            while len(running) < _AHEAD * max(1, self.room()) and (task := next(left, None)):
                shard, lines = task
                out = str(work.part(shard))
                running[remote.remote(*given, shard, lines, out)] = shard
            if not running:
                return
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_WAIT_S)
            for reference in ready:
                shard = running.pop(reference)
                frames, faces = self._result(reference, shard)
                status = replace(
                    status,
                    done=status.done + shard.stop - shard.first,
                    frames=status.frames + frames,
                    faces=status.faces + faces,
                )

    def _result(self, reference: Any, shard: Shard) -> tuple[int, int]:
        """Return frames and faces that a task did."""
        where = f"inputs {shard.first:,} to {shard.stop:,}"
        kept = "what is finished is kept: continue with --resume"
        try:
            refusal, frames, faces = self.library.get(reference)
        except self.library.exceptions.RayTaskError as error:
            cause = " ".join(str(getattr(error, "cause", error)).split())[:200]
            raise MienError(f"a Ray task failed on {where}: {cause}; {kept}") from error
        except self.library.exceptions.RayError as error:
            name = type(error).__name__
            raise MienError(
                f"Ray could not embed {where}, tried {_RETRIES + 1} times: {name}; {kept}"
            ) from error
        if refusal:
            raise MienError(f"{refusal} ({where})")
        return frames, faces


def _tell(on_progress: Callable[[Status], None] | None, status: Status) -> None:
    if on_progress is not None:
        on_progress(status)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Give the module `ray`, connected to a cluster; one that was connected before stays so.

    Raises:
        MienError: there is no such cluster.
    """
    # Before the import: Ray reports to its makers if it is not told otherwise.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    _refuse_silence(address)
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise MienError(_no_cluster(address, reason)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Refuse an address where nobody answers: Ray would wait for minutes.

    Raises:
        MienError: nobody answers there, or it is no address.
    """
    given = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if given in ("auto", "local"):
        return
    host, _, port = given.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise MienError(f"--ray is auto, local or HOST:PORT, not {given[:100]}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise MienError(_no_cluster(given, reason)) from error


def _no_cluster(address: str, reason: str) -> str:
    return (
        f"there is no Ray cluster at {address} ({reason}): start one with ray start --head, or "
        "give --ray local"
    )


def _embed_shard(
    weights: str | None,
    device: str,
    folder: str,
    options: EmbedOptions,
    shard: Shard,
    lines: str,
    out: str,
) -> tuple[str, int, int]:
    """Embed a shard on a node; return why not, or "", and the frames and faces done."""
    status = Status(0, 0.0, 0, 0)

    def keep(now: Status) -> None:
        nonlocal status
        status = now

    try:
        os.chdir(folder)  # what was given relative to the driver's folder
        model, listing = _model(weights, device, options.eyes_only), Listing.of_shard(shard, lines)
        until = time.monotonic() + _LOCKED_S
        while True:
            try:
                embed_listing(listing, out, model=model, options=options, on_progress=keep)
            except LockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            else:
                return "", status.frames, status.faces
    except MienError as error:
        return str(error), 0, 0
    except OSError as error:
        return f"on {socket.gethostname()}: {error}", 0, 0


@lru_cache(maxsize=1)
def _model(weights: str | None, device: str, eyes_only: bool) -> AnyEncoder:  # noqa: FBT001
    return open_encoder(weights, device=device, eyes_only=eyes_only)
