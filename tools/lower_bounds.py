"""Try the lower bounds that pyproject.toml states: install each of them, and run tests.

    python tools/lower_bounds.py
    python tools/lower_bounds.py --folder /tmp/low --tests tests/test_table.py

Every direct dependency, those of the extras train, hub, eval, plot, search, export, serve, remote
and docs too, is installed in the version that stands behind its ">=". torch is not: its old builds
for processors are on no package index; the version that runs this script is taken. Exit 1 if a test
fails.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

__all__ = ["lowest", "main"]

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("train", "hub", "eval", "plot", "search", "export", "serve", "remote", "docs")
TESTS = (
    *("tests/test_main.py", "tests/test_media_video.py", "tests/test_media_image.py"),
    *("tests/test_table.py", "tests/test_table_rewritten.py", "tests/test_table_formats.py"),
    *("tests/test_embed.py", "tests/test_linear.py", "tests/test_probing_file.py"),
    *("tests/test_calibration_file.py", "tests/test_faces_detect.py", "tests/test_render.py"),
    *("tests/test_views.py", "tests/test_evaluate_report.py", "tests/test_train_loop.py"),
    *("tests/test_faces_dense.py", "tests/test_table_arrays.py", "tests/test_plot.py"),
    *("tests/test_search.py", "tests/test_search_cli.py", "tests/test_search_engine.py"),
    *("tests/test_detector_export.py", "tests/test_serve_inputs.py", "tests/test_serve_parts.py"),
    *("tests/test_docs_site.py", "tests/test_embed_remote.py", "tests/test_embed_web.py"),
)
"""Those that use each dependency."""
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+)")


def lowest(project: Path) -> list[str]:
    """Return what is to be installed: "numpy==2.0" for "numpy>=2.0"."""
    stated = tomllib.loads(project.read_text())["project"]
    asked = list(stated["dependencies"])
    for extra in EXTRAS:
        asked += stated["optional-dependencies"][extra]
    found = {}
    for requirement in asked:
        match = _BOUND.match(requirement)
        if match is None:
            raise ValueError(f"{requirement} states no lower bound")
        found[match[1]] = f"{match[1]}=={match[2]}"
    found["torch"] = f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
    # What the tests themselves need, in whatever version.
    return [*found.values(), "pytest>=8", "httpx2>=2.16"]


def main(arguments: Sequence[str]) -> int:
    """Make the environment if it is not there, and run the tests in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "lower-bounds")
    parser.add_argument("--tests", nargs="+", default=list(TESTS))
    given = parser.parse_args(arguments)
    wanted = lowest(ROOT / "pyproject.toml")
    python, complete = given.folder / "bin" / "python", given.folder / "complete"
    if not complete.exists() or complete.read_text() != "\n".join(wanted):
        venv.create(given.folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *wanted]
        subprocess.run(install, check=True)
        complete.write_text("\n".join(wanted))
    sys.stdout.write(f"{', '.join(wanted)}\n")
    sys.stdout.flush()
    # Old versions warn of what newer ones have settled: that is no fault here.
    options = ["-q", "-o", "filterwarnings=default", "-m", "not slow and not network"]
    command = [str(python), "-m", "pytest", *options, *given.tests]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
