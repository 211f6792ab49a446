"""Which weights made the codes of a table or an index."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_weights"]


def find_weights(made_by: str, given: str | Path | None) -> str | Path:
    """Return the weights that were given, or those of the package that made some codes.

    Args:
        made_by: the id of the weights that made them.
        given: folder, name or hub id; None: looked for among the package's own; the default ones
            where none of these has the id.
    """
    from mien import weights

    if given is not None:
        return given
    ids = {weights.weights_id(name): name for name in weights.SHIPPED}
    return ids.get(made_by, weights.shipped_folder())
