"""What is sent and answered about collections, calibrations and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mien.columns import CODES, NUMBERS
from mien.serve.schemas import Answer, Box, Code, Given, Name, Number, Prediction, ThresholdOut

__all__ = [
    "ApplyCalibrationBody",
    "ApplyProbeBody",
    "CalibrationBody",
    "CalibrationOut",
    "CollectionBody",
    "CollectionOut",
    "CollectionPage",
    "Deleted",
    "FaceOut",
    "FacePage",
    "GazeAnswer",
    "GazeInput",
    "PersonOut",
    "PersonPage",
    "PredictionsAnswer",
    "ProbeBody",
    "ProbeOut",
    "SearchAnswer",
]

_MAX_SAMPLES = 5000
if TYPE_CHECKING:
    ColumnName = str
else:
    ColumnName = Literal[(*CODES, *NUMBERS)]
Columns = dict[ColumnName, Code | Number]
Person = Annotated[str, Field(min_length=1, max_length=100)]


class CollectionBody(Given):
    """A collection to be made."""

    name: Name
    keep_images: bool = Field(
        default=False, description="Whether the images of enrolled faces are kept."
    )


class CollectionOut(Answer):
    """A collection."""

    name: str
    faces: int = Field(ge=0)
    people: int = Field(ge=0)
    keep_images: bool
    weights_id: str = Field(description="Whose codes it holds.")
    code: Literal["face_embedding", "identity"] = Field(description="What faces are compared by.")
    created: str = Field(description="UTC, ISO 8601.")


class CollectionPage(Answer):
    """Some collections, by name in order."""

    collections: list[CollectionOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null: there are no more.")


class FaceOut(Answer):
    """A face in a collection."""

    face_id: str
    person: str
    added: str = Field(description="UTC, ISO 8601.")
    image: bool = Field(description="Whether its image is kept.")
    box: Box | None = Field(
        default=None, description="In the image that was sent; only where it is enrolled."
    )
    faces_in_image: int | None = Field(
        default=None, description="Of these the largest was taken; only where it is enrolled."
    )


class FacePage(Answer):
    """Some faces, in the order in which they were added."""

    faces: list[FaceOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null: there are no more.")


class PersonOut(Answer):
    """Somebody in a collection."""

    person: str
    faces: int = Field(ge=1)


class PersonPage(Answer):
    """Some people, by name in order."""

    people: list[PersonOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null: there are no more.")


class Deleted(Answer):
    """What was deleted; everything left was read afterwards, and no trace of it was found."""

    deleted_faces: int = Field(ge=0)
    deleted_people: int = Field(ge=0)
    files_searched: int = Field(ge=0, description="Files left of the collection; 0: none is left.")
    bytes_searched: int = Field(ge=0)


class _Match(Answer):
    """A face that is alike."""

    face_id: str
    person: str
    similarity: float = Field(description="Centred cosine, in [-1, 1].")
    reaches_threshold: bool


class SearchAnswer(Answer):
    """The faces most alike, best first; whether they are the same person nobody can be sure."""

    matches: list[_Match]
    searched: int = Field(ge=0, description="Faces that were compared.")
    threshold: ThresholdOut = Field(
        description="Of one comparison: among N faces false matches are up to N times as frequent."
    )
    measured_on: str
    box: Box = Field(description="The largest face of the image, which was looked for.")


class _Direction(Given):
    """A unit vector, camera frame: x right, y down, z away; into the camera: 0, 0, -1."""

    x: Number
    y: Number
    z: Number


class _Angles(Given):
    """Yaw, + towards image-left; pitch, + up; roll. Radians."""

    yaw_rad: Number
    pitch_rad: Number
    roll_rad: Number = 0.0


class GazeInput(Given):
    """A gaze code and, unless no sample has one, the head pose."""

    gaze_code: Code
    head_pose: _Angles | None = None


class _GazeSample(GazeInput):
    """A gaze code of `/v1/analyze`, and where the face looked."""

    target: _Direction
    person: Person | None = Field(default=None, description="Who it is, if known; of all or none.")


class CalibrationBody(Given):
    """Samples to fit a calibration to; nine or more."""

    samples: list[_GazeSample] = Field(min_length=1, max_length=_MAX_SAMPLES)
    per_person: bool = Field(default=False, description="Give each person an offset of their own.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class _GazeError(Answer):
    """Angular error on samples that took no part in the fit. Degrees."""

    mean_deg: float
    low_deg: float = Field(description="The 95 % interval ends here and at `high_deg`.")
    high_deg: float
    baseline_deg: float = Field(description="Of always predicting the mean target.")
    held_out_by: str = Field(description="What was held out together.")


class CalibrationOut(Answer):
    """A calibration."""

    id: str
    samples: int
    uses_head_pose: bool
    people: list[str] = Field(description="Those who have an offset.")
    error: _GazeError
    weights_id: str


class ApplyCalibrationBody(Given):
    """Gaze codes to be made directions."""

    samples: list[GazeInput] = Field(min_length=1, max_length=_MAX_SAMPLES)


class _GazeOut(Answer):
    x: float = Field(description="Unit vector, camera frame.")
    y: float
    z: float
    yaw_rad: float
    pitch_rad: float
    std_rad: float = Field(description="Standard deviation of the error to be expected.")


class GazeAnswer(Answer):
    """Where they look, in the samples' order."""

    gazes: list[_GazeOut]


class _LabelledSample(Given):
    """Factors of a face and its label."""

    columns: Columns = Field(min_length=1)
    label: str | Number = Field(description="A class, or a number.")
    person: Person | None = Field(default=None, description="Who it is, if known; of all or none.")


class ProbeBody(Given):
    """Labelled faces to fit a probe to; eight or more."""

    label: Name = Field(description="What is learned: its name.")
    kind: Literal["auto", "class", "number"] = "auto"
    samples: list[_LabelledSample] = Field(min_length=1, max_length=_MAX_SAMPLES)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class ProbeOut(Answer):
    """A probe and its score on samples that took no part in the fit."""

    id: str
    label: str
    columns: dict[str, int] = Field(description="What it sees => length.")
    classes: list[str] = Field(description="Empty: it predicts numbers.")
    samples: int
    score: float = Field(description="Of classes: right answers, %; of numbers: mean error.")
    low: float = Field(description="The 95 % interval ends here and at `high`.")
    high: float
    baseline: float = Field(description="Of the most frequent class, or the median.")
    held_out_by: str
    weights_id: str


class _Sample(Given):
    """Factors of a face."""

    columns: Columns = Field(min_length=1)


class ApplyProbeBody(Given):
    """Factors to be read."""

    samples: list[_Sample] = Field(min_length=1, max_length=_MAX_SAMPLES)


class PredictionsAnswer(Answer):
    """What the probe predicts, in the samples' order."""

    predictions: list[Prediction]
