"""Bad and hard files of boxes in place of a detector."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustness.cases import PNG, Content, case, check, image
from robustness.made_tables import damaged, link, table, twice

IN: dict[str, Content] = {"in/a.png": PNG, "in/b.png": image(seed=3)}
HEAD, BOX = "path,x1,y1,x2,y2", "a.png,1,1,40,40"


def csv(content: Content, message: str = "", code: int = 2) -> Any:
    words = "embed in --weights tiny --detector b.csv -o t.parquet"
    makes = [] if code else ["t.parquet"]
    return case(words, {**IN, "b.csv": content}, code, message, makes=makes)


def with_column(name: str, value: object, message: str, code: int = 2) -> Any:
    return csv(f"{HEAD},{name}\n{BOX},{value}\n", message, code)


def parquet(message: str, code: int = 2, **columns: Any) -> Any:
    def write(path: Path) -> None:
        box = {"path": ["a.png"], "x1": [1.0], "y1": [1.0], "x2": [40.0], "y2": [40.0]}
        pq.write_table(pa.table(box | columns), path)

    return of_parquet(write, message, code)


def of_parquet(write: Callable[[Path], None], message: str, code: int = 2) -> Any:
    words = "embed in --weights tiny --detector b.parquet -o t.parquet"
    makes = [] if code else ["t.parquet"]
    return case(words, {**IN, "b.parquet": write}, code, message, makes=makes)


CASES = [
    csv(f"{HEAD}\n{BOX}\n", "1 face in 2 inputs", 0),
    csv(f"\ufeff{HEAD}\n{BOX}\n", "1 face in 2 inputs", 0),
    csv(f"{HEAD}\n", "0 faces in 2 inputs", 0),
    csv(f"{HEAD}\nzzz.png,1,1,40,40\n", "b.csv names none of the inputs, but 'zzz.png'"),
    csv("", "Empty CSV file"),
    csv(f"{HEAD}\na.png,1,1,40\n", "Expected 5 columns, got 4"),
    csv(f"{HEAD}\n{BOX}\n".replace(",", ";"), "b.csv has no column path"),
    csv(f"{HEAD}\n{BOX}\n".encode("utf-16"), "cannot read b.csv"),
    csv(f'{HEAD}\na.png,"1,5",1,40,40\n', "the column x1 holds string, not numbers"),
    csv(f"{HEAD}\na.png,,,,\n", "row 1 has no box"),
    csv(f"{HEAD}\na.png,40,40,1,1\n", "row 1 has no box: [40.0, 40.0, 1.0, 1.0]"),
    csv(f"{HEAD}\na.png,{'9' * 400},1,40,40\n", "row 1 has no box"),
    csv(f"{HEAD}\na.png,-1000,-1000,-900,-900\n", "lies outside the image of 48 x 48", 0),
    csv(f"{HEAD}\na.png,1e5,1e5,2e5,2e5\n", "lies outside the image of 48 x 48 pixels", 0),
    csv(f"{HEAD}\na.png,-1e5,-1e5,1e5,1e5\n", "is far larger than the image of 48 x 48", 0),
    csv("x1,y1,x2,y2\n1,1,2,2\n", "b.csv has no column path"),
    csv("path\na.png\n", "b.csv has no boxes"),
    csv("path,x,y,w,h\na.png,1,1,0,0\n", "row 1 has no box"),
    csv(os.mkfifo, "no file b.csv of boxes"),
    csv(link("/dev/zero"), "no file b.csv of boxes"),
    with_column("frame", "1e300", "row 1 has frame 1e+300, not 0, 1, 2"),
    with_column("frame", -3, "row 1 has frame -3, not 0, 1, 2"),
    with_column("frame", "x", "the column frame holds string, not numbers"),
    with_column("framing", "mtcnn", "framing mtcnn is unknown"),
    with_column("turn_deg", 45, "a turn of 45 degrees"),
    with_column("turn_deg", "", "1 face in 2 inputs", 0),
    with_column("face_found", "maybe", "row 1 has face_found maybe"),
    with_column("face_found", "FALSE", "0 faces in 2 inputs", 0),
    parquet("the column path holds binary, not texts", path=[b"a.png"]),
    parquet("the column path holds int64, not texts", path=[3]),
    parquet("1 face in 2", 0, path=pa.array(["a.png"]).dictionary_encode()),
    parquet("the column framing holds list", framing=[["haar"]]),
    parquet("the column framing holds struct", framing=[{"a": 1}]),
    parquet("1 face in 2 inputs", 0, turn_deg=[float("nan")]),
    parquet("row 1 has face_found [1]", face_found=[[1]]),
    parquet("the column frame holds numbers beyond all bounds", frame=[2**62]),
    parquet("row 1 has frame inf", frame=[float("inf")]),
    parquet("the column det_score holds infinity", det_score=[float("inf")]),
    of_parquet(twice, "two columns of one name"),
    of_parquet(damaged, "cannot read b.parquet"),
    of_parquet(table(), "b.parquet has no boxes"),
    case(
        "embed in --weights tiny --detector b.csv -o b.csv --overwrite",
        {**IN, "b.csv": f"{HEAD}\n{BOX}\n"},
        message="is read and would be overwritten",
    ),
    case(
        "render in/a.png --out o.png --weights tiny --detector b.csv",
        {**IN, "b.csv": f"{HEAD}\n{BOX}\n"},
        message="by mien embed alone",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Any, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, place, capfd)
