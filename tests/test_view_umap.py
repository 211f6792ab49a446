"""UMAP of a table that is looked at: its process, cancellation, progress, and what it gives."""

from __future__ import annotations

import importlib.util
import inspect
import io
import json
import subprocess
import sys
import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from made_service import open_service
from mien.serve import umap_fit, umap_job
from mien.serve.app import create_app
from mien.serve.errors import ApiError
from mien.serve.explore import Explorer
from mien.serve.packed import unpacked
from mien.serve.shown import Shown
from test_view_filters import write

UMAP = pytest.mark.skipif(
    importlib.util.find_spec("umap") is None, reason="umap is not installed: mien[umap]"
)
ROWS = 300

# A child that does what the real one does, as far as its pipes go.
QUICK = """
import json, sys
import numpy as np
asked = json.loads(sys.stdin.buffer.readline())
count = asked["rows"] * asked["dim"]
vectors = np.frombuffer(sys.stdin.buffer.read(4 * count), "f4").reshape(asked["rows"], -1)
out = sys.stdout.buffer
out.write(b'{"stage": "layout", "done": 3, "total": 9}\\n{"stage": "end"}\\n')
out.write(np.ascontiguousarray(vectors[:, :2]).tobytes())
"""
SLOW = """
import time
print('{"stage": "neighbours", "done": 1, "total": 2}', flush=True)
time.sleep(600)
"""
BROKEN = "import sys; sys.stderr.write('first\\nMemoryError: too little\\n'); sys.exit(1)"


@pytest.fixture
def explorer(tmp_path):
    found = Explorer.open(write(tmp_path / "t.parquet", ROWS), None)
    yield found
    found.close()


@pytest.fixture
def child(monkeypatch):
    """Let another program be the process of UMAP, and remember the processes."""
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(umap_job, "umap_missing", lambda: "")

    def let(program):
        def start(words, **options):
            assert words[1:] == ["-P", "-m", "mien.serve.umap_fit"]
            started.append(popen([sys.executable, "-c", program], **options))
            return started[-1]

        monkeypatch.setattr(umap_job.subprocess, "Popen", start)
        return started

    return let


def ended(jobs, factor="identity", states=("running",)):
    until = time.monotonic() + 300
    while (state := jobs.state(factor))["state"] in states:
        assert time.monotonic() < until, state
        time.sleep(0.02)
    return state


def test_places_become_columns(explorer, child):
    child(QUICK)
    jobs = explorer.umap_of("identity")
    assert jobs.state("identity")["state"] == "none"
    assert jobs.start("identity", 0)["state"] == "running"
    state = ended(jobs)
    assert (state["state"], state["fitted"], state["placed"]) == ("done", ROWS, 0)
    assert (state["stage"], state["done"], state["total"]) == ("layout", 3, 9)
    names = [one["name"] for one in explorer.about()["columns"]]
    assert {"identity UMAP1", "identity UMAP2"} <= set(names)
    assert "expression UMAP1" not in names
    along = [unpacked(explorer.column(f"identity PC{i}"), "<f4")[1] for i in (1, 2, 3)]
    _, first = unpacked(explorer.column("identity UMAP1"), "<f4")
    assert np.corrcoef(first, along[0])[0, 1] > 0.9
    assert jobs.start("identity", 0)["state"] == "done"  # it is kept
    with pytest.raises(ApiError, match="factor"):
        explorer.umap_of("nothing")


def test_it_is_cancelled(explorer, child):
    started = child(SLOW)
    jobs = explorer.umap_of("identity")
    jobs.start("identity", 0)
    until = time.monotonic() + 60
    while jobs.state("identity")["stage"] != "neighbours":
        assert time.monotonic() < until
        time.sleep(0.02)
    with pytest.raises(ApiError, match="UMAP of identity is under way") as busy:
        jobs.start("expression", 0)
    assert busy.value.code == "busy"
    assert jobs.cancel("identity")["state"] == "cancelled"
    assert started[0].wait(30) != 0
    assert not any(one["name"].startswith("identity UMAP") for one in explorer.about()["columns"])
    child(QUICK)
    assert jobs.start("identity", 0)["state"] == "running"
    assert ended(jobs)["state"] == "done"


def test_the_end_of_the_service_ends_it(explorer, child):
    started = child(SLOW)
    explorer.umap_of("identity").start("identity", 0)
    until = time.monotonic() + 60
    while not started:
        assert time.monotonic() < until
        time.sleep(0.02)
    explorer.close()
    assert started[0].wait(30) != 0


def test_a_process_that_fails_says_why(explorer, child):
    child(BROKEN)
    jobs = explorer.umap_of("identity")
    jobs.start("identity", 0)
    state = ended(jobs)
    assert state["state"] == "failed"
    assert state["message"].endswith("MemoryError: too little")


def test_few_faces_are_too_few(tmp_path, child):
    child(QUICK)
    found = Explorer.open(write(tmp_path / "t.parquet", 9), None)
    jobs = found.umap_of("identity")
    jobs.start("identity", 0)
    assert "takes 10 faces with identity; there are 9" in ended(jobs)["message"]


def test_the_paths(monkeypatch, tmp_path, child):
    child(SLOW)
    service = open_service(monkeypatch)
    shown = Shown.open([write(tmp_path / "t.parquet", ROWS)], None, max_bytes=1000)
    client = TestClient(create_app(service, shown), base_url="http://127.0.0.1:8321")
    path, asked = "/v1/view/table/umap", {"factor": "identity"}
    assert client.get(path, params=asked).json()["state"] == "none"
    assert client.post(path, json=asked).json()["state"] == "running"
    assert client.get("/v1/view/table/rows/0").status_code == 200
    busy = client.post(path, json={"factor": "expression"})
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert client.delete(path, params=asked).json()["state"] == "cancelled"
    for wrong in ({"factor": "path"}, {"factor": "identity", "seed": -1}, {}):
        assert client.post(path, json=wrong).status_code == 422
    service.close()


def test_without_the_package_the_extra_is_named(monkeypatch, explorer):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = "umap is not installed, which this needs; run: pip install 'mien[umap]'"
    assert explorer.about()["umap_missing"] == line
    with pytest.raises(ApiError, match=r"pip install 'mien\[umap\]'"):
        explorer.umap_of("identity").start("identity", 0)


def groups(count=400, dim=8):
    """Unit vectors around four directions, and which."""
    rng = np.random.default_rng(0)
    group = np.arange(count) % 4
    vectors = 6 * np.eye(dim)[group] + rng.standard_normal((count, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors, group


def spread(places, group):
    """Mean distance from the group's middle, over that between middles."""
    middles = np.array([places[group == k].mean(axis=0) for k in range(4)])
    within = np.linalg.norm(places - middles[group], axis=1).mean()
    return (
        within / np.linalg.norm(middles[:, None] - middles, axis=2)[~np.eye(4, dtype=bool)].mean()
    )


@UMAP
@pytest.mark.slow
def test_umap_keeps_groups_together_and_is_the_same_every_time():
    vectors, group = groups()
    said = io.BytesIO()
    places = umap_fit.place(vectors, fit=250, seed=3, say=umap_fit.Say(said))
    assert places.shape == (400, 2)
    assert spread(places, group) < 0.4
    fitted = np.linspace(0, 399, 250).round().astype(int)
    placed = np.setdiff1d(np.arange(400), fitted)
    assert spread(places[placed], group[placed]) < 0.4
    assert np.array_equal(
        places, umap_fit.place(vectors, fit=250, seed=3, say=umap_fit.Say(io.BytesIO()))
    )
    stages = [json.loads(line) for line in said.getvalue().splitlines()]
    order = list(dict.fromkeys(one["stage"] for one in stages))
    assert order == ["neighbours", "starting", "layout", "placing"]
    assert any(one["stage"] == "layout" and one["done"] > 0 for one in stages)
    # What it imports and does not use is not compiled; all else still is.
    assert inspect.isfunction(sys.modules["pynndescent"].distances.euclidean)
    assert not inspect.isfunction(sys.modules["umap"].layouts.clip)


@UMAP
@pytest.mark.slow
def test_the_real_process(explorer):
    jobs = explorer.umap_of("identity")
    jobs.start("identity", 0)
    state = ended(jobs)
    assert state["state"] == "done", state
    _, first = unpacked(explorer.column("identity UMAP1"), "<f4")
    _, second = unpacked(explorer.column("identity UMAP2"), "<f4")
    places, odd = np.stack([first, second], axis=1), np.arange(ROWS) % 2 == 1
    apart = np.linalg.norm(places[odd].mean(axis=0) - places[~odd].mean(axis=0))
    assert apart > 2 * np.linalg.norm(places[odd] - places[odd].mean(axis=0), axis=1).mean()


@UMAP
@pytest.mark.slow
def test_the_process_ends_with_its_owner():
    vectors, _ = groups(6000, 50)
    words = [sys.executable, "-P", "-m", "mien.serve.umap_fit"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    asked = {"rows": 6000, "dim": 50, "fit": 6000, "seed": 0}
    process.stdin.write(json.dumps(asked).encode() + b"\n" + vectors.tobytes())
    process.stdin.close()
    assert process.wait(120) == 1
    assert b'"end"' not in process.stdout.read()
    process.stdout.close()
