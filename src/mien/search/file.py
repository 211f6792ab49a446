"""An index as one file: safetensors, with what it is in the metadata; checksummed, written whole.

    mean   F64 [D]        the mean code that was taken off; [0] where none was
    codes  U8 [N, 2, D]   see mien.search.codes
    rows   U8 [B]         an Arrow IPC file, uncompressed: whose codes these are

The header is padded to 16 KiB. `data_sha256` is of all that follows it, `header_sha256` of the
header's JSON with 64 zeros in its place. A new state is written beside the old one, brought to the
disk, and takes its name: whenever the power fails, the one or the other is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.similarity import Threshold
from mien.media.names import to_text
from mien.media.outputs import check_outputs
from mien.search.codes import Codes

__all__ = [
    "MAX_DIM",
    "ROWS",
    "Content",
    "Header",
    "is_index",
    "read_file",
    "unfinished_of",
    "writing",
]

ROWS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("person", pa.string()),
        pa.field("path", pa.string(), nullable=False),
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("face_id", pa.int32()),
        pa.field("track_id", pa.int32()),
        *(pa.field(name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
    ]
)
"""What is kept of a face beside its code; `row` is its number, never given twice."""

_FORMAT, _VERSION = "mien index", 1
_SPACE = 16384
_BLANK = "0" * 64
MAX_DIM = 1 << 16
"""Numbers of a code."""
_MAX_TEXT = 2000
_PIECE = 1 << 22


@dataclass(frozen=True, eq=False)
class Header:
    """What an index is."""

    weights_id: str
    """Of the weights that made the codes."""
    code: str
    """The column that they come from."""
    dim: int
    """D."""
    next_row: int = 0
    """Number of the next face to be added."""
    person_column: str | None = None
    """The column that says who it is; None: there was none."""
    thresholds: tuple[Threshold, ...] = ()
    """Measured for these weights and this code; none: nothing was."""
    measured_on: str = ""
    """The people of the thresholds."""
    mean: NDArray[np.float64] | None = field(default=None, repr=False)
    """Mean code, taken off before codes are compared. [D]."""

    def metadata(self) -> dict[str, str]:
        """Return what the file's metadata say of it, checksums left out."""
        said = {k: v for k, v in asdict(self).items() if k not in ("mean", "thresholds", "dim")}
        said["measured_on"] = self.measured_on[:_MAX_TEXT]
        said["thresholds"] = [vars(one) for one in self.thresholds]
        return {
            "format": _FORMAT,
            "format_version": str(_VERSION),
            **{name: json.dumps(value) for name, value in said.items()},
        }


@dataclass(frozen=True, eq=False)
class Content:
    """What stands in a file."""

    header: Header
    codes: Codes
    rows: pa.Table
    """As `ROWS`. [N]."""
    stamp: tuple[int, ...]
    """Another where the file is another."""


def is_index(path: str | Path) -> bool:
    """Return whether a file begins as an index does, whatever follows."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            return f'"format": "{_FORMAT}"'.encode() in file.read(_SPACE)[8:]
    except (OSError, ValueError):
        return False


def read_file(path: str | Path, *, verify: bool = True) -> Content:
    """Read an index; the codes stay on the disk and are mapped.

    Args:
        path: the file.
        verify: whether the checksum of all that it holds is computed.

    Raises:
        MienError: it is not there, is no index, of a later version, or cut short or changed.
    """
    shown = to_text(path)
    path = Path(path)
    if not path.is_file():
        what = "is no file" if path.exists() else "is not there"
        raise MienError(f"there is no index {shown} ({what}); make one with mien search build")
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = _header_text(file.read(_SPACE), shown)
            found = _parsed(text, shown)
            _check(file, found, text, status.st_size, shown, verify=verify)
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            return Content(*_content(file, found, shown), stamp)
    except OSError as error:
        raise MienError(f"cannot read {shown}: {error.strerror or error}") from error


def _damaged(shown: str, why: str) -> MienError:
    return MienError(f"{shown} is damaged: {why}; build it again")


def _header_text(start: bytes, shown: str) -> str:
    length = int.from_bytes(start[:8], "little")
    text = start[8 : 8 + length]
    # Known by its first words: one that is cut short is an index still.
    if f'"format": "{_FORMAT}"'.encode() not in start:
        raise MienError(f"{shown} is no index of faces; make one with mien search build")
    if length != _SPACE - 8 or len(text) != length:
        raise _damaged(shown, "its header is cut short")
    return text.decode(errors="replace").rstrip(" ")


def _parsed(text: str, shown: str) -> dict[str, Any]:
    """Return the header; refuse a later version before anything else is looked at."""
    try:
        found = json.loads(text)
        version = int(found["__metadata__"]["format_version"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(shown, "its header cannot be read") from error
    if version != _VERSION:
        raise MienError(
            f"{shown} is of index format {version}, this mien reads {_VERSION}; use the version of "
            "mien that wrote it, or build it again"
        )
    return found


def _check(
    file: IO[bytes], found: dict[str, Any], text: str, size: int, shown: str, *, verify: bool
) -> None:
    said = found["__metadata__"]
    sealed = str(said.get("header_sha256"))
    blank = text.replace(sealed, _BLANK) if len(sealed) == len(_BLANK) else text
    if hashlib.sha256(blank.encode()).hexdigest() != sealed:
        raise _damaged(shown, "its header was changed")
    length = max((one["data_offsets"][1] for name, one in found.items() if name[0] != "_"))
    if size != _SPACE + length:
        raise _damaged(shown, f"it has {size:,} bytes, not {_SPACE + length:,}")
    if verify:
        hashed = hashlib.sha256()
        while piece := file.read(_PIECE):
            hashed.update(piece)
        if hashed.hexdigest() != said.get("data_sha256"):
            raise _damaged(shown, "its checksum differs")


def _content(file: IO[bytes], found: dict[str, Any], shown: str) -> tuple[Header, Codes, pa.Table]:
    """Return what a file with a sound header holds."""
    try:
        said = {k: v for k, v in found["__metadata__"].items() if k in Header.__dataclass_fields__}
        values = {name: json.loads(value) for name, value in said.items()}
        thresholds = tuple(Threshold(**one) for one in values.pop("thresholds"))
        mean = _mapped(file, found["mean"], np.dtype(np.float64))
        codes = _mapped(file, found["codes"], np.dtype(np.uint8))
        rows = _mapped(file, found["rows"], np.dtype(np.uint8))
        count, two, dim = codes.shape
        if two != 2 or not 1 <= dim <= MAX_DIM or mean.shape not in ((0,), (dim,)):
            raise ValueError("shapes")
        header = Header(
            **values, dim=dim, thresholds=thresholds, mean=np.array(mean) if len(mean) else None
        )
        table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(rows))).read_all()
        table.validate(full=True)
        if table.schema != ROWS or len(table) != count:
            raise ValueError("rows")
    except (pa.ArrowException, KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(shown, "it does not hold what its header says") from error
    return header, Codes(dim, ((codes, None),)), table


def _mapped(file: IO[bytes], tensor: dict[str, Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    shape = tuple(int(n) for n in tensor["shape"])
    first, last = tensor["data_offsets"]
    if int(np.prod(shape)) * dtype.itemsize != last - first:
        raise ValueError("offsets")
    if first == last:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", offset=_SPACE + first, shape=shape).view(np.ndarray)


def unfinished_of(path: Path) -> Path:
    """Return where the next state of an index is written; a killed process may leave it there."""
    return path.with_name(f".{path.name}.unfinished")


@contextlib.contextmanager
def writing(path: str | Path, header: Header, *, overwrite: bool) -> Iterator[_Writer]:
    """Give a writer of a new state; when the block ends well, it takes the name `path`.

    Whatever ends the block otherwise, nothing is left of it. One writer at a time: its caller has
    the lock.

    Raises:
        MienError: `path` exists and may not be replaced, is no ordinary file or cannot be written.
    """
    (target,) = check_outputs([path], overwrite=overwrite)
    unfinished = unfinished_of(target)
    try:
        _remove_left(unfinished)
        try:
            with unfinished.open("xb") as file:
                writer = _Writer(file, header)
                yield writer
                writer.finish()
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
            _sync_folder(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MienError(f"cannot write {to_text(path)}: {reason}") from error


def _remove_left(unfinished: Path) -> None:
    """Remove what a process that was killed has left; refuse what somebody else has put there."""
    if not os.path.lexists(unfinished):
        return
    ours = not unfinished.is_symlink() and unfinished.is_file()
    if ours and not is_index(unfinished):
        with unfinished.open("rb") as file:
            ours = not file.read(_SPACE).strip(b"\0")  # the header is written last
    if not ours:
        raise MienError(
            f"{to_text(unfinished)} stands where an index is written before it is whole, and mien "
            "did not write it; move it away"
        )
    unfinished.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring a change of names to the disk, where folders can be opened."""
    with contextlib.suppress(PermissionError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


class _Writer:
    """Writes codes as they come; memory holds the rows alone."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._file = file
        self.header = header
        """Written last; its mean is that it was made with."""
        self._hash = hashlib.sha256()
        self._count = 0
        self._rows: list[pa.Table] = []
        file.write(bytes(_SPACE))
        mean = np.empty(0) if header.mean is None else header.mean
        self._mean_bytes = self._put(np.ascontiguousarray(mean, "<f8"))

    @property
    def count(self) -> int:
        """Return how many faces were written."""
        return self._count

    def append(self, codes: Iterable[NDArray[np.uint8]], rows: pa.Table) -> None:
        """Write the codes [n, 2, D] of some rows; `rows` have all columns but their number too."""
        for piece in codes:
            self._put(piece)
            self._count += len(piece)
        self._rows.append(rows)

    def _put(self, array: NDArray[Any]) -> int:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        self._hash.update(data)
        self._file.write(data)
        return len(data)

    def finish(self) -> None:
        """Write the rows and the header."""
        table = pa.concat_tables([ROWS.empty_table(), *self._rows])
        if len(table) != self._count:
            raise ValueError(f"{len(table)} rows for {self._count} codes")
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_file(buffer, ROWS) as stream:
            # In one piece and copied: what was left out must not stand between what is kept.
            stream.write_table(table.take(pa.array(np.arange(len(table)))).combine_chunks())
        rows = np.frombuffer(buffer.getvalue(), np.uint8)
        self._put(rows)
        dim = self.header.dim
        ends = np.cumsum([self._mean_bytes, self._count * 2 * dim, len(rows)]).tolist()
        shapes = {
            "mean": ("F64", [self._mean_bytes // 8]),
            "codes": ("U8", [self._count, 2, dim]),
            "rows": ("U8", [len(rows)]),
        }
        said = self.header.metadata() | {
            "data_sha256": self._hash.hexdigest(),
            "header_sha256": _BLANK,
        }
        found: dict[str, Any] = {"__metadata__": said}
        for (name, (kind, shape)), first, last in zip(
            shapes.items(), [0, *ends], ends, strict=False
        ):
            found[name] = {"dtype": kind, "shape": shape, "data_offsets": [first, last]}
        blank = json.dumps(found)
        said["header_sha256"] = hashlib.sha256(blank.encode()).hexdigest()
        text = json.dumps(found).encode()
        if len(text) > _SPACE - 8:
            raise MienError(f"the index's header would take {len(text):,} bytes; shorten its names")
        self._file.seek(0)
        self._file.write((_SPACE - 8).to_bytes(8, "little") + text.ljust(_SPACE - 8))
