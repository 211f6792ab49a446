"""Bad and hard inputs of `embed --shard` and `mien table`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mien.cli.main import run
from robustness.cases import PNG, Content, case, check, image
from robustness.made_tables import CODES, COUNT, damaged, link, table, twice

IN: dict[str, Content] = {"in/a.png": PNG, "in/b.png": image(seed=1), "in/c.png": image(seed=2)}
EMBED = "embed in --weights tiny --detector none --batch-size 1"
MERGE = "table merge parts -o t.parquet"


def part(shard: str, *, cut: int | None = None, **options: Any) -> Callable[[Path], None]:
    """Return what embeds a shard of the folder `in`; `cut` leaves bytes out at the end."""

    def write(path: Path) -> None:
        from mien.embedding.options import EmbedOptions
        from mien.embedding.run import embed_to_parquet
        from mien.model import load

        place = path.parents[1]
        chosen = EmbedOptions(**({"detector": "none", "batch_size": 1} | options))
        model = load(place / "tiny")
        embed_to_parquet(place / "in", path, model=model, options=chosen, shard=shard)
        path.write_bytes(path.read_bytes()[:cut])

    return write


def parts(*contents: Content, **more: Content) -> dict[str, Content]:
    return {**IN, **{f"parts/{i}.parquet": content for i, content in enumerate(contents)}, **more}


def shards() -> list[Any]:
    return [
        *(
            case(f"{EMBED} -o t.parquet --shard={text}", IN, message="is I/N with I from 0")
            for text in ("3/2", "2/2", "0/0", "a/b", "''", "/", "1/", "1/2/3", "-1/2", "1e1/20",
                         "0x1/2", "' 0/2'", "9" * 400 + "/2", "0/9999999", "٣/4", "'0/2\n'")
        ),
        case(f"{EMBED} -o t.parquet --shard 2/2", IN, message="the last of 2 is 1/2"),
        case(f"{EMBED} -o t.csv --shard 0/2", IN, message="shards are written as .parquet"),
        case(f"{EMBED} -o in/c.png --shard 0/2 --overwrite", IN, message="c.png"),
        case(
            f"{EMBED} -o t.parquet --shard 0/3 --overwrite",
            {**IN, "t.parquet": link("in/c.png")},  # read by another shard
            message="is read and would be overwritten",
        ),
        case(f"{EMBED} -o t.parquet --shard 1/3", IN, 0, "1 face in 1 input", makes=["t.parquet"]),
        case(f"{EMBED} -o t.parquet --shard 8/9", IN, 0, "in ", makes=["t.parquet"]),
    ]  # fmt: skip


def merges() -> list[Any]:
    both = (part("0/2"), part("1/2"))
    return [
        case(MERGE, parts(*both), 0, "3 rows of 2 shards", makes=["t.parquet"]),
        case(MERGE.replace("t.p", "in/t.p"), parts(*both), 0, makes=["in/t.parquet"]),
        case(MERGE, parts(both[0]), message="1 of 2 shards are missing: 1/2"),
        case(f"{MERGE} --partial", parts(both[0]), 0, "1 shards are missing", makes=["t.parquet"]),
        case(MERGE, parts(*both, both[1]), message="are both shard 1/2"),
        case(MERGE, parts(both[0], part("1/3")), message="number of shards"),
        case(MERGE, parts(both[0], part("1/2", batch_size=2)), message="batch size"),
        case(MERGE, parts(both[0], part("1/2", features=True)), message="option features"),
        case(MERGE, parts(both[0], part("1/2", cut=-1)), message="parts/1.parquet is no Parquet"),
        case(MERGE, parts(both[0], part("1/2", cut=99)), message="parts/1.parquet is no Parquet"),
        case(MERGE, parts(both[0], ""), message="parts/1.parquet is no Parquet file"),
        case(MERGE, parts(both[0], damaged), message="parts/1.parquet"),
        case(MERGE, parts(both[0], twice), message="two columns path"),
        case(MERGE, parts(both[0], table()), message="parts/1.parquet does not say what made it"),
        case(MERGE, parts(table(metadata={})), message="does not say what made it"),
        case(MERGE, parts(table(metadata={"mien.shard": "[" * 9999})), message="does not say what"),
        case(MERGE, parts(both[0], os.mkfifo), message="parts/1.parquet (is no file)"),
        case(MERGE, parts(both[0], None), message="parts/1.parquet"),
        case(MERGE, parts(both[0], link("nowhere")), message="parts/1.parquet"),
        case(
            MERGE,
            {**parts(both[0]), "parts/.1.parquet.parts/journal.json": "{}"},
            message="parts/1.parquet was begun and is not finished",
        ),
        case(MERGE, {"parts": None}, message="parts holds no table"),
        case(MERGE, {}, message="no table parts"),
        case(MERGE, {**parts(*both), "t.parquet": "mine"}, message="give --overwrite"),
        case(
            "table merge parts/0.parquet parts/1.parquet -o parts/1.parquet --overwrite",
            parts(*both),
            message="is read and would be overwritten",
        ),
        case(MERGE.replace(".parquet", ".txt"), parts(*both), message="a table is written as"),
        case(MERGE.replace("t.p", "no/such/t.p"), parts(*both), message="cannot write"),
    ]  # fmt: skip


def others() -> list[Any]:
    def read(content: Content, message: str) -> list[Any]:
        files: dict[str, Content] = {"t.parquet": content}
        return [
            case("table info t.parquet", files, message=message),
            case("table convert t.parquet u.csv", files, message=message),
        ]

    return [
        *read("", "no Parquet file that can be read"),
        *read(damaged, "no Parquet file that can be read"),
        *read(os.mkfifo, "is no file"),
        *read(twice, "two columns path"),
        case("table info none.parquet", {}, message="none.parquet"),
        case("table info none.feather", {}, message="none.feather"),
        case("table info t.feather", {"t.feather": "x"}, message="no Feather file"),
        case("table info t.feather", {"t.feather": b"ARROW1\0\0" + b"\xff" * 200 + b"ARROW1"}),
        case("table info t.feather", {"t.feather": os.mkfifo}, message="no table t.feather"),
        case("table info t.csv", {"t.csv": "a,b\n"}, message="does not say what made it"),
        case("table info t.parquet", {"t.parquet": table(face_found=None)}, message="face_found"),
        case("table info t.parquet", {"t.parquet": table()}, 0, "12 rows, 12 faces"),
        case("table convert t.parquet t.xlsx", {"t.parquet": table()}, message="is written as"),
        case(
            "table convert t.parquet t.parquet --overwrite",
            {"t.parquet": table()},
            message="is read and would be overwritten",
        ),
        case(
            "table convert t.parquet u.csv",
            {"t.parquet": table(), "u.csv": "mine"},
            message="give --overwrite",
        ),
        case("table convert t.parquet u.csv", {"t.parquet": table()}, 0, "12", makes=["u.csv"]),
    ]


LISTS = pa.array(CODES.tolist(), pa.list_(pa.float32()))
LARGE = pa.array(CODES.tolist(), pa.large_list(pa.float64()))
UNEVEN = pa.array([[1.0]] * (COUNT - 1) + [[1.0, 2.0]])
ODD = pa.array([float("nan"), float("inf")] * (COUNT // 2))
NAN = pa.array([float("nan")] * COUNT, pa.float32())


def rewritten() -> list[Any]:
    """Tables that other programs have written anew, or added something to."""

    def converted(end: str, message: str, code: int = 2, **columns: Any) -> Any:
        files: dict[str, Content] = {"t.parquet": table(**columns)}
        made = [] if code else [f"u.{end}"]
        return case(f"table convert t.parquet u.{end}", files, code, message, makes=made)

    return [
        *(
            converted(end, "12 rows", 0, identity=codes)
            for end in ("csv", "jsonl", "feather", "parquet")
            for codes in (LISTS, LARGE)
        ),
        *(converted(end, "12 rows", 0, more=NAN) for end in ("csv", "jsonl")),
        converted("jsonl", "12 rows", 0, more=pa.array([date(2020, 1, 2)] * COUNT)),
        converted("jsonl", "12 rows", 0, more=pa.array([timedelta(1)] * COUNT)),
        converted("csv", "12 rows", 0, identity=pa.nulls(COUNT, pa.list_(pa.float32()))),
        converted("csv", "t.parquet: the column identity holds lists of 2 l", identity=UNEVEN),
        converted("csv", "the column identity holds string", identity=pa.array(["x"] * COUNT)),
        converted("csv", "face_found holds int64, not true", face_found=pa.array([1] * COUNT)),
        converted("csv", "the column more holds struct", more=pa.array([{"a": 1}] * COUNT)),
        converted("csv", "the column more holds binary", more=pa.array([b"\xff"] * COUNT)),
        converted("jsonl", "the column more holds b'", more=pa.array([b"\xff"] * COUNT)),
        converted("jsonl", "the column more holds inf", more=ODD),
        case("table info t.feather", {"t.feather": table()}, message="no Feather file"),
        case("table", message="Missing command"),
        case(
            "embed in/a.png --weights tiny --detector none -o t\udcff.parquet",
            IN,
            message="must be UTF-8",
        ),
    ]


CASES = [*shards(), *merges(), *others(), *rewritten()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Any, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, place, capfd)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_no_text_of_any_type_is_a_formula(kind: pa.DataType, place: Path) -> None:
    table(path=pa.array(["=1+1"] * COUNT).cast(kind), **{"@more": LISTS.slice(0).is_valid()})(
        place / "t.parquet"
    )
    assert run(["table", "convert", "t.parquet", "u.csv"]) == 0
    head, first, *_ = (place / "u.csv").read_text().splitlines()
    assert '"\'@more"' in head
    assert first.startswith('"\'=1+1"')
