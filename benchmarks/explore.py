"""How a table of a million faces is looked at: `mien view` and its page in a browser.

    python -m benchmarks.explore --rows 1000000 --folder /tmp/explore [--umap] [--factors all]

A table of clustered random codes is written to the folder, if it is not there, then the command is
started on it and a browser (Playwright's, or one that is installed; drawn by the processor) opens
its page. Seconds, and the server's memory and processor time, are printed as JSON; pictures of the
page are in the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.columns import CODES, FACE_EMBEDDING, FEATURES
from mien.table.schema import TableInfo, arrow_schema
from mien.version import VERSION

_DIMS = {"identity": 512, "expression": 512, "texture_code": 256, "shape_code": 256}
_DIMS |= {"face_embedding": 128, "gaze_code": 16}
_GROUP = 4096
_PEOPLE = 4000
_FAMILIES = 40
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 600_000
_ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark of the command line; return the exit code."""
    options = _options(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    table = options.folder / f"faces-{options.rows}-{options.factors}.parquet"
    if not table.exists():
        write_table(table, options.rows, every=options.factors == "all")
    command = [sys.executable, "-m", "mien", "view", str(table), "--no-browser"]
    start = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = {"rows": options.rows, "bytes": table.stat().st_size}
    try:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "mien view did not start"
        report["open_s"] = round(time.perf_counter() - start, 2)
        report["open_mib"] = memory(server.pid)
        report["open_processor_s"] = round(processor_s(server.pid), 2)
        look(found[0], server.pid, options, report)
    finally:
        server.terminate()
        server.wait(60)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return int(bool(report["errors"]))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--factors", choices=("some", "all"), default="some")
    parser.add_argument("--umap", action="store_true")
    return parser.parse_args(arguments)


def write_table(path: Path, rows: int, *, every: bool) -> None:
    """Write a table of faces of 4,000 people, codes in clusters.

    Args:
        path: of the Parquet file.
        rows: how many.
        every: all factors; else the face embedding, the expression and the gaze code.
    """
    names = [n for n in CODES if n != FEATURES]
    if not every:
        names = [FACE_EMBEDDING, "expression", "gaze_code"]
    info = TableInfo(version=VERSION, model_id="0" * 12, detector="none", options={})
    schema = arrow_schema(info, {name: _DIMS[name] for name in names})
    rng = np.random.default_rng(0)
    middles = {}
    for name in names:
        families = rng.standard_normal((_FAMILIES, _DIMS[name]))
        people = families[np.arange(_PEOPLE) % _FAMILIES]
        middles[name] = people + 0.7 * rng.standard_normal((_PEOPLE, _DIMS[name]))
    unfinished = path.with_suffix(".unfinished")
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for start in range(0, rows, _GROUP):
            writer.write_table(_group(schema, middles, start, min(_GROUP, rows - start), rng))
    unfinished.rename(path)


def _group(
    schema: pa.Schema,
    middles: dict[str, np.ndarray],
    start: int,
    count: int,
    rng: np.random.Generator,
) -> pa.Table:
    person = rng.integers(0, _PEOPLE, count)
    number = np.arange(start, start + count)
    given: dict[str, Any] = {
        "path": [f"people/{p:04}/{n:07}.jpg" for p, n in zip(person, number, strict=True)],
        "frame": np.zeros(count, np.int64),
        "face_id": np.zeros(count, np.int32),
        "face_found": np.ones(count, bool),
        "framing": np.where(number % 3 == 0, "haar", "yunet"),
        "eyes_found": number % 7 > 0,
        "yaw_rad": np.sin(person).astype(np.float32) + 0.2 * rng.standard_normal(count),
    }
    for name, middle in middles.items():
        codes = middle[person] + 0.6 * rng.standard_normal((count, middle.shape[1]))
        flat = pa.array(codes.astype(np.float32).reshape(-1))
        given[name] = pa.FixedSizeListArray.from_arrays(flat, middle.shape[1])
    columns = []
    for field in schema:
        values: Any = given.get(field.name)
        if values is None:
            number = pa.types.is_floating(field.type)
            values = rng.random(count) if number else pa.nulls(count, field.type)
        columns.append(
            (values if isinstance(values, pa.Array) else pa.array(values)).cast(field.type)
        )
    return pa.Table.from_arrays(columns, schema=schema)


def memory(process: int) -> int:
    """Return how much memory a process holds now. MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) // 1024 if found else 0


def processor_s(process: int) -> float:
    """Return how much of processors' time a process has taken, its threads together. Seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def look(url: str, server: int, options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Do in the page what a person does; write down how long each took."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    errors = report["errors"] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(_PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        visit = Visit(page, server, options, report)
        visit.open(url)
        visit.faces()
        visit.filters()
        visit.everything()
        if options.umap:
            visit.umap()
        browser.close()


class Visit:
    """One look at the page."""

    def __init__(
        self, page: Any, server: int, options: argparse.Namespace, report: dict[str, Any]
    ) -> None:
        from playwright.sync_api import expect

        expect.set_options(timeout=_PATIENCE_MS)
        self._page, self._server, self._options, self._report = page, server, options, report
        self._expect: Any = expect
        self._plot = page.locator(".plot canvas").first
        self._filters = page.get_by_role("region", name="Filters")
        self._selection = page.get_by_role("region", name="Selection")

    def open(self, url: str) -> None:
        """Until all points are drawn; then coloured by a text of which each row has its own."""
        everything = str(self._options.rows)
        with self._timed("points"):
            self._page.goto(url)
            self._expect(self._plot).to_have_attribute("data-drawn", re.compile(r"\d"))
            self._expect(self._plot).to_have_attribute("data-shown", everything)
        self._shoot("points")
        with self._timed("colour"), self._drawn():
            self._page.get_by_label("Colour", exact=True).select_option("path")
        with self._timed("images"):
            said = self._page.locator("#panel-explore")
            self._expect(said).to_contain_text("are not at their places")
        self._shoot("colour")
        with self._timed("wheel"), self._drawn():
            self._plot.hover()
            self._page.mouse.wheel(0, -300)
        self._page.get_by_role("button", name="Show all").click()

    def faces(self) -> None:
        """A row, and its neighbours."""
        near = self._page.get_by_role("list", name="Most alike").locator("li")
        with self._timed("row"):
            self._plot.focus()
            self._page.keyboard.press("ArrowRight")
            self._expect(self._page.locator(".cells")).to_contain_text("people/")
        with self._timed("neighbours"):
            self._page.keyboard.press("Enter")
            self._expect(near).to_have_count(8)

    def filters(self) -> None:
        """Two filters, and what they leave selected."""
        with self._timed("filter_number"):
            self._filter("yaw_rad").get_by_label("from").fill("0.9")
            self._expect(self._filters).to_contain_text("the others are hidden")
        self._shoot("filter")
        before = self._plot.get_attribute("data-shown")
        with self._timed("filter_text"):
            row = self._filter("path")
            row.get_by_label("Rows").select_option("contains")
            row.get_by_label("text").fill("PEOPLE/00")
            self._expect(self._plot).not_to_have_attribute("data-shown", before)
        self._page.get_by_role("button", name="Select all that are shown").click()
        self._expect(self._selection).to_contain_text("selected")
        self._filters.get_by_role("button", name="Clear all").click()
        self._expect(self._plot).to_have_attribute("data-shown", str(self._options.rows))
        self._shoot("selected")

    def everything(self) -> None:
        """Every row selected, and exported."""
        with self._timed("select_all"):
            self._page.get_by_role("button", name="Select all that are shown").click()
            self._expect(self._selection).to_contain_text(f"{self._options.rows:,} faces")
        with self._timed("export_all"), self._page.expect_download() as download:
            self._page.get_by_role("button", name="Export the selection").click()
        self._report["exported_bytes"] = download.value.path().stat().st_size
        self._page.get_by_role("button", name="Clear the selection").click()

    def umap(self) -> None:
        """A map by UMAP."""
        across = self._page.get_by_label("Across", exact=True)
        with self._timed("umap"):
            self._page.get_by_role("button", name="UMAP").click()
            self._expect(across).to_have_value(f"{FACE_EMBEDDING} UMAP1")
        with self._drawn():
            self._page.get_by_label("Colour", exact=True).select_option("yaw_rad")
        self._shoot("umap")

    def _filter(self, column: str) -> Any:
        self._filters.get_by_label("Filter by").select_option(column)
        self._filters.get_by_role("button", name="Add filter").click()
        return self._filters.get_by_role("group", name=column, exact=True)

    def _shoot(self, name: str) -> None:
        self._page.screenshot(path=self._options.folder / f"{name}.png")

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start, spent = time.perf_counter(), processor_s(self._server)
        yield
        self._report[f"{name}_s"] = round(time.perf_counter() - start, 2)
        self._report[f"{name}_mib"] = memory(self._server)
        took = processor_s(self._server) - spent
        self._report[f"{name}_processor_s"] = round(took, 2)

    @contextlib.contextmanager
    def _drawn(self) -> Iterator[None]:
        before = self._plot.get_attribute("data-drawn") or ""
        yield
        self._expect(self._plot).not_to_have_attribute("data-drawn", before)


if __name__ == "__main__":
    sys.exit(main())
