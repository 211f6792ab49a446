"""Several machines share a job by the listing alone; merged, their tables are one machine's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mien.cli.main import run
from mien.embedding.listing import list_inputs
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.embedding.summary import Summary
from mien.errors import MienError
from mien.media.image import write_png
from mien.media.video import write_mp4
from mien.table import merge as merging, writer
from mien.table.about import about_table
from mien.table.forget import forget_rows
from mien.table.formats import convert_table
from mien.table.merge import merge_shards
from mien.table.read import open_table, table_info
from mien.table.shard import Shard, parse_shard

OPTIONS = EmbedOptions(detector="none", batch_size=4, workers=2)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Images, among them one that is none, and two videos."""
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    for number in range(27):
        write_png(folder / f"{number:02}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    (folder / "05.png").write_text("no image")
    for name in ("09.mp4", "15.mp4"):
        frames = list(rng.integers(0, 256, (11, 64, 64, 3), np.uint8))
        (folder / name.replace("mp4", "png")).unlink()
        write_mp4(folder / name, frames, fps=10)
    return folder


@pytest.fixture(scope="module")
def whole(inputs, tiny_model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "whole.parquet"
    embed_to_parquet(inputs, out, model=tiny_model, options=OPTIONS)
    return out


def embed_shards(inputs, folder, model, count, options=OPTIONS) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index}.parquet" for index in range(count)]
    for index, path in enumerate(paths):
        embed_to_parquet(inputs, path, model=model, options=options, shard=f"{index}/{count}")
    return paths


@pytest.fixture(scope="module")
def shards(inputs, tiny_model, tmp_path_factory) -> list[Path]:
    return embed_shards(inputs, tmp_path_factory.mktemp("shards"), tiny_model, 3)


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_merged_shards_are_the_table_of_one_machine(inputs, whole, tiny_model, tmp_path, count):
    paths = embed_shards(inputs, tmp_path / "shards", tiny_model, count)
    out = tmp_path / "merged.parquet"
    done = merge_shards(paths[::-1], out)
    assert (done.shards, done.missing, done.changed) == (count, (), ())
    assert out.read_bytes() == whole.read_bytes()
    # A run without shards takes it for its own.
    again = embed_to_parquet(inputs, out, model=tiny_model, options=OPTIONS, resume=True)
    assert again.resumed_at == again.inputs == 27


def test_other_batches_would_give_other_bits(inputs, whole, tiny_model, tmp_path):
    """Without which the test above would show nothing."""
    options = EmbedOptions(detector="none", batch_size=3, workers=2)
    embed_to_parquet(inputs, tmp_path / "t.parquet", model=tiny_model, options=options)
    one, other = (pq.read_table(path) for path in (whole, tmp_path / "t.parquet"))
    assert one.column("path").equals(other.column("path"))
    names = ("identity", "yaw_rad", "light_x")
    assert any(not one.column(name).equals(other.column(name)) for name in names)


def test_shards_are_of_about_equal_work_and_begin_where_batches_do(inputs):
    with list_inputs([inputs]) as listing:
        shards = listing.shards(4, 4)
        kinds = [source.kind for source in listing.sources()]
        for shard, text in listing.cut_out(shards):
            part = type(listing).of_shard(shard, text)
            assert [s.path_label for s in part.sources()] == [
                s.path_label for s in listing.part(shard.index, 4, 4).sources()
            ]
    assert [shard.first for shard in shards] == [0, *(shard.stop for shard in shards[:-1])]
    assert shards[-1].stop == len(kinds) == 27
    for first in (shard.first for shard in shards):
        assert first % 4 == 0 or "video" in kinds[first - 1 : first + 1]
    assert all(shard.stop > shard.first for shard in shards)


def test_images_alone_are_shared_evenly(tmp_path):
    for number in range(100):
        (tmp_path / f"{number:03}.png").touch()
    with list_inputs([tmp_path]) as listing:
        sizes = [shard.stop - shard.first for shard in listing.shards(5, 4)]
    assert sizes == [20] * 5


def test_long_videos_weigh_more(tmp_path):
    for number in range(40):
        path = tmp_path / f"{number:02}.mp4"
        path.touch()
        os.truncate(path, 1 << (24 if number < 4 else 14))
    with list_inputs([tmp_path]) as listing:
        sizes = [shard.stop - shard.first for shard in listing.shards(4, 64)]
    assert sizes[0] == 2
    assert sum(sizes) == 40


def test_a_killed_shard_is_resumed(inputs, whole, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(writer.PartWriter.__init__.__kwdefaults__, "rows_per_part", 4)
    out = tmp_path / "1.parquet"
    embed_shards(inputs, tmp_path, tiny_model, 2)
    out.unlink()

    def stop(status):
        if status.faces >= 19:
            raise KeyboardInterrupt

    def embed_it(**changes: Any) -> Summary:
        given: dict[str, Any] = {"model": tiny_model, "options": OPTIONS, "shard": "1/2"}
        return embed_to_parquet(inputs, out, **(given | changes))

    with pytest.raises(KeyboardInterrupt):
        embed_it(on_progress=stop)
    with pytest.raises(MienError, match=r"1\.parquet was begun and is not finished"):
        merge_shards([tmp_path], tmp_path / "whole" / "m.parquet")
    with pytest.raises(MienError, match="shard was 1/2 and is 0/2"):
        embed_it(resume=True, shard="0/2")
    with pytest.raises(MienError, match="shard was 1/2 and is None"):
        embed_it(resume=True, shard=None)
    done = embed_it(resume=True)
    assert 0 < done.resumed_at < done.inputs
    merge_shards([tmp_path], tmp_path.parent / "merged.parquet")
    assert (tmp_path.parent / "merged.parquet").read_bytes() == whole.read_bytes()


def test_what_does_not_belong_together_is_refused(inputs, shards, tiny_model, tmp_path):
    def refused(message, *paths, **more):
        with pytest.raises(MienError, match=message) as raised:
            merge_shards(paths, tmp_path / "out.parquet", **more)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "out.parquet").exists()

    def another(name, options=OPTIONS, shard="1/3", model=tiny_model, given=inputs):
        embed_to_parquet(given, tmp_path / name, model=model, options=options, shard=shard)
        return tmp_path / name

    first, second, third = shards
    refused("1 of 3 shards are missing: 1/3; embed them", first, third)
    refused(r"0\.parquet and .*0\.parquet are both shard 0/3", first, first, second, third)
    refused("batch size is 5 there and 4 here",
            first, another("b.parquet", EmbedOptions("none", 5)), third)  # fmt: skip
    refused("option every is 2 there and None here",
            first, another("e.parquet", EmbedOptions("none", 4, every=2)), third)  # fmt: skip
    refused("number of shards is 2", first, another("n.parquet", shard="1/2"), third)
    few = tmp_path / "few"
    few.mkdir()
    write_png(few / "a.png", np.zeros((8, 8, 3), np.uint8))
    refused("number of inputs is 1", first, another("f.parquet", given=few), third)
    status = (inputs / "00.png").stat()
    os.utime(inputs / "00.png", ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    try:
        refused("listing of inputs is", first, another("l.parquet"), third)
    finally:
        os.utime(inputs / "00.png", ns=(status.st_atime_ns, status.st_mtime_ns))


def test_foreign_cut_short_and_damaged_parts_are_refused(whole, shards, tmp_path):
    def refused(message, content):
        path = tmp_path / "part.parquet"
        path.write_bytes(content)
        with pytest.raises(MienError, match=message):
            merge_shards([shards[0], path, shards[2]], tmp_path / "out.parquet")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["part.parquet"]

    good = shards[1].read_bytes()
    refused("part.parquet is no shard", whole.read_bytes())
    refused("part.parquet is no Parquet file that can be read", b"")
    refused("part.parquet is no Parquet file that can be read", good[:-9])
    refused("part.parquet is no Parquet file that can be read", good[: len(good) // 2])


def test_a_bit_that_turned_over_is_noticed_or_does_no_harm(whole, shards, tmp_path):
    good, refused = shards[1].read_bytes(), 0
    path, out = tmp_path / "part.parquet", tmp_path / "out.parquet"
    places = np.random.default_rng(0).integers(4, len(good) - 4, 60)
    for place in places:
        changed = bytearray(good)
        changed[place] ^= 4
        path.write_bytes(changed)
        said = None
        try:
            merge_shards([shards[0], path, shards[2]], out, overwrite=True)
        except MienError as error:
            said = str(error)
        if said is None:  # in what is only said about the rows
            assert out.read_bytes() == whole.read_bytes(), place
        else:
            assert "part.parquet" in said
            refused += 1
    assert refused > len(places) / 2


def test_rows_that_a_page_of_another_kind_would_hide_are_missed(shards, tmp_path):
    """The kind of a page stands in its header, which no checksum is of."""
    changed, path = bytearray(shards[1].read_bytes()), tmp_path / "part.parquet"
    column = pq.ParquetFile(shards[1]).metadata.row_group(0).column(0)
    assert changed[column.data_page_offset : column.data_page_offset + 2] == b"\x15\x00"
    found = []
    for number in range(len(pq.ParquetFile(shards[1]).schema.names)):
        column = pq.ParquetFile(shards[1]).metadata.row_group(0).column(number)
        kind = column.data_page_offset + 1
        changed[kind] ^= 4
        path.write_bytes(changed)
        changed[kind] ^= 4
        with pytest.raises(MienError, match=r"part\.parquet") as error:
            merge_shards([shards[0], path, shards[2]], tmp_path / "out.parquet")
        found.append(str(error.value))
    assert any("rows can be read" in message for message in found)


def test_parts_that_were_changed_are_noticed(shards, tmp_path):
    def rewritten(name, change, columns=None):
        table = pq.read_table(shards[1])
        metadata = dict(table.schema.metadata)
        shard = json.loads(metadata[b"mien.shard"])
        change(metadata, shard)
        metadata[b"mien.shard"] = json.dumps(shard).encode()
        table = table if columns is None else table.select(columns)
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / name)
        return tmp_path / name

    def refused(message, path):
        with pytest.raises(MienError, match=message):
            merge_shards([shards[0], path, shards[2]], tmp_path / "out.parquet")

    refused(
        "do not fit together", rewritten("a.parquet", lambda m, s: s.update(stop=s["stop"] - 1))
    )
    refused("do not fit together", rewritten("b.parquet", lambda m, s: s.update(first=0)))
    refused("says of itself what cannot be", rewritten("c.parquet", lambda m, s: s.update(index=0)))
    refused("does not say what made it", rewritten("d.parquet", lambda m, s: s.update(index="x")))
    refused("does not say what made it", rewritten("e.parquet", lambda m, s: s.clear()))
    refused("columns is", rewritten("f.parquet", lambda m, s: None, ["path", "face_found"]))


def test_some_shards_can_be_merged_if_asked_for(inputs, shards, tiny_model, tmp_path):
    out = tmp_path / "some.parquet"
    done = merge_shards([shards[2], shards[0]], out, partial=True)
    assert done.missing == ("1/3",)
    paths = pq.read_table(out).column("path").to_pylist()
    expected = [p for s in (0, 2) for p in pq.read_table(shards[s]).column("path").to_pylist()]
    assert paths == expected
    # It is nobody's finished job.
    with pytest.raises(MienError, match="not from these inputs"):
        embed_to_parquet(inputs, out, model=tiny_model, options=OPTIONS, resume=True)


def test_who_was_taken_out_of_a_shard_stays_out(shards, tmp_path):
    forget_rows(shards[1], tmp_path / "1.parquet", paths=["1*.png"])
    out = tmp_path / "merged.parquet"
    done = merge_shards([shards[0], tmp_path / "1.parquet", shards[2]], out)
    assert done.changed == (tmp_path / "1.parquet",)
    info = table_info(out)
    assert info is not None
    assert (info.job, info.shard) == ("", None)


def test_merging_holds_a_row_group_at_a_time(shards, tmp_path, monkeypatch):
    sizes = []
    write = writer._write_groups  # pyright: ignore[reportPrivateUsage]

    def counted(target, batches, *rest, **more):
        sizes.append(sum(batch.num_rows for batch in batches))
        return write(target, batches, *rest, **more)

    monkeypatch.setattr(writer, "_ROWS_PER_GROUP", 5)
    monkeypatch.setattr(writer, "_write_groups", counted)
    merge_shards(shards, tmp_path / "merged.parquet")
    assert max(sizes) < 10
    assert len(sizes) > 5
    assert pq.read_metadata(tmp_path / "merged.parquet").row_group(0).num_rows == 5


def test_a_schema_is_held_once(shards, monkeypatch):
    found = merging._read_parts(shards)  # pyright: ignore[reportPrivateUsage]
    assert len({id(part.schema) for part in found}) == len({id(part.info) for part in found}) == 1


@pytest.mark.parametrize("suffix", [".feather", ".csv", ".jsonl"])
def test_merging_and_converting_give_what_embed_gives(
    inputs, whole, shards, tiny_model, tmp_path, suffix
):
    direct = tmp_path / f"direct{suffix}"
    embed_to_parquet(inputs, direct, model=tiny_model, options=OPTIONS)
    merge_shards(shards, tmp_path / f"merged{suffix}")
    convert_table(whole, tmp_path / f"converted{suffix}")
    for name in ("merged", "converted"):
        assert (tmp_path / f"{name}{suffix}").read_bytes() == direct.read_bytes()


def test_feather_and_back_is_the_same_file(whole, tmp_path):
    assert convert_table(whole, tmp_path / "t.feather") == about_table(whole).rows
    convert_table(tmp_path / "t.feather", tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").read_bytes() == whole.read_bytes()


def test_about_a_table(whole, shards, tmp_path):
    found = about_table(whole)
    table = pq.read_table(whole)
    assert found.rows == len(table) == 24 + 1 + 22
    assert found.faces == table.column("face_found").to_pylist().count(True) == 46
    lines = found.lines()
    assert lines[0].startswith("47 rows, 46 faces, ")
    assert "detector none" in lines[1]
    assert any(line.split() == ["identity", "float", "[32]"] for line in lines)
    assert "shard 1/3: inputs" in "\n".join(about_table(shards[1]).lines())
    convert_table(whole, tmp_path / "t.feather")
    assert about_table(tmp_path / "t.feather").columns == found.columns


def test_the_commands(inputs, whole, tiny_folder, tmp_path, capsys):
    for index in range(2):
        out = tmp_path / "parts" / f"{index}.parquet"
        words = ["embed", str(inputs), "--weights", str(tiny_folder), "--detector", "none"]
        more = ["--batch-size", "4", "--out", str(out), "--shard", f"{index}/2"]
        assert run([*words, *more]) == 0
    merged = tmp_path / "merged.parquet"
    capsys.readouterr()
    assert run(["table", "merge", str(tmp_path / "parts"), "--out", str(merged)]) == 0
    assert capsys.readouterr().err.endswith("merged.parquet: 47 rows of 2 shards\n")
    assert merged.read_bytes() == whole.read_bytes()
    assert run(["table", "info", str(merged)]) == 0
    assert capsys.readouterr().out.startswith("47 rows, 46 faces")
    assert run(["table", "convert", str(merged), str(tmp_path / "t.csv")]) == 0
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 48


WRONG = ["3/2", "2/2", "0/0", "a/b", "", "1", "1/2/3", "-1/2", "1.0/2", "٣/4", "0/9999999"]


@pytest.mark.parametrize("text", WRONG)
def test_no_shard(text):
    with pytest.raises(MienError, match="is I/N with I from 0 to N - 1"):
        parse_shard(text)


def test_shards_by_their_names():
    assert parse_shard("0/1") == (0, 1)
    assert parse_shard("7/8") == (7, 8)
    shard = Shard(1, 2, 3, 4, 5, "abc", 6)
    assert Shard.read(shard.text()) == shard
    with pytest.raises(ValueError, match="no shard"):
        Shard.read("[" + shard.text() + "]")


def test_an_output_that_is_there_is_kept(shards, tmp_path):
    out = tmp_path / "t.parquet"
    out.write_text("mine")
    with pytest.raises(MienError, match="--overwrite"):
        merge_shards(shards, out)
    assert out.read_text() == "mine"
    with pytest.raises(MienError, match="is read and would be overwritten"):
        merge_shards(shards, shards[0], overwrite=True)
    with pytest.raises(MienError, match="is read and would be overwritten"):
        convert_table(shards[0], shards[0], overwrite=True)
    merge_shards(shards, out, overwrite=True)
    with open_table(out) as file:
        assert file.metadata.num_rows == 47
