"""Bad and hard inputs of `embed`, `probe`, `calibrate` and `forget`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from robustness.cases import PNG, Content, case, check, image
from robustness.made_tables import (
    CALIBRATE,
    COUNT,
    DIM,
    EMBED,
    LABELS,
    PROBE,
    SCREEN,
    TARGETS,
    changed,
    damaged,
    link,
    table,
    twice,
)

A: dict[str, Content] = {"a.png": PNG}
PROBING: dict[str, Content] = {"t.parquet": table(), "l.csv": LABELS}
OUTPUTS: list[Any] = [
    case(f"{EMBED} -o a.png --overwrite", A, message="a.png"),
    case(f"{EMBED} -o t.parquet --overwrite", {**A, "t.parquet": link("a.png")}, message="read"),
    case(f"{EMBED} -o ./b/../a.csv --overwrite", {**A, "b": None, "a.csv": link("a.png")}),
    case(
        "embed in --weights tiny -o x.csv --overwrite --detector none",
        {"in/a.png": PNG, "x.csv": lambda path: os.link(path.parent / "in/a.png", path)},
        message="would be overwritten",
    ),
    case(f"{EMBED} -o t.parquet --overwrite", {**A, "t.parquet": os.mkfifo}, message="ordinary"),
    case(f"{EMBED} -o /dev/null --overwrite", A, message="no ordinary file"),
    case(f"{EMBED} -o t.parquet", {**A, "t.parquet": None}, message="is a folder"),
    case(f"{EMBED} -o t.parquet", {**A, "t.parquet": "mine"}, message="give --overwrite"),
    case(
        f"{EMBED} -o t.parquet --overwrite",
        {**A, "t.parquet": table()},
        0,
        "1 face",
        changes=["t.parquet"],
    ),
    case(
        f"{EMBED} -o l.parquet --overwrite",
        {**A, "real.parquet": "old", "l.parquet": link("real.parquet")},
        0,
        "1 face",
        changes=["real.parquet"],
    ),
    case(
        f"{EMBED} -o t.parquet --overwrite",
        {**A, ".t.parquet.parts/notes.txt": "mine"},
        message="did not write",
    ),
    case(
        f"{EMBED} -o t.parquet --overwrite",
        {**A, ".t.parquet.parts/part-000000.done-1.parquet": "mine"},
        message="did not write",
    ),
    case(
        f"{EMBED} -o t.parquet --resume",
        {**A, ".t.parquet.parts/notes.txt": ""},
        message="move",
    ),
    case(
        f"{EMBED} -o t.parquet --overwrite",
        {**A, "photos/journal.json": "{}", ".t.parquet.parts": link("photos")},
        message="link",
    ),
    case(f"{EMBED} -o t.parquet --overwrite", {**A, ".t.parquet.parts": "x"}, message="no folder"),
    *(
        case(
            f"{EMBED} -o t.parquet --resume",
            {**A, ".t.parquet.parts/journal.json": journal},
            message="journal.json is damaged",
        )
        for journal in ("[]", "{", "\xff", "[" * 100_000, "1e999", "null", "")
    ),
    case(
        f"{EMBED} -o t.parquet --resume",
        {**A, ".t.parquet.parts/journal.json": json.dumps({"format": "x" * 100_000})},
        message="cannot resume",
    ),
    *(
        case(f"{EMBED} -o {name}", A, message="a table is written as .parquet, .feather")
        for name in ("t", "t.txt", "t.xlsx", "t.parquet.gz", "t.", "t.json")
    ),
    *(
        case(f"{EMBED} -o t{end}", A, 0, "1 face", makes=[f"t{end}"])
        for end in (".parquet", ".feather", ".csv", ".jsonl", ".CSV")
    ),
    case(f"{EMBED} -o no/such/t.parquet", A, 0, makes=["no/such/t.parquet"]),
    case(f"{EMBED} -o a.png/t.parquet", A, message="t.parquet"),
    case(PROBE.replace("p.json", "l.csv") + " --overwrite", PROBING, message="l.csv"),
    case(PROBE.replace("p.json", "t.parquet") + " --overwrite", PROBING, message="t.parquet"),
    case(PROBE, {**PROBING, "p.json": link("l.csv")}, message="would be overwritten"),
    case(PROBE, {**PROBING, "p.json": "mine"}, message="exists"),
    case(PROBE.replace("p.json", "/dev/null"), PROBING, message="ordinary"),
    case(
        CALIBRATE.replace("c.json", "l.csv") + " --overwrite",
        {"t.parquet": table(), "l.csv": TARGETS},
        message="would be overwritten",
    ),
    case(
        "forget t.parquet --path 0.png --in-place",
        {"real.parquet": table(), "t.parquet": link("real.parquet")},
        0,
        "1 rows",
        changes=["real.parquet"],
    ),
    case("forget t.parquet --path 0.png -o t.parquet", {"t.parquet": table()}, message="exists"),
    case("forget t.parquet --path none.png --in-place", {"t.parquet": table()}, message="no row"),
    case(
        "forget t.parquet --path 0.png -o l.parquet",
        {"t.parquet": table(), "l.parquet": link("t.parquet")},
        message="exists",
    ),
    case(
        "forget t.parquet --path 0.png --in-place",
        {"t.parquet": table(), ".t.parquet.parts/journal.json": "{}"},
        message="unfinished",
    ),
]
"""Outputs that would destroy something."""


def numbers() -> list[Any]:
    a: dict[str, Content] = {"a.png": PNG}
    return [
        *(
            case(f"{EMBED} -o t.parquet {option} {value}", a, message=option)
            for option in ("--fps", "--min-score", "--min-size")
            for value in ("nan", "inf", "-1", "-inf")
        ),
        case(f"{EMBED} -o t.parquet --min-score 1.5", a, message="from 0 to 1"),
        case(f"{EMBED} -o t.parquet --every 2 --fps 2", a, message="give one of them"),
        case(f"{EMBED} -o t.parquet --min-size 49", a, 0, "0 faces", makes=["t.parquet"]),
        case(f"{EMBED} -o t.parquet --min-size 48", a, 0, "1 face", makes=["t.parquet"]),
        case(f"{EMBED} -o t.parquet --crop eyes --min-score 0.5".replace("--detector none", ""), a),
    ]


def bad_table(message: str, content: Content = None, **changes: Any) -> list[Any]:
    files = {"l.csv": LABELS, "t.parquet": table(**changes) if content is None else content}
    return [
        case(PROBE, files, message=message),
        case("forget t.parquet --path 0.png -o rest.parquet", files, message=message),
    ]


def codes(message: str, column: Any) -> Any:
    return case(PROBE, {"l.csv": LABELS, "t.parquet": table(identity=column)}, message=message)


def tables() -> list[Any]:
    return [
        *bad_table("no Parquet file that can be read", "PAR1"),
        *bad_table("no Parquet file that can be read", b"PAR1" + b"\xff" * 100 + b"PAR1"),
        *bad_table("no Parquet file that can be read", ""),
        *bad_table("no Parquet file that can be read", damaged),
        *bad_table("is no file", os.mkfifo),
        *bad_table("two columns path", twice),
        *bad_table("no column path", path=None),
        *bad_table("path holds int64", path=pa.array(range(COUNT))),
        *bad_table("path holds binary", path=pa.array([b"x"] * COUNT)),
        *bad_table("path holds struct", path=pa.array([{"a": 1}] * COUNT)),
        *bad_table("nothing in row 1", path=pa.nulls(COUNT, pa.string())),
        codes("holds string, not lists", pa.array(["x"] * COUNT)),
        codes("holds struct", pa.array([{"a": 1.0}] * COUNT)),
        codes("not lists of numbers", pa.array([["x"]] * COUNT)),
        codes("of 2 lengths", pa.array([[1.0]] * (COUNT - 1) + [[1.0, 2.0]])),
        codes("lengths: [0]", pa.array([[]] * COUNT, pa.list_(pa.float32()))),
        codes("no identity of any", pa.nulls(COUNT, pa.list_(pa.float32()))),
        codes(
            "no identity of any", pa.array([[float("nan")] * DIM] * COUNT, pa.list_(pa.float32()))
        ),
        codes("no column identity", None),
        case(
            PROBE,
            {"l.csv": LABELS, "t.parquet": table(frame=pa.array([0.5] * COUNT))},
            message="the column frame holds",
        ),
        case(
            PROBE,
            {"l.csv": LABELS, "t.parquet": table(frame=pa.array(["0"] * COUNT))},
            message="frame holds string",
        ),
        case(
            PROBE,
            {"l.csv": LABELS, "t.parquet": table(face_found=pa.array([False] * COUNT))},
            message="no identity of any of the 12 labelled faces",
        ),
        *(
            case(
                PROBE, {"l.csv": LABELS, "t.parquet": table(metadata=metadata)}, 0, makes=["p.json"]
            )
            for metadata in (
                {},
                {b"\xff": b"\xff", b"mien.version": b"\xff", b"mien.options": b"{"},
                {"mien.version": "1", "mien.options": "[" * 100_000},
                {"pandas": "{"},
            )
        ),
        case("pretrain gaze --data t.parquet --out run", {"t.parquet": table()}, message="parquet"),
    ]


def label_files() -> list[Any]:
    def bad(labels: Content, message: str, more: str = "") -> Any:
        files = {"t.parquet": table(), "l.csv": labels}
        return case(f"{PROBE} {more}", files, message=message)

    wide = ",".join(f"c{i}" for i in range(20_000))
    return [
        bad(os.mkfifo, "l.csv is a pipe"),
        bad(link("/dev/zero"), "l.csv is a pipe or a device"),
        bad(None, "l.csv is a folder"),
        bad("", "name the column of the label"),
        bad("\n\n", "name the column of the label"),
        bad(b"\xff\xfe\x00", "not UTF-8"),
        bad(b"path,mood\n0.png,\x00\n", "1 labels are too few"),
        bad("path,mood\n0.png," + "x" * 200_000 + "\n", "field larger than field limit"),
        bad('path,mood\n0.png,"x\n', "no CSV file"),
        bad("path,mood\n" + "0.png,x,y\n", "1 rows have not 2 cells"),
        bad("path,\n0.png,x\n", "has no name"),
        bad("path,mood,mood\n0.png,x,y\n", "has the column 'mood' twice"),
        bad("path,mood\n", "no label in the column mood"),
        bad("path,frame,mood\n0.png," + "9" * 5000 + ",x\n", "not a whole number"),
        bad("path,frame,mood\n0.png,9999999999999999999,x\n", "not a whole number"),
        bad("path,frame,mood\n0.png,-1,x\n", "not a whole number"),
        bad("path,mood\n" + "x" * 5000 + ".png,y\n", "no row in the table"),
        bad("path,identity\n" + LABELS.partition("\n")[2], "identity is a column of every table"),
        bad("path,yaw_rad\n" + LABELS.partition("\n")[2], "is a column of every table"),
        bad(f"path,{wide}\n", "and 19,980 more"),
        bad(f"path,{wide}\n0.png" + ",x" * 20_000 + "\n", "1 labels are too few", "--label c7"),
        bad(LABELS.replace("x", "y"), "all 12 labels of mood are 'y'"),
        bad("path,age\n" + "".join(f"{i}.png,{i + 0.5}e999\n" for i in range(COUNT)), "classes of"),
        bad(LABELS, "there is no kind nan", "--kind nan"),
        bad(LABELS, "a probe sees no column box", "--columns box"),
        case(PROBE, {"t.parquet": table(), "l.csv": "\ufeff" + LABELS}, 0, makes=["p.json"]),
        case(PROBE + " --suggest 3", {"t.parquet": table(), "l.csv": LABELS[:-20]}, 0,
             makes=["p.json"]),
    ]  # fmt: skip


def gaze() -> list[Any]:
    def bad(message: str, targets: Content = TARGETS, screen: Content = "") -> Any:
        command = SCREEN if screen != "" else CALIBRATE
        files = {"t.parquet": table(), "l.csv": targets}
        return case(
            command, {**files, "s.json": screen} if screen != "" else files, message=message
        )

    pixels = TARGETS.replace("gaze_yaw_deg,gaze_pitch_deg", "screen_x_px,screen_y_px")
    plain = '{"pixel_mm": 0.3, "origin_mm": [0, 0, 0], "eye_distance_mm": 600}'
    return [
        case(CALIBRATE, {"t.parquet": table(), "l.csv": TARGETS}, 0, makes=["c.json"]),
        bad("no number in", TARGETS.replace("20", "nan", 1)),
        bad("no number in", TARGETS.replace("20", "1e999", 1)),
        bad("exceed what yaw", TARGETS.replace("-20.0", "1e300", 1)),
        bad("no column gaze_pitch_deg", TARGETS.replace("gaze_pitch_deg", "pitch")),
        bad("pipe", os.mkfifo),
        *(
            bad(message, pixels, screen)
            for screen, message in (
                ("[" * 100_000, "nested too deep"),
                (plain.replace("600", "9" * 400), "beyond all bounds"),
                (plain.replace("600", "1e999"), "not JSON of plain values"),
                (plain.replace("600", "NaN"), "not JSON of plain values"),
                (plain.replace("600", '"\\ud800"'), "surrogate"),
                (plain.replace("600", "1e300"), "must be 1 numbers"),
                (plain.replace("0.3", "0"), "above 0"),
                (plain.replace("0.3", "true"), "must be 2 numbers"),
                ("{}", "either eye_mm"),
                (b"\xff", "not UTF-8"),
                (os.mkfifo, "pipe"),
                (link("/dev/zero"), "device"),
            )
        ),
    ]  # fmt: skip


def sealed() -> list[Any]:
    probed = f"{EMBED} -o t.parquet --probe p.json"

    def bad(content: Content, message: str) -> Any:
        return case(probed, {"a.png": image(32, 32), "p.json": content}, message=message)

    return [
        bad("{", "p.json is not JSON"),
        bad("[]", "p.json is no probe"),
        bad("[" * 100_000, "nested too deep"),
        bad('{"format": "mien-probe", "format_version": 1, "probe": 3}', "cut short or changed"),
        bad(
            json.dumps({"format": "mien-probe", "format_version": "9" * 5000}), "is of probe format"
        ),
        bad('{"format": NaN}', "not JSON of plain values"),
        bad(b"\xff", "not UTF-8"),
        bad(os.mkfifo, "pipe"),
        bad(changed("function.scale", [0.0] * 32), "a scale is 0"),
        bad(changed("function.scale", [1e-310] * 32), "a scale is 0"),
        bad(changed("function.mean", [0.0] * 3), "numbers were expected"),
        bad(changed("function.mean", "text"), "holds no probe"),
        bad(changed("samples", True), "holds no probe"),
        bad(changed("samples", "12"), "holds no probe"),
        bad(changed("classes", [1, 2]), "holds no probe"),
        bad(changed("columns", [["identity", -1]]), "probe"),
        bad(changed("columns", [["identity", 10**12]]), "probe"),
        bad(changed("function", []), "holds no probe"),
        bad(changed("label", "identity"), "which the table has already"),
    ]


CASES = [*OUTPUTS, *numbers(), *tables(), *label_files(), *gaze(), *sealed()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Any, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(case, place, capfd)
