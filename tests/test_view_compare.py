"""The view Compare in a real browser: where similarities fall, faces that swap what they show."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from made_service import base64_of, targets
from page_server import (
    a_browser,
    browser_path,
    expect,
    face_image,
    give,
    named,
    opened,
    post,
    serving,
    two_faces,
    watching,
)

pytestmark = pytest.mark.slow
ANNA, BEN = named("anna.png", face_image(1)), named("ben.png", face_image(3))
# As the page draws them: a strip is 400 wide, -1 at 8 and 1 at 392.
EDGE, WIDTH = 8, 400


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def server():
    browser_path()
    with serving() as running:
        post(running, "/v1/calibrations", {"samples": list(targets(60, width=16))})
        yield running


@pytest.fixture
def watched(browser, server):
    with watching(browser, server) as found:
        yield found


def compared(watched, *files):
    page = watched.open()
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_label("Gaze angles by calibration")).to_be_visible()
    give(page, *files, button="Add images")
    expect(page.locator(".pair")).to_have_count(len(files) * (len(files) - 1) // 2)
    for canvas in page.locator(".swap canvas:visible").all():
        expect(canvas).to_have_attribute("data-drawn", "1")
    return page


def shown_at(similarity):
    return (EDGE + (WIDTH / 2 - EDGE) * (similarity + 1)) / WIDTH


def test_every_code_is_placed_among_pairs_of_people(watched, server):
    page = compared(watched, ANNA, BEN)
    body = {"first": base64_of(ANNA["buffer"]), "second": base64_of(BEN["buffer"])}
    found = json.loads(post(server, "/v1/compare", body))
    assert len(found["codes"]) == page.locator(".strip").count() == 5
    for number, code in enumerate(found["codes"]):
        strip = f'[data-code="{code["code"]}"]'
        mark = page.locator(f".strip{strip} .mark").bounding_box()
        whole = page.locator(f".strip{strip}").bounding_box()
        middle = (mark["x"] + mark["width"] / 2 - whole["x"]) / whole["width"]
        assert middle == pytest.approx(shown_at(code["similarity"]), abs=0.003)
        quartiles = {
            pairs: [
                q["similarity"] for q in code[pairs]["quantiles"] if q["fraction"] in (0.25, 0.75)
            ]
            for pairs in ("same_person", "different_people")
        }
        for pairs, name in (("same_person", "one"), ("different_people", "other")):
            half = page.locator(f".strip{strip} .{name}.half").bounding_box()
            low, high = (shown_at(value) for value in quartiles[pairs])
            assert (half["x"] - whole["x"]) / whole["width"] == pytest.approx(low, abs=0.003)
            assert half["width"] / whole["width"] == pytest.approx(high - low, abs=0.004)
        text = page.locator(".code").nth(number).text_content()
        for pairs, of in (("different_people", "different people"), ("same_person", "one person")):
            less = code[pairs]["less_alike"]
            if 0.01 < less < 0.99:
                assert f"than {int(100 * less + 1e-6)} of 100 pairs of {of}" in text
    assert page.locator(".strip .limit").count() == 1
    gaze = page.get_by_role("row", name="Gaze, degrees between").text_content()
    assert gaze.endswith("°")


def test_a_face_is_more_like_itself_than_all_that_were_measured(watched):
    page = compared(watched, ANNA, {**ANNA, "name": "same.png"})
    said = page.locator(".code").first.text_content()
    assert "More alike than all measured pairs of different people" in said
    assert "than all measured pairs of one person" in said


def drawn(page, name, work, *, kind="rebuilt"):
    """Do something and wait until a face is drawn anew; its pixels. RGB float [H, W, 3]."""
    canvas = page.locator(f'.swap canvas[aria-label^="{name} {kind}"]')
    before = canvas.get_attribute("data-drawn") if work else None
    if work:
        work()
        expect(canvas).not_to_have_attribute("data-drawn", before)
        page.wait_for_timeout(300)
    shot = canvas.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=float)


def slant(pixels):
    """By how much the right half of a face is brighter than the left."""
    grey = pixels.mean(axis=2)
    rows, width = grey[len(grey) // 3 : -len(grey) // 4], grey.shape[1]
    return rows[:, width // 2 : -width // 5].mean() - rows[:, width // 5 : width // 2].mean()


def test_swapped_lights_brighten_the_other_side(watched):
    page = compared(watched, ANNA, BEN)  # lit from the left; from the right
    before = {name: drawn(page, name, None) for name in ("anna.png", "ben.png")}
    box = page.get_by_role("checkbox", name="Light", exact=True)
    after = drawn(page, "anna.png", box.check)
    expect(page.locator(".swap canvas").last).to_be_hidden()
    assert slant(after) > slant(before["anna.png"]) + 5
    other = page.locator('.swap canvas[aria-label="ben.png rebuilt with light of anna.png"]')
    expect(other).to_be_visible()
    assert slant(drawn(page, "ben.png", None)) < slant(before["ben.png"]) - 5
    expect(page.get_by_label("Light of anna.png", exact=True)).to_have_value("0")
    again = drawn(page, "anna.png", box.uncheck)
    assert np.abs(again - before["anna.png"]).mean() < 0.5


def test_expression_pose_and_gaze_of_another_are_drawn(watched):
    page = compared(watched, ANNA, BEN)
    before = drawn(page, "anna.png", None)

    def taken(factor):
        return lambda: page.get_by_label(f"{factor} of anna.png", exact=True).select_option("0")

    change = np.abs(drawn(page, "anna.png", taken("Expression")) - before).mean(axis=2)
    rows, columns = change.shape
    mouth = change[rows // 2 : 9 * rows // 10, columns // 4 : 3 * columns // 4]
    assert mouth.mean() > 3 * change[: rows // 8].mean()
    assert mouth.mean() > 2
    expect(page.get_by_role("checkbox", name="Expression", exact=True)).not_to_be_checked()
    posed = drawn(page, "anna.png", taken("Pose"))
    assert np.abs(posed - before).mean() > 5
    taken("Gaze")()
    eyes = page.locator('.swap canvas[aria-label="anna.png with the gaze of ben.png"]')
    expect(eyes).to_be_visible()
    pixels = drawn(page, "anna.png", None, kind="with the gaze")
    own = np.asarray(face_image(1).resize(pixels.shape[1::-1]), dtype=float)
    away = np.abs(pixels - own).mean(axis=2)
    # The eyes are in the upper half; the chin is the image's own.
    assert away[: rows // 2].max() > 25
    assert away[3 * rows // 4 :].mean() < 6


def test_of_three_faces_each_may_take_from_any(watched):
    page = compared(watched, ANNA, BEN, named("cleo.png", face_image(2)))
    expect(page.get_by_role("group", name="Each takes from the next")).to_be_visible()
    drawn(page, "cleo.png", page.get_by_role("checkbox", name="Light", exact=True).check)
    # Of each the others are listed in order; the last takes from the first.
    for name, chosen in (("anna", "ben.png"), ("ben", "cleo.png"), ("cleo", "anna.png")):
        select = page.get_by_label(f"Light of {name}.png", exact=True)
        assert select.locator("option:checked").text_content() == chosen
    page.get_by_label("Light of ben.png", exact=True).select_option("")
    expect(page.get_by_role("checkbox", name="Light", exact=True)).not_to_be_checked()
    page.get_by_role("button", name="Take away anna.png").click()
    expect(page.get_by_role("group", name="Swap")).to_be_visible()
    assert page.get_by_label("Light of cleo.png", exact=True).input_value() == ""


def test_another_face_of_an_image_is_compared(watched):
    page = compared(watched, BEN, named("two.png", two_faces()))
    first = page.locator(".verdict").text_content()
    page.get_by_label("Face of two.png").select_option("1")
    expect(page.locator(".verdict")).not_to_have_text(first)
    expect(page.get_by_label("Face of two.png")).to_have_value("1")
    # The image on the right is Ben's.
    assert "reaches the threshold" in page.locator(".verdict").text_content()


def test_images_of_no_use_are_named_and_the_rest_is_compared(watched):
    page = watched.open()
    page.get_by_role("tab", name="Compare").click()
    wall = named("wall.png", np.zeros((64, 64, 3), np.uint8))
    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}
    give(page, ANNA, wall, text, BEN, button="Add images")
    expect(page.locator(".pair")).to_have_count(1)
    said = page.locator("#panel-compare .message.wrong").first.text_content()
    assert "No face is found in wall.png." in said
    assert "a.txt is no image." in said


def test_without_thresholds_angles_are_shown_and_faces_swap(browser):
    with serving() as server:
        server.app.state.service.reference = None
        watched = opened(browser, server)
        page = watched.open()
        page.get_by_role("tab", name="Compare").click()
        give(page, ANNA, BEN, button="Add images")
        expect(page.locator(".pair .verdict")).to_contain_text("no thresholds were measured")
        expect(page.get_by_role("row", name="Light, degrees between")).to_contain_text("°")
        expect(page.get_by_role("row", name="Gaze, degrees between")).to_contain_text(
            "needs a calibration"
        )
        drawn(page, "anna.png", page.get_by_role("checkbox", name="Light", exact=True).check)
        page.context.close()
        assert all("422" in error or "409" in error for error in watched.errors), watched.errors


def test_a_server_that_comes_back_draws_what_was_chosen(browser):
    with serving() as server:
        watched = opened(browser, server)
        page = watched.open()
        page.get_by_role("tab", name="Compare").click()
        give(page, ANNA, BEN, button="Add images")
        expect(page.locator(".pair")).to_have_count(1)
        expect(page.locator(".swap canvas").first).to_have_attribute("data-drawn", "1")
        server.stop()
        page.get_by_label("Pose of anna.png", exact=True).select_option("0")
        expect(page.locator(".banner")).to_contain_text("The server does not answer.")
        expect(page.locator(".swap .message").first).to_contain_text("goes on when it is back")
        server.start()
        label = "anna.png rebuilt with pose of ben.png"
        expect(page.locator(f'.swap canvas[aria-label="{label}"]')).to_be_visible()
        expect(page.locator(".swap .message").first).to_be_hidden()
        assert all("net::ERR" in error for error in watched.errors), watched.errors
        page.context.close()
