"""Bad and hard inputs of `view`; nothing here gets as far as listening for requests."""

import pyarrow as pa
import pytest

from robustness.cases import PNG, case, check
from robustness.made_tables import COUNT, damaged, link, table

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

VIEW = "view --no-browser --weights tiny"
MANY = {f"many/{i:03}.png": PNG for i in range(201)}

CASES = [
    case(f"{VIEW} none.png", message="none.png does not exist"),
    case(f"{VIEW} ''", message="no image or video in ."),
    case(f"{VIEW} notes.txt", {"notes.txt": "hello"}, 2, "neither an image nor a video"),
    case(f"{VIEW} empty", {"empty": None}, 2, "no image or video in empty"),
    case(f"{VIEW} a.png a.png", {"a.png": PNG}, 2, "given twice"),
    case(f"{VIEW} a.png", {"a.png": link("gone.png")}, 2, "a link to a file that does not exist"),
    case(f"{VIEW} many", MANY, 2, "more than 200 images and videos"),
    case(f"{VIEW} big.png", {"big.png": PNG + bytes(11 << 20)}, 2, "big.png"),
    case(f"{VIEW} t.parquet", message="there is no table t.parquet"),
    case(f"{VIEW} t.parquet", {"t.parquet": b""}, 2, "t.parquet"),
    case(f"{VIEW} t.parquet", {"t.parquet": b"PAR1 no"}, 2, "is no Parquet file"),
    case(f"{VIEW} t.parquet", {"t.parquet": damaged}, 2, "t.parquet"),
    case(
        f"{VIEW} t.parquet",
        {"t.parquet": table(face_found=pa.array([False] * COUNT))},
        2,
        "no row with a face",
    ),
    case(f"{VIEW} a.parquet b.parquet", {"a.parquet": table()}, 2, "give one table at a time"),
    case(f"{VIEW} t.parquet --images gone", {"t.parquet": table()}, 2, "gone is no folder"),
    case(f"{VIEW} a.png --images .", {"a.png": PNG}, 2, "--images goes with a table"),
    case(f"{VIEW} --calibration c.json", message="c.json"),
    case(f"{VIEW} --calibration c.json", {"c.json": "{"}, 2, "is not JSON"),
    case(f"{VIEW} --port 70000", message="serve.port"),
    case(f"{VIEW} --port x", message="--port"),
    case(f"{VIEW} --detector best", message="serve.detector"),
    case(f"{VIEW} --unknown", message="--unknown"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
