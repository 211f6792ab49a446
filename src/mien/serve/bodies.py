"""Bodies of requests: an image in one of three forms, JSON, or several parts."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.serve.errors import ApiError
from mien.serve.schemas import ImageBody

__all__ = [
    "IMAGE_TYPES",
    "decoded",
    "explain",
    "form_schema",
    "image_schema",
    "json_schema",
    "read_image",
    "read_json",
    "read_parts",
    "type_of",
]

Body = TypeVar("Body", bound=BaseModel)

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
"""Content types of a body that is an image and nothing else."""
_JSON, _FORM = "application/json", "multipart/form-data"


def type_of(request: Request, *taken: str) -> str:
    """Return the content type of a body.

    Raises:
        ApiError: it is none of those taken, or the body is compressed.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ApiError("unsupported_media_type", "send the body as it is, not compressed")
    if given not in taken:
        raise ApiError("unsupported_media_type", f"the content type is one of {', '.join(taken)}")
    return given


async def read_json(request: Request, kind: type[Body]) -> Body:
    """Return a JSON body.

    Raises:
        ApiError: another content type, no JSON, or not what `kind` declares.
    """
    type_of(request, _JSON)
    return await parse_json(await request.body(), kind)


async def parse_json(body: bytes | str, kind: type[Body]) -> Body:
    """Return what JSON text holds, parsed on a thread: it may be long."""
    try:
        return await asyncio.to_thread(kind.model_validate_json, body)
    except ValidationError as error:
        code, message = explain(error.errors(include_url=False, include_context=False))
        raise ApiError(code, message) from error


def explain(errors: list[Any]) -> tuple[str, str]:
    """Return code and line for the first of some faults; no value that was sent is repeated."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return "malformed_body", f"the body is not JSON: {first['msg'].partition(': ')[2]}"
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path"))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    text = f"{where}: {first['msg']}" if where else str(first["msg"])
    return "invalid", text + more


async def read_image(request: Request) -> bytes:
    """Return the image of a body: the body itself, the part `image`, or base64 in JSON.

    Raises:
        ApiError: another content type, or there is no image in it.
    """
    kind = type_of(request, *IMAGE_TYPES, _FORM, _JSON)
    if kind == _FORM:
        return (await read_parts(request, ("image",)))["image"]
    body = await request.body()
    if kind == _JSON:
        return await decoded((await parse_json(body, ImageBody)).image, "image")
    if not body:
        raise ApiError("invalid", "the body is empty; send an image")
    return body


async def decoded(text: str, name: str) -> bytes:
    """Return the bytes of base64.

    Raises:
        ApiError: it is not base64, or nothing.
    """
    try:
        data = await asyncio.to_thread(base64.b64decode, text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("invalid", f"{name}: this is not base64") from error
    if not data:
        raise ApiError("invalid", f"{name}: there is nothing in it")
    return data


async def read_parts(
    request: Request, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """Return the parts of a multipart body by their names; held in memory, never on disk.

    Raises:
        ApiError: no multipart body, or a part is missing, unknown or there twice.
    """
    names = (*needed, *optional)
    type_of(request, _FORM)
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=len(names) + 1,
        max_fields=len(names) + 1,
        max_part_size=1 << 40,  # the whole request is bounded already
    )
    parser.spool_max_size = 1 << 40
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "it has no boundary")
        raise ApiError("malformed_body", f"the body is not multipart: {reason}") from error
    try:
        parts = await _contents(form, names)
    finally:
        await form.close()
    for name in needed:
        if not parts.get(name):
            raise ApiError("invalid", f"{name}: the part is missing or empty")
    return parts


async def _contents(form: FormData, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the parts by their names; raises ApiError where one is unknown or there twice."""
    parts: dict[str, bytes] = {}
    for name, part in form.multi_items():
        if name not in names or name in parts:
            shown = name if name.isprintable() and len(name) < 40 else "a part"
            raise ApiError(
                "invalid", f"{shown}: unknown, or there twice; parts: {', '.join(names)}"
            )
        parts[name] = part.encode() if isinstance(part, str) else await part.read()
    return parts


def json_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return `openapi_extra` for a JSON body."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": schema}}}}


def form_schema(
    kind: type[BaseModel], needed: tuple[str, ...], optional: tuple[str, ...] = (), text: str = ""
) -> dict[str, Any]:
    """Return `openapi_extra` for a body that is JSON or has parts.

    Args:
        kind: of the JSON.
        needed: parts that are images.
        optional: images that may be left out.
        text: a part that is JSON text; "": none.
    """
    image = {"type": "string", "format": "binary", "minLength": 1}
    parts: dict[str, Any] = dict.fromkeys((*needed, *optional), image)
    if text:
        parts[text] = {"type": "string", "contentMediaType": _JSON, "format": "edit-json"}
    schema = {
        "type": "object",
        "properties": parts,
        "required": list(needed),
        "additionalProperties": False,
    }
    whole = json_schema(kind)
    whole["requestBody"]["content"][_FORM] = {"schema": schema}
    return whole


def image_schema() -> dict[str, Any]:
    """Return `openapi_extra` for a body that is an image in one of three forms."""
    whole = form_schema(ImageBody, ("image",))
    image = {"type": "string", "format": "binary", "minLength": 1}
    for kind in IMAGE_TYPES:
        whole["requestBody"]["content"][kind] = {"schema": image}
    return whole
