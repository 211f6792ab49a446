"""Bearer tokens: read from a file that only its owner may read, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import MienError
from mien.media.bounded import MIB, read_text
from mien.media.names import to_text

__all__ = ["LOCAL", "Tokens"]

LOCAL = "local"
"""Name of whoever asks where there are no tokens."""
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})[ \t]+([A-Za-z0-9_-]{32,256})")


@dataclass(frozen=True)
class Tokens:
    """Names and the SHA-256 of their tokens; none: everybody on this machine may ask."""

    hashes: dict[str, bytes] = field(default_factory=dict, repr=False)

    @staticmethod
    def read(path: Path | None) -> Tokens:
        """Read lines NAME TOKEN; empty lines and those that begin with # are passed over.

        Raises:
            MienError: the file cannot be read, others than its owner may read or write it, or a
                line is no name and token of 32 or more letters, digits, - and _.
        """
        if path is None:
            return Tokens()
        shown = to_text(path)
        text = read_text(path, limit=MIB)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise MienError(f"{shown} can be read by others; run: chmod 600 {shown}")
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None or found[1] in hashes:
                raise MienError(
                    f"{shown}, line {number}: give a name of its own and a token of 32 or more "
                    "letters, digits, - and _"
                )
            hashes[found[1]] = hashlib.sha256(found[2].encode()).digest()
        if not hashes:
            raise MienError(f"{shown} holds no token; give lines NAME TOKEN")
        return Tokens(hashes)

    @staticmethod
    def of(name: str, token: str) -> Tokens:
        """Return one token under a name."""
        return Tokens({name: hashlib.sha256(token.encode()).digest()})

    def name_of(self, token: str | None) -> str | None:
        """Return whose token it is; None: nobody's. Takes as long for any token."""
        if not self.hashes:
            return LOCAL
        given = hashlib.sha256((token or "").encode("utf-8", "surrogateescape")).digest()
        found = None
        for name, known in self.hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found
