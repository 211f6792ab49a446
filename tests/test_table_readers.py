"""Tables are read alike by old and new versions of the programs that people have."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest


@pytest.fixture
def tool() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "table_readers.py"
    spec = importlib.util.spec_from_file_location("table_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["table_readers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.network
@pytest.mark.long  # an environment is made; what is installed reads a table below
def test_the_oldest_and_the_newest_read_each_others_tables(
    tool: ModuleType, tmp_path: Path
) -> None:
    try:
        pythons = {
            version: Path(sys.executable)  # is there already, as constraints.txt has it
            if pa.__version__.startswith(f"{version}.")
            else tool.environment(tmp_path, version, others=False)
            for version in ("15", "26")
        }
    except tool.Unavailable as error:
        pytest.skip(f"no package index here: {error}")
    programs = [name for name in tool.READERS if name.startswith(("pyarrow", "pandas"))]
    found = tool.matrix(pythons, tmp_path, programs)
    assert len(found) == 4 * len(programs) == 16
    assert {cell: verdict for cell, verdict in found.items() if verdict != "ok"} == {}


def test_what_is_installed_here_reads_a_table(tool: ModuleType, tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    assert tool.main(["write", str(table)]) == 0
    there = [name for name in tool.READERS if importlib.util.find_spec(name.split()[0])]
    assert {"pyarrow", "pandas"} <= set(there)
    assert tool._read(str(table), there) == dict.fromkeys(there, "ok")
