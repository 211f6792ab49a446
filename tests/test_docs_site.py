"""The documentation builds as a site without a warning; its pages load nothing from elsewhere."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

for _name in ("sphinx", "myst_parser", "furo"):
    if importlib.util.find_spec(_name) is None:  # not imported: another process builds the site
        pytest.skip("needs mien[docs]", allow_module_level=True)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
OUTSIDE = re.compile(r"(?:https?:)?//[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
NAMESPACES = re.compile(r"http://www\.w3\.org/[\w/]+")
INCLUDED = {"index": "mien", "changelog": "Changelog"}
"""Documents that are another file's text, and its heading."""
LOADED = {
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed"), ("src",)),
    "link": ("href",),
    "object": ("data",),
    "use": ("href", "xlink:href"),
}
"""What a browser fetches by itself: attributes of tags. Also `srcset`, `poster` and `style`."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, where no network is to be had."""
    out = tmp_path_factory.mktemp("site")
    makefile = (ROOT / "Makefile").read_text()
    found = re.search(r"python (-m sphinx .*) -d \S+ docs ", makefile)
    assert found, "make docs calls Sphinx otherwise"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, *found[1].split(), "-d", str(out / "trees"), "docs", str(out / "html")],
        cwd=ROOT,
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return out / "html"


@pytest.mark.slow
def test_every_document_is_a_page(site: Path) -> None:
    assert len(PAGES) >= 25
    for page in PAGES:
        text = (site / page).with_suffix(".html").read_text()
        heading = re.search(r"^# (.+)$", (DOCS / page).read_text(), re.MULTILINE)
        title = heading[1].replace("`", "") if heading else INCLUDED[page.stem]
        shown = re.search(r"<h1>(.*?)<a", text)
        assert shown, page
        found = html.unescape(re.sub(r"<[^>]+>", "", shown[1]))
        assert found == title, f"another page has the name of {page}"
        assert text.count("system-message") == 0, page


@pytest.mark.slow
def test_every_page_is_in_the_contents(site: Path) -> None:
    found = set(re.findall(r'href="([^"]+)"', (site / "index.html").read_text()))
    for page in PAGES:
        name = "#" if page.stem == "index" else page.with_suffix(".html").as_posix()
        assert name in found, page


@pytest.mark.slow
def test_the_reference_has_what_is_public(site: Path) -> None:
    import mien
    import mien.plot
    import mien.search
    from mien.embedding.options import EmbedOptions, help_of
    from mien.types import __all__ as kinds

    text = (site / "api.html").read_text()
    names = [f"mien.{name}" for name in mien.__all__ if name not in ("__version__", "Factors")]
    names += [f"mien.plot.{name}" for name in mien.plot.__all__]
    names += [f"mien.search.{name}" for name in mien.search.__all__]
    names += [f"mien.types.{name}" for name in kinds]
    names += [f"mien.serve.options.ServeOptions.{name}" for name in ("port", "weights", "burst")]
    names += [f"mien.embedding.options.EmbedOptions.{n}" for n in EmbedOptions.__annotations__]
    there = set(re.findall(r'id="([\w.]+)"', text))
    assert [name for name in names if name not in there] == []
    # Attributes keep what stands before a colon, and signatures their types.
    words = re.sub(r"<[^>]+>", "", text)
    expected = ("0: any that is free.", "index: Index, images: Sequence[", help_of("min_size"))
    assert [words.count(one) for one in expected] == [1, 1, 1]


class Loads(HTMLParser):
    """Collects what a browser would fetch for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, text in attrs:
            if text and (name in LOADED.get(tag, ()) or name in ("srcset", "poster", "style")):
                self.addresses.append(text)

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            self.addresses.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def outside(text: str) -> list[str]:
    return OUTSIDE.findall(NAMESPACES.sub("", text))


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        assert loads.addresses, page
        assert not [found for text in loads.addresses for found in outside(text)], page
    sheets = [path for path in site.rglob("*.css") if outside(path.read_text())]
    assert not sheets
    for path in site.rglob("*.js"):
        code = re.sub(r"/\*.*?\*/|^\s*(?://|\*).*$", "", path.read_text(), flags=re.S | re.M)
        if path.name == "searchindex.js":  # the words of the pages, addresses among them
            continue
        assert not outside(code), path
        assert not re.search(r"sendBeacon|XMLHttpRequest|WebSocket", code), path


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://a.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        '<img srcset="http://a.example.org/x.png 2x">',
        "<style>@import url(https://a.example.org/x.css)</style>",
        '<script>fetch("https://a.example.org")</script>',
    ],
)
def test_what_is_from_elsewhere_is_noticed(page: str) -> None:
    loads = Loads()
    loads.feed(page)
    assert [found for text in loads.addresses for found in outside(text)]


def test_what_is_followed_by_a_click_is_no_load() -> None:
    loads = Loads()
    loads.feed('<a href="https://a.example.org">a</a><svg xmlns="http://www.w3.org/2000/svg"/>')
    assert not [found for text in loads.addresses for found in outside(text)]
