"""Images and video in, a table of named factors out: one row per face per frame.

`embed` keeps the table in memory, `embed_to_parquet` writes it as it grows and can be resumed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from mien.columns import GAZE_CODE
from mien.embedding.frames import Batch, read_batches
from mien.embedding.job import JobFolder
from mien.embedding.listing import Listing, check_shard, list_inputs
from mien.embedding.options import EmbedOptions
from mien.embedding.readouts import (
    CalibrationFile,
    ProbeFile,
    gaze_columns,
    open_calibration,
    open_probes,
    probe_columns,
    probe_values,
    sees_features,
)
from mien.embedding.remote_job import job_folder, kept_is_told
from mien.embedding.summary import Status, Summary, summarise
from mien.embedding.tracks import TrackLinker
from mien.errors import MienError
from mien.media.inputs import Source
from mien.media.outputs import check_outputs
from mien.media.still import ImageLike
from mien.pipeline.crops import Cropper
from mien.pipeline.encode import AnyEncoder, encode_crops, lengths_of, open_encoder
from mien.pipeline.known_faces import KnownFaces, is_box_file
from mien.table.naming import named_frame
from mien.table.read import data_frame
from mien.table.rows import record_batch
from mien.table.schema import TableInfo, arrow_schema, job_digest, pinned
from mien.table.shard import Shard
from mien.table.writer import PartWriter
from mien.types import Factors, GazeCode
from mien.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Job", "Paths", "embed", "embed_listing", "embed_to_parquet", "read_by"]

Paths = str | Path | Sequence[str | Path]


def embed(
    paths: Paths | ImageLike | Sequence[ImageLike],
    *,
    model: AnyEncoder | None = None,
    device: str = "cpu",
    **options: Any,
) -> pd.DataFrame:
    """Return the faces in images and videos as a DataFrame, one row per face per frame.

    The columns are those of `mien embed --schema`; a code is one float32 array [D] a row. What
    cannot be read, or shows no face, is a row with `face_found` False, the reason and no factors.
    A face without eyes has `eyes_found` False and no gaze; `gaze_code` and `eyes_found` are left
    out where the weights have no gaze branch; of eye-region crops gaze is the only factor. `attrs`
    holds what made the table, and under "columns" each column's unit, frame and range.

    Args:
        paths: images, videos, folders and globs, or addresses of such; or images in memory: RGB
            pixels uint8 [H, W, 3], Pillow images, open binary files, whose `path` is then "image 0"
            and so on.
        model: from `mien.load`; None loads the shipped weights onto `device`.
        device: where to load the shipped weights: cpu, cuda, cuda:N, mps. A given model stays
            where it is.
        options: the fields of `mien.embedding.options.EmbedOptions` by name. With a calibration
            the table has the columns `gaze_x` to `gaze_std_rad`, with the probe of a label NAME
            the columns `NAME` and `NAME_prob` (classes) or `NAME_std` (numbers). `schema` gives
            other columns, without `attrs`: those that `mien.table.naming` knows.

    Raises:
        MienError: if an input does not exist, nothing is found, an option cannot be met, or the
            calibration or a probe belongs to other weights.
    """
    chosen = EmbedOptions(**options)
    job = Job.of(model or open_encoder(device=device, eyes_only=chosen.eyes_only), chosen)
    schema = job.schema(digest="")
    with (
        _listed(paths) as listing,
        contextlib.closing(job.batches(listing, start=0)) as batches,
    ):
        link = TrackLinker()
        encoded = [job.encode(batch, schema, link) for batch in batches]
    table = data_frame(pa.Table.from_batches(encoded, schema=schema))
    return table if job.options.schema == "mien" else named_frame(table, job.options.schema)


@dataclass(frozen=True)
class _InMemory:
    """Images that are no files: listed like those that are."""

    images: Sequence[ImageLike]
    first: int = 0

    def sources(self) -> Iterator[Source]:
        for number, image in enumerate(self.images):
            yield Source(f"image {number}", f"image {number}", "image", image)


def _listed(
    given: Paths | ImageLike | Sequence[ImageLike],
) -> contextlib.AbstractContextManager[Listing | _InMemory]:
    one = isinstance(given, (str, os.PathLike)) or not isinstance(given, Sequence)
    images = [given] if one else list(cast("Sequence[ImageLike]", given))
    named = sum(isinstance(image, (str, os.PathLike)) for image in images)
    if named == len(images):
        return list_inputs(cast("Paths", given))
    if named:
        raise MienError("give paths or images in memory, not both at once")
    return contextlib.nullcontext(_InMemory(cast("list[ImageLike]", images)))


def embed_to_parquet(
    paths: Paths,
    out: str | Path,
    *,
    model: AnyEncoder | None = None,
    options: EmbedOptions | None = None,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Status], None] | None = None,
    shard: str | None = None,
) -> Summary:
    """Write the same table as `embed` to a file, in memory that does not grow with it.

    Finished rows are kept in the hidden folder `.NAME.parts` beside the table until it is complete;
    a run that was killed at any moment is continued by `resume` and gives the same table.

    Args:
        paths: images, videos, folders and globs, here or at addresses (`s3://bucket/people/**`).
        out: the table to be written: .parquet, .feather, .csv or .jsonl; or its address.
        model: from `mien.load`; None loads the shipped weights onto the CPU.
        options: detector, batch size, choice of frames, eye-region crops, calibration, probes.
        overwrite: whether a table that is there, or an unfinished one, may be replaced.
        resume: continue an unfinished table; begin if there is none; do nothing if it is
            complete.
        on_progress: called after each batch.
        shard: I/N, I from 0: only this of N parts of the inputs, of about equal work; the table is
            to be merged with the others by `mien.table.merge.merge_shards`.

    Raises:
        MienError: as `embed`; also if the table may not be replaced or cannot be written, if
            the unfinished one is from other inputs, options or weights, or if there is no such
            shard or it is to be written as other than Parquet.
    """
    folder = job_folder(out)
    folder.refuse(overwrite=overwrite, resume=resume)
    options = options or EmbedOptions()
    chosen = check_shard(shard, out, options)
    job = Job.of(model or open_encoder(eyes_only=options.eyes_only), options)
    with list_inputs(paths) as listing:
        part = listing if chosen is None else listing.part(*chosen, options.batch_size)
        return _embed(job, part, folder, overwrite, resume, on_progress)


def embed_listing(
    listing: Listing,
    out: str | Path,
    *,
    model: AnyEncoder,
    options: EmbedOptions,
    on_progress: Callable[[Status], None] | None = None,
) -> Summary:
    """Write or continue the table of a listing, or of its shard, as `embed_to_parquet` does.

    Raises:
        MienError: as `embed_to_parquet` with `resume`.
    """
    folder = job_folder(out)
    folder.refuse(overwrite=False, resume=True)
    return _embed(Job.of(model, options), listing, folder, False, True, on_progress)


def _embed(
    job: Job,
    listing: Listing,
    folder: JobFolder,
    overwrite: bool,  # noqa: FBT001
    resume: bool,  # noqa: FBT001
    on_progress: Callable[[Status], None] | None,
) -> Summary:
    check_outputs([folder.target], inputs=read_by(job.options, listing), overwrite=True)
    known = job.cropper.detector
    if isinstance(known, KnownFaces) and listing.shard is None:
        known.refuse_strangers((s.path_label, s.full_path) for s in listing.sources())
    pinned = job.pinned(listing)
    digest = job_digest(pinned)
    if resume and folder.is_finished(digest):
        folder.remove()
        return summarise(folder.target, inputs=listing.count, resumed_at=listing.count)
    if resume:
        folder.refuse_another(overwrite=overwrite)
    with contextlib.closing(folder), kept_is_told():
        progress = folder.begin(pinned, resume=resume)
        schema = job.schema(digest, listing.shard)
        writer = PartWriter(folder.path, schema, progress, keep=folder.keep)
        start = max(progress.sources, listing.first)
        report = _Report(on_progress, listing, start)
        _write_rows(job, listing, start, writer, folder, report)
        joined = folder.finish(writer.schema)
        counted = summarise(joined, inputs=listing.count, resumed_at=start - listing.first)
        folder.place(joined, schema=job.options.schema)
    return replace(counted, out=folder.target)


def _write_rows(
    job: Job,
    listing: Listing,
    start: int,
    writer: PartWriter,
    folder: JobFolder,
    report: _Report,
) -> None:
    """Write the rows of all inputs from number `start` on, as parts."""
    link = TrackLinker()
    try:
        with contextlib.closing(job.batches(listing, start)) as batches:
            for batch in batches:
                rows = job.encode(batch, writer.schema, link)
                with folder.writing():
                    writer.write(rows, batch.sources, batch.start)
                report(batch)
    except BaseException:
        # What is complete is worth keeping, whatever ended the run.
        with contextlib.suppress(OSError, MienError):
            writer.save_complete()
        raise
    with folder.writing():
        writer.finish(listing.stop)


def read_by(options: EmbedOptions, listing: Listing) -> Iterator[str | Path]:
    """Yield all files that a job reads, other shards' too: none of them may be its table."""
    yield from options.probes
    if options.calibration is not None:
        yield options.calibration
    if options.detector is not None and is_box_file(options.detector):
        yield options.detector
    yield from listing.paths()


@dataclass(frozen=True)
class Job:
    """What decides the rows of given inputs: model and options."""

    model: AnyEncoder
    options: EmbedOptions
    cropper: Cropper
    gaze: CalibrationFile | None
    probes: tuple[ProbeFile, ...]

    @staticmethod
    def of(model: AnyEncoder, options: EmbedOptions) -> Job:
        gaze = open_calibration(model, options)
        probes = open_probes(model, options)
        size = model.eye_crop_size if options.eyes_only else model.crop_size
        cropper = Cropper.open(options.detector or "auto", size)
        return Job(model, options, cropper, gaze, probes)

    def pinned(self, listing: Listing) -> dict[str, Any]:
        """Return what must be the same for an interrupted run to be resumed, as JSON values."""
        return pinned(self._info(), listing.digest, listing.total, listing.shard)

    def _info(self, digest: str = "", shard: Shard | None = None) -> TableInfo:
        return TableInfo(
            version=VERSION,
            model_id=self.model.weights_id,
            detector=self.cropper.detector.name,
            options=self._choices(),
            job=digest,
            shard=shard,
        )

    def schema(self, digest: str, shard: Shard | None = None) -> pa.Schema:
        """Return the table's schema; `digest` and shard are those of a job on disk."""
        info = self._info(digest, shard)
        lengths = lengths_of(self.model, features=self.options.features)
        if self.options.eyes_only:
            lengths = {name: dim for name, dim in lengths.items() if name == GAZE_CODE}
        return arrow_schema(
            info,
            lengths,
            calibrated=self.gaze is not None,
            more=probe_columns(self.probes),
        )

    def batches(self, listing: Listing | _InMemory, start: int) -> Generator[Batch]:
        """Yield the faces of all inputs from number `start` on."""
        return read_batches(
            listing.sources(), self.cropper, self.options, start=start, first=listing.first
        )

    def encode(self, batch: Batch, schema: pa.Schema, link: TrackLinker) -> pa.RecordBatch:
        """Return the batch as rows of the table, factors included.

        Args:
            batch: the next one.
            schema: of the table.
            link: has seen the batches before of the same video.

        Raises:
            MienError: if the model, the calibration or a probe gives what is not a finite number.
        """
        if not batch.crops:
            return record_batch(batch.rows, None, schema)
        names = [row.path for row in batch.rows if row.face_found]
        factors = encode_crops(
            batch.crops,
            self.model,
            names=names,
            eyes_only=self.options.eyes_only,
            features=self.options.features or sees_features(self.probes),
        )
        gaze = self._directions(factors, names)
        probed = probe_values(self.probes, factors) if self.probes else None
        factors = factors.numpy()
        looks: Any = factors.face_embedding if isinstance(factors, Factors) else None
        rows = link(batch.rows, looks)
        return record_batch(rows, factors, schema, gaze, probed)

    def _directions(
        self, factors: Factors | GazeCode, names: Sequence[str]
    ) -> dict[str, np.ndarray] | None:
        """Return the columns of calibrated gaze, refusing what is not finite."""
        code: Any = factors.gaze if isinstance(factors, Factors) else factors
        if self.gaze is None or code is None:
            return None
        gaze = gaze_columns(self.gaze.content, factors)
        finite = np.isfinite(list(gaze.values())).all(axis=0) | ~code.numpy().eyes_found
        if not finite.all():
            name = names[int(finite.argmin())]
            raise MienError(
                f"the calibration gives a gaze that is not finite for {name}: it is broken; "
                "calibrate again"
            )
        return gaze

    def _choices(self) -> dict[str, Any]:
        return {
            "every": self.options.every,
            "fps": self.options.fps,
            "min_score": self.options.min_score,
            "min_size": self.options.min_size,
            "crop": self.options.crop,
            "features": self.options.features,
            "calibration": None if self.gaze is None else self.gaze.checksum,
            "probes": [f"{file.content.label} {file.checksum}" for file in self.probes] or None,
        } | self.options.other_schema


class _Report:
    """Reports how far the job is to whoever wants to know."""

    def __init__(
        self, listener: Callable[[Status], None] | None, listing: Listing, start: int
    ) -> None:
        self._listener = listener
        self._first = listing.first
        self._status = Status(listing.count, float(start - self._first), 0, 0)
        self._last: tuple[str, int] | None = None
        self._send()

    def __call__(self, batch: Batch) -> None:
        frames, faces = self._status.frames, self._status.faces + len(batch.crops)
        for row in batch.rows:
            frames += (row.path, row.frame) != self._last
            self._last = (row.path, row.frame)
        done = batch.done - self._first
        self._status = replace(self._status, done=done, frames=frames, faces=faces)
        self._send()

    def _send(self) -> None:
        if self._listener is not None:
            self._listener(self._status)
