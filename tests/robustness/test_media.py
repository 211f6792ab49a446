"""Bad and hard images and videos, and what `mien render` is asked to do with them."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from mien.media.video import write_mp4
from robustness.cases import PNG, case, check


def claims(width: int, height: int) -> bytes:
    """A PNG that says it is so large and holds almost nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def film(path: Path) -> None:
    write_mp4(path, [np.full((48, 64, 3), 30 * n, np.uint8) for n in range(4)], fps=10)


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


RENDER = "--weights tiny --detector none --size 32"
_READ = "is read and would be overwritten"
MP4_HEAD = b"\x00\x00\x00\x18ftypisom" + bytes(32)

CASES = [
    # What is no image or video.
    case(f"render a.png --out b.png {RENDER}", {"a.png": os.mkfifo}, 2, "no"),
    case(f"render a.mp4 --out b.mp4 {RENDER}", {"a.mp4": os.mkfifo}, 2, "no"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": zero}, 2, "not an ordinary file"),
    case(f"render /dev/zero --out b.png {RENDER}", message="not an ordinary file"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": None}, 2, "is a folder"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": b""}, 2, "is empty"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": "text"}, 2, "not an image"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": PNG[:60]}, 2, "a.png"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": claims(60_000, 60_000)}, 2, "too large"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": claims(2**31 - 1, 1)}, 2, "too large"),
    case(f"render a.png --out b.png {RENDER}", {"a.png": claims(19_000, 19_000)}, 2, "a.png"),
    case(f"render a.mp4 --out b.mp4 {RENDER}", {"a.mp4": MP4_HEAD}, 2, "a.mp4"),
    case(f"render a.mp4 --out b.mp4 {RENDER}", {"a.mp4": "#EXTM3U\nhttp://x/y.ts"}, 2, "a.mp4"),
    # What is asked of them.
    *(
        case(f"render a.png --out b.png {RENDER} {wrong}", {"a.png": PNG}, 2, said)
        for wrong, said in (
            ("--yaw nan", "--yaw is an angle"),
            ("--yaw inf", "--yaw is an angle"),
            ("--yaw 1e300", "--yaw is an angle"),
            ("--pitch=-1e9", "--pitch is an angle"),
            ("--light nan,0,0", "points nowhere"),
            ("--light 0,0,inf", "points nowhere"),
            ("--light 0,0,0", "points nowhere"),
            ("--light 1,2", "three numbers"),
            ("--light a,b,c", "three numbers"),
            ("--size 20000", "--size"),
            ("--size 0", "--size"),
            ("--size=-5", "--size"),
            ("--size 1e3", "--size"),
            ("--face=-1", "--face"),
            ("--face 1", "shows no face 1"),
            ("--face 99999999999999999999", "shows no face"),
            ("--face 0 --all", "not both"),
            ("--turntable", "makes a film"),
            ("--frontal --yaw 3", "give one of"),
            ("--device cpu:x", "cpu:x"),
            ("--expression-from missing.png", "missing.png"),
            ("--expression-from a.png --neutral", "not both"),
            ("--gaze", "--calibration"),
            ("--mesh m.stl", "name it .obj or .glb"),
            ("--mesh b.obj", "would be written twice"),
            ("--mesh m/x.glb", "cannot write"),
        )
    ),
    case(
        f"render a.png --out b.png {RENDER} --light 1e300,1e300,-1e300",
        {"a.png": PNG},
        0,
        makes=["b.png"],
    ),
    case(f"render a.png --out b.jpg {RENDER} --all", {"a.png": PNG}, 0, "32 x 32", makes=["b.jpg"]),
    case(f"render a.mp4 --out b.mp4 {RENDER}", {"a.mp4": film}, 0, "4 frames", makes=["b.mp4"]),
    case(f"render a%d.mp4 --out b.webp {RENDER}", {"a%d.mp4": film}, 0, makes=["b.webp"]),
    # What must not be written over.
    *(
        case(f"render a.png {outputs} --overwrite {RENDER}", {"a.png": PNG, **more}, 2, _READ)
        for outputs, more in (
            ("--out a.png", {}),
            ("--out ./a.png", {}),
            ("--mesh a.obj", {}),
            ("--out l.png", {"l.png": lambda path: path.symlink_to("a.png")}),
            ("--out h.png", {"h.png": lambda path: path.hardlink_to(path.with_name("a.png"))}),
            ("--out e.png --expression-from e.png", {"e.png": PNG}),
        )
    ),
    case(f"render a.png --out b.png {RENDER}", {"a.png": PNG, "b.png": "mine"}, 2, "exists"),
    case(
        f"render a.png --out b.png --overwrite {RENDER}",
        {"a.png": PNG, "b.png": os.mkfifo},
        2,
        "b.png",
    ),
    case(
        f"render a.png --out b.png --overwrite {RENDER}",
        {"a.png": PNG, "b.png": None},
        2,
        "is a folder",
    ),
    case(f"render a.png --out /dev/null --overwrite {RENDER}", {"a.png": PNG}, 2, "--out is"),
    case(
        f"render a.png --out b.jpg --mesh m.obj {RENDER}",
        {"a.png": PNG, "m.mtl": "mine"},
        2,
        "m.mtl exists",
    ),
    case(f"render a.png --out no/b.png {RENDER}", {"a.png": PNG}, 2, "cannot write"),
    case("embed a.png -o t.parquet --weights tiny", {"a.png": os.mkfifo}, 2, "ordinary"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
