"""Tables of faces into a new index, as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.similarity import centred
from mien.media.names import to_text
from mien.media.outputs import check_outputs, same_file
from mien.search.codes import encode
from mien.search.faces import read_faces, weights_of
from mien.search.file import MAX_DIM, ROWS, Header, writing
from mien.search.lock import WriteLock
from mien.search.made_by import find_weights
from mien.search.results import Added

if TYPE_CHECKING:
    from mien.verification import Reference

__all__ = ["numbered", "reference_of", "units", "write_new"]


def numbered(rows: pa.Table, first: int) -> pa.Table:
    """Return rows with their numbers, as `mien.search.file.ROWS`."""
    numbers = pa.array(np.arange(first, first + len(rows)))
    return pa.Table.from_arrays([numbers, *rows.columns], schema=ROWS)


def units(
    header: Header, vectors: NDArray[np.floating[Any]], table: str | Path = ""
) -> NDArray[np.float64]:
    """Return codes as they are compared: less the mean where there is one, of length one. [N, D].

    Raises:
        MienError: they are of another length.
    """
    if vectors.shape[1] != header.dim:
        raise MienError(
            f"{to_text(table)}: {header.code} has {vectors.shape[1]} numbers, "
            f"{header.dim} were expected"
        )
    return centred(vectors, 0.0 if header.mean is None else header.mean)


def write_new(
    tables: Sequence[str | Path],
    out: str | Path,
    *,
    code: str,
    person_column: str | None,
    weights: str | Path | None,
    overwrite: bool,
) -> Added:
    """Write an index of some tables; see `mien.search.index.build`."""
    _check_tables(tables)
    check_outputs([out], inputs=tables, overwrite=overwrite)
    made_by = _one_id(tables)
    reference = reference_of(made_by, code, weights)
    header = Header(made_by, code, dim=0, person_column=person_column)
    if reference is not None:
        header = replace(
            header,
            dim=len(reference.mean),
            mean=np.asarray(reference.mean, np.float64),
            thresholds=reference.thresholds,
            measured_on=reference.measured_on,
        )
    lock = WriteLock(out)
    left_out = 0
    try:
        with writing(out, header, overwrite=overwrite) as writer:
            for table in tables:
                for faces in read_faces(table, code, person_column=person_column):
                    left_out += faces.left_out
                    if not len(faces.vectors):
                        continue
                    if not header.dim:
                        header = replace(header, dim=faces.vectors.shape[1])
                        if header.dim > MAX_DIM:
                            raise MienError(
                                f"{to_text(table)}: {code} has {header.dim:,} numbers; up to "
                                f"{MAX_DIM:,} can be indexed"
                            )
                    codes = encode(units(header, faces.vectors, table))
                    writer.append([codes], numbered(faces.rows, writer.count))
            if not writer.count:
                raise MienError(f"no face in {to_text(tables[0])} has a {code}: nothing is indexed")
            writer.header = replace(header, next_row=writer.count)
            return Added(writer.count, left_out)
    finally:
        lock.release()


def _check_tables(tables: Sequence[str | Path]) -> None:
    if not tables:
        raise MienError("no table is given; write one with mien embed")
    for number, table in enumerate(tables):
        if any(same_file(table, other) for other in tables[:number]):
            raise MienError(f"{to_text(table)} is given twice; its faces would be found twice")


def _one_id(tables: Sequence[str | Path]) -> str:
    """Return the id of the weights that made all tables."""
    first = weights_of(tables[0])
    for table in tables[1:]:
        if (other := weights_of(table)) != first:
            raise MienError(
                f"{to_text(table)} was made by weights {other}, {to_text(tables[0])} by {first}: "
                "their codes cannot be compared; embed all with the same"
            )
    return first


def reference_of(made_by: str, code: str, weights: str | Path | None) -> Reference | None:
    """Return what was measured for the weights of a table; None if nothing was for this code."""
    from mien import weights as weights_folder
    from mien.verification import Reference

    where = find_weights(made_by, weights)
    if (found := weights_folder.weights_id(where)) != made_by:
        if weights is None:
            return None
        raise MienError(f"the tables were made by weights {made_by}, {to_text(where)} is {found}")
    if weights_folder.verification_file(where) is None:
        return None
    reference = Reference.read(where)
    return reference if reference.code == code else None
