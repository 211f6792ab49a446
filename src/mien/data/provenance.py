"""Which pictures a model was trained on: BLAKE2b of their files, 64 bits, as `b2sum -l 64` has it.

From a digest nobody gets a picture back; who has the picture's file can find out whether it was
trained on. A file that was cut or stored anew has another digest.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mien.data.sources import Piece
from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["digests", "picture_digests"]

_BLOCK = 1 << 20


def digests(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, str]]:
    """Yield each piece with 16 hex digits of its file, or of its member in a zip.

    Raises:
        MienError: a file cannot be read.
    """
    archive: tuple[Path, zipfile.ZipFile] | None = None
    try:
        for piece in pieces:
            if piece.member and (archive is None or archive[0] != piece.file):
                if archive is not None:
                    archive[1].close()
                archive = piece.file, zipfile.ZipFile(piece.file)
            yield piece, _digest(piece, archive[1] if archive else None)
    except (OSError, zipfile.BadZipFile) as error:
        raise MienError(f"{to_text(piece.file)} cannot be read: {error}") from error
    finally:
        if archive is not None:
            archive[1].close()


def picture_digests(pieces: Iterable[Piece], excluded: Iterable[Piece] = ()) -> frozenset[str]:
    """Return the digests of pieces but for those that are excluded.

    Raises:
        MienError: a file cannot be read.
    """
    unwanted = {digest for _, digest in digests(excluded)}
    return frozenset(digest for _, digest in digests(pieces)) - unwanted


def _digest(piece: Piece, archive: zipfile.ZipFile | None) -> str:
    hashed = hashlib.blake2b(digest_size=8)
    opened = archive.open(piece.member) if piece.member and archive else piece.file.open("rb")
    with opened as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()
