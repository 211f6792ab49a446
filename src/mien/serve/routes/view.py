"""`/v1/view`: what the page of `mien view` opens by itself; empty where nothing was given."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field
from starlette.requests import HTTPConnection

from mien.serve.replies import Asked, ServiceOf
from mien.serve.shown import Shown

__all__ = ["Number", "ShownOf", "router", "view_json"]

# No part of the service's document: these paths belong to the page that comes with them.
router = APIRouter(prefix="/v1/view", include_in_schema=False)


async def _shown(connection: HTTPConnection) -> Shown:
    return connection.app.state.shown


ShownOf = Annotated[Shown, Depends(_shown)]
Number = Annotated[int, Path(ge=0, le=10**6)]


class _Frame(Asked):
    frame: int = Field(default=0, ge=0, le=10**6)


def view_json(content: Any) -> Response:
    """Answer with JSON."""
    text = json.dumps(content, allow_nan=False)
    return Response(text, media_type="application/json")


@router.get("", operation_id="view")
async def view(shown: ShownOf) -> Response:
    """Name the inputs, and say whether there is a table."""
    return view_json(shown.about())


@router.get("/inputs/{number}", operation_id="view_input")
async def view_input(
    shown: ShownOf, service: ServiceOf, number: Number, asked: Annotated[_Frame, Query()]
) -> Response:
    """Give an image that was given, or a frame of a video."""
    limit = service.options.image_bytes
    with service.engine.place():
        data, kind = await asyncio.to_thread(shown.image, number, asked.frame, max_bytes=limit)
    return Response(data, media_type=kind)
