"""The curl lines of docs/serve.md run as they stand, and its numbers are those of the program."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from made_service import picture
from mien.serve.options import ServeOptions
from served import Served, with_thresholds

TEXT = (Path(__file__).parents[1] / "docs" / "serve.md").read_text()
LINES = re.findall(r"^curl .*$", TEXT, re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_run(tiny_folder, tmp_path):
    assert len(LINES) >= 10
    for number, name in enumerate(("anna.jpg", "ben.jpg")):
        (tmp_path / name).write_bytes(picture(number, form="JPEG"))
    weights = str(with_thresholds(tiny_folder, tmp_path / "weights"))
    with Served("--weights", weights, "--collections", str(tmp_path / "kept")) as served:
        for line in LINES:
            words = line.replace(":8321", f":{served.port}")
            done = subprocess.run(
                words, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "turned.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "anna.glb").read_bytes().startswith(b"glTF")


def test_the_limits_are_those_of_the_program():
    options = ServeOptions()
    for text in (
        f"one image: {options.max_image_mib:g} MiB, {options.max_megapixels:g} megapixels",
        f"{options.max_faces} faces",
        f"one request: {options.max_request_mib:g} MiB",
        f"{options.max_queue} images that wait or are worked at, {options.max_requests} open",
        f"{options.rate:g} requests a second of one token for long, {options.burst} at once",
        f"`--batch-size` ({options.batch_size}), waiting at most `--batch-wait-ms` "
        f"({options.batch_wait_ms:g})",
        f"{options.max_live} live connections",
        f"{options.body_timeout_s:g} s for a request's head",
    ):
        assert text in TEXT, text
