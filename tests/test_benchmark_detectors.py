"""Who found which faces, counted from boxes: by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.detectors import Candidate, count, gather, overlap, read_judged, write_disputed
from PIL import Image

A, NEAR_A, B, C = (0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60), (80, 0, 90, 10)


def test_boxes_overlap() -> None:
    assert overlap(A, A) == 1
    assert overlap(A, NEAR_A) == pytest.approx(90 / 110)
    assert overlap(A, B) == 0
    assert overlap(A, (10, 0, 20, 10)) == 0


def test_places_are_gathered_and_counted() -> None:
    found = {"yunet": [[A, B], []], "mien": [[NEAR_A, C], [A]], "dlib": [[A, NEAR_A], []]}
    places = gather(["x.jpg", "y.jpg"], found)
    by = [(place.image, place.box, place.found_by) for place in places]
    assert by == [
        ("x.jpg", A, ["yunet", "mien", "dlib"]),
        ("x.jpg", B, ["yunet"]),
        ("x.jpg", C, ["mien"]),
        ("x.jpg", NEAR_A, ["dlib"]),  # the same face twice is a false one
        ("y.jpg", A, ["mien"]),
    ]
    counted = count(places, [], ["mien", "dlib"])
    assert counted == {
        "mien": {"found": 1, "false": 2, "of": 2},
        "dlib": {"found": 1, "false": 1, "of": 2},
    }
    judged = [("x.jpg", C, True), ("x.jpg", B, False)]
    assert count(places, judged, ["mien"]) == {"mien": {"found": 2, "false": 1, "of": 2}}


def test_disputed_places_are_written_and_read_back(tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "x.png")
    places = [
        Candidate("x.png", A, ["yunet", "mien"]),
        Candidate("x.png", B, ["mien"]),
        Candidate("x.png", C, ["yunet"]),
    ]
    write_disputed(places, ["mien"], tmp_path / "out", tmp_path, 64)
    table = tmp_path / "out-disputed.csv"
    assert (tmp_path / "out-disputed.jpg").stat().st_size > 500
    rows = table.read_text().splitlines()
    assert rows[1:] == ["x.png,50.0,50.0,60.0,60.0,mien,", "x.png,80.0,0.0,90.0,10.0,yunet,"]
    assert read_judged(table) == []
    table.write_text("\n".join([rows[0], rows[1] + "yes", rows[2] + "no"]))
    assert read_judged(table) == [
        ("x.png", (50, 50, 60, 60), True),
        ("x.png", (80, 0, 90, 10), False),
    ]
    table.write_text("\n".join([rows[0], rows[1] + "perhaps"]))
    with pytest.raises(SystemExit, match="face is yes or no, not perhaps"):
        read_judged(table)
