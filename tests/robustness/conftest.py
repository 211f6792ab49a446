"""What all cases stand on: an empty folder with small weights, no network, no pickle."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from robustness.guards import no_network_no_pickle

try:
    from hypothesis import HealthCheck, configuration, settings
except ImportError:  # the tests that need it are skipped by name
    pass
else:
    ALLOWED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    settings.register_profile(
        "quick", max_examples=25, derandomize=True, deadline=None, suppress_health_check=ALLOWED
    )
    settings.register_profile("long", settings.get_profile("quick"), max_examples=2000)
    # What it keeps must not appear in the folder of a case.
    configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir(), "mien-hypothesis"))
    settings.load_profile(os.environ.get("MIEN_HYPOTHESIS", "quick"))


@pytest.fixture(autouse=True)
def _no_network_no_pickle():
    with no_network_no_pickle() as seen:
        yield
    assert not seen


@pytest.fixture
def place(tmp_path, tiny_folder, monkeypatch) -> Path:
    """An empty working folder beside which nothing else lies; `tiny` in it are small weights."""
    folder = tmp_path / "place"
    folder.mkdir()
    shutil.copytree(tiny_folder, folder / "tiny")
    monkeypatch.chdir(folder)
    return folder
