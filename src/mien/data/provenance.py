"""Which images a model was trained on: BLAKE2b of their files, 64 bits, as `b2sum -l 64` has it.

Nobody gets an image back from a hash; who has the image's file can find out whether it was
trained on. A file that was cut or stored anew has another hash.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from mien.data.sources import ZIP_FAULTS, Piece, open_member
from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["hashes", "image_hashes"]

_BLOCK = 1 << 20


def hashes(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, str]]:
    """Yield each piece with 16 hex digits of its file, or of its member in a zip.

    Raises:
        MienError: a file cannot be read.
    """
    with ExitStack() as opened:
        archives: dict[Path, zipfile.ZipFile] = {}
        for piece in pieces:
            try:
                if piece.member and piece.file not in archives:
                    archives[piece.file] = opened.enter_context(zipfile.ZipFile(piece.file))
                found = _hash(piece, archives.get(piece.file))
            except (*ZIP_FAULTS, MienError) as error:
                raise MienError(f"{to_text(piece.file)} cannot be read: {error}") from error
            yield piece, found


def image_hashes(pieces: Iterable[Piece], excluded: Iterable[Piece] = ()) -> frozenset[str]:
    """Return the hashes of pieces but for those that are excluded.

    Raises:
        MienError: a file cannot be read.
    """
    unwanted = {hashed for _, hashed in hashes(excluded)}
    return frozenset(hashed for _, hashed in hashes(pieces)) - unwanted


def _hash(piece: Piece, archive: zipfile.ZipFile | None) -> str:
    hashed = hashlib.blake2b(digest_size=8)
    if archive is not None and piece.member:
        opened = open_member(archive, piece.member)
    else:
        opened = piece.file.open("rb")
    with opened as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()
