"""An index of faces: built from tables, asked for the nearest, added to, deleted from, saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.columns import FACE_EMBEDDING
from mien.errors import MienError
from mien.media.names import to_text
from mien.search.building import numbered, units, write_new
from mien.search.codes import Codes, encode
from mien.search.engine import Engine
from mien.search.faces import read_faces, weights_of
from mien.search.file import Content, Header, read_file, writing
from mien.search.known import Known
from mien.search.lock import WriteLock
from mien.search.results import Added, Hit, IndexInfo

__all__ = ["Index", "build", "open_index"]


class Index:
    """An index in use; changes are in memory until `save`.

    The first change takes the lock of the file, `save` and `close` let it go: two cannot change one
    index at a time.
    """

    def __init__(self, path: str | Path, content: Content, *, added: Added | None = None) -> None:
        """Made by `open_index` and `build`."""
        self.path = Path(path)
        self.added = added
        """What the last `build` or `add` did."""
        self._content = content
        self._engine: Engine | None = None
        self._lock: WriteLock | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self._content.rows)

    def __repr__(self) -> str:
        header = self._content.header
        return f"Index({self.path}, {len(self):,} faces, {header.code} of {header.weights_id})"

    @property
    def weights_id(self) -> str:
        """Return the id of the weights that made its codes."""
        return self._content.header.weights_id

    @property
    def code(self) -> str:
        """Return the column of the codes."""
        return self._content.header.code

    @property
    def dim(self) -> int:
        """Return how many numbers a code has."""
        return self._content.header.dim

    @property
    def rows(self) -> pa.Table:
        """Return row, person, path, frame, face_id, track_id and box of each face. [N]."""
        return self._content.rows

    def info(self) -> IndexInfo:
        """Return what it is."""
        header = self._content.header
        people = None
        if header.person_column is not None:
            people = len(self.rows.column("person").drop_null().unique())
        return IndexInfo(
            path=self.path,
            faces=len(self),
            people=people,
            weights_id=header.weights_id,
            code=header.code,
            dim=header.dim,
            person_column=header.person_column,
            centred=header.mean is not None,
            thresholds=header.thresholds,
            measured_on=header.measured_on,
            engine=self._ready().name,
            bytes=self._content.stamp[2],
        )

    def false_match_chance(self, rate: float) -> float:
        """Return the chance of at least one false match among all faces, were they independent.

        Args:
            rate: of pairs of different people that are taken for one, in [0, 1).
        """
        return -math.expm1(len(self) * math.log1p(-rate))

    def nearest(
        self, vectors: NDArray[np.floating[Any]], *, top: int = 20
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions in `rows` of the nearest faces and their cosines, best first.

        Args:
            vectors: codes as they stand in a table, of the index's weights. [Q, D].
            top: how many for each; all where there are fewer.

        Returns:
            Positions and cosines, each [Q, K].

        Raises:
            MienError: the index is empty, `top` is below 1, or the vectors are not such codes.
        """
        header = self._content.header
        self.check_top(top)
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != header.dim:
            raise MienError(
                f"vectors of {to_text(self.path)} are [Q, {header.dim}], not {list(vectors.shape)}"
            )
        if not np.isfinite(vectors).all():
            raise MienError("a vector that is asked for holds NaN or infinity; embed it again")
        unit = units(header, vectors).astype(np.float32)
        return self._ready().nearest(unit, top)

    def check_top(self, top: int) -> None:
        """Refuse to look for no face, or in an empty index.

        Raises:
            MienError: so.
        """
        if top < 1:
            raise MienError(f"top is at least 1, not {top}")
        if not len(self):
            raise MienError(f"{to_text(self.path)} holds no faces; add some with mien search add")

    def query(
        self, vectors: NDArray[np.floating[Any]], *, top: int = 20
    ) -> tuple[tuple[Hit, ...], ...]:
        """Return the nearest faces of each vector, best first; all else as `nearest`."""
        positions, cosines = self.nearest(vectors, top=top)
        found = iter(self.rows.take(pa.array(positions.ravel())).to_pylist())
        return tuple(
            tuple(
                self._hit(rank, next(found), float(cosine))
                for rank, cosine in enumerate(line, start=1)
            )
            for line in cosines
        )

    def add(self, table: str | Path) -> Added:
        """Add the faces of a table that are not in it yet, to memory.

        A face that has the path, frame, number and code of one that is in the index is passed over.

        Args:
            table: by the index's weights, with its code and its person column.

        Raises:
            MienError: the table cannot be read or is not such a one; another process changes the
                index, or has since it was opened.
        """
        header = self._content.header
        if (made_by := weights_of(table)) != header.weights_id:
            raise MienError(
                f"{to_text(table)} was made by weights {made_by}, {to_text(self.path)} holds codes "
                f"of {header.weights_id}; embed the images with those"
            )
        self._begin()
        codes, rows, left_out, already = self._content.codes, [self.rows], 0, 0
        next_row, known_ones = header.next_row, Known(self._content)
        for faces in read_faces(table, header.code, person_column=header.person_column):
            left_out += faces.left_out
            if not len(faces.vectors):
                continue
            new = encode(units(header, faces.vectors, table))
            known = known_ones(new, faces.rows)
            already += int(known.sum())
            if known.all():
                continue
            codes = codes.plus(new[~known])
            rows.append(numbered(faces.rows.filter(pa.array(~known)), next_row))
            next_row += len(rows[-1])
        table_of_all = pa.concat_tables(rows)
        self.added = Added(len(table_of_all) - len(self), left_out, already)
        self._become(replace(header, next_row=next_row), codes, table_of_all)
        return self.added

    def delete(
        self,
        *,
        person: str | None = None,
        paths: Sequence[str] = (),
        rows: Sequence[int] = (),
        track: int | None = None,
    ) -> int:
        """Take faces out, in memory, and return how many: all that any argument names.

        Args:
            person: as in the person column; where the index has none, the path.
            paths: patterns for the path: `*`, `?` and `[...]`; `*` also stands for `/`.
            rows: numbers, as `Hit.row`.
            track: of the faces that `paths` name, only this track.

        Raises:
            MienError: nobody is so named; or as `add`.
        """
        self._begin()
        wanted = np.zeros(len(self), dtype=bool)
        if person is not None:
            by_person = self._content.header.person_column is not None
            wanted |= self._named("person" if by_person else "path", lambda name: name == person)
            if not wanted.any():
                what = "person" if by_person else "path"
                raise MienError(f"no {what} {to_text(person)} in {to_text(self.path)}")
        if paths:
            found = self._named("path", lambda name: any(fnmatchcase(name, p) for p in paths))
            if track is not None:
                found &= self.rows.column("track_id").fill_null(-1).to_numpy() == track
            wanted |= found
        numbers = self.rows.column("row").to_numpy()
        missing = sorted(set(rows).difference(numbers.tolist()))
        if missing:
            raise MienError(f"no row {missing[0]} in {to_text(self.path)}")
        wanted |= np.isin(numbers, np.asarray(rows, np.int64))
        if not wanted.any():
            raise MienError(f"no face of {to_text(self.path)} matches: nothing is deleted")
        kept = self.rows.filter(pa.array(~wanted))
        self._become(self._content.header, self._content.codes.only(~wanted), kept)
        return int(wanted.sum())

    def save(self, path: str | Path | None = None, *, overwrite: bool = False) -> None:
        """Write it, whole or not at all.

        Args:
            path: another file; None: its own, which then is the index that was changed.
            overwrite: whether another file that is there may be replaced.

        Raises:
            MienError: it cannot be written; or as `add`.
        """
        target = self.path if path is None else Path(path)
        if path is None:
            self._begin()
        other = None if path is None else WriteLock(target)
        try:
            with writing(
                target, self._content.header, overwrite=overwrite or path is None
            ) as writer:
                writer.append(self._content.codes.chunks(), self.rows)
            if path is None:
                self._content, self._engine = read_file(target, verify=False), None
        finally:
            if other is None:
                self.close()
            else:
                other.release()

    def close(self) -> None:
        """Let another change the file; changes that were not saved are in memory alone."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _begin(self) -> None:
        """Take the lock, and see that the file is the one that was opened."""
        if self._lock is not None:
            return
        lock = WriteLock(self.path)
        try:
            stamp = read_file(self.path, verify=False).stamp
            if stamp != self._content.stamp:
                raise MienError(
                    f"{to_text(self.path)} was changed since it was opened; open it again"
                )
        except MienError:
            lock.release()
            raise
        self._lock = lock

    def _become(self, header: Header, codes: Codes, rows: pa.Table) -> None:
        self._content = Content(header, codes, rows, self._content.stamp)
        self._engine = None

    def _ready(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self._content.codes)
        return self._engine

    def _named(self, column: str, fits: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Return which rows have a name that fits. Bool [N]."""
        found = self.rows.column(column).combine_chunks().dictionary_encode()
        fitting = np.array([fits(name) for name in found.dictionary.to_pylist()] + [False])
        return fitting[found.indices.fill_null(-1).to_numpy(zero_copy_only=False)]

    def _hit(self, rank: int, row: dict[str, Any], similarity: float) -> Hit:
        corners = [row.pop(name) for name in ("x1", "y1", "x2", "y2")]
        box = None if None in corners else (corners[0], corners[1], corners[2], corners[3])
        reached = [
            one.false_match_rate
            for one in self._content.header.thresholds
            if similarity >= one.similarity
        ]
        rate = min(reached) if reached else None
        return Hit(
            rank=rank,
            similarity=similarity,
            box=box,
            false_match_rate=rate,
            false_match_chance=None if rate is None else self.false_match_chance(rate),
            **row,
        )


def open_index(path: str | Path, *, verify: bool = True) -> Index:
    """Open an index.

    Args:
        path: the file.
        verify: whether the checksum of all that it holds is computed: a second a gigabyte or so.

    Raises:
        MienError: it is not there, no index, of a later version, or damaged.
    """
    return Index(path, read_file(path, verify=verify))


def build(
    tables: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    code: str = FACE_EMBEDDING,
    person_column: str | None = None,
    weights: str | Path | None = None,
    overwrite: bool = False,
) -> Index:
    """Make an index of all faces in some tables; they are read and written as a stream.

    Args:
        tables: by `mien.embed_to_parquet`, all with the same weights.
        out: the file to be written.
        code: the column of vectors to search by.
        person_column: a column with who it is; the tables of `mien.search.cluster` have `person`.
        weights: the folder of the weights that made the tables, for its verification.json; None:
            the shipped ones', if it was these.
        overwrite: whether `out` may be replaced.

    Raises:
        MienError: a table cannot be read, lacks a column, has no face, holds codes that are not
            finite, or is of other weights; or `out` cannot be written.
    """
    given = [tables] if isinstance(tables, (str, Path)) else list(tables)
    added = write_new(
        given, out, code=code, person_column=person_column, weights=weights, overwrite=overwrite
    )
    return Index(out, read_file(out, verify=False), added=added)
