"""Whole good runs of the commands, in which a connection or a pickle would be refused and noted.

The refusal is that of every test in this folder (conftest.py); here each command comes to its end.
"""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import pytest

from mien.cli.main import run
from robustness.cases import Content, image, make_files
from robustness.made_sets import FER

PHOTOS: dict[str, Content] = {f"in/{n}.png": image(seed=n) for n in range(4)}
SET: dict[str, Content] = {
    f"fer2013/{part}/{name}/{n}.png": image(seed=100 * k + 10 * n + len(part))
    for part, count in (("train", 4), ("test", 2))
    for k, name in enumerate(FER)
    for n in range(count)
}
CLIPS: dict[str, Content] = {
    f"clips/{n}/{t}.png": image(32, 32, seed=10 * n + t) for n in range(3) for t in range(3)
}
TINY = "--weights tiny --detector none"
SMALL = (
    "model.image_size=32 model.texture_dim=8 model.shape_dim=8 model.width=8 model.feature_dim=16 "
    "model.neutral_width=16 model.neutral_blocks=1 stage1.steps=1 stage1.batch_size=4 "
    "stage2.steps=1 stage2.batch_size=4 stage2.frames=2 loop.log_images_every=0 "
    "loop.tensorboard=false data.detector=none"
)
RUNS: dict[str, tuple[dict[str, Content], list[str]]] = {
    "embed": (PHOTOS, [f"embed in {TINY} -o t.{end}" for end in ("parquet", "csv")]),
    "eval": (SET, [f"eval fer2013 --data fer2013 --out report --trials 1 {TINY}"]),
    "pretrain": (
        CLIPS,
        [
            f"pretrain latentface --device cpu --data clips:clips --out run {SMALL}",
            "card run/exported",
        ],
    ),
    "render": (PHOTOS, [f"render in/0.png --out b.png --mesh m.glb --size 32 {TINY}"]),
    "search": (
        PHOTOS,
        [
            f"embed in {TINY} -o t.parquet",
            "search build t.parquet --out i.mien --code identity",
            "search query i.mien t.parquet -o hits.csv",
            "search query i.mien in/0.png --weights tiny --detector none",
            "search delete i.mien --row 0",
            "search add i.mien t.parquet",
            "search cluster t.parquet -o who.parquet --code identity",
            "forget t.parquet --path 0.png --in-place",
            "table info t.parquet",
        ],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_whole_run_connects_and_unpickles_nothing(name: str, place: Path) -> None:
    files, commands = RUNS[name]
    make_files(place, files)
    for words in commands:
        assert run(shlex.split(words)) == 0, words


def test_the_service_listens_on_loopback_alone(place: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    from mien.serve.options import ServeOptions
    from mien.serve.run import serve

    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        signal.raise_signal(signal.SIGINT)

    options = ServeOptions(port=0, weights=str(place / "tiny"), detector="none")
    serve(options, ready=ready)
    assert urls[0].startswith("http://127.0.0.1:")


def test_requests_connect_to_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    from made_service import base64_of, client_of, open_service, picture

    service = open_service(monkeypatch, collections=place / "kept")
    with client_of(service) as client:
        face = {"image": base64_of(picture())}
        assert client.post("/v1/analyze", json=face).status_code == 200
        assert client.post("/v1/render", json={**face, "size": 16}).status_code == 200
        assert client.post("/v1/collections", json={"name": "people"}).status_code == 201
        enrol = "/v1/collections/people/faces?person=anna"
        assert client.post(enrol, json=face).status_code == 201
        assert client.post("/v1/collections/people/search", json=face).status_code == 200
