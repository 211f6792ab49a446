"""`/v1/health`, `/v1/models`, `/metrics`: what is running, and how it fares."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from mien.pipeline.encode import lengths_of
from mien.serve.errors import KINDS, ProblemEnvelope
from mien.serve.metrics import CONTENT_TYPE
from mien.serve.replies import ServiceOf, answers, reply
from mien.serve.schemas import Answer, ThresholdOut
from mien.version import VERSION

__all__ = ["router"]

router = APIRouter(tags=["status"])


class Health(Answer):
    """That the service runs."""

    status: Literal["ok"]
    version: str = Field(description="Of mien.")


class ModelOut(Answer):
    """Weights."""

    weights_id: str = Field(description="First 12 hex digits of the weights' SHA-256.")
    device: str
    detector: str
    crop_size: int = Field(description="Side of the crops that are encoded, pixels.")
    image_size: int = Field(description="Side of the canonical maps, pixels.")
    fov_deg: float = Field(description="Field of view across a crop, degrees.")
    lengths: dict[str, int] = Field(description="Numbers in each code.")
    has_gaze: bool
    thresholds: list[ThresholdOut] = Field(description="None: faces cannot be compared.")


class Limits(Answer):
    """What is taken."""

    image_bytes: int
    image_pixels: int
    request_bytes: int
    faces_per_image: int
    queued_images: int
    requests_per_s: float
    burst: int


class Models(Answer):
    """All weights: one."""

    models: list[ModelOut]
    limits: Limits


_FOREIGN: dict[int | str, dict[str, Any]] = {
    403: {
        "model": ProblemEnvelope,
        "description": f"`foreign_host`: {KINDS['foreign_host'].meaning}.",
    }
}


@router.get("/v1/health", operation_id="health", response_model=Health, responses=_FOREIGN)
async def health() -> Response:
    """Say that the service runs; needs no token."""
    return reply(Health(status="ok", version=VERSION))


@router.get("/v1/models", operation_id="models", response_model=Models, responses=answers())
async def models(service: ServiceOf) -> Response:
    """Say what weights are loaded and what is taken."""
    model, options = service.model, service.options
    thresholds = () if service.reference is None else service.reference.thresholds
    found = ModelOut(
        weights_id=model.weights_id,
        device=str(model.device),
        detector=service.engine.detector,
        crop_size=model.crop_size,
        image_size=model.config.image_size,
        fov_deg=model.config.fov_deg,
        lengths=lengths_of(model, features=True),
        has_gaze=model.config.gaze is not None,
        thresholds=[ThresholdOut(**vars(one)) for one in thresholds],
    )
    limits = Limits(
        image_bytes=options.image_bytes,
        image_pixels=options.image_pixels,
        request_bytes=options.request_bytes,
        faces_per_image=options.max_faces,
        queued_images=options.max_queue,
        requests_per_s=options.rate,
        burst=options.burst,
    )
    return reply(Models(models=[found], limits=limits))


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses=answers(
        status_200={
            "description": "Counters.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    ),
)
async def metrics(service: ServiceOf) -> Response:
    """Give the counters in Prometheus' text format."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})
