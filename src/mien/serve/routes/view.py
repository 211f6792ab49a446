"""`/v1/view`: what the page of `mien view` opens by itself; empty where nothing was given."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field
from starlette.requests import HTTPConnection

from mien.serve.bodies import read_json
from mien.serve.errors import ApiError
from mien.serve.replies import Asked, ServiceOf
from mien.serve.routes.readouts import fitted, probe_answer
from mien.serve.selection import ExportBody, LabelsBody, export, learn
from mien.serve.shown import Shown

__all__ = ["router"]

# No part of the service's document: these paths belong to the page that comes with them.
router = APIRouter(prefix="/v1/view", include_in_schema=False)


async def _shown(connection: HTTPConnection) -> Shown:
    return connection.app.state.shown


ShownOf = Annotated[Shown, Depends(_shown)]
Number = Annotated[int, Path(ge=0, le=10**6)]


class _Frame(Asked):
    frame: int = Field(default=0, ge=0, le=10**6)


class _Column(Asked):
    name: str = Field(min_length=1, max_length=300)


class _Image(Asked):
    whole: bool = Field(default=False, description="The whole image, the face's box in it.")


class _Near(Asked):
    by: str = Field(max_length=100)
    count: int = Field(default=8, ge=1, le=50)


def _json(content: Any) -> Response:
    text = json.dumps(content, allow_nan=False)
    return Response(text, media_type="application/json")


@router.get("", operation_id="view")
async def view(shown: ShownOf) -> Response:
    """Name the inputs, and say whether there is a table."""
    return _json(shown.about())


@router.get("/inputs/{number}", operation_id="view_input")
async def view_input(
    shown: ShownOf, service: ServiceOf, number: Number, asked: Annotated[_Frame, Query()]
) -> Response:
    """Give an image that was given, or a frame of a video."""
    limit = service.options.image_bytes
    with service.engine.place():
        data, kind = await asyncio.to_thread(shown.image, number, asked.frame, max_bytes=limit)
    return Response(data, media_type=kind)


@router.get("/table", operation_id="view_table")
async def table(shown: ShownOf) -> Response:
    """Name the table's columns and factors, and count the rows whose images are missing."""
    explorer = shown.explorer()
    missing = await asyncio.to_thread(explorer.missing)
    return _json({**explorer.about(), "missing_images": missing})


@router.get("/table/column", operation_id="view_column")
async def column(shown: ShownOf, asked: Annotated[_Column, Query()]) -> Response:
    """Give the values of a column, or places along a principal component."""
    content = await asyncio.to_thread(shown.explorer().column, asked.name)
    return await asyncio.to_thread(_json, content)


@router.get("/table/rows/{number}", operation_id="view_row")
async def row(shown: ShownOf, number: Number) -> Response:
    """Say what the table says of a row."""
    return _json(shown.explorer().row(number))


@router.get("/table/rows/{number}/neighbours", operation_id="view_neighbours")
async def neighbours(shown: ShownOf, number: Number, asked: Annotated[_Near, Query()]) -> Response:
    """Find the rows most alike by a factor."""
    work = shown.explorer().neighbours
    return _json(await asyncio.to_thread(work, number, asked.by, asked.count))


@router.get("/table/videos/{number}", operation_id="view_timeline")
async def timeline(shown: ShownOf, number: Number) -> Response:
    """Give yaw, gaze and expression of a video's tracks over time."""
    content = await asyncio.to_thread(shown.explorer().timeline, number)
    return await asyncio.to_thread(_json, content)


@router.post("/table/export", operation_id="view_export")
async def export_rows(shown: ShownOf, request: Request) -> Response:
    """Give chosen rows as CSV."""
    explorer = shown.explorer()
    asked = await read_json(request, ExportBody)
    text = await asyncio.to_thread(export, explorer, asked)
    return Response(text, media_type="text/csv; charset=utf-8")


@router.post("/table/probe", operation_id="view_probe")
async def probe(shown: ShownOf, service: ServiceOf, request: Request) -> Response:
    """Learn a probe from labels of rows; say what it predicts, and what to label next."""
    explorer = shown.explorer()
    asked = await read_json(request, LabelsBody)
    made, more = await fitted(service, partial(learn, explorer, asked))
    answer = probe_answer(service.probes.add(made), made).model_dump(mode="json")
    return await asyncio.to_thread(_json, {**answer, **more})


@router.get("/table/rows/{number}/image", operation_id="view_image")
async def image(
    shown: ShownOf, service: ServiceOf, number: Number, asked: Annotated[_Image, Query()]
) -> Response:
    """Give the face of a row, cut out of its own image; nothing (204) where that is not there."""
    explorer = shown.explorer()
    work = explorer.scene if asked.whole else explorer.image
    try:
        with service.engine.place():
            data = await asyncio.to_thread(work, number)
    except ApiError as error:
        if error.code != "no_image":
            raise
        return Response(status_code=204)
    return Response(data, media_type="image/jpeg")
