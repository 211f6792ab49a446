"""A table in a real browser: points, selection, labels, a video over time; every view for all."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.probes.probe import Probe
from mien.serve.shown import Shown
from page_server import (
    CLIPS,
    a_browser,
    browser_path,
    expect,
    face_image,
    give,
    opened,
    png,
    serving,
    settled,
    watching,
)

pytestmark = pytest.mark.slow
AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
PLOT, STRIPS = ".plot canvas", ".strips"
FACES = [f"{person}_{frame}.png" for person in range(1, 9) for frame in (0, 5)]


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A table of a clip and of images of all shipped people, of which one is gone."""
    browser_path()
    place = tmp_path_factory.mktemp("table")
    for name in FACES:
        person, frame = name.removesuffix(".png").split("_")
        face_image(int(person), int(frame)).save(place / name)
    shutil.copy(CLIPS / "person_1.mp4", place)
    embed_to_parquet(place, place / "faces.parquet", options=EmbedOptions("none"))
    (place / "8_5.png").unlink()
    shown = Shown.open([place / "faces.parquet"], None, max_bytes=1 << 20)
    with serving(shown) as running:
        yield running


@pytest.fixture
def watched(browser, server):
    with watching(browser, server, viewport={"width": 1100, "height": 1700}) as found:
        page = found.open()
        expect(page.locator(f"{PLOT}[data-drawn]").first).to_be_visible()
        expect(page.locator(f"{STRIPS}[data-drawn]")).to_be_visible()
        yield found


def test_a_table_is_a_cloud_of_points(watched):
    page, plot = watched.page, f"{PLOT}[data-drawn]"
    message = page.locator("#panel-explore .message").first
    expect(message).to_contain_text("30 faces.")
    expect(page.locator("#panel-explore")).to_contain_text("The images of 1 rows are not")
    before = watched.pixels(plot)
    assert (np.ptp(before, axis=2) > 60).sum() > 300  # coloured points
    settled(page, lambda: page.get_by_label("Across", exact=True).select_option("yaw_rad"), plot)
    assert np.abs(watched.pixels(plot) - before).mean() > 0.5
    settled(page, lambda: page.get_by_label("Colour", exact=True).select_option("path"), plot)
    expect(page.locator(".legend li").first).to_have_text("person_1.mp4 (14)")
    page.locator(plot).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cells")).to_contain_text("1_0.png")
    crop = watched.pixels(".crop-place img")
    expected = np.asarray(face_image(1).resize((160, 160)), dtype=float)
    assert np.abs(crop.mean(axis=(0, 1)) - expected.mean(axis=(0, 1))).max() < 12
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Most alike").locator("li")).to_have_count(8)
    for _ in range(FACES.index("8_5.png")):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".crop-place")).to_have_text("Its image is not there.")


def test_a_video_over_time(watched):
    page = watched.page
    strips = page.locator(STRIPS)
    assert page.get_by_text("No gaze: the table was made without").is_visible()
    box = strips.bounding_box()
    settled(page, lambda: strips.click(position={"x": box["width"] - 8, "y": 60}), STRIPS)
    expect(strips).to_have_attribute("aria-valuenow", "13")
    scene = page.get_by_role("img", name="The frame at 3.25 s")
    expect(scene).to_be_visible()
    last = np.asarray(face_image(1, 13), dtype=float).mean(axis=(0, 1))
    assert np.abs(watched.pixels(".scene img").mean(axis=(0, 1)) - last).max() < 12
    expect(page.locator(".cells")).to_contain_text("person_1.mp4")
    strips.press("Home")
    expect(page.get_by_role("img", name="The frame at 0.00 s")).to_be_visible()
    strips.press("ArrowRight")
    assert strips.get_attribute("aria-valuetext").startswith("0.25 s, track 0: yaw ")


def draw_around(page, left, right):
    """Draw a loop around a part of the plot, as fractions of its width."""
    box = page.locator(PLOT).first.bounding_box()
    corners = [(left, 0.01), (right, 0.01), (right, 0.99), (left, 0.99)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def test_a_selection_is_exported_labelled_and_learned_from(watched, tmp_path):
    page = watched.page
    page.get_by_label("Across", exact=True).select_option("yaw_rad")
    page.get_by_label("selects points").check()
    values = {}
    panel = page.get_by_role("region", name="Selection")
    for half, (left, right) in {"right": (0.01, 0.5), "left": (0.5, 0.99)}.items():
        draw_around(page, left, right)
        expect(panel).to_contain_text("faces are selected.")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export the selection").click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
        values[half] = [float(row["yaw_rad"]) for row in rows]
        page.get_by_label("is", exact=True).fill(half)
        page.keyboard.press("Enter")
        expect(panel).to_contain_text(f"{half}: {len(rows)}")
    assert len(values["left"]) + len(values["right"]) == 30
    assert max(values["right"]) < min(values["left"])
    page.get_by_role("button", name="Fit a probe").click()
    expect(panel).to_contain_text("30 labels: accuracy on held-out files")
    expect(page.get_by_label("Colour", exact=True)).to_have_value("predicted label")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the probe").click()
    download.value.save_as(tmp_path / "label.json")
    assert Probe.load(tmp_path / "label.json").classes == ("left", "right")


def test_points_are_chosen_by_keys(watched):
    page = watched.page
    page.locator(PLOT).first.focus()
    for key in ("ArrowRight", "Space", "ArrowRight", "Space"):
        page.keyboard.press(key)
    panel = page.get_by_role("region", name="Selection")
    expect(panel).to_contain_text("2 faces are selected.")
    page.keyboard.press("Space")
    expect(panel).to_contain_text("1 face is selected.")
    page.get_by_role("button", name="Fit a probe").click()
    expect(panel).to_contain_text("Label some faces first.")


def test_axe_finds_nothing(browser, server):
    """No violation in any view, light or dark, wide or narrow."""
    if not AXE.is_file():
        pytest.skip("web/node_modules is not there: cd web && npm ci")
    watched = opened(browser, server, reduced_motion="reduce")
    page = watched.open()
    expect(page.locator(f"{STRIPS}[data-drawn]")).to_be_visible()
    page.locator(PLOT).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Most alike").locator("li")).to_have_count(8)
    one, other = (
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": png(face_image(n))} for n in (1, 3)
    )
    page.get_by_role("tab", name="Compare").click()
    give(page, one, other, button="Add images")
    expect(page.locator(".pair")).to_have_count(1)
    page.get_by_role("tab", name="Face").click()
    give(page, one)
    expect(page.locator(".stage.full .head[data-drawn]")).to_be_visible()
    page.evaluate(AXE.read_text())
    found = []
    for scheme, width in (("light", 1100), ("dark", 360)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        for view in ("Face", "Compare", "Explore", "Calibrate"):
            page.get_by_role("tab", name=view).click()
            result = page.evaluate("axe.run(document)")
            assert result["passes"]
            found += [
                (scheme, view, one["id"], node["html"], node["failureSummary"])
                for one in result["violations"]
                for node in one["nodes"]
            ]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)
    assert not found
    page.context.close()
    assert not watched.errors
