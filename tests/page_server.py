"""The service with its page on a thread, and a browser that notices what a page must not do."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import av
import numpy as np
import pytest
import uvicorn
from PIL import Image

import mien
from mien.faces.face import Face
from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from mien.serve.service import Service
from mien.serve.shown import Shown
from mien.serve.tokens import Tokens

TOKEN = "t" * 43
CLIPS = Path(mien.__file__).parent / "shipped" / "clips"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
PATIENCE_MS = 60_000
"""Cores are shared by all tests, and draw too."""


@contextlib.contextmanager
def watching(browser: Any, server: Any, **context: Any) -> Iterator[Any]:
    """A page, not opened yet, that must stay without errors and must ask nobody else."""
    found = opened(browser, server, **context)
    yield found
    found.page.context.close()
    assert not found.errors
    assert not found.elsewhere


def browser_path() -> str:
    """Where a browser is; the test is skipped where none is."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    return found


class Detector:
    """No face where the first pixel is black, two where it is white, else the whole image."""

    name = "made up"

    def __call__(self, image):
        level, (height, width) = int(image[0, 0].max()), image.shape[:2]
        if level == 0:
            return []
        whole = (0, 0, width, height)
        halves = [(0, 0, width // 2, height), (width // 2, 0, width, height)]
        boxes = halves if level == 255 else [whole]
        return [Face(box, 0.9, framing="image") for box in boxes]


class PageServer:
    """The whole application; may be stopped, and started again at the same port."""

    def __init__(self, service: Service, shown: Shown) -> None:
        self.app = create_app(service, shown)
        self.port = 0
        self.start()

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            log_config=None,
            lifespan="off",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextlib.contextmanager
def serving(shown: Shown | None = None, **options) -> Iterator[PageServer]:
    """Serve the shipped weights to whoever has `TOKEN`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.pipeline.crops.open_detector", lambda _: Detector())
        given = {
            "rate": 1e6,
            "burst": 10**6,
            "max_image_mib": 1.0,
            "max_megapixels": 1.0,
            **options,
        }
        service = Service.open(ServeOptions(**given), Tokens.of("page", TOKEN))
    server = PageServer(service, shown or Shown())
    try:
        yield server
    finally:
        server.stop()
        service.close()


def face_image(person: int = 1, frame: int = 0) -> Image.Image:
    """A frame of a shipped clip: a rendered face, nearly the whole image."""
    with av.open(str(CLIPS / f"person_{person}.mp4")) as clip:
        for number, shown in enumerate(clip.decode(video=0)):
            if number == frame:
                return shown.to_image()
    raise AssertionError(f"no frame {frame}")


def png(image: Image.Image | np.ndarray) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


@contextlib.contextmanager
def a_browser(*more: str) -> Iterator[Any]:
    """A browser with these further arguments; the test is skipped where there is none."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=path, args=[*ARGUMENTS, *more])
        yield found
        found.close()


class Watched:
    """A page whose errors and requests to elsewhere are gathered."""

    def __init__(self, page, server: PageServer) -> None:
        self.page, self.server = page, server
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message) -> None:
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.errors.append(message.text)

    def _asked(self, request) -> None:
        parts = urlsplit(request.url)
        local = parts.scheme in ("blob", "data") or parts.netloc == f"127.0.0.1:{self.server.port}"
        if not local:
            self.elsewhere.append(request.url)

    def open(self, token: str = TOKEN):
        self.page.goto(self.server.url + (f"#token={token}" if token else ""))
        return self.page

    def pixels(self, selector: str) -> np.ndarray:
        """What is to be seen of an element. RGB float [H, W, 3]."""
        shot = self.page.locator(selector).screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=float)


def opened(browser, server: PageServer, **options) -> Watched:
    """A new page of its own; it is opened by `Watched.open`."""
    size = {"width": 1100, "height": 900}
    context = browser.new_context(**{"viewport": size, "accept_downloads": True, **options})
    return Watched(context.new_page(), server)


def expect(locator):
    from playwright.sync_api import expect as waiting

    waiting.set_options(timeout=PATIENCE_MS)
    return waiting(locator)


def give(page, *files, button="Choose an image"):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(list(files))


def settled(page, work, selector=".head"):
    """Do something and wait until it is drawn."""
    before = page.locator(selector).get_attribute("data-drawn")
    work()
    expect(page.locator(selector)).not_to_have_attribute("data-drawn", before or "0")


def named(name: str, image: Image.Image | np.ndarray) -> dict[str, Any]:
    """An image as a file to be chosen."""
    return {"name": name, "mimeType": "image/png", "buffer": png(image)}


def two_faces() -> Image.Image:
    """An image in which the made up detector finds two faces, side by side."""
    two = Image.new("RGB", (256, 128), "white")
    for number, person in enumerate((1, 3)):
        two.paste(face_image(person), (128 * number, 0))
    two.paste("white", (0, 0, 4, 4))
    return two


def post(server: PageServer, path: str, body: dict[str, Any]) -> bytes:
    """Ask the service directly."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    asked = Request(server.url[:-1] + path, json.dumps(body).encode(), headers)
    with urlopen(asked, timeout=60) as answer:
        return answer.read()


def still(page, selector=".head"):
    """Wait until nothing has been drawn for a while."""
    before = None
    while before != (now := page.locator(selector).get_attribute("data-drawn")):
        before = now
        page.wait_for_timeout(1500)
