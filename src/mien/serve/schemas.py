"""What is sent and answered about faces: strict, finite, units in every description."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.columns import CODES, FEATURES
from mien.table.schema import COLUMNS

__all__ = [
    "FIELDS",
    "NAME",
    "READOUT",
    "Answer",
    "Base64Image",
    "Box",
    "Code",
    "CodeSimilarity",
    "Comparison",
    "Face",
    "FaceFactors",
    "FaceNumber",
    "FacesAnswer",
    "Gaze",
    "GazeAngles",
    "Given",
    "HeadPose",
    "ImageBody",
    "LightFactors",
    "Name",
    "Number",
    "PairBody",
    "PairsOut",
    "Prediction",
    "QuantileOut",
    "ThresholdOut",
    "fields_pattern",
]

_MEANINGS = {
    column.name: " ".join(
        part for part in (column.description, column.unit, column.frame, column.range) if part
    )
    for column in COLUMNS
}

Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Code = Annotated[list[Number], Field(min_length=1, max_length=8192)]
FaceNumber = Annotated[int, Field(ge=0, le=4095)]
READOUT = r"^[0-9a-f]{16}$"
"""Number of a calibration or probe."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]
Base64Image = Annotated[
    str,
    Field(
        min_length=1,
        description="An image file (JPEG, PNG, WebP and others that Pillow reads), base64.",
        json_schema_extra={"format": "base64-image"},
    ),
]

FIELDS = ("landmarks", "pose", "light", "gaze", *(name for name in CODES if name != "gaze_code"))
"""What of a face can be asked for."""
_UNIT = "[x, y]"


def fields_pattern(names: Iterable[str]) -> str:
    """Return the pattern of a list of names with commas between them."""
    one = "|".join(map(re.escape, names))
    return f"^({one})(,({one})){{0,15}}$"


def _of(column: str) -> str:
    return _MEANINGS[column]


class Given(BaseModel):
    """What a client sends: unknown fields, other types, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """What a client is answered."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Box(Answer):
    """Where a face is: pixels of the image, 0 = the outer edge of the first column or row."""

    x1: float = Field(description=_of("x1"))
    y1: float = Field(description=_of("y1"))
    x2: float = Field(description=_of("x2"))
    y2: float = Field(description=_of("y2"))


class HeadPose(Given):
    """How the head stands. Camera frame: x right, y down, z away from the camera."""

    yaw_rad: Number = Field(description=_of("yaw_rad"))
    pitch_rad: Number = Field(description=_of("pitch_rad"))
    roll_rad: Number = Field(default=0.0, description=_of("roll_rad"))
    translation: list[Number] = Field(
        default=[0.0, 0.0, 0.0],
        min_length=3,
        max_length=3,
        description="x, y, z shift in face units, camera frame.",
    )


class LightFactors(Given):
    """One distant light and an ambient term."""

    ambient: Number = Field(ge=0, description=_of("light_ambient"))
    diffuse: Number = Field(ge=0, description=_of("light_diffuse"))
    x: Number = Field(description=_of("light_x"))
    y: Number = Field(description=_of("light_y"))
    z: Number = Field(description=_of("light_z"))


class GazeAngles(Answer):
    """Where a face looks, by a calibration."""

    x: float = Field(description=_of("gaze_x"))
    y: float = Field(description=_of("gaze_y"))
    z: float = Field(description=_of("gaze_z"))
    yaw_rad: float = Field(description=_of("gaze_yaw_rad"))
    pitch_rad: float = Field(description=_of("gaze_pitch_rad"))
    std_rad: float = Field(description=_of("gaze_std_rad"))


class Gaze(Answer):
    """What the eyes show."""

    eyes_found: bool = Field(description=_of("eyes_found"))
    eye_score: float = Field(description="Certainty that eyes are seen, in [0, 1].")
    code: list[float] | None = Field(default=None, description="Left out where no eyes are found.")
    direction: GazeAngles | None = Field(
        default=None, description="Where a calibration is asked for and eyes are found."
    )


class Prediction(Answer):
    """What a probe says of one face."""

    label: str = Field(description="What is predicted: the name of the labels.")
    value: str | float | None = Field(
        description="The class, or the number; null where the probe sees nothing."
    )
    certainty: float | None = Field(
        description="Of a class its probability, in [0, 1]; of a number the standard deviation of "
        "the error to be expected, in its unit; null as the value."
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="Of all classes; left out for numbers."
    )


class Face(Answer):
    """One face; fields that were not asked for are left out."""

    box: Box
    score: float = Field(description="How sure the detector is; its own scale.")
    landmarks: list[list[float]] | None = Field(
        default=None,
        description=f"Five {_UNIT} in pixels of the image: image-left eye, image-right eye, tip of "
        "the nose, image-left and image-right corner of the mouth; left out where the detector "
        "gives none.",
    )
    pose: HeadPose | None = None
    light: LightFactors | None = None
    gaze: Gaze | None = Field(
        default=None, description="Left out where the weights have no gaze branch."
    )
    identity: list[float] | None = Field(default=None, description=_of("identity"))
    expression: list[float] | None = Field(default=None, description=_of("expression"))
    texture_code: list[float] | None = Field(default=None, description=_of("texture_code"))
    shape_code: list[float] | None = Field(default=None, description=_of("shape_code"))
    face_embedding: list[float] | None = Field(default=None, description=_of("face_embedding"))
    features: list[float] | None = Field(default=None, description=_of(FEATURES))
    prediction: Prediction | None = Field(default=None, description="Where a probe is asked for.")


class FacesAnswer(Answer):
    """The faces of an image, from left to right."""

    width: int = Field(description="Of the image, pixels.")
    height: int = Field(description="Of the image, pixels.")
    weights_id: str = Field(description="First 12 hex digits of the weights' SHA-256.")
    faces: list[Face]


class FaceFactors(Given):
    """Factors to render: as `/v1/analyze` answers them."""

    identity: Code = Field(description=_of("identity"))
    expression: Code = Field(description=_of("expression"))
    pose: HeadPose
    light: LightFactors


class ImageBody(Given):
    """One image."""

    image: Base64Image


class PairBody(Given):
    """Two images."""

    first: Base64Image
    second: Base64Image


class ThresholdOut(Answer):
    """A similarity from which faces were taken for one person, and what that cost."""

    similarity: float = Field(description="In [-1, 1].")
    false_match_rate: float = Field(
        description="Pairs of different people that reach it, as a fraction."
    )
    true_match_rate: float = Field(description="Pairs of one person that reach it, as a fraction.")


class _Bounds(Answer):
    """Between which measured fractions it lies; null: beyond what was measured."""

    at_least: float | None = Field(default=None)
    at_most: float | None = Field(default=None)


class QuantileOut(Answer):
    """A similarity, and how many pairs are less alike."""

    fraction: float = Field(description="Of the pairs that were measured, in [0, 1].")
    similarity: float = Field(description="In [-1, 1].")


class PairsOut(Answer):
    """Where a similarity falls among pairs of people that were measured."""

    less_alike: float = Field(
        description="Fraction of the pairs that are less alike; 0 and 1: beyond all of them."
    )
    quantiles: list[QuantileOut] = Field(description="Rising; the median is at 0.5.")


class CodeSimilarity(Answer):
    """How alike one code of the two faces is."""

    code: Literal["face_embedding", "identity", "expression", "texture_code", "shape_code"]
    similarity: float = Field(description="Centred cosine of the two codes, in [-1, 1].")
    same_person: PairsOut
    different_people: PairsOut


class Comparison(Answer):
    """How alike two faces are, and how often people are as alike."""

    similarity: float = Field(description="Centred cosine of the two codes, in [-1, 1].")
    threshold: ThresholdOut = Field(description="At the false match rate that was asked for.")
    reaches_threshold: bool
    different_people: _Bounds = Field(
        description="Fraction of pairs of different people that are at least as similar."
    )
    same_person: _Bounds = Field(
        description="Fraction of pairs of one person that are at least as similar."
    )
    thresholds: list[ThresholdOut] = Field(description="All that were measured.")
    measured_on: str = Field(description="On other people and images the rates differ.")
    code: Literal["face_embedding", "identity"] = Field(description="What is compared.")
    codes: list[CodeSimilarity] = Field(
        description="Of each code for which pairs were measured; none: not for these weights."
    )
    codes_measured_on: str | None = Field(
        default=None, description="The people of `codes`; left out where there are none."
    )
    first: Box = Field(description="The face of the first image that is compared.")
    second: Box = Field(description="The face of the second image that is compared.")
