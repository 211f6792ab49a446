"""The service as a process of its own: started, asked, stopped."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from made_service import picture
from mien.cli.main import run
from served import Served, with_thresholds


@pytest.fixture(scope="module")
def weights(tiny_folder, tmp_path_factory) -> Path:
    return with_thresholds(tiny_folder, tmp_path_factory.mktemp("served") / "weights")


def test_it_answers_and_stops(weights, tmp_path):
    with Served("--weights", str(weights), "--collections", str(tmp_path)) as served:
        assert json.loads(served.ask("GET", "/v1/health")[1])["status"] == "ok"
        status, content = served.ask("POST", "/v1/analyze?fields=pose", picture())
        assert status == 200
        assert len(json.loads(content)["faces"]) == 1
        assert served.ask("GET", "/docs/page.js")[0] == 200
        taken = ["serve", "--port", str(served.port), "--weights", str(weights)]
        assert run(taken) == 2
        assert (
            run(["serve", "--port", "0", "--collections", str(tmp_path), "--weights", str(weights)])
            == 2
        )
        assert served.stop(signal.SIGINT) == (0, "")


def test_head_is_answered_as_get_without_a_body(weights):
    with Served("--weights", str(weights)) as served:
        connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
        for path in ("/v1/health", "/v1/models", "/openapi.json", "/docs/", "/docs/page.js", "/no"):
            found = []
            for method in ("GET", "HEAD"):  # over one connection: a body would be seen by the next
                connection.request(method, path)
                answer = connection.getresponse()
                length = answer.headers["content-length"]
                found.append((answer.status, answer.headers["content-type"], length, answer.read()))
            get, head = found
            assert head == (*get[:3], b"")
            assert int(get[2]) == len(get[3]) > 0
        connection.request("HEAD", "/v1/analyze")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["allow"], answer.read()) == (405, "POST", b"")
        connection.close()


def test_one_line_says_what_is_wrong(weights, tmp_path, capsys):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        assert run(["serve", "--port", port]) == 2
        assert capsys.readouterr().err.startswith(f"error: port {port} of 127.0.0.1 is taken;")
    for words, line in (
        (["--host", "0.0.0.0"], "--token-file"),
        (["--host", "192.0.2.1", "--token-file", "none"], "cannot listen"),
        (["--token-file", "none"], "no file none"),
        (["--weights", "none"], "none"),
        (["--max-faces", "0"], "serve.max_faces"),
        (["--collections", str(weights / "config.json")], "cannot keep collections"),
    ):
        assert run(["serve", "--port", "0", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert line in error


def test_what_runs_ends_before_it_stops(weights):
    """A request whose body is on its way when the stop comes is answered."""
    with Served("--weights", str(weights), "--stop-timeout-s", "20") as served:
        body = picture()
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
            head = (
                "POST /v1/analyze?fields=pose HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Content-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            client.sendall(head.encode() + body[:10])
            time.sleep(0.5)
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert served.process.poll() is None
            client.sendall(body[10:])
            answer = HTTPResponse(client)
            answer.begin()
            assert answer.status == 200
            assert json.loads(answer.read())["faces"]
        code, _, errors = served.process.finish(60)
        assert (code, errors) == (0, "")


def test_slow_clients_hold_nobody_up(weights):
    with Served("--weights", str(weights), "--body-timeout-s", "1") as served:
        address = ("127.0.0.1", served.port)
        with socket.create_connection(address, timeout=60) as silent:
            with socket.create_connection(address, timeout=60) as slow:
                head = b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                slow.sendall(head + b"Content-Type: image/png\r\nContent-Length: 99\r\n\r\nx")
                assert served.ask("POST", "/v1/analyze", picture())[0] == 200
                answer = HTTPResponse(slow)
                answer.begin()
                assert answer.status == 408
            silent.sendall(b"GET /v1/hea")
            assert silent.recv(100) == b""  # its head did not come in time


def test_many_clients_at_once(weights):
    with Served("--weights", str(weights), "--max-queue", "4", "--rate", "1e6") as served:
        statuses = []

        def client(seed):
            for _ in range(10):
                statuses.append(served.ask("POST", "/v1/analyze?fields=pose", picture(seed))[0])

        threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(statuses) == 80
        assert set(statuses) <= {200, 429, 503}
        assert 200 in statuses
        assert served.stop() == (0, "")
