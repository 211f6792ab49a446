"""Seeds as pure functions of what they are for, so that nothing must be remembered to repeat it."""

from __future__ import annotations

import hashlib

__all__ = ["seed_of"]


def seed_of(*parts: int | str) -> int:
    """Return a seed in [0, 2^63) that depends on every part; other parts, unrelated seed."""
    text = "\0".join(f"{type(part).__name__}{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
