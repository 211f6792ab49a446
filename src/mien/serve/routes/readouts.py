"""`/v1/calibrations`, `/v1/probes`: fitted to what is sent, applied, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeVar

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from numpy.typing import NDArray
from pydantic import Field

from mien.columns import CODES, NUMBERS
from mien.errors import MienError
from mien.pipeline.encode import lengths_of
from mien.probes.fit import fit_calibration, fit_probe
from mien.probes.gaze import Calibration
from mien.probes.match import MatchedLabels
from mien.probes.probe import Probe
from mien.serve.bodies import json_schema, read_json
from mien.serve.errors import ApiError
from mien.serve.faces import predicted_rows, rounded
from mien.serve.replies import ServiceOf, answers, binary, count, reply
from mien.serve.schemas import Answer
from mien.serve.service import Service
from mien.serve.store_schemas import (
    ApplyCalibrationBody,
    ApplyProbeBody,
    CalibrationBody,
    CalibrationOut,
    GazeAnswer,
    GazeInput,
    PredictionsAnswer,
    ProbeBody,
    ProbeOut,
)

__all__ = ["fitted", "probe_answer", "router"]

Array = NDArray[np.float64]
Result = TypeVar("Result")

router = APIRouter(tags=["calibrations and probes"])

Number = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
_FILE = "application/octet-stream"
_BODY = (
    *("malformed_body", "body_too_slow", "request_too_large", "unsupported_media_type"),
    "invalid",
)


class Calibrations(Answer):
    """All calibrations."""

    calibrations: list[CalibrationOut] = Field(max_length=100)


class Probes(Answer):
    """All probes."""

    probes: list[ProbeOut] = Field(max_length=100)


class Removed(Answer):
    """What was deleted."""

    id: str


def _calibration(number: str, made: Calibration) -> CalibrationOut:
    error = made.error if made.personal_error is None else made.personal_error
    return CalibrationOut.model_validate(
        {
            "id": number,
            "samples": made.samples,
            "uses_head_pose": made.uses_pose,
            "people": list(made.people),
            "error": {
                **{n: getattr(error, n) for n in ("mean_deg", "low_deg", "high_deg")},
                "baseline_deg": error.baseline_deg,
                "held_out_by": error.by,
            },
            "weights_id": made.model_id,
        }
    )


def probe_answer(number: str, made: Probe) -> ProbeOut:
    """Return a probe as it is answered, by its number."""
    held = made.held_out
    return ProbeOut(
        id=number,
        label=made.label,
        columns=dict(made.columns),
        classes=list(made.classes),
        samples=made.samples,
        score=held.score,
        low=held.low,
        high=held.high,
        baseline=held.baseline,
        held_out_by=held.by,
        weights_id=made.model_id,
    )


@router.post(
    "/v1/calibrations",
    operation_id="create_calibration",
    status_code=201,
    response_model=CalibrationOut,
    openapi_extra=json_schema(CalibrationBody),
    responses=answers(*_BODY, "cannot_fit", "full", "no_gaze_branch"),
)
async def create_calibration(request: Request, service: ServiceOf) -> Response:
    """Learn from samples with known targets how a gaze code becomes a direction."""
    body = await read_json(request, CalibrationBody)
    codes, pose = await asyncio.to_thread(_gaze_inputs, service, body.samples)
    people = _people([sample.person for sample in body.samples])
    targets = np.array([[s.target.x, s.target.y, s.target.z] for s in body.samples])
    work = partial(
        fit_calibration,
        codes=codes,
        targets=targets,
        rng=np.random.default_rng(body.seed),
        head_pose=pose,
        people=people,
        per_person=body.per_person,
        model_id=service.model.weights_id,
    )
    made = await fitted(service, work)
    count(request, samples=len(body.samples))
    return reply(_calibration(service.calibrations.add(made), made), 201)


@router.get(
    "/v1/calibrations",
    operation_id="list_calibrations",
    response_model=Calibrations,
    responses=answers(),
)
async def list_calibrations(service: ServiceOf) -> Response:
    """List all calibrations; there are never more than 100."""
    found = [_calibration(number, made) for number, made in service.calibrations.all().items()]
    return reply(Calibrations(calibrations=found))


@router.post(
    "/v1/calibrations/{calibration}/apply",
    operation_id="apply_calibration",
    response_model=GazeAnswer,
    openapi_extra=json_schema(ApplyCalibrationBody),
    responses=answers(*_BODY, "unknown_calibration", "no_gaze_branch", "other_weights"),
)
async def apply_calibration(request: Request, service: ServiceOf, calibration: Number) -> Response:
    """Make directions of gaze codes."""
    made = service.calibrations.get(calibration)
    body = await read_json(request, ApplyCalibrationBody)
    codes, pose = await asyncio.to_thread(_gaze_inputs, service, body.samples)
    _check_weights(service, made.model_id)
    try:
        found = made.predict(codes, pose)
    except MienError as error:
        raise ApiError("invalid", str(error)) from error
    rows = []
    for i, direction in enumerate(found.direction):
        x, y, z = rounded(direction)
        angles = {n: float(getattr(found, n)[i]) for n in ("yaw", "pitch")}
        named = {f"{name}_rad": angle for name, angle in angles.items()}
        rows.append({"x": x, "y": y, "z": z, **named, "std_rad": float(found.std_rad[i])})
    count(request, samples=len(rows))
    return reply(GazeAnswer.model_validate({"gazes": rows}))


@router.get(
    "/v1/calibrations/{calibration}/file",
    operation_id="get_calibration_file",
    response_class=Response,
    responses=answers(
        "unknown_calibration",
        "invalid",
        status_200=binary("As `mien embed --calibration` takes it.", _FILE),
    ),
)
async def get_calibration_file(service: ServiceOf, calibration: Number) -> Response:
    """Give a calibration as a file."""
    return Response(service.calibrations.get(calibration).text(), media_type=_FILE)


@router.delete(
    "/v1/calibrations/{calibration}",
    operation_id="delete_calibration",
    response_model=Removed,
    responses=answers("unknown_calibration", "invalid"),
)
async def delete_calibration(service: ServiceOf, calibration: Number) -> Response:
    """Delete a calibration, its file too."""
    service.calibrations.delete(calibration)
    return reply(Removed(id=calibration))


@router.post(
    "/v1/probes",
    operation_id="create_probe",
    status_code=201,
    response_model=ProbeOut,
    openapi_extra=json_schema(ProbeBody),
    responses=answers(*_BODY, "cannot_fit", "full"),
)
async def create_probe(request: Request, service: ServiceOf) -> Response:
    """Learn from labelled faces to predict the label: classes, or numbers."""
    body = await read_json(request, ProbeBody)
    columns = tuple(body.samples[0].columns)
    values = await asyncio.to_thread(_columns, service, [s.columns for s in body.samples])
    people = _people([sample.person for sample in body.samples])
    names = tuple(f"sample {i}" for i in range(len(body.samples)))
    matched = MatchedLabels(
        label=body.label,
        columns=tuple((name, values[name].shape[1]) for name in columns),
        codes=np.concatenate([values[name] for name in columns], axis=1),
        texts=tuple(_text(sample.label) for sample in body.samples),
        files=names,
        people=None if people is None else tuple(people),
        names=names,
        model_id=service.model.weights_id,
        without_codes=(),
        others=np.zeros(0, np.int64),
        other_codes=np.zeros((0, 0), np.float32),
    )
    rng = np.random.default_rng(body.seed)
    made = await fitted(service, partial(fit_probe, matched, rng=rng, kind=body.kind))
    count(request, samples=len(body.samples))
    return reply(probe_answer(service.probes.add(made), made), 201)


@router.get("/v1/probes", operation_id="list_probes", response_model=Probes, responses=answers())
async def list_probes(service: ServiceOf) -> Response:
    """List all probes; there are never more than 100."""
    found = [probe_answer(number, made) for number, made in service.probes.all().items()]
    return reply(Probes(probes=found))


@router.post(
    "/v1/probes/{probe}/apply",
    operation_id="apply_probe",
    response_model=PredictionsAnswer,
    openapi_extra=json_schema(ApplyProbeBody),
    responses=answers(*_BODY, "unknown_probe", "other_weights"),
)
async def apply_probe(request: Request, service: ServiceOf, probe: Number) -> Response:
    """Predict the label of faces."""
    made = service.probes.get(probe)
    body = await read_json(request, ApplyProbeBody)
    values = await asyncio.to_thread(_columns, service, [s.columns for s in body.samples])
    _check_weights(service, made.model_id)
    try:
        found = predicted_rows(made, values)
    except MienError as error:
        raise ApiError("invalid", str(error)) from error
    count(request, samples=len(found))
    return reply(PredictionsAnswer(predictions=found))


@router.get(
    "/v1/probes/{probe}/file",
    operation_id="get_probe_file",
    response_class=Response,
    responses=answers(
        "unknown_probe", "invalid", status_200=binary("As `mien embed --probe` takes it.", _FILE)
    ),
)
async def get_probe_file(service: ServiceOf, probe: Number) -> Response:
    """Give a probe as a file."""
    return Response(service.probes.get(probe).text(), media_type=_FILE)


@router.delete(
    "/v1/probes/{probe}",
    operation_id="delete_probe",
    response_model=Removed,
    responses=answers("unknown_probe", "invalid"),
)
async def delete_probe(service: ServiceOf, probe: Number) -> Response:
    """Delete a probe, its file too."""
    service.probes.delete(probe)
    return reply(Removed(id=probe))


async def fitted(service: Service, work: Callable[[], Result]) -> Result:
    """Run a fit, for which the samples may be unfit.

    Raises:
        ApiError: they are; or other fits are waiting.
    """
    try:
        return await service.engine.fit(work)
    except ApiError:
        raise
    except MienError as error:
        raise ApiError("cannot_fit", str(error)) from error


def _check_weights(service: Service, made_with: str) -> None:
    if made_with != service.model.weights_id:
        raise ApiError("other_weights", f"it was made with the weights {made_with}")


def _text(label: str | float) -> str:
    return label if isinstance(label, str) else f"{label:.17g}"


def _people(given: list[str | None]) -> list[str] | None:
    """Return who the samples are; all or none must say it."""
    known = [person for person in given if person is not None]
    if known and len(known) < len(given):
        raise ApiError("invalid", "person: give it of all samples, or of none")
    return known or None


def _gaze_inputs(service: Service, samples: Sequence[GazeInput]) -> tuple[Array, Array | None]:
    """Return gaze codes [N, d] and head poses [N, 3], or None where no sample has one."""
    gaze = service.model.config.gaze
    if gaze is None:
        raise ApiError(
            "no_gaze_branch", f"the weights {service.model.weights_id} have no gaze branch"
        )
    for number, sample in enumerate(samples):
        if len(sample.gaze_code) != gaze.code_dim:
            raise ApiError(
                "invalid",
                f"samples.{number}.gaze_code has {len(sample.gaze_code)} numbers; these weights "
                f"have {gaze.code_dim}",
            )
    poses = [sample.head_pose for sample in samples if sample.head_pose is not None]
    if poses and len(poses) < len(samples):
        raise ApiError("invalid", "head_pose: give it of all samples, or of none")
    codes = np.array([sample.gaze_code for sample in samples], dtype=np.float64)
    if not poses:
        return codes, None
    return codes, np.array([[p.yaw_rad, p.pitch_rad, p.roll_rad] for p in poses])


def _columns(
    service: Service, samples: Sequence[Mapping[str, list[float] | float]]
) -> dict[str, Array]:
    """Return the samples' columns, the same ones of all. Each [N, D]."""
    lengths = {**lengths_of(service.model, features=True), **dict.fromkeys(NUMBERS, 1)}
    names = list(samples[0])
    for number, sample in enumerate(samples):
        if set(sample) != set(names):
            raise ApiError("invalid", f"samples.{number}.columns: all samples have the same ones")
        for name, value in sample.items():
            wide = len(value) if isinstance(value, list) else 1
            if (name in CODES) != isinstance(value, list) or wide != lengths.get(name, 0):
                raise ApiError(
                    "invalid",
                    f"samples.{number}.columns.{name}: {lengths.get(name, 0)} numbers are "
                    "expected with these weights",
                )
    arrays = {name: np.array([sample[name] for sample in samples], np.float64) for name in names}
    return {name: array.reshape(len(samples), -1) for name, array in arrays.items()}
