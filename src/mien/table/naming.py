"""A table of faces under the column names of another program: OpenFace's, py-feat's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from mien.columns import FACE_FOUND, POSE, SCHEMAS
from mien.errors import MienError
from mien.table.openface import GAZE_FIELDS, OPENFACE, openface_columns
from mien.table.pose_angles import GAZE
from mien.table.pyfeat import PYFEAT, PyFeatColumns
from mien.table.read import data_frame, present_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_schema", "named", "named_frame"]

_PLACE = ("path", "frame", "time_s", "face_id", FACE_FOUND, "det_score", "x1", "y1", "x2", "y2")
_USED = (*_PLACE, "track_id", *POSE, *GAZE)


def check_schema(name: str) -> None:
    """Refuse the name of a schema that there is not.

    Raises:
        MienError: if so.
    """
    if name not in SCHEMAS:
        raise MienError(f"there is no schema {name}; give {', '.join(SCHEMAS)}")


def named(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], name: str
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Give the rows of a table the column names of another program.

    Args:
        schema: of the table.
        batches: its rows.
        name: openface or pyfeat.

    Raises:
        MienError: it has no head pose, or another column that is needed is missing.
    """
    stored = {present_name(field): field for field in schema.names}
    target, convert = _naming(stored, name)
    used = [stored[field] for field in _USED if field in stored]

    def converted() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            faces = data_frame(pa.Table.from_batches([batch.select(used)]))
            yield pa.RecordBatch.from_pandas(convert(faces), target, preserve_index=False)

    return target, converted()


def named_frame(faces: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the faces that `mien.embed` gives under the column names of another program.

    Raises:
        MienError: as `named`.
    """
    _, convert = _naming(faces, name)
    return convert(faces)


def _naming(
    there: Iterable[str], name: str
) -> tuple[pa.Schema, Callable[[pd.DataFrame], pd.DataFrame]]:
    names = set(there)
    for missing in (column for column in (*POSE, *_PLACE) if column not in names):
        what = "head pose" if missing in POSE else "such column"
        raise MienError(f"the table has no column {missing}: there is no {what} to convert")
    if name == "pyfeat":
        return PYFEAT, PyFeatColumns()
    gaze = GAZE_FIELDS if names.issuperset(GAZE) else ()
    return pa.schema([*OPENFACE, *gaze]), openface_columns
