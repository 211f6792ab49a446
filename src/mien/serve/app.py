"""The application: all paths behind the gate, one form for all errors, the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from mien.serve.bodies import explain
from mien.serve.errors import ApiError, refusal
from mien.serve.gate import Gate
from mien.serve.render_schemas import Edit, MapsBody, RenderBody
from mien.serve.routes import (
    analyze,
    collections,
    live,
    readouts,
    render,
    status,
    view,
    view_table,
)
from mien.serve.schemas import ImageBody, PairBody
from mien.serve.service import Service
from mien.serve.shown import Shown
from mien.serve.store_schemas import (
    ApplyCalibrationBody,
    ApplyProbeBody,
    CalibrationBody,
    CollectionBody,
    ProbeBody,
)
from mien.version import VERSION

__all__ = ["create_app", "openapi_document", "openapi_text"]

_HERE = Path(__file__).parent
_BODIES = (
    *(ImageBody, PairBody, RenderBody, Edit, MapsBody, CollectionBody),
    *(CalibrationBody, ApplyCalibrationBody, ProbeBody, ApplyProbeBody),
)
_GROUPS = (
    *(status.router, analyze.router, render.router, collections.router),
    *(readouts.router, live.router, view.router, view_table.router),
)
# Nothing is traced, measured or exported by the framework, whatever the environment says.
_SILENT: Any = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_ABOUT = (
    "Faces and what they are made of. Images are JPEG, PNG or WebP; angles are radians, lengths "
    "face units, frames x right, y down, z away from the camera. Everything that is refused is "
    "answered with `{error: {code, message, request_id}}`; HEAD as GET, without a body. Images are "
    "not kept, unless in a collection that is told to keep them."
)


def create_app(service: Service, shown: Shown | None = None) -> FastAPI:
    """Return the application around a service, which is closed when the application ends.

    Args:
        service: answers.
        shown: what the page opens by itself; None: nothing.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.shown.close()
        service.close()

    app = _bare(lifespan=lifespan)
    app.state.service = service
    app.state.shown = shown or Shown()
    app.add_middleware(Gate, service=service)
    app.add_api_route("/openapi.json", _document, include_in_schema=False)
    app.mount("/docs", StaticFiles(directory=_HERE / "docs_page", html=True))
    if (_HERE / "static").is_dir():
        app.mount("/", StaticFiles(directory=_HERE / "static", html=True))
    return app


def _bare(**options: Any) -> FastAPI:
    app = FastAPI(
        title="mien",
        version=VERSION,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
        exception_handlers={
            ApiError: _refuse,
            HTTPException: _refuse_path,
            RequestValidationError: _refuse_fields,
        },
        **options,
    )
    for group in _GROUPS:
        app.include_router(group)
    return app


async def _document(_: Request) -> Response:
    return Response(openapi_text(), media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    body = refusal(error.code, error.message, request.scope["mien.request_id"])
    return Response(body, error.status, error.headers, media_type="application/json")


async def _refuse_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    methods = _methods(request)
    # The pages, which stand below all paths, know of no other method's path.
    if error.status_code == 405 or (error.status_code == 404 and methods):
        allow = ", ".join(sorted(methods or {"GET", "HEAD"}))
        refused = ApiError("method_not_allowed", f"this path takes {allow}", allow=allow)
        return await _refuse(request, refused)
    if error.status_code == 404:
        return await _refuse(request, ApiError("unknown_path", "there is nothing at this path"))
    return await _refuse(request, ApiError("malformed_body", str(error.detail)))


async def _refuse_fields(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _refuse(request, ApiError(*explain(list(error.errors()))))


def _methods(request: Request) -> set[str]:
    """Return the methods of all paths that are like the one asked for."""
    found: set[str] = set()
    for route in _routes():
        expression, methods = getattr(route, "path_regex", None), getattr(route, "methods", None)
        if expression is not None and methods and expression.match(request.url.path):
            found |= methods
    return found | ({"HEAD"} if "GET" in found else set())


def _routes() -> list[BaseRoute]:
    return [route for group in _GROUPS for route in group.routes]


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document; it depends on no option."""
    app = _bare()
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    template = "#/components/schemas/{model}"
    _, defined = models_json_schema(
        [(kind, "validation") for kind in _BODIES], ref_template=template
    )
    schemas = document["components"]["schemas"]
    schemas.update(defined.get("$defs", {}))
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Where there are tokens."}
    }
    document["security"] = [{"token": []}]
    document["paths"]["/v1/health"]["get"]["security"] = []
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def openapi_text() -> str:
    """Return the OpenAPI document as text. JSON."""
    return json.dumps(openapi_document(), indent=1, ensure_ascii=False) + "\n"
