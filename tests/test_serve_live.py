"""Live frames over a WebSocket."""

from __future__ import annotations

import asyncio

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from made_service import client_of, open_service, picture
from mien.serve.tokens import Tokens

HERE = "ws://127.0.0.1:8321"


def test_frames_are_answered_one_by_one(monkeypatch, tmp_path):
    service = open_service(monkeypatch, collections=tmp_path)
    with client_of(service) as client:
        with client.websocket_connect(f"{HERE}/v1/live?fields=pose") as live:
            for seed in range(3):
                live.send_bytes(picture(seed, form="JPEG"))
                (face,) = live.receive_json()["faces"]
                assert set(face) == {"box", "score", "pose"}
            live.send_bytes(b"no image")
            assert live.receive_json()["error"]["code"] == "unreadable_image"
            live.send_bytes(picture(first=0))
            assert live.receive_json()["faces"] == []
        assert service.live == 0
    assert (
        '"operation": "live", "status": 101, "images": 4' in (tmp_path / "audit.jsonl").read_text()
    )
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == [".lock", "audit.jsonl"]


def test_one_frame_is_in_flight_at_a_time(monkeypatch):
    service = open_service(monkeypatch)
    see = service.engine.see

    async def slow(*given, **named):
        await asyncio.sleep(0.5)
        return await see(*given, **named)

    service.engine.see = slow
    with (
        client_of(service) as client,
        client.websocket_connect(f"{HERE}/v1/live?fields=pose") as live,
    ):
        live.send_bytes(picture())
        live.send_bytes(picture())
        assert live.receive_json()["error"]["code"] == "frame_in_flight"
        assert len(live.receive_json()["faces"]) == 1


@pytest.mark.parametrize(
    ("query", "headers", "options", "reason"),
    [
        ("fields=x", {}, {}, "fields: "),
        ("more=1", {}, {}, "more: "),
        ("probe=0123456789abcdef", {}, {}, "there is no probe"),
        ("", {"origin": "http://evil.example"}, {}, "foreign_host"),
        ("", {"host": "evil.example"}, {}, "foreign_host"),
        ("", {}, {"max_live": 0}, "live connections are open"),
        ("", {}, {"tokens": Tokens({"anna": b"0" * 32})}, "unauthorized"),
    ],
)
def test_who_may_not_is_not_let_in(monkeypatch, query, headers, options, reason):
    with client_of(open_service(monkeypatch, **options)) as client:
        path = f"{HERE}/v1/live?{query}"
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect(path, headers=headers),
        ):
            pass
    refused = caught.value
    if isinstance(refused, WebSocketDenialResponse):
        assert refused.status_code in (401, 403)
        assert refused.json()["error"]["code"] == reason
        assert refused.headers["x-frame-options"] == "DENY"
    else:
        assert reason in refused.reason


def test_a_page_gives_its_token_as_a_subprotocol(monkeypatch, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("anna " + "t" * 40)
    path.chmod(0o600)
    service = open_service(monkeypatch, tokens=Tokens.read(path))
    protocols = ["mien", "bearer." + "t" * 40]
    path = f"{HERE}/v1/live?fields=pose"
    with client_of(service) as client:  # noqa: SIM117
        with client.websocket_connect(path, subprotocols=protocols) as live:
            assert live.accepted_subprotocol == "mien"
            live.send_bytes(picture())
            assert len(live.receive_json()["faces"]) == 1


@pytest.mark.parametrize(("message", "status"), [("text", 1008), (b"\0" * (1 << 15), 1009)])
def test_what_is_no_frame_ends_it(monkeypatch, message, status):
    service = open_service(monkeypatch, max_image_mib=0.02)
    with client_of(service) as client, client.websocket_connect(f"{HERE}/v1/live") as live:
        if isinstance(message, str):
            live.send_text(message)
        else:
            live.send_bytes(message)
        with pytest.raises(WebSocketDisconnect) as caught:
            live.receive_json()
        assert caught.value.code == status
