"""`/v1/live`: frames of a camera in, factors out, one frame at a time; nothing is stored.

Binary messages are images (JPEG is best); the answer to each is one JSON text: what `/v1/analyze`
answers, or `{"error": ...}`. A frame that comes while another is worked at is answered with the
error `frame_in_flight` and left out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect, WebSocketState

from mien.serve.bodies import explain
from mien.serve.errors import ApiError, refusal
from mien.serve.faces import faces_answer, wants_features
from mien.serve.replies import ServiceOf
from mien.serve.routes.analyze import Analyze, fields_of, readouts_of
from mien.serve.service import Service

__all__ = ["router"]

router = APIRouter()

_TRY_LATER, _POLICY, _TOO_BIG = 1013, 1008, 1009
_PROTOCOL = "mien"


@router.websocket("/v1/live")
async def live(socket: WebSocket, service: ServiceOf) -> None:
    """Answer the frames of one client; options are those of `/v1/analyze`, in the query."""
    if service.live >= service.options.max_live:
        await socket.close(_TRY_LATER, f"{service.options.max_live} live connections are open")
        return
    try:
        asked = Analyze.model_validate(dict(socket.query_params))
        readouts = readouts_of(service, asked)
    except ValidationError as error:
        _, message = explain(error.errors(include_url=False, include_context=False))
        await socket.close(_POLICY, message[:100])
        return
    except ApiError as error:
        await socket.close(_POLICY, error.message[:100])
        return
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(_PROTOCOL if _PROTOCOL in offered else None)
    service.live += 1
    service.metrics.live.inc()
    client = _Client(socket, service, asked, readouts)
    try:
        await client.serve()
    finally:
        service.live -= 1
        service.metrics.live.dec()
        name = socket.scope.get("mien.name", "?")
        counts = {"images": client.frames, "faces": client.faces}
        service.audit.write(name, "live", 101, counts)


class _Client:
    """One connection."""

    def __init__(
        self, socket: WebSocket, service: Service, asked: Analyze, readouts: tuple[Any, Any]
    ) -> None:
        self._socket, self._service = socket, service
        self._fields = fields_of(asked)
        self._calibration, self._probe = readouts
        self.frames = self.faces = 0

    async def serve(self) -> None:
        """Answer until the client leaves or sends what is no frame."""
        work: asyncio.Task[None] | None = None
        try:
            while True:
                frame = (await self._socket.receive()).get("bytes")
                if self._socket.client_state is WebSocketState.DISCONNECTED:
                    return
                if frame is None:
                    await self._socket.close(_POLICY, "send frames as binary messages")
                    return
                if len(frame) > self._service.options.image_bytes:
                    await self._socket.close(_TOO_BIG, "the frame is too large")
                    return
                if work is not None and not work.done():
                    await self._refuse("frame_in_flight", "wait for the answer to a frame")
                    continue
                work = asyncio.create_task(self._answer(frame))
        except WebSocketDisconnect:
            return
        finally:
            if work is not None:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def _answer(self, frame: bytes) -> None:
        try:
            self._service.rate.take(self._socket.scope.get("mien.name", "?"))
            features = wants_features(self._fields, self._probe)
            seen = await self._service.engine.see(
                frame, name="the frame", photograph=False, features=features
            )
            self.frames, self.faces = self.frames + 1, self.faces + len(seen.faces)
            answer = faces_answer(
                seen,
                self._fields,
                self._service.model.weights_id,
                calibration=self._calibration,
                probe=self._probe,
            )
            await self._socket.send_text(answer.model_dump_json(exclude_unset=True))
        except ApiError as error:
            await self._refuse(error.code, error.message)
        except (WebSocketDisconnect, RuntimeError):
            return  # the client has left meanwhile

    async def _refuse(self, code: str, message: str) -> None:
        body = refusal(code, message, self._socket.scope["mien.request_id"])
        await self._socket.send_text(body.decode())
