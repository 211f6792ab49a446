"""Faces and their factors between the library's forms and those of the service."""

from __future__ import annotations

import numpy as np
import torch

from mien.columns import EYES_FOUND, FEATURES, NEED_EYES
from mien.geometry.rotation import angles_to_rotation, rotation_to_angles
from mien.model import Model
from mien.pipeline.analyze import AnalyzedFace
from mien.probes.gaze import Calibration, estimate
from mien.probes.probe import Probe
from mien.serve.engine import Seen
from mien.serve.errors import ApiError
from mien.serve.schemas import (
    Box,
    Face,
    FaceFactors,
    FacesAnswer,
    Gaze,
    GazeAngles,
    HeadPose,
    LightFactors,
    Prediction,
)
from mien.table.rows import factor_columns
from mien.types import Factors, GazeCode, Light, Pose

__all__ = [
    "box_of",
    "faces_answer",
    "given_factors",
    "given_light",
    "given_pose",
    "head_pose",
    "light_factors",
    "predicted_rows",
    "predictions",
    "rounded",
    "wants_features",
]

_DIGITS = 7
"""Behind the point: float32 holds no more of numbers about 1."""


def rounded(values: np.ndarray | torch.Tensor) -> list[float]:
    """Return numbers of one row as a list. [D]."""
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    return np.round(array.astype(np.float64), _DIGITS).tolist()


def box_of(face: AnalyzedFace) -> Box:
    """Return a face's box."""
    x1, y1, x2, y2 = (round(float(value), 3) for value in face.box)
    return Box(x1=x1, y1=y1, x2=x2, y2=y2)


def head_pose(pose: Pose) -> HeadPose:
    """Return the pose of one row."""
    yaw, pitch, roll = (float(angle[0]) for angle in rotation_to_angles(pose.rotation.float()))
    shift = rounded(pose.translation[0])
    return HeadPose(yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll, translation=shift)


def light_factors(light: Light) -> LightFactors:
    """Return the light of one row."""
    x, y, z = rounded(light.direction[0])
    # Strengths are at least 0, but for the rounding of the networks' last step.
    ambient, diffuse = (max(0.0, float(part[0])) for part in (light.ambient, light.diffuse))
    return LightFactors(ambient=ambient, diffuse=diffuse, x=x, y=y, z=z)


def wants_features(fields: tuple[str, ...], probe: Probe | None) -> bool:
    """Return whether the encoders' features must be read."""
    return FEATURES in fields or (
        probe is not None and any(name == FEATURES for name, _ in probe.columns)
    )


def faces_answer(
    seen: Seen,
    fields: tuple[str, ...],
    weights_id: str,
    *,
    calibration: Calibration | None = None,
    probe: Probe | None = None,
) -> FacesAnswer:
    """Return what is answered of an image.

    Args:
        seen: by `Engine.see`.
        fields: of `schemas.FIELDS`.
        weights_id: of the model.
        calibration: gives directions of the gaze codes.
        probe: predicts.
    """
    predicted: list[Prediction | None] = [None] * len(seen.faces)
    if probe is not None and seen.faces:
        predicted = list(predictions(probe, Factors.cat([face.factors for face in seen.faces])))
    faces = [
        _face(face, fields, calibration, prediction)
        for face, prediction in zip(seen.faces, predicted, strict=True)
    ]
    return FacesAnswer(width=seen.width, height=seen.height, weights_id=weights_id, faces=faces)


def _face(
    face: AnalyzedFace,
    fields: tuple[str, ...],
    calibration: Calibration | None,
    prediction: Prediction | None,
) -> Face:
    factors = face.factors
    found = Face(box=box_of(face), score=round(float(face.score), 6))
    if prediction is not None:
        found.prediction = prediction
    for name in fields:
        if name == "landmarks":
            if face.landmarks is not None:
                found.landmarks = [[round(float(v), 3) for v in point] for point in face.landmarks]
        elif name == "pose":
            found.pose = head_pose(factors.pose)
        elif name == "light":
            found.light = light_factors(factors.light)
        elif name == "gaze":
            if factors.gaze is not None:
                found.gaze = _gaze(factors, factors.gaze, calibration)
        elif (code := getattr(factors, name)) is not None:
            setattr(found, name, rounded(code[0]))
    return found


def _gaze(factors: Factors, gaze: GazeCode, calibration: Calibration | None) -> Gaze:
    seen = bool(gaze.eyes_found[0])
    found = Gaze(eyes_found=seen, eye_score=round(float(gaze.eye_score[0]), 6))
    if seen:
        found.code = rounded(gaze.code[0])
        if calibration is not None:
            looks = estimate(calibration, factors)
            x, y, z = rounded(looks.direction[0])
            angles = (looks.yaw, looks.pitch, looks.std_rad)
            yaw, pitch, std = (float(part[0]) for part in angles)
            found.direction = GazeAngles(x=x, y=y, z=z, yaw_rad=yaw, pitch_rad=pitch, std_rad=std)
    return found


def predictions(probe: Probe, factors: Factors) -> list[Prediction]:
    """Return what a probe says of each face."""
    columns = factor_columns(factors)
    eyes = columns.pop(EYES_FOUND, None)
    for name in NEED_EYES:
        if name in columns and eyes is not None:  # else the code means nothing
            columns[name] = np.where(eyes[:, None], columns[name], np.nan)
    return predicted_rows(probe, columns)


def predicted_rows(probe: Probe, columns: dict[str, np.ndarray]) -> list[Prediction]:
    """Return what a probe says of rows of columns."""
    found = probe.predict(columns)
    rows = []
    for row, value in enumerate(found.values):
        certainty = float(found.certainty[row])
        if not np.isfinite(certainty):
            rows.append(Prediction(label=probe.label, value=None, certainty=None))
            continue
        chances = None
        if found.probabilities is not None:
            each = found.probabilities[row]
            chances = {n: round(float(p), 6) for n, p in zip(probe.classes, each, strict=True)}
        plain = float(value) if probe.numbers else str(value)
        rows.append(
            Prediction(label=probe.label, value=plain, certainty=certainty, probabilities=chances)
        )
    return rows


def given_factors(given: FaceFactors, model: Model) -> Factors:
    """Return the factors that a client sent, a batch of one.

    Raises:
        ApiError: the codes are not as long as these weights' or the light has no direction.
    """
    texture, width = model.config.texture_dim, model.config.texture_dim + model.config.shape_dim
    for name in ("identity", "expression"):
        if len(getattr(given, name)) != width:
            raise ApiError(
                "invalid",
                f"{name} has {len(getattr(given, name))} numbers; these weights have {width}",
            )
    identity = torch.tensor([given.identity], dtype=torch.float32)
    expression = torch.tensor([given.expression], dtype=torch.float32)
    return Factors(
        neutral_texture=identity[:, :texture],
        neutral_shape=identity[:, texture:],
        expression_texture=expression[:, :texture],
        expression_shape=expression[:, texture:],
        pose=given_pose(given.pose),
        light=given_light(given.light),
    )


def given_pose(given: HeadPose) -> Pose:
    """Return the pose that a client sent, one row."""
    angles = (given.yaw_rad, given.pitch_rad, given.roll_rad)
    rotation = angles_to_rotation(*(torch.tensor([angle]) for angle in angles))
    return Pose(rotation.float(), torch.tensor([given.translation], dtype=torch.float32))


def given_light(given: LightFactors) -> Light:
    """Return the light that a client sent, one row.

    Raises:
        ApiError: it points nowhere.
    """
    direction = torch.tensor([[given.x, given.y, given.z]], dtype=torch.float64)
    length = direction.norm(dim=1, keepdim=True)
    if float(length) < 1e-9:
        raise ApiError("invalid", "light: x, y, z point nowhere; give a direction")
    return Light(
        torch.tensor([given.ambient], dtype=torch.float32),
        torch.tensor([given.diffuse], dtype=torch.float32),
        (direction / length).float(),
    )
