"""Files beside weights that hold what was measured for them, and are of no use for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mien import weights
from mien.errors import MienError
from mien.media.bounded import MIB, read_json
from mien.media.names import to_text

__all__ = ["Measured", "read_measured"]


class Measured(Protocol):
    """What such a file holds."""

    @property
    def weights_id(self) -> str:
        """Of the weights that it was measured for."""
        ...


_Found = TypeVar("_Found", bound=Measured)


def read_measured(
    path: Path, where: str | Path, form: str, build: Callable[[dict[str, Any]], _Found]
) -> _Found:
    """Read a file of JSON that was measured for weights.

    Args:
        path: of the file.
        where: the weights.
        form: what its entry `format` must say.
        build: makes of its content what is returned; may raise AttributeError, KeyError, TypeError
            or ValueError.

    Raises:
        MienError: it was measured for other weights, or the file is damaged.
    """
    content = read_json(path, limit=MIB)
    try:
        if content["format"] != form:
            raise ValueError(f"its format is {str(content['format'])[:40]!r}, not {form!r}")
        found = build(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise MienError(f"{to_text(path)} is damaged: {reason}; fetch it again") from error
    if found.weights_id != (found_id := weights.weights_id(where)):
        raise MienError(
            f"{to_text(path)} was measured for weights {found.weights_id}, not {found_id}"
        )
    return found
