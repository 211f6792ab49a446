"""What the paths share: the service they belong to, answers and their description, pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from mien.serve.errors import KINDS, ApiError, ProblemEnvelope
from mien.serve.service import Service

__all__ = [
    "COMMON",
    "Asked",
    "Page",
    "Paging",
    "ServiceOf",
    "answers",
    "binary",
    "count",
    "page",
    "reply",
]

Row = TypeVar("Row")

COMMON = ("unauthorized", "foreign_host", "rate_limited", "busy")
"""What every path but `/v1/health` may answer."""


async def _service(connection: HTTPConnection) -> Service:
    # Asynchronous, for FastAPI gives all others a thread.
    return connection.app.state.service


ServiceOf = Annotated[Service, Depends(_service)]


class Asked(BaseModel):
    """Options in a query: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Page(Asked):
    """Which rows of a list."""

    limit: int = Field(default=100, ge=1, le=1000, description="Rows at most.")
    cursor: str | None = Field(
        default=None,
        min_length=1,
        max_length=300,
        pattern="^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the page before, as it is.",
    )


Paging = Annotated[Page, Query()]


def answers(*codes: str, **more: Any) -> dict[int | str, dict[str, Any]]:
    """Return how a path's refusals are documented: a status each, with its codes.

    Args:
        codes: of `errors.KINDS`, besides `COMMON`.
        more: documented answers by `status_200` and so on.
    """
    found: dict[int | str, dict[str, Any]] = {
        int(name.removeprefix("status_")): value for name, value in more.items()
    }
    for code in sorted({*codes, *COMMON}, key=lambda code: (KINDS[code].status, code)):
        kind = KINDS[code]
        entry = found.setdefault(kind.status, {"model": ProblemEnvelope, "description": ""})
        entry["description"] += f"`{code}`: {kind.meaning}. "
        if kind.status in (429, 503):
            about = "Seconds to wait."
            entry["headers"] = {
                "Retry-After": {"description": about, "schema": {"type": "integer"}}
            }
    for entry in found.values():
        entry["description"] = entry.get("description", "").strip()
    return found


def binary(description: str, *kinds: str) -> dict[str, Any]:
    """Return how an answer that is a file is documented."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"description": description, "content": dict.fromkeys(kinds, schema)}


def reply(content: BaseModel, status: int = 200) -> Response:
    """Return an answer as JSON; fields that were not given are left out."""
    body = content.model_dump_json(exclude_unset=True)
    return Response(body, status, media_type="application/json")


def count(connection: HTTPConnection, **counts: int) -> None:
    """Note numbers for the audit log."""
    connection.scope.setdefault("mien.counts", {}).update(counts)


def page(rows: Sequence[Row], asked: Page) -> tuple[Sequence[Row], str | None]:
    """Return the rows of a page, and the cursor of the next one.

    Raises:
        ApiError: the cursor is none that was given out.
    """
    start = 0
    if asked.cursor is not None:
        try:
            padded = asked.cursor + "=" * (-len(asked.cursor) % 4)
            found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            start = found["from"]
            if type(start) is not int or start < 0:
                raise ValueError(start)
        except (binascii.Error, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ApiError("invalid", "cursor: it is none that was given out") from error
    end = start + asked.limit
    following = base64.urlsafe_b64encode(json.dumps({"from": end}).encode()).decode().rstrip("=")
    return rows[start:end], following if end < len(rows) else None
