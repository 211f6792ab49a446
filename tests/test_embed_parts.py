"""`mien embed --out FOLDER/`: a table that stays in parts, here and at an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.cli.main import run
from mien.embedding.parts import embed_to_parts
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.table.merge import merge_shards
from remote_files import INPUTS, OPTIONS, WORDS, in_memory, make_photos

PHOTOS = "memory://photos"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return make_photos(tmp_path_factory.mktemp("parts") / "photos")


@pytest.fixture(autouse=True)
def memory(photos, tmp_path_factory, monkeypatch):
    with in_memory(photos, tmp_path_factory.mktemp("scratch"), monkeypatch) as system:
        yield system


@pytest.mark.parametrize("there", [True, False])
def test_a_table_stays_in_parts(there, memory, tiny_model, tmp_path, monkeypatch):
    """`--out FOLDER/`: merged, the parts are the table of one run; an interrupted one goes on."""
    monkeypatch.chdir(tmp_path)
    out = "memory://faces/" if there else "faces/"
    given = {"model": tiny_model, "options": OPTIONS, "work_per_part": 4}
    embed_to_parquet(PHOTOS, "memory://whole.parquet", model=tiny_model, options=OPTIONS)

    def stop(status) -> None:
        if status.done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_to_parts(PHOTOS, out, on_progress=stop, **given)
    with pytest.raises(MienError, match="holds parts of a table: continue with --resume"):
        embed_to_parts(PHOTOS, out, **given)
    seen = []
    done = embed_to_parts(PHOTOS, out, resume=True, on_progress=lambda s: seen.append(s), **given)
    assert 0 < done.resumed_at < INPUTS
    assert (done.inputs, done.rows, done.faces) == (INPUTS, 23, 21)
    assert sum(done.failures.values()) == 2
    assert seen[-1].done == seen[-1].total == INPUTS
    names = [Path(name).name for name in (memory.find("/faces") if there else _in("faces"))]
    assert len(names) == 5
    assert all("-of-000005.parquet" in name for name in names)
    merge_shards([out], "memory://merged.parquet")
    assert memory.cat("/merged.parquet") == memory.cat("/whole.parquet")
    again = embed_to_parts(PHOTOS, out, resume=True, **given)
    assert again.resumed_at == INPUTS
    other = {**given, "options": OPTIONS.__class__(detector="none", batch_size=4, min_size=5)}
    with pytest.raises(MienError, match="not from these options and weights"):
        embed_to_parts(PHOTOS, out, resume=True, **other)
    with pytest.raises(MienError, match="of other inputs: name another folder"):
        embed_to_parts(f"{PHOTOS}/sub", out, resume=True, **given)
    assert embed_to_parts(f"{PHOTOS}/sub", out, overwrite=True, **given).inputs == 8
    merge_shards([out], "memory://sub.parquet")


def _in(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def test_a_folder_of_parts_holds_nothing_else(memory, tmp_path, capsys):
    memory.pipe("/faces/mine.parquet", b"x")
    (tmp_path / "file").write_text("x")
    words = ["embed", PHOTOS, *WORDS, "--out"]
    for out, message in (
        ("memory://faces/", "holds another table, mine.parquet"),
        (f"{tmp_path}/file/", "is no folder; name another one"),
        ("https://127.0.0.1:1/faces/", "are read, not written"),
    ):
        assert run([*words, out]) == 2
        assert message in capsys.readouterr().err
    assert run([*words, "memory://new/", "--shard", "0/2"]) == 2
    assert "shards are written as .parquet" in capsys.readouterr().err
    assert run([*words, "memory://new/", "--overwrite"]) == 0
    assert capsys.readouterr().err.startswith("memory://new/: 21 faces in 19 inputs")
