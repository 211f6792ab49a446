"""A large table in a real browser: every point, filters that a reload keeps, UMAP, selections."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import numpy as np
import pytest

from mien.serve import umap_job
from mien.serve.shown import Shown
from page_server import TOKEN, a_browser, browser_path, expect, opened, serving, settled, watching
from test_view_explore import AXE, PLOT, draw_around
from test_view_filters import write
from test_view_umap import QUICK, SLOW

pytestmark = pytest.mark.slow
ROWS, LARGE = 600, 120_000
SHOWN = f"{PLOT}[data-drawn]"
MISSING = "umap is not installed, which this needs; run: pip install 'mien[umap]'"


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    browser_path()
    place = tmp_path_factory.mktemp("table")
    yaw = np.sin(np.arange(ROWS)).astype(np.float32)
    write(place / "t.parquet", ROWS, yaw_rad=yaw)
    with serving(Shown.open([place / "t.parquet"], None, max_bytes=1000)) as running:
        yield running


@pytest.fixture
def watched(browser, server):
    with watching(browser, server, viewport={"width": 1100, "height": 1500}) as found:
        page = found.open()
        expect(page.locator(SHOWN).first).to_have_attribute("data-shown", str(ROWS))
        yield found


def add_filter(page, column):
    panel = page.get_by_role("region", name="Filters")
    panel.get_by_label("Filter by").select_option(column)
    panel.get_by_role("button", name="Add filter").click()
    return panel.get_by_role("group", name=column, exact=True)


def shows(page, count):
    expect(page.locator(SHOWN).first).to_have_attribute("data-shown", str(count))


def test_more_than_a_hundred_thousand_points_are_shown(browser, tmp_path):
    group = np.where(np.arange(LARGE) < 110_000, "early", "late")
    write(tmp_path / "large.parquet", LARGE, group=group)
    shown = Shown.open([tmp_path / "large.parquet"], None, max_bytes=1000)
    with serving(shown) as server, watching(browser, server) as found:
        page = found.open()
        shows(page, LARGE)
        message = page.locator("#panel-explore .message").first
        expect(message).to_have_text(f"large.parquet: {LARGE:,} faces.")
        page.get_by_label("Across", exact=True).select_option("det_score")
        plot = settled_colour(page, "group")
        expect(page.locator(".legend li")).to_have_text(["early (110,000)", "late (10,000)"])
        pixels = found.pixels(plot)
        right = pixels[20:-20, int(0.93 * pixels.shape[1]) : int(0.97 * pixels.shape[1])]
        # The last tenth of the rows lies at the right, in the second colour: orange.
        seen = right[np.ptp(right, axis=2) > 40]
        assert len(seen) > 200
        assert (seen[:, 0] > seen[:, 2]).mean() > 0.95
        late = add_filter(page, "group")
        late.get_by_label("late (10,000)").check()
        shows(page, 10_000)
        left = found.pixels(plot)[20:-20, : int(0.8 * pixels.shape[1])]
        assert (np.ptp(left, axis=2) > 40).sum() == 0  # those that do not match are gone
        page.get_by_role("button", name="Select all that are shown").click()
        panel = page.get_by_role("region", name="Selection")
        expect(panel).to_contain_text("10,000 faces are selected.")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export the selection").click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
        assert len(rows) == 10_000
        assert {row["group"] for row in rows} == {"late"}


def settled_colour(page, name):
    settled(page, lambda: page.get_by_label("Colour", exact=True).select_option(name), SHOWN)
    return SHOWN


def test_filters_are_combined_kept_and_cleared_by_keys(watched):
    page = watched.page
    panel = page.get_by_role("region", name="Filters")
    expect(panel).to_contain_text(f"All {ROWS} faces are shown.")
    yaw = np.sin(np.arange(ROWS))
    row = add_filter(page, "yaw_rad")
    expect(row.get_by_label("from")).to_be_focused()
    page.keyboard.type("0.5")
    first = int((yaw >= 0.5).sum())
    shows(page, first)
    expect(panel).to_contain_text(f"{first} of {ROWS} faces match; the others are hidden.")
    paths = add_filter(page, "path")
    paths.get_by_label("Rows").select_option("contains")
    paths.get_by_label("text").fill("ALBUM")
    both = int(((yaw >= 0.5) & (np.arange(ROWS) % 2 == 1)).sum())
    shows(page, both)
    assert "filters=" in page.url
    assert TOKEN not in page.url
    page.reload()
    shows(page, both)
    expect(panel.get_by_label("from")).to_have_value("0.5")
    expect(panel.get_by_label("text")).to_have_value("ALBUM")
    page.locator(PLOT).first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cells")).to_contain_text("album/000001.png")
    page.keyboard.press("Enter")
    near = page.get_by_role("list", name="Most alike").locator("li")
    expect(near).to_have_count(8)
    panel.get_by_label("from").fill("2")
    expect(panel).to_contain_text(f"None of the {ROWS} faces matches")
    shows(page, 0)
    expect(near).to_have_count(0)
    page.get_by_label("also among hidden faces").check()
    expect(near).to_have_count(8)
    button = page.get_by_role("button", name="Clear all filters")
    button.focus()
    page.keyboard.press("Enter")
    shows(page, ROWS)
    assert "filters=" not in page.url
    expect(panel.get_by_label("Filter by")).to_be_focused()


def test_rows_without_a_value_are_named(watched):
    page = watched.page
    note = add_filter(page, "note")
    note.get_by_label("to").fill("10")
    shows(page, 7)
    note.get_by_label("also the 4 without a value").check()
    shows(page, 11)
    note.get_by_label("Rows").select_option("missing")
    shows(page, 4)
    note.get_by_role("button", name="Remove the filter of note").click()
    shows(page, ROWS)
    settled_colour(page, "reason")
    expect(page.locator(".legend li")).to_have_text(["blurred (150)", "no value (450)"])
    settled_colour(page, "path")
    expect(page.locator(".legend li")).to_have_count(10)
    expect(page.locator(".legend li").last).to_have_text("591 others (591)")


def test_rows_whose_image_is_gone_are_shown_alone(watched):
    page = watched.page
    expect(page.locator("#panel-explore")).to_contain_text(f"The images of {ROWS} rows are not")
    page.get_by_role("button", name="Show only these").click()
    there = page.get_by_role("group", name="(image is there)", exact=True)
    expect(there.get_by_label(f"no ({ROWS})")).to_be_checked()
    expect(page.get_by_role("region", name="Filters")).to_contain_text(f"All {ROWS} faces match.")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("%5B%7B%22column%22%3A%22gone%22%2C%22kind%22%3A%22missing%22%7D%5D", "does not have"),
        ("%7Bx", "could not be read"),
    ],
)
def test_filters_of_another_table_are_left_out(browser, server, held, said):
    with watching(browser, server) as found:
        page = found.page
        page.goto(f"{server.url}#token={TOKEN}&filters={held}")
        shows(page, ROWS)
        panel = page.get_by_role("region", name="Filters")
        expect(panel).to_contain_text(said)
        expect(panel.get_by_role("group")).to_have_count(0)
        page.get_by_role("tab", name="Explore").click()


def test_nothing_hidden_is_drawn_around(watched):
    page = watched.page
    row = add_filter(page, "yaw_rad")
    row.get_by_label("from").fill("0.5")
    kept = int((np.sin(np.arange(ROWS)) >= 0.5).sum())
    shows(page, kept)
    page.get_by_label("selects points").check()
    draw_around(page, 0.005, 0.995)
    panel = page.get_by_role("region", name="Selection")
    expect(panel).to_contain_text(f"{kept} faces are selected.")
    row.get_by_label("from").fill("0.9")
    hidden = kept - int((np.sin(np.arange(ROWS)) >= 0.9).sum())
    expect(panel).to_contain_text(f"{kept} faces are selected, {hidden} of them hidden")


@pytest.fixture
def umap(monkeypatch):
    """Let another program be the process of UMAP."""
    popen = subprocess.Popen
    monkeypatch.setattr(umap_job, "umap_missing", lambda: "")
    monkeypatch.setattr("mien.serve.explore.umap_missing", lambda: "")

    def let(program):
        def start(words, **options):
            return popen([sys.executable, "-c", program], **options)

        monkeypatch.setattr(umap_job.subprocess, "Popen", start)

    return let


def test_umap_is_computed_when_asked_and_cancelled(umap, watched):
    page = watched.page
    page.reload()
    shows(page, ROWS)
    across, group = page.get_by_label("Across", exact=True), page.get_by_role("group", name="Map")
    umap(SLOW)
    group.get_by_role("button", name="UMAP").click()
    expect(group.get_by_role("status")).to_contain_text("finding neighbours 1 of 2 …")
    expect(group.get_by_role("progressbar", name="UMAP")).to_be_visible()
    page.locator(PLOT).first.focus()
    page.keyboard.press("ArrowRight")  # the server goes on answering
    expect(page.locator(".cells")).to_contain_text("000000.png")
    group.get_by_role("button", name="Cancel").click()
    expect(group.get_by_role("status")).to_have_text("UMAP of identity was cancelled.")
    expect(group.get_by_role("button", name="Cancel")).to_be_hidden()
    umap(QUICK)
    group.get_by_role("button", name="UMAP").click()
    expect(across).to_have_value("identity UMAP1")
    expect(page.get_by_label("Up", exact=True)).to_have_value("identity UMAP2")
    expect(group.get_by_role("status")).to_have_text(
        f"UMAP of identity is fitted to all {ROWS} faces with identity."
    )
    shows(page, ROWS)
    group.get_by_role("button", name="Principal components").click()
    expect(across).to_have_value("identity PC1")


def test_where_umap_is_missing_the_button_says_so(monkeypatch, watched):
    monkeypatch.setattr("mien.serve.explore.umap_missing", lambda: MISSING)
    page = watched.page
    page.reload()
    shows(page, ROWS)
    group = page.get_by_role("group", name="Map")
    expect(group).to_be_visible()
    group.get_by_role("button", name="UMAP").click()
    expect(group.get_by_role("status")).to_have_text(f"UMAP cannot be computed: {MISSING}.")


def test_axe_finds_nothing_in_filters(browser, server):
    if not AXE.is_file():
        pytest.skip("web/node_modules is not there: cd web && npm ci")
    found = opened(browser, server, reduced_motion="reduce")
    page = found.open()
    shows(page, ROWS)
    for name in ("yaw_rad", "note", "path", "eyes_found", "reason"):
        expect(add_filter(page, name)).to_be_visible()
    page.get_by_role("group", name="path", exact=True).get_by_label("Rows").select_option(
        "contains"
    )
    page.evaluate(AXE.read_text())
    for scheme, width in (("light", 1100), ("dark", 360)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 900})
        result = page.evaluate("axe.run(document)")
        assert result["passes"]
        assert not [(v["id"], n["html"]) for v in result["violations"] for n in v["nodes"]]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
    assert not found.errors
