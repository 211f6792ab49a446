"""The webcam in a real browser: live frames, gaze calibration, and what goes away meanwhile.

The webcam is a film of the shipped faces, which look at nothing: what is calibrated is no use, but
all its steps are those of a person.
"""

from __future__ import annotations

import json
import math
import re

import av
import numpy as np
import pytest

from mien.probes.gaze import Calibration
from mien.probes.screen import read_screen
from page_server import CLIPS, a_browser, browser_path, expect, opened, serving, watching

pytestmark = pytest.mark.slow
FACE, CALIBRATE = "#panel-face .message", "#panel-calibrate p[role=status]"
BRIGHTER = 4
"""Each frame so many times, brighter and brighter: no sample may be there twice."""


def film(path):
    """Write all shipped clips as one, in the only format that the browser takes for a webcam."""
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W128 H128 F30:1 Ip C420jpeg\n")
        for clip in sorted(CLIPS.glob("*.mp4")):
            with av.open(str(clip)) as opened_clip:
                for frame in opened_clip.decode(video=0):
                    planes = frame.reformat(format="yuv420p").to_ndarray().astype(int)
                    planes[:8, :8] = 128  # grey: one face, says the detector of the tests
                    for step in range(BRIGHTER):
                        planes[8:128] += 4 * (step > 0)
                        file.write(b"FRAME\n" + np.clip(planes, 0, 255).astype(np.uint8).tobytes())
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser_path()
    path = film(tmp_path_factory.mktemp("film") / "faces.y4m")
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with a_browser(*fake, f"--use-file-for-fake-video-capture={path}") as found:
        yield found


@pytest.fixture(scope="module")
def server():
    browser_path()
    with serving(max_live=1) as running:
        yield running


@pytest.fixture
def watched(browser, server):
    with watching(browser, server) as found:
        yield found


def unplug(page):
    """The webcam is gone until it is plugged in."""
    page.evaluate(
        """() => {
            window.plugged = navigator.mediaDevices.getUserMedia;
            navigator.mediaDevices.getUserMedia = () =>
                Promise.reject(new DOMException("none", "NotFoundError"));
            const video = document.querySelector("#panel-calibrate video");
            const [track] = video.srcObject.getVideoTracks();
            track.stop();
            track.dispatchEvent(new Event("ended"));
        }"""
    )


def plug_in(page):
    page.evaluate(
        """() => {
            navigator.mediaDevices.getUserMedia = window.plugged;
            navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )


def test_the_webcam_is_shown_live_and_a_picture_taken(watched):
    page = watched.open()
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.locator(FACE)).to_have_text("Webcam: one face. Frames are not stored.")
    expect(page.locator("#panel-face .numbers")).to_contain_text("Yaw, + towards image-left")
    expect(page.locator(".photo").first).to_have_attribute("aria-label", "Webcam: 1 face")
    page.get_by_role("button", name="Take a picture").click()
    expect(page.locator(FACE)).to_have_text("webcam.jpg: one face.")
    expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
    assert not page.evaluate("document.querySelectorAll('video[src]').length")


def test_the_webcam_is_off_when_its_view_is_left(watched, server):
    page = watched.open()
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.locator(FACE)).to_contain_text("Webcam: one face.")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("tab", name="Face").click()
    expect(page.locator(FACE)).to_have_text("The webcam is off.")
    expect(page.get_by_role("button", name="Use the webcam")).to_be_visible()


@pytest.fixture
def tabs(browser, server):
    """Two pages, whatever they complain of."""
    found = opened(browser, server), opened(browser, server)
    yield found
    for one in found:
        one.page.context.close()


def test_a_lost_webcam_and_a_killed_server(tabs, server):
    page = tabs[0].open()
    page.get_by_role("tab", name="Calibrate").click()
    page.get_by_role("button", name="Turn the webcam on").click()
    expect(page.locator(CALIBRATE)).to_contain_text("One face")
    unplug(page)
    expect(page.locator(CALIBRATE)).to_have_text(
        "The webcam is gone. Plug it in again; this goes on when it is back."
    )
    plug_in(page)
    expect(page.locator(CALIBRATE)).to_contain_text("One face")
    server.stop()
    expect(page.locator(".banner")).to_contain_text("The server does not answer.")
    expect(page.locator(CALIBRATE)).to_contain_text("The server does not answer;")
    server.start()
    expect(page.locator(".banner")).to_be_hidden()
    expect(page.locator(CALIBRATE)).to_contain_text("One face")
    second = tabs[1].open()  # there is room for one
    second.get_by_role("button", name="Use the webcam").click()
    expect(second.locator(FACE)).to_contain_text("The server has no room for another live view.")
    page.close()
    expect(second.locator(FACE)).to_contain_text("Webcam: one face.")
    kinds = ("net::ERR", "WebSocket")
    said = tabs[0].errors + tabs[1].errors
    assert not [one for one in said if not any(kind in one for kind in kinds)]


def run_through(page, points):
    """Go through the points by keys alone, to where it is asked whether to keep it."""
    page.get_by_role("tab", name="Face").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Turn the webcam on").focus()
    page.keyboard.press("Space")
    expect(page.locator(CALIBRATE)).to_contain_text("One face")
    page.get_by_label("Time to find a point").fill("0.3")
    page.get_by_label("Frames at each point").fill("2")
    page.get_by_label(str(points), exact=True).focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Start on the full screen").focus()
    with page.expect_response("**/v1/calibrations") as answer:
        page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Accept")).to_be_focused()
    return answer.value


def kept(page):
    """The numbers of the calibrations that the server has."""
    return page.evaluate(
        """async () => {
            const token = sessionStorage.getItem("mien-token");
            const asked = { headers: { authorization: `Bearer ${token}` } };
            return (await (await fetch("/v1/calibrations", asked)).json()).calibrations;
        }"""
    )


def test_a_calibration_from_the_first_point_to_the_file(watched, tmp_path):
    page = watched.open()
    sent = json.loads(run_through(page, 9).request.post_data)["samples"]
    size = page.evaluate("[innerWidth, innerHeight, screen.width, screen.height]")
    pixel = 14 * 25.4 / math.hypot(*size[2:])
    geometry = {"pixel_mm": pixel, "origin_mm": [size[0] * pixel / 2, 10, 0]}
    (tmp_path / "screen.json").write_text(json.dumps({**geometry, "eye_distance_mm": 600}))
    thirds = (0.06, 0.5, 0.94)
    places = np.array([[x * size[0], y * size[1]] for y in thirds for x in thirds for _ in "12"])
    expected = read_screen(tmp_path / "screen.json").directions(places)
    targets = np.array([[one["target"][axis] for axis in "xyz"] for one in sent])
    assert np.abs(targets - expected).max() < 1e-6

    said = page.locator(".words").text_content()
    found = re.match(r"On 4 held-out points you are off by ([\d.]+)°, ([\d.]+) cm on", said)
    assert found, said
    assert 0.5 < float(found[2]) / (60 * math.tan(math.radians(float(found[1])))) < 2
    page.keyboard.press("Enter")
    ring = page.locator(".gaze-dot")
    expect(ring).to_be_visible()
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "calibration.json"
    download.value.save_as(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json").samples == 18
    page.keyboard.press("d")
    expect(page.locator(".words")).to_contain_text(re.compile(r"Corrected by -?[\d.]+°"))
    page.keyboard.press("Escape")
    expect(page.locator(".calibration")).to_be_hidden()
    assert len(kept(page)) == 1
    page.get_by_role("tab", name="Face").click()
    expect(page.get_by_label("Gaze calibration")).to_have_value(kept(page)[0]["id"])


def test_what_is_redone_or_left_is_not_kept(watched):
    page = watched.open()
    before = len(kept(page))
    run_through(page, 9)
    assert len(kept(page)) == before + 1
    page.keyboard.press("r")
    expect(page.locator(".dot")).to_be_visible()
    assert len(kept(page)) == before
    page.evaluate("document.exitFullscreen()")
    expect(page.locator(".calibration")).to_be_hidden()
    expect(page.get_by_role("button", name="Start on the full screen")).to_be_focused()
    page.get_by_label("Screen's diagonal").fill("")
    page.get_by_role("button", name="Start on the full screen").click()
    expect(page.get_by_role("alert")).to_have_text(
        "Screen's diagonal, inches: give a number from 5 to 120."
    )


def test_a_webcam_that_may_not_be_used(browser, server):
    watched = opened(browser, server)
    page = watched.page
    page.add_init_script(
        """navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException("no", "NotAllowedError"));"""
    )
    watched.open()
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.locator(FACE)).to_contain_text("does not let this page use the webcam")
    page.context.close()
    assert not watched.errors
