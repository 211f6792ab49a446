"""How the threads of a command wait for work."""

import os
import sys

import pytest

from mien import __main__ as entry
from mien.cli import main as cli


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning_unless_told_otherwise(own, expected, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "x")  # put back afterwards
    if own is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    seen = []
    monkeypatch.setattr(cli, "run", lambda _: seen.append(os.environ["OMP_WAIT_POLICY"]) or 0)
    monkeypatch.setattr(sys, "argv", ["mien"])
    with pytest.raises(SystemExit):
        entry.main()
    assert seen == [expected]
