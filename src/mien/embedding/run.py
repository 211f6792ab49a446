"""The whole way: inputs found, read ahead, searched for faces, encoded, written.

`embed_to_frame` keeps the table in memory, `embed_to_parquet` writes it as it grows and can go on
after a crash.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mien.embedding.job import JobFolder, job_digest
from mien.embedding.summary import Status, Summary, summarise
from mien.errors import MienError
from mien.pipeline.batches import Batch, gather
from mien.pipeline.encode import Encoder, encode
from mien.pipeline.gaze import CalibrationFile, open_calibration
from mien.pipeline.prefetch import prefetch
from mien.pipeline.probes import ProbeFile, open_probes, probe_columns, sees_features
from mien.pipeline.read import Reader, list_inputs
from mien.probes.match import NUMBERS
from mien.table.read import data_frame
from mien.table.schema import FACE_EMBEDDING, FEATURES, TableInfo, arrow_schema
from mien.table.writer import PartWriter
from mien.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CROPS", "EmbedOptions", "embed_to_frame", "embed_to_parquet"]

CROPS = ("face", "eyes")
"""What is cut out of the images: faces; nothing, every image is a wide eye-region crop."""

# Each thread may hold a large image, and each waiting task a video's frame.
_MOST_WORKERS = 16
_WAITING = 4


@dataclass(frozen=True)
class EmbedOptions:
    """How inputs are read and encoded; each choice but the batch size and workers shows."""

    detector: str | None = None
    """auto, haar or yunet; none: every image is a face crop already. None: auto, or nothing where
    eye-region crops are read."""
    batch_size: int = 64
    """Faces encoded at a time."""
    every: int | None = None
    """Take every N-th frame of a video."""
    fps: float | None = None
    """Take this many frames a second of a video."""
    workers: int | None = None
    """Threads that read images and find faces; None: one a processor, up to 16."""
    crop: str = "face"
    """face; eyes: every image is a wide eye-region crop, and gaze is all that is read."""
    calibration: str | Path | None = None
    """File by `mien calibrate`, which makes directions of the gaze codes."""
    probes: Sequence[str | Path] = ()
    """Files by `mien probe`, each of which adds two columns: what it says, and how sure it is."""
    features: bool = False
    """Add the encoder's features, for probes; they are no factor."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            MienError: if an option is out of its range or contradicts another.
        """
        if self.batch_size < 1:
            raise MienError(f"--batch-size is at least 1, not {self.batch_size}")
        if self.every is not None and self.every < 1:
            raise MienError(f"--every is at least 1, not {self.every}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise MienError(f"--fps is above 0, not {self.fps}")
        if self.every is not None and self.fps is not None:
            raise MienError("--every and --fps both choose frames: give one of them")
        if self.crop not in CROPS:
            raise MienError(f"there is no crop {self.crop}; give one of {', '.join(CROPS)}")
        if self.crop == "eyes" and self.detector is not None:
            raise MienError("--crop eyes searches for no face: leave --detector out")
        if self.crop == "eyes" and self.features:
            raise MienError("eye-region crops have no features of a face: leave --features out")

    def thread_count(self) -> int:
        """Return how many threads read and search."""
        return max(1, self.workers or min(os.cpu_count() or 1, _MOST_WORKERS))


def embed_to_frame(
    paths: Sequence[str | Path], *, model: Encoder, options: EmbedOptions
) -> pd.DataFrame:
    """Return the table of all faces; see `mien.embed.embed`."""
    job = _Job.of(paths, model, options)
    schema = job.schema(digest="")
    with contextlib.closing(job.batches(start=0)) as batches:
        encoded = [job.encode(batch, schema) for batch in batches]
    if not encoded:
        raise MienError("no image or video is found in the inputs")
    return data_frame(pa.Table.from_batches(encoded, schema=schema))


def embed_to_parquet(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    model: Encoder,
    options: EmbedOptions,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Status], None] | None = None,
) -> Summary:
    """Write the table of all faces; see `mien.embed.embed_to_parquet`."""
    folder = JobFolder(Path(out))
    folder.refuse(overwrite=overwrite, resume=resume)
    job = _Job.of(paths, model, options)
    listing = list_inputs(paths)
    pinned = job.pinned() | {"inputs": listing.digest, "number of inputs": listing.count}
    digest = job_digest(pinned)
    if resume:
        if folder.is_finished(digest):
            folder.remove()
            return summarise(folder.out, inputs=listing.count, resumed_at=listing.count)
        folder.refuse_another(overwrite=overwrite)
    try:
        start = folder.begin(pinned, resume=resume)
        schema = job.schema(digest)
        writer = PartWriter(folder.path, schema, start)
        report = _Report(on_progress, listing.count, start.sources)
        try:
            _write_rows(job, start.sources, writer, folder, report)
        except BaseException:
            # What is complete is worth keeping, whatever ended the run.
            with contextlib.suppress(OSError):
                writer.save_complete()
            raise
        with folder.writing():
            writer.finish(listing.count)
        folder.finish(schema)
    finally:
        folder.close()
    return summarise(folder.out, inputs=listing.count, resumed_at=start.sources)


def _write_rows(
    job: _Job, start: int, writer: PartWriter, folder: JobFolder, report: _Report
) -> None:
    with contextlib.closing(job.batches(start)) as batches:
        for batch in batches:
            rows = job.encode(batch, writer.schema)
            with folder.writing():
                writer.write(rows, batch.sources)
            report(batch)


@dataclass(frozen=True)
class _Job:
    """What decides the rows: inputs, model, options."""

    paths: Sequence[str | Path]
    model: Encoder
    options: EmbedOptions
    reader: Reader
    gaze: CalibrationFile | None
    probes: tuple[ProbeFile, ...]

    @staticmethod
    def of(paths: Sequence[str | Path], model: Encoder, options: EmbedOptions) -> _Job:
        gaze = _calibration(model, options)
        probes = _probes(model, options)
        size = model.eye_crop_size if options.crop == "eyes" else model.crop_size
        detector = options.detector or "auto"
        reader = Reader(detector, size, every=options.every, fps=options.fps)
        return _Job(paths, model, options, reader, gaze, probes)

    def pinned(self) -> dict[str, Any]:
        """Return what must be the same for a broken-off run to go on, as JSON values."""
        return {
            "version": VERSION,
            "weights": self.model.weights_id,
            "detector": self.reader.detector,
            **self._choices(),
        }

    def schema(self, digest: str) -> pa.Schema:
        config = self.model.config
        info = TableInfo(
            version=VERSION,
            model_id=self.model.weights_id,
            detector=self.reader.detector,
            options=self._choices(),
            job=digest,
        )
        return arrow_schema(
            info,
            texture_dim=config.texture_dim,
            shape_dim=config.shape_dim,
            face_embedding_dim=config.face_embedding_dim or None,
            gaze_dim=None if config.gaze is None else config.gaze.code_dim,
            calibrated=self.gaze is not None,
            features_dim=self.model.features_dim if self.options.features else None,
            more=probe_columns(self.probes),
        )

    def encode(self, batch: Batch, schema: pa.Schema) -> pa.RecordBatch:
        """Return the batch as rows of the table."""
        calibration = None if self.gaze is None else self.gaze.calibration
        eyes_only = self.options.crop == "eyes"
        return encode(
            batch,
            self.model,
            schema,
            eyes_only=eyes_only,
            features=self.options.features or sees_features(self.probes),
            calibration=calibration,
            probes=self.probes,
        )

    def batches(self, start: int) -> Generator[Batch]:
        """Yield the faces of all inputs from number `start` on, read and found on threads."""
        workers = self.options.thread_count()
        tasks = self.reader.tasks(self.paths, start)
        with self.reader.one_thread_each():
            found = prefetch(tasks, workers=workers, ahead=workers + _WAITING)
            yield from gather(self.reader.follow(found), self.options.batch_size)

    def _choices(self) -> dict[str, Any]:
        return {
            "every": self.options.every,
            "fps": self.options.fps,
            "crop": self.options.crop,
            "features": self.options.features,
            "calibration": None if self.gaze is None else self.gaze.digest,
            "probes": [f"{file.probe.label} {file.digest}" for file in self.probes] or None,
        }


def _calibration(model: Encoder, options: EmbedOptions) -> CalibrationFile | None:
    """Open the calibration that is asked for, if these weights can do what is asked for."""
    eyes_only = options.crop == "eyes"
    if model.config.gaze is None and (eyes_only or options.calibration is not None):
        asked = "--crop eyes" if eyes_only else "--calibration"
        raise MienError(
            f"the weights {model.weights_id} know no gaze, which {asked} asks for: "
            "give others with --weights"
        )
    if model.config.gaze is None or options.calibration is None:
        return None
    return open_calibration(
        options.calibration,
        weights_id=model.weights_id,
        code_dim=model.config.gaze.code_dim,
        has_pose=not eyes_only,
    )


def _probes(model: Encoder, options: EmbedOptions) -> tuple[ProbeFile, ...]:
    """Open the probes that are asked for, if these weights give what they see."""
    if not options.probes:
        return ()
    config = model.config
    lengths = {} if config.gaze is None else {"gaze_code": config.gaze.code_dim}
    if options.crop != "eyes":
        both = config.texture_dim + config.shape_dim
        lengths |= {"identity": both, "expression": both}
        lengths |= {"texture_code": config.texture_dim, "shape_code": config.shape_dim}
        lengths |= dict.fromkeys(NUMBERS, 1) | {FEATURES: model.features_dim}
        lengths |= {FACE_EMBEDDING: config.face_embedding_dim} if config.face_embedding_dim else {}
    return open_probes(options.probes, weights_id=model.weights_id, lengths=lengths)


class _Report:
    """Tells whoever wants to know how far the job is."""

    def __init__(self, listener: Callable[[Status], None] | None, total: int, start: int) -> None:
        self._listener = listener
        self._total = total
        self._frames = self._faces = 0
        self._last: tuple[str, int] | None = None
        self._tell(float(start))

    def __call__(self, batch: Batch) -> None:
        for row in batch.rows:
            self._frames += (row.path, row.frame) != self._last
            self._last = (row.path, row.frame)
        self._faces += len(batch.crops)
        self._tell(batch.done)

    def _tell(self, done: float) -> None:
        if self._listener is not None:
            self._listener(Status(self._total, done, self._frames, self._faces))
