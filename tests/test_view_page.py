"""The page in a real browser: what is to be seen, not what was meant."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from made_service import base64_of
from mien.geometry.camera import unproject
from mien.geometry.rotation import angles_to_rotation
from page_server import (
    TOKEN,
    a_browser,
    browser_path,
    expect,
    face_image,
    give,
    named,
    opened,
    png,
    post,
    serving,
    settled,
    still,
    two_faces,
    watching,
)

pytestmark = pytest.mark.slow
HEAD = ".head"
FACE = named("anna.png", face_image())


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def server():
    browser_path()
    with serving() as running:
        yield running


@pytest.fixture
def watched(browser, server):
    with watching(browser, server) as found:
        yield found


def slide(page, label, value):
    settled(page, lambda: page.get_by_label(label, exact=True).fill(str(value)))


@pytest.fixture
def with_face(watched):
    page = watched.open()
    give(page, FACE)
    expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
    expect(page.locator("#panel-face .message")).to_have_text("anna.png: one face.")
    settled(page, lambda: page.get_by_role("button", name="Frontal").click())
    return watched


def nose_column(watched):
    """Where the nearest point is: the brightest of the depth, in columns."""
    grey = watched.pixels(HEAD).mean(axis=2)
    inside = grey * (np.ptp(watched.pixels(HEAD), axis=2) < 2)
    inside[:, :4] = inside[:, -4:] = 0
    near = inside >= np.quantile(inside, 0.998)
    return float(np.nonzero(near)[1].mean())


def test_turning_the_head_right_moves_the_nose_right(with_face):
    page = with_face.page
    settled(page, lambda: page.get_by_label("Depth", exact=True).check())
    columns = []
    for degrees in (-20, 0, 20):
        slide(page, "Turn to the right", degrees)
        columns.append(nose_column(with_face))
    width = with_face.pixels(HEAD).shape[1]
    assert columns[1] - columns[0] > 0.03 * width
    assert columns[2] - columns[1] > 0.03 * width


def test_light_from_the_left_brightens_the_left_side(with_face):
    page = with_face.page
    settled(page, lambda: page.get_by_label("Texture").uncheck())
    slide(page, "Light from everywhere", 0.2)
    slide(page, "Light of the ball", 0.8)
    ball = page.get_by_role("slider", name="Light: arrow keys")

    def sides(key):
        for _ in range(24):
            ball.press(key)
        settled(page, lambda: ball.press(key))
        pixels = with_face.pixels(HEAD).mean(axis=2)
        middle, quarter = pixels.shape[1] // 2, pixels.shape[1] // 4
        face = pixels[pixels.shape[0] // 4 : -pixels.shape[0] // 4]
        return face[:, quarter:middle].mean(), face[:, middle:-quarter].mean()

    left, right = sides("ArrowLeft")
    assert left > right + 20
    expect(ball).to_have_attribute("aria-valuetext", "from the left")
    left, right = sides("ArrowRight")
    assert right > left + 20


def page_shift(server, factors, expression, yaw):
    """The shift by which the page brings the turned head to the middle. x, y, z."""
    asked = {"factors": factors, "fine": True, "encoding": "float32"}
    if expression is not None:
        asked["expression"] = expression
    found = json.loads(post(server, "/v1/maps", asked))
    size = found["size"]
    depth = np.frombuffer(base64.b64decode(found["depth"]), "<f4").reshape(1, 1, size, size)
    points = unproject(torch.from_numpy(depth.copy()), found["fov_deg"])[0]
    across = torch.linspace(-1, 1, size)
    inside = ((across / 0.85) ** 2 + (across[:, None] / 0.95) ** 2 < 1)[::4, ::4]
    turn = angles_to_rotation(*(torch.tensor(angle) for angle in (yaw, 0.0, 0.0)))
    turned = (points[::4, ::4][inside] - torch.tensor([0.0, 0.0, 1.0])) @ turn.T
    middle = (turned.amin(dim=0) + turned.amax(dim=0)) / 2
    return [-float(middle[0]), -float(middle[1]), 0.0]


def test_the_page_shades_as_the_renderer_does(with_face, server):
    """The same pose and light: the image that the page draws is that of /v1/render."""
    page = with_face.page
    image = base64_of(FACE["buffer"])
    found = json.loads(
        post(server, "/v1/analyze?fields=pose,light,identity,expression", {"image": image})
    )
    face = found["faces"][0]
    factors = {name: face[name] for name in ("identity", "expression", "pose", "light")}
    for yaw, strength in ((15, 1.0), (-25, 0.0)):
        slide(page, "Turn to the right", -yaw)
        page.get_by_label("Expression", exact=True).fill(str(strength))
        with page.expect_download() as download:
            page.wait_for_timeout(1500)
            page.get_by_role("button", name="Save PNG").click()
        own = Image.open(download.value.path()).convert("RGBA").resize((256, 256))
        edit: dict[str, Any] = {"size": 256}
        if strength != 1:
            edit["expression"] = [part * strength for part in face["expression"]]
        angle = float(np.radians(yaw))
        shift = page_shift(server, factors, edit.get("expression"), angle)
        edit["pose"] = {"yaw_rad": angle, "pitch_rad": 0.0, "translation": shift}
        theirs = Image.open(io.BytesIO(post(server, "/v1/render", {"factors": factors, **edit})))
        pixels = np.asarray(own, dtype=float)
        inside = pixels[..., 3] > 254
        away = np.abs(pixels[..., :3] - np.asarray(theirs, dtype=float))[inside]
        assert inside.mean() > 0.5
        assert away.mean() < 2.5
        assert np.quantile(away, 0.95) < 10


def test_maps_mesh_and_expression_are_to_be_seen(with_face):
    page = with_face.page
    before = with_face.pixels(HEAD)
    for name in ("Albedo", "Depth", "Normals"):
        settled(page, lambda name=name: page.get_by_label(name, exact=True).check())
        assert np.abs(with_face.pixels(HEAD) - before).mean() > 8, name
    settled(page, lambda: page.get_by_label("Shaded").check())
    assert np.abs(with_face.pixels(HEAD) - before).mean() < 0.5
    settled(page, lambda: page.get_by_label("Mesh").check())
    assert np.abs(with_face.pixels(HEAD) - before).mean() > 2
    settled(page, lambda: page.get_by_label("Mesh").uncheck())
    slide(page, "Expression", 2)
    still(page)
    change = np.abs(with_face.pixels(HEAD) - before).mean(axis=2)
    assert change.max() > 10
    slide(page, "Expression", 1)
    still(page)
    assert np.abs(with_face.pixels(HEAD) - before).mean() < 0.5


def test_dragging_and_keys_turn_the_head(with_face):
    page = with_face.page
    yaw = page.get_by_label("Turn to the right", exact=True)
    expect(yaw).to_have_value("0")
    box = page.locator(HEAD).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.up()
    assert int(yaw.input_value()) > 5
    page.locator(HEAD).focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert int(yaw.input_value()) < 0


def test_a_mesh_is_saved(with_face):
    with with_face.page.expect_download() as download:
        with_face.page.get_by_role("button", name="Save GLB").click()
    assert download.value.suggested_filename == "anna.glb"
    assert download.value.path().read_bytes().startswith(b"glTF")


def test_a_film_is_saved_in_which_the_head_turns(with_face):
    with with_face.page.expect_download() as download:
        with_face.page.get_by_role("button", name="Save MP4").click()
    assert download.value.suggested_filename == "anna.mp4"
    with av.open(str(download.value.path()), "r") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    # Half a loop from where it turns to one side it turns to the other.
    one, other = (frame.astype(float) for frame in (frames[12], frames[36]))
    assert np.abs(one - other).mean() > np.abs(one - other[:, ::-1]).mean()


def blank(level):
    return png(np.full((64, 64, 3), level, np.uint8))


@pytest.mark.parametrize(
    ("name", "kind", "content", "said"),
    [
        ("notes.txt", "text/plain", b"hello", "notes.txt is no image. Give a JPEG, PNG or WebP."),
        ("empty.png", "image/png", b"", "empty.png is empty."),
        ("wall.png", "image/png", blank(0), "No face is found in wall.png."),
        ("big.png", "image/png", bytes(1100 << 10), "big.png is too large: 1.1 MiB; up to 1.0"),
        (
            *("wide.png", "image/png", png(np.zeros((1100, 1000, 3), np.uint8))),
            "wide.png is too large: 1000 x 1100 pixels; up to 1 million",
        ),
    ],
)
def test_messages(watched, name, kind, content, said):
    page = watched.open()
    give(page, {"name": name, "mimeType": kind, "buffer": content})
    expect(page.locator("#panel-face .message.wrong")).to_contain_text(said)


def test_of_many_faces_one_is_chosen(watched):
    page = watched.open()
    give(page, named("two.png", two_faces()))
    expect(page.locator("#panel-face .message")).to_have_text(
        "2 faces. Choose one: click it, or take it from the list."
    )
    expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
    page.wait_for_timeout(500)
    first = watched.pixels(HEAD)
    settled(page, lambda: page.get_by_role("combobox", name="Face", exact=True).select_option("1"))
    page.wait_for_timeout(500)
    assert np.abs(watched.pixels(HEAD) - first).mean() > 5
    box = page.locator(".photo").first.bounding_box()
    page.mouse.click(box["x"] + 20, box["y"] + box["height"] / 2)
    expect(page.get_by_role("combobox", name="Face", exact=True)).to_have_value("0")


def test_faces_are_compared(watched):
    page = watched.open()
    page.get_by_role("tab", name="Compare").click()
    other = named("ben.png", face_image(3))
    give(page, FACE, {**FACE, "name": "same.png"}, other, button="Add images")
    expect(page.locator(".pair")).to_have_count(3)
    texts = page.locator(".verdict").all_text_contents()
    assert "Similarity 1.000 reaches the threshold" in texts[0]
    assert "false match rate" in texts[0]
    assert "stays below the threshold" in texts[1]
    page.get_by_role("button", name="Take away ben.png").click()
    expect(page.locator(".pair")).to_have_count(1)


def test_the_page_goes_on_when_the_server_is_back(browser):
    with serving() as server:
        watched = opened(browser, server)
        page = watched.open()
        expect(page.locator("#panel-face .message")).to_contain_text("Give an image")
        server.stop()
        give(page, FACE)
        expect(page.locator(".banner")).to_contain_text("The server does not answer.")
        server.start()
        expect(page.locator(".banner")).to_be_hidden()
        expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
        assert all("net::ERR" in error for error in watched.errors), watched.errors
        page.context.close()


def test_without_its_token_the_page_asks_for_it(browser, server):
    watched = opened(browser, server)
    page = watched.open(token="")
    page.get_by_label("This server wants a token").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".banner")).to_be_hidden()
    give(page, FACE)
    expect(page.locator("#panel-face .message")).to_have_text("anna.png: one face.")
    assert all("401" in error for error in watched.errors), watched.errors
    assert "token" not in page.url
    page.context.close()


def test_everything_has_a_name_and_is_reached_by_keys(with_face):
    page = with_face.page
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas, img")]
            .filter((one) => one.checkVisibility() && one.getAttribute("aria-hidden") !== "true")
            .filter((one) => !(one.labels?.length || one.textContent.trim()
              || one.getAttribute("aria-label") || one.getAttribute("alt")))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    page.get_by_role("tab", name="Face").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Compare")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Compare")).to_be_visible()
    reached = set()
    page.keyboard.press("ArrowLeft")
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"INPUT", "BUTTON", "CANVAS"} <= reached


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_dark_and_light_on_a_narrow_screen(browser, server, scheme, dark):
    watched = opened(browser, server, viewport={"width": 360, "height": 700}, color_scheme=scheme)
    page = watched.open()
    give(page, FACE)
    expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"), dtype=float)
    assert (shot.mean() < 110) == dark
    page.context.close()
    assert not watched.errors
