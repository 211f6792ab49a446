"""`mien view` as a process: its address, its token, what it shows."""

from __future__ import annotations

import json
import re
import signal
from http.client import HTTPConnection
from pathlib import Path

import pytest

from forked import Command
from made_service import picture
from mien.cli.main import run
from served import with_thresholds


def ask(port, path, token=None, host=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if host:
        headers["host"] = host
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_the_command_serves_its_page(tiny_folder, tmp_path):
    weights = with_thresholds(tiny_folder, tmp_path / "weights")
    (tmp_path / "anna.png").write_bytes(picture())
    words = ["view", "anna.png", "--no-browser", "--weights", str(weights), "--detector", "none"]
    process = Command(words, cwd=tmp_path)
    try:
        line = process.first_line()
        found = re.match(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{43}) \(open it", line)
        assert found, (line, process.finish())
        port, token = int(found[1]), found[2]
        status, page = ask(port, "/")
        assert status == 200
        assert b"<script" in page
        assert token.encode() not in page
        assert ask(port, "/v1/view")[0] == 401
        assert ask(port, "/v1/view", "x" * 43)[0] == 401
        status, content = ask(port, "/v1/view", token)
        expected = {"inputs": [{"name": "anna.png", "kind": "image"}], "table": False}
        assert (status, json.loads(content)) == (200, expected)
        assert ask(port, "/v1/view/inputs/0", token)[1] == picture()
        process.send_signal(signal.SIGINT)
        code, _, errors = process.finish(60)
        assert (code, errors) == (0, "")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["anna.png", "weights"]
    finally:
        process.kill()


def test_a_calibration_of_other_weights_is_refused(tiny_folder, tmp_path, capsys, monkeypatch):
    class Other:
        model_id = "ba9876543210"

    monkeypatch.setattr("mien.serve.view.Calibration.load", lambda _: Other())
    words = ["--calibration", "c.json", "--weights", str(tiny_folder), "--no-browser"]
    assert run(["view", *words]) == 2
    assert "made with the weights ba9876543210" in capsys.readouterr().err


@pytest.mark.parametrize("browser", [True, False])
def test_the_browser_is_opened_unless_told_otherwise(monkeypatch, browser):
    from mien.serve import view
    from mien.serve.options import ServeOptions

    opened, told = [], []
    monkeypatch.setattr(view.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(view, "serve", lambda *_, ready, **__: ready("http://127.0.0.1:1"))
    view.view(
        [],
        ServeOptions(port=0),
        images=None,
        calibration=None,
        browser=browser,
        ready=lambda url, shown: told.append((url, shown)),
    )
    assert told[0][1] is browser
    assert opened == ([told[0][0]] if browser else [])
    assert told[0][0].startswith("http://127.0.0.1:1/#token=")


def test_the_page_is_shipped():
    static = Path(__file__).parents[1] / "src" / "mien" / "serve" / "static"
    assert (static / "index.html").is_file()
    assert list((static / "assets").glob("*.js"))
