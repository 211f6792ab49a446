from __future__ import annotations

import base64
import csv
import importlib.util
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import MienError
from mien.evaluate.protocol import Plot, Result, Score, Table
from mien.evaluate.report.html import interval_text, plot_svg, report_html, score_text
from mien.evaluate.report.report import Report, Run, main_scores, report_json, scores_csv
from mien.evaluate.runner import REPORT_FILES, refuse_report, write_report

SPEC = importlib.util.spec_from_file_location(
    "toy_protocol", Path(__file__).with_name("toy_protocol.py")
)
assert SPEC is not None
assert SPEC.loader is not None
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)

FAILED = Run(toy.BRIGHTNESS, "other<set>", 0.1, error="brightness.txt is missing")
REPORT = Report(
    runs=(Run(toy.BRIGHTNESS, "set", 2.34, toy.result()), FAILED),
    weights="abcdefabcdef",
    factors_from="weights, detector haar",
    date="2025-01-31",
    seed=7,
    trials=3,
    version="9.9",
)


def test_json_says_everything_but_the_images() -> None:
    read = json.loads(report_json(REPORT))
    made = {k: v for k, v in read.items() if k != "protocols"}
    assert made == {
        "format": 2,
        "mien": "9.9",
        "date": "2025-01-31",
        "weights": "abcdefabcdef",
        "factors_from": "weights, detector haar",
        "seed": 7,
        "trials": 3,
    }
    first, failed = read["protocols"]
    assert first["scores"] == [
        {
            "name": "accuracy, <b>",
            "value": 75.0,
            "low": 70.5,
            "high": 80.25,
            "unit": "%",
            "count": 1234,
            "higher_is_better": True,
            "main": True,
        },
        {
            "name": "error",
            "value": None,
            "low": None,
            "high": None,
            "unit": "degrees",
            "count": 3,
            "higher_is_better": False,
            "main": False,
        },
    ]
    assert first["data"] == "0123456789ab"
    assert first["seconds"] == 2.3
    assert first["tables"][0]["rows"] == [["0-15 deg", 3, None]]
    assert first["plots"][0]["lines"] == {"a": {"x": [1, 4], "y": [2.0, 3.0]}}
    assert first["failures"] == ["said <cat>"]
    assert failed["error"] == "brightness.txt is missing"
    assert "scores" not in failed
    assert REPORT.failed == (FAILED,)


def test_numbers_are_kept_to_six_digits() -> None:
    table = Table("t", ("a", "b"), ((np.float32(1 / 3), np.int64(4)),))  # type: ignore[arg-type]
    made = Result((Score("s", 2 / 3, "", 1),), "0", tables=(table,))
    run = json.loads(report_json(Report((Run(toy.BRIGHTNESS, "s", 1, made),), "", "", "", 0, 1)))
    assert run["protocols"][0]["scores"][0]["value"] == 0.666667
    assert run["protocols"][0]["tables"][0]["rows"] == [[0.333333, 4]]


def test_csv_has_one_row_a_score() -> None:
    rows = list(csv.DictReader(io.StringIO(scores_csv(REPORT))))
    assert [row["score"] for row in rows] == ["accuracy, <b>", "error"]
    assert rows[0] | {"main": "1"} == rows[0]
    assert (rows[0]["value"], rows[0]["low"], rows[0]["high"]) == ("75.0", "70.5", "80.25")
    assert (rows[1]["value"], rows[1]["higher_is_better"]) == ("", "0")
    assert {row["weights"] for row in rows} == {"abcdefabcdef"}
    assert {row["data"] for row in rows} == {"0123456789ab"}


class Reader(HTMLParser):
    """Checks that tags are closed in order, and keeps what is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "!doctype"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def page() -> Reader:
    reader = Reader()
    reader.feed(report_html(REPORT))
    reader.close()
    return reader


def test_html_is_well_formed_and_loads_nothing(page: Reader) -> None:
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object"}
    for tag, attributes in page.tags:
        for key, value in attributes.items():
            if key in ("src", "href", "xlink:href"):
                assert value is not None
                assert value.startswith(("#", "data:image/jpeg;base64,")), (tag, value)
            assert not key.startswith("on")
    assert not re.search(r"@import|url\((?!#)", report_html(REPORT))


def test_html_shows_numbers_notes_and_failures(page: Reader) -> None:
    for text in (
        "75.00 %",
        "70.50 to 80.25",
        "1,234",
        "said <cat>",
        "1 of 2 images shows no face",
        "by yaw",
        "curve & co",
        "other<set>",
        "brightness.txt is missing",
        "brightness: how bright <it> is",
        "Given out by: the makers of the toy",
    ):
        assert any(text in found for found in page.texts), text
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    places = [f"#{a['id']}" for tag, a in page.tags if tag == "section"]
    assert links == places == ["#run-0", "#run-1"]


def test_images_are_inside_and_small(page: Reader) -> None:
    urls = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    images = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
    assert [image.size for image in images] == [(160, 80), (160, 20)]
    left, right = np.asarray(images[0])[40, 40], np.asarray(images[0])[40, 120]
    np.testing.assert_allclose(left, (200, 10, 10), atol=6)
    np.testing.assert_allclose(right, (0, 0, 0), atol=6)


def test_a_plot_takes_the_colour_of_the_page() -> None:
    plot = Plot("t", "x <1>", "y", {"$a_1$": ([1, 4, 16], [1, float("nan"), 3])}, log_x=True)
    drawn = plot_svg(plot)
    assert drawn == plot_svg(plot)
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>")
    assert "width=" not in drawn[: drawn.index(">")]
    assert "currentColor" in drawn
    assert "#000000" not in drawn
    texts = re.findall(r">([^<>]+)</text>", drawn)
    assert {"$a_1$", "x &lt;1&gt;", "y", "1", "4", "16"} <= set(texts)


def test_an_empty_plot_is_drawn() -> None:
    assert plot_svg(Plot("t", "x", "y", {"a": ([0.0], [1.0])}, log_x=True)).startswith("<svg")
    assert plot_svg(Plot("t", "x", "y", {})).startswith("<svg")


def test_scores_as_text() -> None:
    score = Score("a", 6.37891, "degrees", 1, low=0.12345, high=123.456)
    assert score_text(score) == "6.38°"
    assert interval_text(score) == "0.123 to 123.5"
    assert score_text(Score("a", 0.98765, "", 1)) == "0.988"
    assert score_text(Score("a", float("nan"), "dB", 1)) == "– dB"
    assert interval_text(Score("a", 1, "", 1)) == ""


def test_main_scores_or_else_the_first() -> None:
    scores = tuple(Score(name, 1, "", 1, main=name == "b") for name in "abc")
    assert [score.name for score in main_scores(Result(scores, ""))] == ["b"]
    assert [score.name for score in main_scores(Result(scores[2:], ""))] == ["c"]


def test_files_are_written_and_not_replaced_unasked(tmp_path: Path) -> None:
    paths = write_report(REPORT, tmp_path / "deep" / "report")
    assert [path.name for path in paths] == list(REPORT_FILES)
    assert json.loads(paths[0].read_text())["seed"] == 7
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(REPORT_FILES)
    before = [path.read_bytes() for path in paths]
    with pytest.raises(MienError, match=r"report\.json exists: name another folder"):
        write_report(REPORT, paths[0].parent)
    assert write_report(REPORT, paths[0].parent, overwrite=True) == paths
    assert [path.read_bytes() for path in paths] == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(MienError, match="is a file"):
        refuse_report(tmp_path / "file", overwrite=True)
