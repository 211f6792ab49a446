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
    case("embed a.png -o t.parquet --weights tiny", {"a.png": os.mkfifo}, 2, "ordinary"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
