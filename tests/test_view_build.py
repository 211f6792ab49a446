"""The page's built files are those of its sources, small, and ask for nothing inline."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WEB, STATIC = ROOT / "web", ROOT / "src" / "mien" / "serve" / "static"
WHOLE = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js")
LIMIT = 300_000


def hash_of_sources() -> str:
    names = [*WHOLE, *(p.relative_to(WEB).as_posix() for p in (WEB / "src").iterdir())]
    digest = hashlib.sha256()
    for name in sorted([*names, "public/icon.svg"]):
        digest.update(name.encode() + b"\0" + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_built_page_is_that_of_the_sources():
    built = json.loads((STATIC / "build.json").read_text())["sources"]
    assert built == hash_of_sources(), "run: cd web && npm ci && npm run build"


@pytest.mark.slow
def test_a_new_build_gives_the_same_files(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("node is not installed")
    if not (WEB / "node_modules").is_dir():
        pytest.skip("web/node_modules is not there: cd web && npm ci")
    environment = {**os.environ, "MIEN_PAGE_OUT": str(tmp_path / "static")}
    words = ["npm", "run", "build"]
    done = subprocess.run(words, cwd=WEB, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(tmp_path / "static") == contents(STATIC)


def test_the_page_is_small():
    sizes = {name: len(gzip.compress(data)) for name, data in contents(STATIC).items()}
    assert sum(sizes.values()) < LIMIT, sizes


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere():
    text = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text)
    assert not re.search(r"(?:src|href)=\"(?!/)", text)
    assert "three.js" in (STATIC / "licences.txt").read_text()
