"""Bad and hard inputs of `search`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from robustness.cases import PNG, Content, case, check
from robustness.made_tables import COUNT, DIM, damaged, link, table

BUILD = "search build t.parquet --out i.mien --code identity"
QUERY = "search query i.mien t.parquet"
OTHER = {"mien.version": "0", "mien.model_id": "fedcba987654", "mien.detector": "none"}
SAME = {"mien.version": "0", "mien.model_id": "0123456789ab", "mien.detector": "none"}


def t(**changes: Any) -> Callable[[Path], None]:
    return table(**{"metadata": SAME, **changes})


T: dict[str, Content] = {"t.parquet": lambda path: t()(path)}


def index(**changes: Any) -> Callable[[Path], None]:
    """Return what writes an index of a made-up table."""

    def write(path: Path) -> None:
        from mien.search.index import build

        made = path.with_name("made.parquet")
        table(**{"metadata": SAME, **changes})(made)
        build(made, path, code="identity")
        made.unlink()

    return write


def empty(path: Path) -> None:
    from mien.search.index import open_index

    index()(path)
    with open_index(path) as opened:
        opened.delete(paths=["*"])
        opened.save()


def altered(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        index()(path)
        path.write_bytes(change(path.read_bytes()))

    return write


def later(data: bytes) -> bytes:
    return re.sub(rb'("format_version": )"1"', rb'\1"2"', data)


def outside(data: bytes) -> bytes:
    return data.replace(b'"data_offsets": [0, 0]', b'"data_offsets": [9, 9]')


I: dict[str, Content] = {**T, "i.mien": index()}
NAN = pa.array([[float("nan")] * DIM] * COUNT, pa.list_(pa.float32(), DIM))


def broken() -> list[Any]:
    """Files in the place of an index."""
    return [
        case(f"search {words}", {**T, "i.mien": content}, message=message)
        for words in ("query i.mien t.parquet", "info i.mien", "delete i.mien --row 0")
        for content, message in (
            ("", "is no index of faces"),
            ("{" * 100_000, "is no index of faces"),
            (table(), "is no index of faces"),
            (None, "is no file"),
            (os.mkfifo, "is no file"),
            (altered(lambda data: data[:300]), "cut short"),
            (altered(lambda data: data[:-1]), "bytes, not"),
            (altered(lambda data: data + b"x"), "bytes, not"),
            (altered(lambda data: data[:16400] + b"\xff" + data[16401:]), "damaged"),
            (altered(later), "is of index format 2, this mien reads 1"),
            (altered(outside), "its header was changed"),
        )
        if not (words.startswith("delete") and isinstance(content, type(None)))
    ]


WIDE = pa.array([[1.0] * 70_000] * COUNT, pa.list_(pa.float32(), 70_000))
TEXT = pa.array(["x"] * COUNT)


def taken_names() -> list[Any]:
    """Somebody's files under the names of what stands beside an index for a while."""
    return [
        *(
            case(BUILD, {"t.parquet": t(), ".i.mien.unfinished": content}, message="move it away")
            for content in ("mine", None, link("t.parquet"))
        ),
        case(BUILD, {"t.parquet": t(), ".i.mien.lock": "mine"}, 0, makes=["i.mien"]),
        case(BUILD, {"t.parquet": t(), ".i.mien.lock": os.mkfifo}, 0, makes=["i.mien"]),
        case(BUILD, {"t.parquet": t(), ".i.mien.lock": None}, message="cannot write i.mien"),
    ]


CASES = [
    case(BUILD, {"t.parquet": t()}, 0, "12 faces", makes=["i.mien"]),
    case(BUILD, {"t.parquet": t(face_found=pa.array([False] * COUNT))}, message="nothing is"),
    case(BUILD, {"t.parquet": t(metadata={})}, message="does not say which weights"),
    case(BUILD, {"t.parquet": t(identity=None)}, message="has no column identity"),
    case(BUILD, {"t.parquet": t(identity=NAN)}, message="NaN or infinity in identity, row 1"),
    case(BUILD, {"t.parquet": t(path=None)}, message="no column path"),
    case(BUILD, {"t.parquet": "PAR1"}, message="no Parquet file"),
    case(BUILD, {"t.parquet": damaged}, message="t.parquet"),
    case(BUILD, {}, message="there is no table t.parquet"),
    case(BUILD, {"t.parquet": t(), "i.mien": "mine"}, message="exists"),
    case(f"{BUILD} --overwrite", {"t.parquet": t(), "i.mien": None}, message="is a folder"),
    case(
        f"{BUILD} --overwrite",
        {"t.parquet": t(), "i.mien": link("t.parquet")},
        message="is read and would be overwritten",
    ),
    case(BUILD.replace("i.mien", "no/i.mien"), {"t.parquet": t()}, message="cannot write"),
    case(f"{BUILD} --person-column who", {"t.parquet": t()}, message="no column who"),
    case(f"{BUILD} --person-column identity", {"t.parquet": t()}, message="does not hold names"),
    case(f"{BUILD} --weights tiny", {"t.parquet": t()}, message="made by weights 0123456789ab"),
    case(
        BUILD.replace("t.parquet", "t.parquet u.parquet"),
        {"t.parquet": t(), "u.parquet": t(metadata=OTHER)},
        message="u.parquet was made by weights fedcba987654",
    ),
    case(BUILD.replace("t.parquet", "t.parquet ./t.parquet"), T, message="is given twice"),
    case(QUERY, {**I, "t.parquet": t()}, 0, "1.0000"),
    case(f"{QUERY} --top 1000", {**I, "t.parquet": t()}, 0, "  12  "),
    case(f"{QUERY} --top 0", I, message="top"),
    case(f"{QUERY} --top -1", I, message="top"),
    case(f"{QUERY} --top x", I, message="top"),
    case(QUERY, {**I, "t.parquet": t(metadata=OTHER)}, message="holds codes of 0123456789ab"),
    case(QUERY, {**I, "t.parquet": t(identity=None)}, message="has no column identity"),
    case(QUERY, {**I, "t.parquet": t(identity=NAN)}, message="NaN or infinity"),
    case(
        QUERY,
        {**I, "t.parquet": t(face_found=pa.array([False] * COUNT))},
        message="nothing to ask for",
    ),
    case(QUERY, {**T, "i.mien": empty}, message="holds no faces"),
    case(QUERY, T, message="there is no index i.mien"),
    case(f"{QUERY} -o h.txt", I, message="a table is written as"),
    case(f"{QUERY} -o i.mien --overwrite", I, message="is read and would be overwritten"),
    case(f"{QUERY} -o h.csv", {**I, "h.csv": "mine"}, message="exists"),
    case("search query i.mien a.png", {**I, "a.png": PNG}, message="holds codes of weights"),
    case("search query i.mien none.png", I, message="cannot read none.png"),
    case("search add i.mien t.parquet", I, 0, "0 faces added, 12 there", changes=["i.mien"]),
    case("search add i.mien u.parquet", I, message="there is no table u.parquet"),
    case(
        "search add i.mien u.parquet",
        {**I, "u.parquet": t(metadata=OTHER)},
        message="made by weights fedcba987654",
    ),
    case("search delete i.mien", I, message="nobody to delete is named"),
    case("search delete i.mien --person nobody", I, message="no path nobody in i.mien"),
    case("search delete i.mien --row 99", I, message="no row 99"),
    case("search delete i.mien --path x/*", I, message="nothing is deleted"),
    case("search delete i.mien --row 3", I, 0, "1 faces deleted, 11", changes=["i.mien"]),
    case("forget i.mien --path x/* --in-place", I, message="nothing is deleted"),
    case("forget i.mien --path 0.png -o t.parquet", I, message="exists"),
    case("search cluster t.parquet -o c.csv --code identity --min-size 1", T, message="min_size"),
    case("search cluster t.parquet -o c.csv --code identity --epsilon nan", T, message="epsilon"),
    case("search cluster t.parquet -o c.csv --code nothing", T, message="no column nothing"),
    case("search cluster t.parquet -o c.txt --code identity", T, message="is written as"),
    case(
        "search cluster t.parquet -o c.csv --code identity",
        {"t.parquet": t(person=pa.array(["x"] * COUNT))},
        message="a column person already",
    ),
    case(
        "search cluster t.parquet -o c.csv --code identity",
        {"t.parquet": t(face_found=pa.array([False] * COUNT))},
        message="nobody to be found",
    ),
    *(
        case(
            f"search cluster t.parquet -o c.{end} --code identity",
            {"t.parquet": t()},
            0,
            "12 faces",
            makes=[f"c.{end}"],
        )
        for end in ("csv", "parquet", "jsonl")
    ),
    *taken_names(),
    *broken(),
    case(BUILD, {"t.parquet": t(identity=WIDE)}, message="up to 65,536 can be indexed"),
    case(BUILD, {"t.parquet": t(identity=TEXT)}, message="t.parquet: the column identity holds"),
    case(f"search delete i.mien --row {'9' * 30}", I, message=f"no row {'9' * 30} in i.mien"),
    case(f"{QUERY} -o no/h.csv", I, message="cannot write no/h.csv: No such file"),
    case("search query i.mien .", I, message=". is a folder"),
    case(
        "search query i.mien u.parquet",
        {**I, "u.parquet": t(identity=pa.array([[1.0, 2.0]] * COUNT))},
        message="u.parquet: identity has 2 numbers, those of i.mien have 4",
    ),
    case("search", message="Missing command"),
    case("forget t.parquet --path 0.png -o x", T, message="x: a table is written as"),
    case("forget t.parquet --path 0.png -o x.csv", T, 0, "11 left", makes=["x.csv"]),
    case("forget t.csv --path 0.png -o x.csv", {"t.csv": "path,face_found\n"}, message="be read"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Any, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, place, capfd)
