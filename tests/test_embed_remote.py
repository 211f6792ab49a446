"""`mien embed` from and to addresses: fsspec's memory, in which all can be seen and broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.cli.main import run
from mien.embedding.run import embed, embed_to_parquet
from mien.errors import MienError
from mien.media.remote_faults import LostError
from mien.table.merge import merge_shards
from mien.table.read import read_table
from remote_files import DAMAGED, INPUTS, OPTIONS, WORDS, in_memory, make_photos, without_names

BROKEN = "mien.embedding.fetching"
PHOTOS = "memory://photos"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return make_photos(tmp_path_factory.mktemp("remote") / "photos")


@pytest.fixture(autouse=True)
def memory(photos, tmp_path_factory, monkeypatch):
    """The memory with the photographs; no wait between tries; nothing may stay in the scratch."""
    with in_memory(photos, tmp_path_factory.mktemp("scratch"), monkeypatch) as system:
        yield system


@pytest.fixture
def breaks(monkeypatch):
    """Let reading a file at an address go wrong, by its name."""

    def set_fault(name: str, error: BaseException, times: int = 10**9) -> None:
        kind = type(fsspec.filesystem("memory"))
        whole, left = kind.cat_file, [times]

        def cat_file(self, path, **more):
            if path.endswith(name) and left[0] > 0:
                left[0] -= 1
                raise error
            return whole(self, path, **more)

        monkeypatch.setattr(kind, "cat_file", cat_file)

    return set_fault


def reasons(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["path"].tolist(), frame["reason"].tolist(), strict=True))


def rows_of(system, path: str) -> pa.Table:
    return without_names(pa.BufferReader(system.cat(path)))


@pytest.fixture(scope="module")
def local(photos, tiny_model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("local") / "local.parquet"
    embed_to_parquet(photos, out, model=tiny_model, options=OPTIONS)
    return out


@pytest.mark.parametrize("given", [PHOTOS, f"{PHOTOS}/", f"{PHOTOS}/**", f"{PHOTOS}/*"])
def test_the_table_is_that_of_local_files(given, local, tiny_model, tmp_path):
    out = tmp_path / "t.parquet"
    embed_to_parquet(given, out, model=tiny_model, options=OPTIONS)
    assert without_names(out).equals(without_names(local))
    names = [f"{PHOTOS}/{name}" for name in read_table(local).frame["path"]]
    assert read_table(out).frame["path"].tolist() == names
    assert {f"{PHOTOS}/{name}" for name in DAMAGED} <= set(names)


@pytest.mark.parametrize("bound", [0, 700])
def test_large_files_are_read_from_copies(bound, local, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.media.remote.IN_MEMORY", bound)
    embed_to_parquet(PHOTOS, tmp_path / "t.parquet", model=tiny_model, options=OPTIONS)
    assert without_names(tmp_path / "t.parquet").equals(without_names(local))


def test_one_file_and_files_here_and_there(photos, tiny_model):
    chosen = {"model": tiny_model, "detector": "none"}
    files = [str(photos / "00.png"), f"{PHOTOS}/00.png", str(photos / "02.png")]
    there = embed(files, **chosen)
    assert there["path"].tolist() == files
    codes = there["identity"].tolist()
    np.testing.assert_array_equal(codes[0], codes[1])
    with pytest.raises(MienError, match="given twice"):
        embed([f"{PHOTOS}/00.png", PHOTOS], **chosen)
    here = embed(f"file://{photos}/00.png", **chosen)
    assert here["path"].tolist() == [files[0]]


@pytest.mark.parametrize("form", ["parquet", "feather", "csv", "jsonl"])
def test_a_table_at_an_address(form, memory, tiny_model, tmp_path):
    here, there = tmp_path / f"t.{form}", f"memory://out/t.{form}"
    embed_to_parquet(PHOTOS, here, model=tiny_model, options=OPTIONS)
    summary = embed_to_parquet(PHOTOS, there, model=tiny_model, options=OPTIONS)
    assert summary.lines()[0].startswith(f"{there}: 21 faces in {INPUTS} inputs")
    assert memory.cat(f"/out/t.{form}") == here.read_bytes()
    assert memory.find("/out") == [f"/out/t.{form}"]
    with pytest.raises(MienError, match="exists: name another file or give --overwrite"):
        embed_to_parquet(PHOTOS, there, model=tiny_model, options=OPTIONS)
    embed_to_parquet(PHOTOS, there, model=tiny_model, options=OPTIONS, overwrite=True)
    assert memory.cat(f"/out/t.{form}") == here.read_bytes()


def test_a_table_at_an_address_is_read(memory, local, tiny_model, capsys, tmp_path):
    there = "memory://out/t.parquet"
    embed_to_parquet(PHOTOS, there, model=tiny_model, options=OPTIONS)
    table = read_table(there)
    np.testing.assert_array_equal(table.codes("identity"), read_table(local).codes("identity"))
    assert run(["table", "info", there]) == 0
    assert "23 rows, 21 faces" in capsys.readouterr().out
    for out in ("memory://out/t.feather", str(tmp_path / "t.csv")):
        assert run(["table", "convert", there, out]) == 0
    assert run(["table", "info", "memory://out/t.feather"]) == 0
    assert "23 rows, 21 faces" in capsys.readouterr().out
    memory.pipe("/out/cut.parquet", memory.cat("/out/t.parquet")[:-9])
    assert run(["table", "info", "memory://out/cut.parquet"]) == 2
    assert "memory://out/cut.parquet is no Parquet file" in capsys.readouterr().err


def test_shards_at_addresses_are_merged(memory, tiny_model):
    embed_to_parquet(PHOTOS, "memory://whole.parquet", model=tiny_model, options=OPTIONS)
    for number in range(3):
        out = f"memory://parts/{number}.parquet"
        embed_to_parquet(PHOTOS, out, model=tiny_model, options=OPTIONS, shard=f"{number}/3")
    memory.pipe("/parts/notes.txt", b"x")
    assert merge_shards(["memory://parts/"], "memory://merged.parquet").shards == 3
    assert memory.cat("/merged.parquet") == memory.cat("/whole.parquet")
    with pytest.raises(MienError, match="exists"):
        merge_shards(["memory://parts"], "memory://merged.parquet")
    with pytest.raises(MienError, match="is read and would be overwritten"):
        merge_shards(["memory://parts"], "memory://parts/1.parquet", overwrite=True)
    memory.pipe("/parts/.3.parquet.parts/journal.json", b"{}")
    with pytest.raises(MienError, match=r"parts/3\.parquet was begun and is not finished"):
        merge_shards(["memory://parts"], "memory://other.parquet")


def test_an_interrupted_run_loses_and_repeats_nothing(memory, tiny_model, monkeypatch):
    monkeypatch.setitem(_writer_defaults(), "rows_per_part", 6)
    out, given = "memory://out/t.parquet", {"model": tiny_model, "options": OPTIONS}
    embed_to_parquet(PHOTOS, "memory://whole.parquet", **given)

    def stop(status) -> None:
        if status.done >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_to_parquet(PHOTOS, out, on_progress=stop, **given)
    parts = [name for name in memory.find("/out") if "/part-" in name]
    assert parts
    assert not memory.exists("/out/t.parquet")
    with pytest.raises(MienError, match="was begun and interrupted: continue with --resume"):
        embed_to_parquet(PHOTOS, out, **given)
    memory.pipe("/out/.t.parquet.parts/part-000099.open.parquet", b"of a killed run")
    fetched: list[str] = []
    whole = type(memory).cat_file
    monkeypatch.setattr(
        type(memory), "cat_file", lambda self, path: (fetched.append(path), whole(self, path))[1]
    )
    done = embed_to_parquet(PHOTOS, out, resume=True, **given)
    assert done.resumed_at >= 8
    assert not set(fetched) & {f"/photos/{number:02}.png" for number in (0, 2, 4, 6)}
    assert memory.cat("/out/t.parquet") == memory.cat("/whole.parquet")
    assert memory.find("/out") == ["/out/t.parquet"]
    again = embed_to_parquet(PHOTOS, out, resume=True, **given)
    assert again.resumed_at == INPUTS
    memory.pipe("/photos/00.png", memory.cat("/photos/02.png"))
    with pytest.raises(MienError, match="complete, but not from these inputs"):
        embed_to_parquet(PHOTOS, out, resume=True, **given)


def _writer_defaults() -> dict[str, Any]:
    from mien.table.writer import PartWriter

    return PartWriter.__init__.__kwdefaults__ or {}


def test_a_lost_network_ends_the_run_and_nothing_is_lost(memory, tiny_model, breaks):
    given = {"model": tiny_model, "options": OPTIONS}
    embed_to_parquet(PHOTOS, "memory://whole.parquet", **given)
    breaks("sub/07.png", OSError("the cable is out"), times=3)
    with pytest.raises(LostError) as raised:
        embed_to_parquet(PHOTOS, "memory://t.parquet", **given)
    assert str(raised.value) == (
        "cannot read memory://photos/sub/07.png: the cable is out; what is finished is kept: "
        "continue with --resume"
    )
    done = embed_to_parquet(PHOTOS, "memory://t.parquet", resume=True, **given)
    assert done.resumed_at > 0
    assert memory.cat("/t.parquet") == memory.cat("/whole.parquet")


def test_a_short_fault_is_tried_again(memory, local, tiny_model, breaks):
    breaks("sub/07.png", OSError("a moment"), times=2)
    embed_to_parquet(PHOTOS, "memory://t.parquet", model=tiny_model, options=OPTIONS)
    assert rows_of(memory, "/t.parquet").equals(without_names(local))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError("x"), "cannot read the file: there is no such file, folder or bucket"),
        (PermissionError("x"), "cannot read the file: permission denied; see to the credentials"),
    ],
)
def test_one_file_that_cannot_be_had_is_a_row(error, reason, memory, tiny_model, breaks):
    breaks("/04.png", error)
    embed_to_parquet(PHOTOS, "memory://t.parquet", model=tiny_model, options=OPTIONS)
    frame = read_table("memory://t.parquet").frame
    assert reasons(frame)[f"{PHOTOS}/04.png"].startswith(reason)
    assert frame["face_found"].tolist().count(True) == 20


def test_credentials_that_have_run_out_end_the_run(memory, tiny_model, breaks):
    class Answered(Exception):
        response = {"Error": {"Code": "ExpiredToken"}}  # noqa: RUF012

    expired = PermissionError("x")
    expired.__cause__ = Answered()
    breaks("/04.png", expired)
    with pytest.raises(LostError, match=r"no longer good \(ExpiredToken\); renew them; what is"):
        embed_to_parquet(PHOTOS, "memory://t.parquet", model=tiny_model, options=OPTIONS)


def test_a_file_that_vanishes_while_it_runs(memory, tiny_model, monkeypatch):
    from mien.embedding import fetching

    whole = fetching.fetch

    def fetch(address: str, size: int | None) -> bytes | None:
        if address.endswith("/04.png"):
            memory.rm("/photos/04.png")
        return whole(address, size)

    monkeypatch.setattr(fetching, "fetch", fetch)
    table = embed(PHOTOS, model=tiny_model, detector="none")
    assert "no such file" in reasons(table)[f"{PHOTOS}/04.png"]


def test_what_is_too_large_is_a_row(tiny_model, monkeypatch):
    monkeypatch.setattr("mien.media.remote.IN_MEMORY", 0)
    monkeypatch.setattr(f"{BROKEN}._MOST_BYTES", 1 << 10)
    table = embed(PHOTOS, model=tiny_model, detector="none")
    assert reasons(table)[f"{PHOTOS}/04.png"] == "the file is larger than 0 MiB; it is not read"


def mistakes(out: str) -> dict[str, tuple[list[str], str]]:
    def given(name: str) -> list[str]:
        return ["embed", name, "--out", out, *WORDS]

    here = ["embed", PHOTOS, *WORDS, "--out"]
    return {
        "no file": (given(f"{PHOTOS}/none.jpg"), "there is no such file, folder or bucket"),
        "nothing matches": (given(f"{PHOTOS}/none*"), "no image or video is found at"),
        "no image": (given(f"{PHOTOS}/notes.txt"), "neither an image nor a video"),
        "scheme": (given("nosuch://x/y.jpg"), "nosuch:// is no scheme that fsspec knows"),
        "password": (
            given("https://me:secret@example.org/a.jpg"),
            "example.org/a.jpg holds a pass",
        ),
        "chain": (given("zip://a.jpg::memory://x.zip"), "a chain of addresses"),
        "no root": (given("file://a.jpg"), "write file:///folder/name"),
        "two slashes": (given("s3:/bucket/a.jpg"), "does not exist"),
        "to the web": ([*here, "http://127.0.0.1:1/t.parquet"], "are read, not written"),
        "form": ([*here, "memory://t.table"], "a table is written as .parquet"),
        "foreign": ([*here, "memory://kept/t.parquet"], "holds files that mien did not write"),
        "elsewhere": (["export", "--out", out, "--crops", "memory://x"], "exist"),
    }


def test_what_is_wrong_is_one_line(memory, tmp_path, capsys):
    memory.pipe("/kept/.t.parquet.parts/diary.txt", b"mine")
    for name, (line, message) in mistakes(str(tmp_path / "t.parquet")).items():
        assert run(line) == 2, name
        printed = capsys.readouterr().err
        assert printed.startswith("error: "), name
        assert printed.count("\n") == 1, name
        assert message in printed, (name, printed)
        assert "secret" not in printed
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "s3", raising=False)
    assert run(["embed", "s3://people/**", "--out", str(tmp_path / "t.parquet"), *WORDS]) == 2
    assert capsys.readouterr().err == "error: s3:// needs s3fs: pip install s3fs\n"
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert run(["embed", "s3://people/**", "--out", str(tmp_path / "t.parquet"), *WORDS]) == 2
    assert "pip install 'mien[remote]'" in capsys.readouterr().err


def test_a_half_written_object_is_never_seen(memory, tiny_model, monkeypatch):
    """On a file system whose files are seen while they grow, they have another name till then."""
    kind = type(memory)
    growing = type("Growing", (kind,), {"protocol": "growing", "store": memory.store})
    monkeypatch.setattr(
        growing,
        "_strip_protocol",
        classmethod(lambda _, path: "/" + path.split("://")[-1].strip("/")),
    )
    fsspec.register_implementation("growing", growing, clobber=True)
    given = {"model": tiny_model, "options": OPTIONS}
    embed_to_parquet(PHOTOS, "memory://whole.parquet", **given)
    embed_to_parquet(PHOTOS, "growing://t.parquet", **given)
    assert memory.cat("/t.parquet") == memory.cat("/whole.parquet")

    def put_file(self, here, there, **_):
        self.pipe_file(there, Path(here).read_bytes()[:100])
        raise OSError("the line is cut")

    monkeypatch.setattr(growing, "put_file", put_file)
    with pytest.raises(LostError, match="cannot write growing"):
        embed_to_parquet(PHOTOS, "growing://t.parquet", overwrite=True, **given)
    assert memory.cat("/t.parquet") == memory.cat("/whole.parquet")


def test_the_parts_that_went_up_are_whole_tables(memory, tiny_model, monkeypatch):
    monkeypatch.setitem(_writer_defaults(), "rows_per_part", 6)
    seen = []

    def look(status) -> None:
        parts = [name for name in memory.find("/t.parts") if "/part-" in name]
        seen.append(
            sum(pq.read_table(pa.BufferReader(memory.cat(name))).num_rows for name in parts)
        )

    out = "memory://t.parts/t.parquet"
    embed_to_parquet(PHOTOS, out, model=tiny_model, options=OPTIONS, on_progress=look)
    assert seen == sorted(seen)
    assert seen[-1] >= 12


def test_what_needs_no_address_loads_no_fsspec(photos, tmp_path):
    code = (
        "import sys; from mien.embedding.listing import list_inputs; import mien.embedding.run\n"
        "with list_inputs([sys.argv[1]]) as found: print(found.total, 'fsspec' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(photos)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(INPUTS), "False"]


def test_a_probe_is_fitted_on_a_table_at_an_address(memory, tiny_model, tmp_path, capsys):
    embed_to_parquet(PHOTOS, "memory://t.parquet", model=tiny_model, options=OPTIONS)
    names = [f"{PHOTOS}/{'sub/' if number % 2 else ''}{number:02}.png" for number in range(16)]
    lines = [f"{name},{'odd' if number % 3 else 'even'}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,kind", *lines]))
    words = ["probe", "memory://t.parquet", "--labels", str(tmp_path / "labels.csv")]
    assert run([*words, "--out", str(tmp_path / "probe.json"), "--columns", "identity"]) == 0
    assert capsys.readouterr().err.startswith("16 labels: kind, 2 classes")
