"""What a table holds and what made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mien.columns import FACE_FOUND
from mien.errors import MienError
from mien.media.names import to_text
from mien.table.formats import opened_table
from mien.table.place import place_of, size_of
from mien.table.schema import TableInfo, read_info

__all__ = ["About", "about_table"]


@dataclass(frozen=True)
class About:
    """A table in a few words."""

    path: Path | str
    rows: int
    """Rows: one a face a frame, and one for each image or frame without a face."""
    faces: int
    """Rows with a face."""
    bytes: int
    """Size of the file."""
    info: TableInfo | None
    """What made it; None if mien did not."""
    columns: tuple[tuple[str, str], ...]
    """Name and type of each column."""

    def lines(self) -> list[str]:
        """Return it for a person."""
        size = f"{self.bytes:,} bytes"
        if self.rows:
            size += f", {self.bytes / self.rows:,.0f} a row"
        lines = [f"{self.rows:,} rows, {self.faces:,} faces, {size}"]
        info = self.info
        if info is None:
            lines.append("it does not say what made it")
        else:
            chosen = {name: value for name, value in info.options.items() if value is not None}
            given = ", ".join(f"{name} {value}" for name, value in chosen.items())
            lines.append(
                f"mien {info.version}, weights {info.model_id}, detector {info.detector}, {given}"
            )
            shard = info.shard
            if shard is not None:
                lines.append(
                    f"shard {shard.name}: inputs {shard.first:,} to {shard.stop:,} of "
                    f"{shard.inputs:,}, listing {shard.listing}"
                )
        width = max((len(name) for name, _ in self.columns), default=0)
        return [*lines, *(f"  {name:{width}}  {kind}" for name, kind in self.columns)]


def about_table(path: str | Path) -> About:
    """Read through a table, Parquet or Feather, and say what it holds.

    Raises:
        MienError: it is missing, damaged, or no table of faces.
    """
    path = place_of(path)
    rows = faces = 0
    with opened_table(path) as (schema, batches):
        if FACE_FOUND not in schema.names or not pa.types.is_boolean(schema.field(FACE_FOUND).type):
            raise MienError(f"{to_text(path)} has no column {FACE_FOUND}: it is no table of faces")
        for batch in batches:
            rows += batch.num_rows
            faces += batch.column(FACE_FOUND).true_count
    columns = tuple((field.name, _kind(field.type)) for field in schema)
    return About(path, rows, faces, size_of(path), read_info(schema), columns)


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type} [{kind.list_size}]"
    return str(kind)
