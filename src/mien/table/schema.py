"""Every column of the table of faces: type, unit, frame, range, meaning; kept inside the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pyarrow as pa

from mien.columns import EYES_FOUND, FACE_FOUND, GAZE_CODE
from mien.table.shard import Shard

__all__ = [
    "ARROW_TYPES",
    "COLUMNS",
    "EULER_ORDER",
    "GAZE",
    "Column",
    "TableInfo",
    "arrow_schema",
    "describe_columns",
    "job_digest",
    "pinned",
    "read_info",
]

EULER_ORDER = "R = Ry(yaw) @ Rx(-pitch) @ Rz(roll), canonical -> camera, turning about the head"
"""How the three pose angles make the head's rotation."""

CAMERA_FRAME = "x right, y down, z away from the camera"

_PREFIX = "mien."

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
}
"""Types of columns by the name of their kind."""


@dataclass(frozen=True)
class Column:
    """One column, as it is written into the Parquet field's metadata."""

    name: str
    kind: str
    """Arrow type, or "codes" for a list of float32 whose length the model decides."""
    unit: str
    """Physical unit; "" where there is none."""
    frame: str
    """Frame of reference; "" where there is none."""
    range: str
    """Values it can take."""
    description: str
    """What it means, and when it is null."""
    needs: Literal["", "face_embedding", "gaze", "calibration", "features"] = ""
    """Weights with a face embedding or a gaze branch, a calibration too, or `--features`; a table
    made without has no such column."""

    def metadata(self) -> dict[str, str]:
        """Return what goes into the field's metadata, all strings."""
        names = ("unit", "frame", "range", "description")
        return {name: getattr(self, name) for name in names}


_IMAGE = "image: x right, y down, (0, 0) = outer corner of the top left pixel"
_CAMERA = f"camera: {CAMERA_FRAME}"
_CANONICAL = "canonical"

COLUMNS: tuple[Column, ...] = (
    Column("path", "string", "", "", "", "Where the face is from: as given, or below the folder."),
    Column("frame", "int64", "frames", "", ">= 0", "Number in the video; 0 for an image."),
    Column("time_s", "float64", "s", "video", ">= 0", "Time in the video; null for an image."),
    Column("face_id", "int32", "", "frame", ">= 0", "Number within its frame; null: no face."),
    Column("track_id", "int32", "", "video", ">= 0", "Same face over frames; null for an image."),
    Column("face_found", "bool", "", "", "", "False: no face, or unreadable; see reason."),
    Column(
        *("det_score", "float32", "", "", "[0, 1]"),
        "Certainty, the detector's own; null: no face, or no search for one.",
    ),
    Column("x1", "float32", "px", _IMAGE, "", "Left side of the face's box; null: no face."),
    Column("y1", "float32", "px", _IMAGE, "", "Top of the face's box; null: no face."),
    Column("x2", "float32", "px", _IMAGE, "> x1", "Right side of the box; null: no face."),
    Column("y2", "float32", "px", _IMAGE, "> y1", "Bottom of the face's box; null: no face."),
    Column("framing", "string", "", "", "haar | yunet | image", "Whose idea of a face the box is."),
    Column(
        *("turn_deg", "int32", "deg", _IMAGE, "0 | 90 | 180 | 270"),
        "Turn of the image, counterclockwise, that makes the face upright; null: no face.",
    ),
    Column("side_px", "float32", "px", _IMAGE, "> 0", "Side of the square cut out; null: no face."),
    Column(
        *("sharpness", "float32", "", "", ">= 0"),
        "Standard deviation of the crop's Laplacian, grey values 0 to 1; null: no face.",
    ),
    Column("reason", "string", "", "", "", "Why there is no face; null where all is well."),
    Column(
        "identity", "codes", "", _CANONICAL, "", "Who: neutral texture, neutral shape; 0: no face."
    ),
    Column("expression", "codes", "", _CANONICAL, "", "Codes minus neutral: texture, then shape."),
    Column("texture_code", "codes", "", _CANONICAL, "", "Texture as seen: neutral + expression."),
    Column("shape_code", "codes", "", _CANONICAL, "", "Shape as seen: neutral + expression."),
    Column(
        "face_embedding", "codes", "", "", "", "Who, to be compared by cosine.", "face_embedding"
    ),
    Column("gaze_code", "codes", "", "", "", "Gaze, to be calibrated; 0: no eyes.", "gaze"),
    Column("eyes_found", "bool", "", "", "", "Whether open eyes are seen.", "gaze"),
    Column("yaw_rad", "float32", "rad", _CAMERA, "[-pi, pi]", "Head yaw, + to the image's left."),
    Column("pitch_rad", "float32", "rad", _CAMERA, "[-pi/2, pi/2]", "Head pitch, + upwards."),
    Column("roll_rad", "float32", "rad", _CAMERA, "[-pi, pi]", "Head roll, + clockwise as seen."),
    Column("light_ambient", "float32", "albedo", "", ">= 0", "Light from everywhere."),
    Column("light_diffuse", "float32", "albedo", "", ">= 0", "Light from one direction."),
    Column("light_x", "float32", "", _CAMERA, "[-1, 1]", "Unit vector to the light, right."),
    Column("light_y", "float32", "", _CAMERA, "[-1, 1]", "Unit vector to the light, down."),
    Column("light_z", "float32", "", _CAMERA, "[-1, 1]", "Unit vector to the light, away."),
    *(
        Column(name, "float32", unit, _CAMERA, values, f"{meaning}; null: no eyes.", "calibration")
        for name, unit, values, meaning in (
            ("gaze_x", "", "[-1, 1]", "Unit vector along the gaze, right"),
            ("gaze_y", "", "[-1, 1]", "Unit vector along the gaze, down"),
            ("gaze_z", "", "[-1, 1]", "Unit vector along the gaze, away"),
            ("gaze_yaw_rad", "rad", "[-pi, pi]", "Gaze sideways, + to the image's left"),
            ("gaze_pitch_rad", "rad", "[-pi/2, pi/2]", "Gaze up or down, + upwards"),
            (
                "gaze_std_rad",
                "rad",
                ">= 0",
                "Error to be expected, root mean square of yaw's and pitch's",
            ),
        )
    ),
    Column(
        "features", "codes", "", "", "", "What the encoders saw before it became codes.", "features"
    ),
)
"""The columns in the order in which they stand in the file.

Without a face the factors that are numbers are null, and those that are vectors 0: few programs
read vectors some of which are null alike. `face_found`, of gaze `eyes_found`, says which mean
something. Of eye-region crops the gaze alone is known: there the other factors are null, or 0."""

GAZE: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.needs == "calibration")
"""Names of the columns that a calibration adds."""


@dataclass(frozen=True)
class TableInfo:
    """What made a table; stored with it, so that it can be distinguished from another's."""

    version: str
    """Version of mien."""
    model_id: str
    """First 12 hex digits of the SHA-256 of the weights."""
    detector: str
    """The face detector that was used."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What else decides the rows; values that JSON knows."""
    job: str = ""
    """Digest of options, weights and inputs: equal jobs give equal tables."""
    euler_order: str = EULER_ORDER
    camera_frame: str = CAMERA_FRAME
    shard: Shard | None = None
    """Which part of the inputs the table has, of a job that several machines share."""

    def metadata(self, columns: Sequence[Column]) -> dict[str, str]:
        """Return the metadata of a table of these columns: strings, keys begin with "mien."."""
        others = ("options", "shard")
        values = {name: value for name, value in asdict(self).items() if name not in others}
        if self.shard is not None:
            values["shard"] = self.shard.text()
        values["options"] = json.dumps(dict(self.options), sort_keys=True)
        values["columns"] = json.dumps({c.name: c.metadata() for c in columns})
        return {_PREFIX + name: value for name, value in values.items()}


_NEVER_NULL = ("path", "frame", FACE_FOUND, EYES_FOUND)


def arrow_schema(
    info: TableInfo,
    lengths: Mapping[str, int],
    *,
    calibrated: bool = False,
    more: Sequence[Column] = (),
) -> pa.Schema:
    """Return the schema of a table with codes of these lengths, metadata included.

    Args:
        info: what makes the table.
        lengths: of the codes, by `mien.columns.code_lengths`; one that is not named is left out,
            with the columns that need it.
        calibrated: whether the columns that a calibration adds are there.
        more: columns that stand behind the others.

    Raises:
        ValueError: if `calibrated` without a gaze code.
    """
    if calibrated and GAZE_CODE not in lengths:
        raise ValueError("no calibration without a gaze code")
    there = {"": True, "gaze": GAZE_CODE in lengths, "calibration": calibrated}
    columns = [
        column
        for column in COLUMNS
        if (column.name in lengths if column.kind == "codes" else there[column.needs])
    ]
    columns += more
    fields = [
        pa.field(
            column.name,
            _arrow_type(column, lengths.get(column.name, 0)),
            # Only pyarrow 26 and newer read vectors of which some are null.
            nullable=column.kind != "codes" and column.name not in _NEVER_NULL,
            metadata=column.metadata(),
        )
        for column in columns
    ]
    return pa.schema(fields, metadata=info.metadata(columns))


def read_info(schema: pa.Schema) -> TableInfo | None:
    """Return what made the table with this schema; None if mien did not, or it cannot be read."""
    metadata = schema.metadata or {}
    stored = {
        name: metadata[key].decode(errors="replace")
        for name in TableInfo.__dataclass_fields__
        if (key := f"{_PREFIX}{name}".encode()) in metadata
    }
    try:
        options = json.loads(stored.pop("options", "{}"))
        text = stored.pop("shard", None)
        shard = None if text is None else Shard.read(text)
        return TableInfo(**stored, options=dict(options), shard=shard)
    except (TypeError, ValueError, RecursionError):
        return None


def pinned(
    info: TableInfo, listing: str, inputs: int, shard: Shard | None = None
) -> dict[str, Any]:
    """Return all that decides a table, as JSON values: what is the same for two runs of one job.

    Args:
        info: what makes the table; its `job` and `shard` do not count.
        listing: digest of the inputs.
        inputs: their number.
        shard: the part of them that the table has, if not all.
    """
    whole = {
        "version": info.version,
        "weights": info.model_id,
        "detector": info.detector,
        **info.options,
        "inputs": listing,
        "number of inputs": inputs,
    }
    if shard is None:
        return whole
    # Shards begin where batches do: with another batch size they would overlap.
    return whole | {"shard": shard.name, "batch size": shard.batch_size}


def job_digest(pinned: Mapping[str, Any]) -> str:
    """Return 16 hex digits that are the same for the same job."""
    text = json.dumps(pinned, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_columns() -> list[str]:
    """Return the columns as lines for a person: name, type, unit, range, meaning."""
    rows = [("column", "type", "unit", "range", "meaning")]
    for column in COLUMNS:
        kind = "float32 list" if column.kind == "codes" else column.kind
        rows.append((column.name, kind, column.unit, column.range, column.description))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]


def _arrow_type(column: Column, length: int) -> pa.DataType:
    if column.kind == "codes":
        return pa.list_(pa.field("element", pa.float32(), nullable=False), length)
    return ARROW_TYPES[column.kind]
