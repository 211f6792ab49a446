"""What stands before all paths: whose request it is, how large, how often, and what it costs.

Every answer, also a refusal, has the security headers and an X-Request-Id, is counted, and is
written to the audit log unless it is public.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.errors import ApiError, refusal
from mien.serve.options import is_loopback
from mien.serve.service import Service

__all__ = ["CSP", "Gate", "respond"]

_LOG = logging.getLogger("mien.serve")

CSP = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
_BODIES = ("POST", "PUT", "PATCH")
_PROTOCOL = "bearer."


class Gate:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, start = self._service, time.perf_counter()
        head = scope["method"] == "HEAD"
        # Every path that takes GET takes HEAD; the server keeps its own scope.
        scope = {**scope, "method": "GET"} if head else scope
        scope["mien.request_id"] = secrets.token_hex(16)
        answer = _Answer(scope, send, head=head)
        who = ""
        service.requests += 1
        try:
            who = self._admit(scope)
            await self._app(scope, self._bounded(scope, receive), answer)
        except ApiError as error:
            await answer.refuse(error)
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and answered
            _LOG.exception("request %s", scope["mien.request_id"])
            await answer.refuse(ApiError("internal", "a fault of the service; see its log"))
        finally:
            service.requests -= 1
            operation = _operation(scope)
            service.metrics.requests.labels(operation, str(answer.status)).inc()
            service.metrics.seconds.labels(operation).observe(time.perf_counter() - start)
            if not _public(scope["path"]):
                counts = scope.get("mien.counts", {})
                service.audit.write(who or "?", operation, answer.status, counts)

    def _admit(self, scope: Scope) -> str:
        """Return whose request it is; "" of a public one.

        Raises:
            ApiError: it is refused.
        """
        service, headers = self._service, Headers(scope=scope)
        self._check_origin(headers)
        if _public(scope["path"]):
            return ""
        name = service.tokens.name_of(_token(scope, headers))
        if name is None:
            raise ApiError("unauthorized", "give a token: Authorization: Bearer TOKEN")
        if service.requests > service.options.max_requests:
            raise ApiError(
                "busy",
                f"{service.options.max_requests} requests are open; try again soon",
                retry_after_s=1,
            )
        service.rate.take(name)
        return name

    def _check_origin(self, headers: Headers) -> None:
        """Refuse pages of other sites, and names that only seem to be this machine's.

        Raises:
            ApiError: so.
        """
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if not self._service.tokens.hashes and not is_loopback(name):
            raise ApiError(
                "foreign_host", "the Host header names another machine; ask 127.0.0.1 or localhost"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise ApiError("foreign_host", "pages of other sites may not ask this service")

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Return what gives the body as long as it is neither too large nor too slow."""
        options, headers = self._service.options, Headers(scope=scope)
        limit = options.request_bytes
        until = asyncio.get_running_loop().time() + options.body_timeout_s
        large = ApiError("request_too_large", f"the body is larger than {limit:,} bytes")
        if scope["method"] in _BODIES:
            declared = headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > limit:
                raise large
        count, ended = 0, False

        async def bounded() -> Message:
            nonlocal count, ended
            if ended:  # what comes now is that the client has left, for which there is no hurry
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                raise ApiError(
                    "body_too_slow",
                    f"the body did not arrive within {options.body_timeout_s:g} s",
                ) from error
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                ended = not message.get("more_body", False)
                if count > limit:
                    raise large
            return message

        return bounded

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a live connection pass, or refuse it before it is accepted."""
        scope["mien.request_id"] = secrets.token_hex(16)
        try:
            scope["mien.name"] = self._admit(scope)
        except ApiError as error:
            await receive()
            body = refusal(error.code, error.message, scope["mien.request_id"])
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008, "reason": error.code})
                return
            headers = MutableHeaders({**_HEADERS, **error.headers})
            headers["content-type"] = "application/json"
            start = {"status": error.status, "headers": headers.raw}
            await send({"type": "websocket.http.response.start", **start})
            await send({"type": "websocket.http.response.body", "body": body})
            return
        await self._app(scope, receive, send)


class _Answer:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send, *, head: bool) -> None:
        self._scope, self._send, self._head = scope, send, head
        self.status = 0
        """0: it has not begun."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self._scope["mien.request_id"]
            if not _page(self._scope["path"]):
                headers.setdefault("cache-control", "no-store")
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        """Answer with a refusal, unless an answer has begun: then the connection must break."""
        if self.status:
            raise error
        await respond(error, self._scope, self)


async def respond(error: ApiError, scope: Scope, send: Send) -> None:
    """Send a refusal."""
    body = refusal(error.code, error.message, scope["mien.request_id"])
    headers = MutableHeaders(
        {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **error.headers,
        }
    )
    start = {"status": error.status, "headers": headers.raw}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": body})


def _public(path: str) -> bool:
    """Return whether a path needs no token: the pages, their files, and `/v1/health`."""
    return path == "/v1/health" or _page(path)


def _page(path: str) -> bool:
    return path != "/metrics" and path.split("/")[1:2] != ["v1"]


def _token(scope: Scope, headers: Headers) -> str | None:
    """Return the bearer token; a page gives that of a live connection as a subprotocol."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(_PROTOCOL):
            return protocol.removeprefix(_PROTOCOL)
    return None


def _operation(scope: Scope) -> str:
    """Return the name of the operation: one of those in the OpenAPI document, or `none`."""
    return getattr(scope.get("route"), "operation_id", None) or "none"
