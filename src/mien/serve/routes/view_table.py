"""`/v1/view/table`: the table that `mien view` was given, for its page."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from mien.serve.bodies import read_json
from mien.serve.errors import ApiError
from mien.serve.replies import Asked, ServiceOf
from mien.serve.routes.readouts import fitted, probe_answer
from mien.serve.routes.view import Number, ShownOf, view_json
from mien.serve.schemas import Given
from mien.serve.selection import ExportBody, LabelsBody, export, learn
from mien.serve.table_filter import FiltersBody

__all__ = ["router"]

# No part of the service's document: these paths belong to the page that comes with them.
router = APIRouter(prefix="/v1/view/table", include_in_schema=False)

_NUMBERS = "application/octet-stream"


class _Column(Asked):
    name: str = Field(min_length=1, max_length=300)


class _Image(Asked):
    whole: bool = Field(default=False, description="The whole image, the face's box in it.")


class _Factor(Asked):
    factor: str = Field(min_length=1, max_length=100)


class NearBody(FiltersBody):
    """What neighbours go by, and the filters that they must match."""

    by: str = Field(min_length=1, max_length=100)
    count: int = Field(default=8, ge=1, le=50)


class UmapBody(Given):
    """Of which factor."""

    factor: str = Field(min_length=1, max_length=100)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


@router.get("", operation_id="view_table")
async def table(shown: ShownOf) -> Response:
    """Name the table's columns and factors."""
    return view_json(await asyncio.to_thread(shown.explorer().about))


@router.get("/images", operation_id="view_images")
async def images(shown: ShownOf) -> Response:
    """Count the rows whose images are missing."""
    missing = await asyncio.to_thread(shown.explorer().missing)
    return view_json({"missing": missing})


@router.get("/column", operation_id="view_column")
async def column(shown: ShownOf, asked: Annotated[_Column, Query()]) -> Response:
    """Give the values of a column, or places by a factor."""
    content = await asyncio.to_thread(shown.explorer().column, asked.name)
    return Response(content, media_type=_NUMBERS)


@router.get("/values", operation_id="view_values")
async def values(shown: ShownOf, asked: Annotated[_Column, Query()]) -> Response:
    """Say what a filter of a column may be."""
    return view_json(await asyncio.to_thread(shown.explorer().values, asked.name))


@router.post("/filter", operation_id="view_filter")
async def matching(shown: ShownOf, request: Request) -> Response:
    """Say which rows match filters."""
    explorer = shown.explorer()
    asked = await read_json(request, FiltersBody)
    content = await asyncio.to_thread(explorer.matching, asked.filters)
    return Response(content, media_type=_NUMBERS)


@router.get("/rows/{number}", operation_id="view_row")
async def row(shown: ShownOf, number: Number) -> Response:
    """Say what the table says of a row."""
    return view_json(shown.explorer().row(number))


@router.post("/rows/{number}/neighbours", operation_id="view_neighbours")
async def neighbours(shown: ShownOf, number: Number, request: Request) -> Response:
    """Find the rows most alike by a factor."""
    explorer = shown.explorer()
    asked = await read_json(request, NearBody)
    work = partial(explorer.neighbours, number, asked.by, asked.count, asked.filters)
    return view_json(await asyncio.to_thread(work))


@router.get("/videos/{number}", operation_id="view_timeline")
async def timeline(shown: ShownOf, number: Number) -> Response:
    """Give yaw, gaze and expression of a video's tracks over time."""
    content = await asyncio.to_thread(shown.explorer().timeline, number)
    return await asyncio.to_thread(view_json, content)


@router.get("/umap", operation_id="view_umap")
async def umap(shown: ShownOf, asked: Annotated[_Factor, Query()]) -> Response:
    """Say how far the UMAP of a factor is."""
    return view_json(shown.explorer().umap_of(asked.factor).state(asked.factor))


@router.post("/umap", operation_id="view_umap_start")
async def umap_start(shown: ShownOf, request: Request) -> Response:
    """Start the UMAP of a factor."""
    explorer = shown.explorer()
    asked = await read_json(request, UmapBody)
    work = partial(explorer.umap_of(asked.factor).start, asked.factor, asked.seed)
    return view_json(await asyncio.to_thread(work))


@router.delete("/umap", operation_id="view_umap_cancel")
async def umap_cancel(shown: ShownOf, asked: Annotated[_Factor, Query()]) -> Response:
    """End the UMAP of a factor."""
    return view_json(shown.explorer().umap_of(asked.factor).cancel(asked.factor))


@router.post("/export", operation_id="view_export")
async def export_rows(shown: ShownOf, request: Request) -> Response:
    """Give chosen rows as CSV."""
    explorer = shown.explorer()
    asked = await read_json(request, ExportBody)
    parts = await asyncio.to_thread(export, explorer, asked)
    return StreamingResponse(parts, media_type="text/csv; charset=utf-8")


@router.post("/probe", operation_id="view_probe")
async def probe(shown: ShownOf, service: ServiceOf, request: Request) -> Response:
    """Learn a probe from labels of rows; say what it predicts, and what to label next."""
    explorer = shown.explorer()
    asked = await read_json(request, LabelsBody)
    made, more = await fitted(service, partial(learn, explorer, asked))
    answer = probe_answer(service.probes.add(made), made).model_dump(mode="json")
    return await asyncio.to_thread(view_json, {**answer, **more})


@router.get("/rows/{number}/image", operation_id="view_image")
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
