"""`mien embed` from web addresses: a server on loopback that answers well and badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.embedding.run import embed, embed_to_parquet
from mien.errors import MienError
from mien.media.addresses import is_address, local_name, shown, shown_text
from mien.media.remote_faults import LostError
from mien.table.read import read_table
from remote_files import OPTIONS, make_photos, without_names

pytest.importorskip("aiohttp", reason="needs aiohttp: pip install 'mien[remote]'")
STATUSES = {"/gone.jpg": 404, "/closed.jpg": 403, "/odd.jpg": 418, "/busy.jpg": 503}


class _Answers(BaseHTTPRequestHandler):
    folder = Path()
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path in STATUSES:
            self.send_response(STATUSES[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        name = {"/cut.png": "00.png", "/bare": "00.png"}.get(path, path.strip("/"))
        content = (self.folder / name).read_bytes()
        self.send_response(200)
        missing = 100 if path == "/cut.png" else 0
        self.send_header("Content-Length", str(len(content) + missing))
        self.end_headers()
        if body:
            self.wfile.write(content)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return make_photos(tmp_path_factory.mktemp("web") / "photos")


@pytest.fixture(scope="module")
def server(photos) -> Iterator[str]:
    _Answers.folder = photos
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_wait(monkeypatch):
    monkeypatch.setattr("mien.media.remote_faults._WAIT_S", 0.0)


def test_the_table_is_that_of_local_files(server, photos, tiny_model, tmp_path):
    names = ["00.png", "05.mp4", "sub/03.png", "bad.jpg", "02.png"]
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    given = {"model": tiny_model, "options": OPTIONS}
    embed_to_parquet([photos / name for name in names], here, **given)
    embed_to_parquet([f"{server}/{name}" for name in names], there, **given)
    assert without_names(there).equals(without_names(here))
    assert read_table(there).frame["path"].tolist()[0] == f"{server}/00.png"


def test_what_follows_the_question_mark_is_not_shown(server, tiny_model):
    signed = f"{server}/00.png?X-Amz-Signature=secret"
    table = embed([signed, f"{server}/bad.jpg?token=secret"], model=tiny_model, detector="none")
    assert table["path"].tolist() == [f"{server}/00.png", f"{server}/bad.jpg"]
    assert "secret" not in str(table.to_dict())
    with pytest.raises(MienError, match="would both be called") as raised:
        embed([signed, f"{server}/00.png?id=secret"], model=tiny_model, detector="none")
    assert "secret" not in str(raised.value)


def test_a_name_that_tells_nothing_is_looked_into(server, photos, tiny_model):
    table = embed(f"{server}/bare", model=tiny_model, detector="none")
    local = embed(photos / "00.png", model=tiny_model, detector="none")
    np.testing.assert_array_equal(table["identity"].iloc[0], local["identity"].iloc[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "there is no such file, folder or bucket"),
        ("closed.jpg", "permission denied; see to the credentials and rights"),
        ("odd.jpg", "the server answers 418"),
        ("busy.jpg", "503"),
    ],
)
def test_what_the_server_refuses_is_one_line(name, message, server, tiny_model):
    with pytest.raises(MienError, match=message) as raised:
        embed(f"{server}/{name}?key=secret", model=tiny_model, detector="none")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_answer_that_breaks_off_is_a_row(server, tiny_model):
    table = embed([f"{server}/cut.png", f"{server}/00.png"], model=tiny_model, detector="none")
    assert table["face_found"].tolist() == [False, True]
    reason = table["reason"].tolist()[0]
    assert reason == "cannot read the file: the connection breaks off before its end"


def test_nobody_answers(tiny_model):
    with pytest.raises(
        LostError, match=r"cannot read http://127\.0\.0\.1:1/a\.jpg: Cannot connect"
    ):
        embed("http://127.0.0.1:1/a.jpg?key=secret", model=tiny_model, detector="none")


def test_what_is_an_address():
    assert is_address("s3://bucket/a")
    assert not any(map(is_address, ("C://a", "a/b", "://a", "s3:/a", Path("s3://a"), "1s://a")))
    assert local_name("file:///a/b c.jpg") == "/a/b c.jpg"
    assert shown("https://a/b?c=d") == "https://a/b"
    assert shown("s3://a/b?c.jpg") == "s3://a/b?c.jpg"
    assert shown_text("cannot get 'https://a/b?c=d': x?y") == "cannot get 'https://a/b': x?y"
    with pytest.raises(MienError, match=r"h/a\.jpg holds a password"):
        local_name("sftp://me:secret@h/a.jpg")
    assert local_name("abfs://box@account/a.jpg") == "abfs://box@account/a.jpg"
