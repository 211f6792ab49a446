"""`/v1/render`, `/v1/maps`: a face rendered again, or what a program needs to render it itself."""

from __future__ import annotations

from functools import partial

import torch
from fastapi import APIRouter, Request, Response

from mien.pipeline.analyze import AnalyzedFace
from mien.serve.bodies import (
    decoded,
    form_schema,
    json_schema,
    parse_json,
    read_json,
    read_parts,
    type_of,
)
from mien.serve.engine import chosen, largest
from mien.serve.errors import ApiError
from mien.serve.faces import given_factors
from mien.serve.render_schemas import Edit, MapsAnswer, MapsBody, RenderBody
from mien.serve.rendering import (
    MEDIA_TYPES,
    check_edit,
    looking,
    maps,
    redirected,
    render_face,
    with_expression,
)
from mien.serve.replies import ServiceOf, answers, binary, count, reply
from mien.serve.routes.analyze import IMAGE_FAULTS, calibration_of
from mien.serve.service import Service
from mien.types import Factors
from mien.views.edit import Edit as ViewEdit

__all__ = ["router"]

router = APIRouter(tags=["rendering"])

_IMAGES = ("image", "expression_image", "gaze_image")


@router.post(
    "/v1/render",
    operation_id="render",
    response_class=Response,
    openapi_extra=form_schema(RenderBody, ("image",), _IMAGES[1:], text="edit"),
    responses=answers(
        *IMAGE_FAULTS,
        *("no_face", "no_eyes", "no_gaze_branch", "unknown_calibration", "other_weights"),
        status_200=binary("The image, the mesh or the film.", *MEDIA_TYPES.values()),
    ),
)
async def render(request: Request, service: ServiceOf) -> Response:
    """Render a face with another pose, light, expression or gaze, as a mesh or as a film.

    JSON, or parts: the images, and `edit`, JSON with the other fields.
    """
    edit, factors, images = await _asked(request, service)
    expression, gaze = "expression_image" in images, "gaze_image" in images
    gazes = (edit.gaze_code is not None, edit.gaze_direction is not None, gaze)
    if (edit.expression is not None and expression) or sum(gazes) > 1:
        raise ApiError("invalid", "give an image, a code or a direction to take, not several")
    check_edit(
        edit,
        expression=expression or edit.expression is not None,
        gaze=any(gazes),
        image=factors is None,
    )
    file = await _rendered(service, edit, factors, images)
    count(request, images=len(images), faces=1)
    return Response(file, media_type=MEDIA_TYPES[edit.output])


async def _asked(
    request: Request, service: Service
) -> tuple[Edit, Factors | None, dict[str, bytes]]:
    """Return the changes, the factors if these were sent, and the images."""
    if type_of(request, "application/json", "multipart/form-data") == "multipart/form-data":
        parts = await read_parts(request, ("image",), (*_IMAGES[1:], "edit"))
        return await parse_json(parts.pop("edit", b"{}"), Edit), None, parts
    body = await read_json(request, RenderBody)
    images = {}
    for name in _IMAGES:
        if (text := getattr(body, name)) is not None:
            images[name] = await decoded(text, name)
    if (body.factors is None) == (body.image is None):
        raise ApiError("invalid", "give factors or image, one of them")
    if body.factors is not None and body.face is not None:
        raise ApiError("invalid", "face: factors are of one face; leave it out")
    factors = None if body.factors is None else given_factors(body.factors, service.model)
    return body, factors, images


async def _rendered(
    service: Service, edit: Edit, factors: Factors | None, images: dict[str, bytes]
) -> bytes:
    engine, model = service.engine, service.model
    others = {}
    for name in _IMAGES[1:]:
        if name in images:
            seen = await engine.see(images[name], name=name)
            others[name] = largest(seen.faces, name).factors
    face = None
    if factors is None:
        face = await _chosen(service, images["image"], edit.face)
        factors = face.factors
    expression = others.get("expression_image")
    if edit.expression is not None:
        expression = with_expression(factors, edit.expression, model)
    code = None if edit.gaze_code is None else torch.tensor([edit.gaze_code])
    if "gaze_image" in others:
        gaze = others["gaze_image"].gaze
        if gaze is None:
            raise ApiError("no_gaze_branch", f"the weights {model.weights_id} have no gaze branch")
        if not gaze.eyes_found.all():
            raise ApiError("no_eyes", "gaze_image shows no open eyes; give another")
        code = gaze.code
    if edit.gaze_direction is not None and face is not None:
        code = looking(calibration_of(service, edit.gaze_direction.calibration), face, edit)
    if code is not None and face is not None:
        return await engine.render(partial(redirected, model, face.crop, code, edit))
    return await engine.render(partial(render_face, model, factors, edit, expression))


async def _chosen(service: Service, data: bytes, number: int | None) -> AnalyzedFace:
    """Return the face of an image that is asked for."""
    faces = (await service.engine.see(data)).faces
    return chosen(faces, number)


@router.post(
    "/v1/maps",
    operation_id="maps",
    response_model=MapsAnswer,
    openapi_extra=json_schema(MapsBody),
    responses=answers(*IMAGE_FAULTS, "no_face"),
)
async def canonical_maps(request: Request, service: ServiceOf) -> Response:
    """Give a face's canonical albedo and depth, for a page that renders it itself."""
    body = await read_json(request, MapsBody)
    if (body.factors is None) == (body.image is None):
        raise ApiError("invalid", "give factors or image, one of them")
    if body.neutral and body.expression is not None:
        raise ApiError("invalid", "neutral and an expression: give one of them")
    if body.factors is not None:
        factors = given_factors(body.factors, service.model)
    else:
        data = await decoded(body.image or "", "image")
        factors = (await _chosen(service, data, None)).factors
    expression = None
    if body.expression is not None:
        expression = with_expression(factors, body.expression, service.model)
    edit = ViewEdit(neutral=body.neutral, expression=expression, inside_face=expression is not None)
    count(request, images=int(body.image is not None), faces=1)
    floats = body.encoding == "float32"
    work = partial(maps, service.model, factors, edit, fine=body.fine, floats=floats)
    return reply(await service.engine.render(work))
