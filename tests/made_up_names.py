"""Names and numbers of what is there, for requests that Schemathesis makes up.

By itself it would hardly ever name a collection, a face or a probe that exists. Where a made-up one
is well-formed it is replaced, mostly, by one of a few names or by a number that was answered.
"""

from __future__ import annotations

import random
import re
from typing import Any

import schemathesis

import made_up_requests  # noqa: F401 - registers the images

__all__ = ["after_call", "map_body", "map_path_parameters", "map_query"]

_FEW = {"collection": ("one", "two", "three"), "person": ("anna", "ben"), "name": ("one", "two")}
_NUMBER = re.compile(r"^[0-9a-f]{16}$|^[0-9a-f]{32}$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_SEEN: dict[str, list[str]] = {"face_id": [], "calibration": [], "probe": []}
_KEPT = 200


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the numbers that an answer gives."""
    if response.status_code not in (200, 201) or "json" not in str(response.headers):
        return
    kind = "calibration" if "calibration" in case.path else "probe"
    for name, value in _pairs(response.json()):
        key = {"face_id": "face_id", "id": kind, f"{kind}_id": kind, kind: kind}.get(name)
        if key and isinstance(value, str) and _NUMBER.match(value):
            _SEEN[key] = [*_SEEN[key], value][-_KEPT:]


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Name what is there; seldom to delete it."""
    delete = context.operation.method.upper() == "DELETE"
    return path_parameters if delete and random.random() < 0.9 else _named(path_parameters)


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Likewise."""
    return _named(query)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Likewise."""
    return _named(body)


def _named(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {name: _instead(name, value) for name, value in given.items()}


def _instead(name: str, value: Any) -> Any:
    if not isinstance(value, str) or random.random() < 0.25:
        return value
    if name in _FEW and _NAME.match(value):
        return random.choice(_FEW[name])
    if _SEEN.get(name) and _NUMBER.match(value):
        return random.choice(_SEEN[name])
    return value


def _pairs(found: Any) -> list[tuple[str, Any]]:
    """Return all names and values of an answer, at any depth."""
    if isinstance(found, list):
        return [pair for one in found for pair in _pairs(one)]
    if isinstance(found, dict):
        return [*found.items(), *(pair for one in found.values() for pair in _pairs(one))]
    return []
