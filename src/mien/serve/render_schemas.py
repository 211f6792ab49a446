"""What is sent and answered about rendering."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mien.serve.schemas import (
    READOUT,
    Answer,
    Base64Image,
    Code,
    FaceFactors,
    FaceNumber,
    Given,
    HeadPose,
    LightFactors,
)

__all__ = ["Direction", "Edit", "GazeTarget", "MapsAnswer", "MapsBody", "RenderBody"]


class Direction(Given):
    """Towards a light; camera frame: x right, y down, z away. Any length but 0."""

    x: float = Field(ge=-1e3, le=1e3)
    y: float = Field(ge=-1e3, le=1e3)
    z: float = Field(ge=-1e3, le=1e3)


class GazeTarget(Given):
    """Where a face is to look."""

    calibration: str = Field(
        pattern=READOUT, description="One of `/v1/calibrations`: says what code looks there."
    )
    yaw_rad: float = Field(ge=-1.2, le=1.2, description="+ towards image-left.")
    pitch_rad: float = Field(ge=-1.2, le=1.2, description="+ up.")


class Edit(Given):
    """What to change of the face; what is left out stays as it was."""

    face: FaceNumber | None = Field(
        default=None, description="Which face of the image, from 0 at the left; else the largest."
    )
    pose: HeadPose | None = Field(
        default=None,
        description="Another pose, about the middle of the image unless a translation is given; "
        "yaw_rad 0 and pitch_rad 0: frontal.",
    )
    light: LightFactors | None = Field(default=None, description="Another light.")
    light_from: Direction | None = Field(
        default=None, description="A light from there, about as bright as the face's own."
    )
    neutral: bool = Field(default=False, description="The person at rest.")
    expression: Code | None = Field(
        default=None, description="Another face's `expression`, as `/v1/analyze` answers it."
    )
    gaze_code: Code | None = Field(
        default=None,
        description="Another face's `gaze.code`: the eyes are rendered anew within the image. "
        "Needs an image; goes with no other change.",
    )
    gaze_direction: GazeTarget | None = Field(
        default=None, description="A direction to look to, as `gaze_code`; or `gaze_code`."
    )
    size: int = Field(default=256, ge=16, le=1024, description="Side, pixels.")
    output: Literal["png", "jpeg", "webp", "glb", "mp4"] = Field(
        default="png",
        description="An image; the face as a mesh, binary glTF 2.0; or a film of the head turning "
        "to both sides, for which a pose is left out.",
    )


class RenderBody(Edit):
    """A face, by its factors or in an image, and what to change of it."""

    factors: FaceFactors | None = Field(default=None, description="This, or `image`.")
    image: Base64Image | None = None
    expression_image: Base64Image | None = Field(
        default=None, description="Whose largest face's expression is taken; or `expression`."
    )
    gaze_image: Base64Image | None = Field(
        default=None, description="Whose largest face's gaze is taken; or `gaze_code`."
    )


class MapsBody(Given):
    """A face, by its factors or in an image."""

    factors: FaceFactors | None = Field(default=None, description="This, or `image`.")
    image: Base64Image | None = None
    neutral: bool = Field(default=False, description="The person at rest.")
    expression: Code | None = Field(default=None, description="Another face's `expression`.")
    fine: bool = Field(
        default=False,
        description="As `/v1/render` prepares them: what the pose hid from the mirrored side, the "
        "border behind the face, another expression in the face only, smoothed, 256 x 256.",
    )
    encoding: Literal["png16", "float32"] = Field(
        default="png16",
        description="png16: albedo as 8-bit PNG, depth as 16-bit grey PNG; float32: both as "
        "little-endian numbers, row by row.",
    )


class MapsAnswer(Answer):
    """The frontal face without pose and light, for a program that renders it itself."""

    size: int = Field(description="Side of the maps, pixels.")
    fov_deg: float = Field(
        description="Field of view across the maps, degrees; focal length in pixels = "
        "(size - 1) / 2 / tan(fov / 2)."
    )
    encoding: Literal["png16", "float32"]
    albedo: str = Field(
        description="Base64. Colour without light, RGB: an 8-bit PNG, or float32 [size, size, 3] "
        "in [0, 1]."
    )
    depth: str = Field(
        description="Base64. Depth z in face units, the middle about 1: a 16-bit PNG, "
        "depth = depth_low + value / 65535 * (depth_high - depth_low); or float32 [size, size]."
    )
    depth_low: float = Field(description="The smallest depth, face units.")
    depth_high: float = Field(description="The largest depth, face units.")
    pose: HeadPose = Field(description="The face's own.")
    light: LightFactors = Field(description="The face's own.")
