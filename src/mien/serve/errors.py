"""Everything that a client is told went wrong: a code each, with its status and meaning."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import BaseModel, Field

from mien.errors import MienError

__all__ = ["KINDS", "ApiError", "Kind", "Problem", "ProblemEnvelope", "refusal"]


@dataclass(frozen=True)
class Kind:
    """One thing that can go wrong."""

    status: int
    meaning: str


KINDS = {
    "malformed_body": Kind(400, "the body cannot be parsed as what its content type says"),
    "unauthorized": Kind(401, "no token is given, or an unknown one"),
    "foreign_host": Kind(403, "the Host header names another machine, or Origin another site"),
    "unknown_path": Kind(404, "there is nothing at this path"),
    "collections_off": Kind(404, "the service was started without --collections"),
    "unknown_collection": Kind(404, "there is no such collection"),
    "unknown_person": Kind(404, "nobody of this name is in the collection"),
    "unknown_face": Kind(404, "there is no such face"),
    "no_image": Kind(404, "the collection keeps no images"),
    "unknown_calibration": Kind(404, "there is no such calibration"),
    "unknown_probe": Kind(404, "there is no such probe"),
    "method_not_allowed": Kind(405, "the path has no such method"),
    "body_too_slow": Kind(408, "the body did not arrive in time"),
    "exists": Kind(409, "a collection of this name is there already"),
    "full": Kind(409, "there is no room for another; delete one first"),
    "other_weights": Kind(409, "it was made with other weights than those of the service"),
    "table_changed": Kind(409, "the table of mien view is another than the one that was opened"),
    "no_thresholds": Kind(409, "no thresholds were measured for these weights"),
    "no_gaze_branch": Kind(409, "these weights have no gaze branch"),
    "request_too_large": Kind(413, "the body is larger than is taken"),
    "image_too_large": Kind(413, "an image is larger than is taken"),
    "too_many_pixels": Kind(413, "an image has more pixels than are decoded"),
    "unsupported_media_type": Kind(415, "the content type or encoding is none of those taken"),
    "invalid": Kind(422, "a field is missing, unknown, of another type or out of range"),
    "unreadable_image": Kind(422, "an image cannot be read"),
    "no_face": Kind(422, "an image shows no face, or not the one asked for"),
    "no_eyes": Kind(422, "no open eyes are seen"),
    "too_many_faces": Kind(422, "an image shows more faces than are taken"),
    "cannot_fit": Kind(422, "nothing can be learned of these samples"),
    "rate_limited": Kind(429, "the token made too many requests; see Retry-After"),
    "internal": Kind(500, "a fault of the service; its log has the request_id"),
    "busy": Kind(503, "as much is waiting as may wait; see Retry-After"),
}
"""Code => status and meaning."""


class ApiError(MienError):
    """What a client is answered in place of a result."""

    def __init__(self, code: str, message: str, *, retry_after_s: int = 0, allow: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = KINDS[code].status
        self.headers: dict[str, str] = {}
        if retry_after_s:
            self.headers["retry-after"] = str(retry_after_s)
        if self.status == 401:
            self.headers["www-authenticate"] = "Bearer"
        if allow:
            self.headers["allow"] = allow


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="One of the codes of this status.")
    message: str = Field(description="One line for a person.")
    request_id: str = Field(description="Also in the header X-Request-Id and in the log.")


class ProblemEnvelope(BaseModel):
    """The body of every answer that is no result."""

    error: Problem


def refusal(code: str, message: str, request_id: str) -> bytes:
    """Return the body of an answer that is no result. JSON."""
    one_line = " ".join(message.split())[:500]
    problem = {"code": code, "message": one_line, "request_id": request_id}
    return json.dumps({"error": problem}).encode()
