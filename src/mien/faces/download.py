"""YuNet's file => the cache folder: fetched once from its pinned address, or copied."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mien.errors import MienError
from mien.faces.yunet import YUNET_SHA256, YUNET_SOURCE, yunet_place
from mien.media.atomic import replacing
from mien.media.bounded import read_bytes

__all__ = ["download_yunet"]

_MOST_BYTES = 4 * 2**20
_PATIENCE_S = 30


def download_yunet(source: str | Path | None = None) -> tuple[Path, bool]:
    """Put YuNet's file where `find_yunet` finds it.

    Args:
        source: a copy of the file, for machines without network; otherwise it is fetched, which
            `MIEN_OFFLINE` (any value but 0) forbids.

    Returns:
        Where it is, and whether it had to be written: a good file that is there is left alone.

    Raises:
        MienError: there is no network, it is forbidden, the file is another one, or the cache
            folder cannot be written.
    """
    place = yunet_place()
    if source is None and place.is_file() and _is_it(place.read_bytes()):
        return place, False
    model = _fetched() if source is None else read_bytes(source, limit=_MOST_BYTES)
    if not _is_it(model):
        found = hashlib.sha256(model).hexdigest()
        raise MienError(
            f"{source or YUNET_SOURCE} is not the YuNet file that is known: its SHA-256 is "
            f"{found}, not {YUNET_SHA256}; nothing is written"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(
            f"cannot make the cache folder {place.parent}: {error.strerror}; name another in "
            "MIEN_CACHE"
        ) from error
    with replacing(place, overwrite=True) as unfinished:
        unfinished.write_bytes(model)
    return place, True


def _is_it(model: bytes) -> bool:
    return hashlib.sha256(model).hexdigest() == YUNET_SHA256


def _fetched() -> bytes:
    if os.environ.get("MIEN_OFFLINE", "0") not in ("", "0"):
        raise MienError(
            "MIEN_OFFLINE forbids to fetch YuNet; copy its file here by other means and say "
            "mien download yunet --from FILE"
        )
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(YUNET_SOURCE, timeout=_PATIENCE_S) as answer:
            return answer.read(_MOST_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None) or error
        raise MienError(
            f"cannot fetch {YUNET_SOURCE}: {cause}; on a machine without network fetch it "
            "elsewhere and say mien download yunet --from FILE"
        ) from error
