"""The documents agree with the code."""

import re
from pathlib import Path

import numpy as np
import torch

from mien import aliases
from mien.media.image import write_png
from mien.table.schema import COLUMNS

ROOT = Path(__file__).parents[1]


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos" / "anna.png", np.full((64, 64, 3), 128, np.uint8))
    monkeypatch.chdir(tmp_path)
    names = {"images": torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - that is what is tested
    assert len(names["table"]) == 1
    assert len(names["image"]) == 2
    assert (tmp_path / "mine" / "model.safetensors").exists()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_glossary_lists_every_alias():
    text = (ROOT / "docs" / "glossary.md").read_text()
    tables = [getattr(aliases, name) for name in aliases.__all__ if name.isupper()]
    pairs = [pair for table in tables for pair in table.items()]
    assert pairs
    assert not [pair for pair in pairs if not all(f"`{name}`" in text for name in pair)]


def test_every_column_of_the_table_is_explained_in_its_order():
    text = (ROOT / "docs" / "conventions.md").read_text()
    table = text[text.index("\n| column |") :].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert explained == [column.name for column in COLUMNS]


def test_what_is_shipped_is_named_in_the_package():
    from mien.demo import shipped_clips
    from mien.weights import shipped_folder

    assert shipped_folder().parent == shipped_clips().parent == ROOT / "src" / "mien" / "shipped"
