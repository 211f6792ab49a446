"""How often each token may ask: a bucket that fills steadily and is emptied by requests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mien.serve.errors import ApiError

__all__ = ["RateLimit"]


@dataclass
class RateLimit:
    """One bucket a name."""

    rate: float
    """Requests a second that flow in."""
    burst: int
    """Requests that a full bucket holds."""
    now: Callable[[], float] = time.monotonic
    """A clock that never goes back. Seconds."""
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, name: str) -> None:
        """Take one request out of a bucket.

        Raises:
            ApiError: it is empty; says when to ask again.
        """
        now = self.now()
        level, before = self._levels.get(name, (float(self.burst), now))
        level = min(float(self.burst), level + (now - before) * self.rate)
        if level < 1:
            self._levels[name] = level, now
            wait = max(1, math.ceil((1 - level) / self.rate))
            raise ApiError(
                "rate_limited",
                f"more than {self.rate:g} requests a second; ask again in {wait} s",
                retry_after_s=wait,
            )
        self._levels[name] = level - 1, now
