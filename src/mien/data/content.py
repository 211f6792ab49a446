"""What files and crops hold, as hashes: a cache is found again wherever its data are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mien.data.reading import TrainingCrop
from mien.data.sources import Piece

__all__ = ["content_key", "pixels_hash"]

_WHOLE = 64 << 20  # files up to this size are hashed whole, larger ones in 64 places
_SPOT = 1 << 20


def content_key(options: Sequence[object], *groups: Sequence[Piece]) -> str:
    """Return a hash of what pieces hold, whatever their place, and of options that change crops."""
    hashed = hashlib.blake2b(digest_size=12)
    hashed.update(repr(options).encode())
    contents: dict[Path, str] = {}
    for group in groups:
        hashed.update(f"group of {len(group)}".encode())
        for piece in group:
            if piece.file not in contents:
                contents[piece.file] = _content(piece.file)
            entry = (piece.name, piece.clip, piece.member, piece.video, piece.framing, piece.boxes)
            hashed.update(repr(entry).encode("utf-8", "surrogateescape"))
            hashed.update(contents[piece.file].encode())
    return hashed.hexdigest()


def _content(path: Path) -> str:
    """Return a hash of a file's content; of a large file, of its size and 64 places in it."""
    hashed = hashlib.blake2b(digest_size=16)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= _WHOLE:
                hashed.update(file.read())
            else:
                for place in range(64):
                    file.seek((size - _SPOT) * place // 63)
                    hashed.update(file.read(_SPOT))
    except OSError:
        return "unreadable"  # counted as such when it is cut
    return f"{size}-{hashed.hexdigest()}"


def pixels_hash(crop: TrainingCrop) -> bytes:
    """Return a hash of a crop's pixels, whatever file they are from."""
    return hashlib.blake2b(crop.pixels.tobytes(), digest_size=16).digest()
