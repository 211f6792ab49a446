"""`/v1/analyze`, `/v1/compare`: the faces of an image; how alike two faces are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import Field

from mien.columns import FEATURES
from mien.pipeline.analyze import AnalyzedFace
from mien.probes.gaze import Calibration
from mien.probes.probe import Probe
from mien.serve.bodies import (
    decoded,
    form_schema,
    image_schema,
    read_image,
    read_json,
    read_parts,
    type_of,
)
from mien.serve.engine import chosen
from mien.serve.errors import ApiError
from mien.serve.faces import box_of, faces_answer, wants_features
from mien.serve.replies import Asked, ServiceOf, answers, count, reply
from mien.serve.schemas import (
    FIELDS,
    READOUT,
    CodeSimilarity,
    Comparison,
    FaceNumber,
    FacesAnswer,
    PairBody,
    PairsOut,
    QuantileOut,
    ThresholdOut,
    fields_pattern,
)
from mien.serve.service import Service, same_rate
from mien.similarities import LEVELS, Similarities
from mien.verification import Reference, Threshold

__all__ = [
    "IMAGE_FAULTS",
    "Analyze",
    "calibration_of",
    "code_of",
    "fields_of",
    "rate_field",
    "readouts_of",
    "router",
    "threshold_out",
]

router = APIRouter(tags=["faces"])

IMAGE_FAULTS = (
    *("malformed_body", "body_too_slow", "request_too_large", "image_too_large"),
    *("too_many_pixels", "unsupported_media_type", "invalid", "unreadable_image"),
    "too_many_faces",
)
"""What may be wrong with a request that has an image."""
_DEFAULT = ",".join(name for name in FIELDS if name != FEATURES)
_FEW = 4
"""Faces whose answer is made on the event loop's thread."""

rate_field = Field(
    default=0.01, gt=0, lt=1, description="A false match rate at which a threshold was measured."
)


class Analyze(Asked):
    """What is asked of an image."""

    fields: str = Field(
        default=_DEFAULT,
        pattern=fields_pattern(FIELDS),
        description=f"Names with commas between: {', '.join(FIELDS)}. `features` takes as long "
        "again.",
    )
    calibration: str | None = Field(
        default=None,
        pattern=READOUT,
        description="One of `/v1/calibrations`: gives directions.",
    )
    probe: str | None = Field(
        default=None, pattern=READOUT, description="One of `/v1/probes`: gives predictions."
    )


def fields_of(asked: Analyze) -> tuple[str, ...]:
    """Return the names of the fields that are asked for."""
    return tuple(dict.fromkeys(asked.fields.split(",")))


def calibration_of(service: Service, number: str) -> Calibration:
    """Return a calibration of the service's weights.

    Raises:
        ApiError: there is no such one, or it was made with other weights.
    """
    found = service.calibrations.get(number)
    if found.model_id != service.model.weights_id:
        raise ApiError("other_weights", f"it was made with the weights {found.model_id}")
    return found


def readouts_of(service: Service, asked: Analyze) -> tuple[Calibration | None, Probe | None]:
    """Return the calibration and the probe that are asked for, None where none is.

    Raises:
        ApiError: there is no such one, or it was made with other weights.
    """
    calibration = probe = None
    if asked.calibration is not None:
        calibration = calibration_of(service, asked.calibration)
    if asked.probe is not None:
        probe = service.probes.get(asked.probe)
        if probe.model_id != service.model.weights_id:
            raise ApiError("other_weights", f"it was made with the weights {probe.model_id}")
    return calibration, probe


@router.post(
    "/v1/analyze",
    operation_id="analyze",
    response_model=FacesAnswer,
    openapi_extra=image_schema(),
    responses=answers(*IMAGE_FAULTS, "unknown_calibration", "unknown_probe", "other_weights"),
)
async def analyze(
    request: Request, service: ServiceOf, asked: Annotated[Analyze, Query()]
) -> Response:
    """Read the factors off all faces of an image; an image without faces gives an empty list."""
    calibration, probe = readouts_of(service, asked)
    fields = fields_of(asked)
    data = await read_image(request)
    seen = await service.engine.see(data, features=wants_features(fields, probe))
    count(request, images=1, faces=len(seen.faces))
    given = (seen, fields, service.model.weights_id)
    work = partial(faces_answer, *given, calibration=calibration, probe=probe)
    # A tenth of a millisecond a face: less than a thread takes.
    return reply(work() if len(seen.faces) <= _FEW else await asyncio.to_thread(work))


class _Compare(Asked):
    false_match_rate: float = rate_field
    first_face: FaceNumber | None = Field(
        default=None, description="Which face of the first image, from 0 at the left; else largest."
    )
    second_face: FaceNumber | None = Field(default=None, description="Of the second, likewise.")


@router.post(
    "/v1/compare",
    operation_id="compare",
    response_model=Comparison,
    openapi_extra=form_schema(PairBody, ("first", "second")),
    responses=answers(*IMAGE_FAULTS, "no_face", "no_thresholds"),
)
async def compare(
    request: Request, service: ServiceOf, asked: Annotated[_Compare, Query()]
) -> Response:
    """Compare the largest faces of two images, or those that are named."""
    reference = service.thresholds()
    rate = same_rate(reference, asked.false_match_rate)
    if type_of(request, "application/json", "multipart/form-data") == "multipart/form-data":
        parts = await read_parts(request, ("first", "second"))
    else:
        body = await read_json(request, PairBody)
        parts = {n: await decoded(getattr(body, n), n) for n in ("first", "second")}
    pair: dict[str, AnalyzedFace] = {}
    for name, data in parts.items():
        seen = await service.engine.see(data, name=name)
        pair[name] = chosen(seen.faces, getattr(asked, f"{name}_face"), name)
    count(request, images=2, faces=2)
    return reply(_comparison(service, reference, rate, (pair["first"], pair["second"])))


def _comparison(
    service: Service, reference: Reference, rate: float, pair: tuple[AnalyzedFace, AnalyzedFace]
) -> Comparison:
    first, second = pair
    similarity = float(reference.similarity(code_of(reference, first), code_of(reference, second)))
    # Rounding may take a face's likeness to itself beyond 1.
    similarity = min(1.0, max(-1.0, similarity))
    chosen = reference.threshold(rate)
    below = [t for t in reference.thresholds if t.similarity <= similarity]
    above = [t for t in reference.thresholds if t.similarity > similarity]

    def bounds(name: str) -> dict[str, float | None]:
        return {
            "at_least": getattr(above[0], name) if above else None,
            "at_most": getattr(below[-1], name) if below else None,
        }

    return Comparison.model_validate(
        {
            "similarity": similarity,
            "threshold": vars(chosen),
            "reaches_threshold": similarity >= chosen.similarity,
            "different_people": bounds("false_match_rate"),
            "same_person": bounds("true_match_rate"),
            "thresholds": [vars(one) for one in reference.thresholds],
            "measured_on": reference.measured_on,
            "code": reference.code,
            **_by_code(service.similarities, first, second),
            "first": box_of(first),
            "second": box_of(second),
        }
    )


def _by_code(
    known: Similarities | None, first: AnalyzedFace, second: AnalyzedFace
) -> dict[str, Any]:
    """Return how alike each code of two faces is, and where that falls among pairs of people."""
    if known is None:
        return {"codes": []}
    codes = []
    for pairs in known.codes:
        one, other = (getattr(face.factors, pairs.code) for face in (first, second))
        if one is None or one.shape[1] != len(pairs.mean):
            continue
        each = (code[0].float().cpu().numpy() for code in (one, other))
        similarity = pairs.similarity(*each)
        same, different = pairs.below(similarity)
        codes.append(
            CodeSimilarity(
                code=pairs.code,  # type: ignore[arg-type]
                similarity=similarity,
                same_person=_pairs_out(same, pairs.same_person),
                different_people=_pairs_out(different, pairs.different_people),
            )
        )
    return {"codes": codes, "codes_measured_on": known.measured_on}


def _pairs_out(less_alike: float, quantiles: NDArray[np.floating[Any]]) -> PairsOut:
    each = zip(LEVELS, quantiles.tolist(), strict=True)
    shown = [QuantileOut(fraction=level, similarity=value) for level, value in each]
    return PairsOut(less_alike=less_alike, quantiles=shown)


def code_of(reference: Reference, face: AnalyzedFace) -> NDArray[np.float32]:
    """Return the code by which a face is compared. [D]."""
    return getattr(face.factors, reference.code)[0].float().cpu().numpy()


def threshold_out(threshold: Threshold) -> ThresholdOut:
    """Return a threshold as it is answered."""
    return ThresholdOut(**vars(threshold))
