"""Finding a data set's own files in a tree, wherever a person has put its folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree

__all__ = ["ending_in", "listed", "require"]


def ending_in(tree: Tree, ending: str) -> str | None:
    """Return the path of the one file that is called so, in whatever folder; None without one.

    Args:
        tree: a data set.
        ending: a file's name, or the end of its path.

    Raises:
        MienError: there are several.
    """
    found = [name for name in tree.names if name == ending or name.endswith(f"/{ending}")]
    if len(found) > 1:
        raise MienError(f"{tree} has {found[0]} and {found[1]}: leave one of them there")
    return found[0] if found else None


def require(tree: Tree, names: Sequence[str], *, protocol: str, advice: str) -> None:
    """Refuse a data set of which images are missing.

    Args:
        tree: a data set.
        names: paths that must be there.
        protocol: name of the protocol, for the message.
        advice: what to do, for the message.

    Raises:
        MienError: with the number of missing files and the first of them.
    """
    there = set(tree.names)
    missing = [name for name in names if name not in there]
    if missing:
        raise MienError(
            f"{protocol}: {len(missing)} of {len(names)} images are missing below {tree}, "
            f"first {missing[0]}; {advice}"
        )


def listed(tree: Tree, ending: str, names: Sequence[str]) -> tuple[NDArray[np.int64], int] | None:
    """Return the rows of images that a list names, and how many of its lines name none.

    The lists of Wang et al. (2020) have lines as `3/fer0032259.jpg`, class and image: only the
    image's name without its ending is looked at.

    Args:
        tree: a data set.
        ending: of the list's path.
        names: of the images.

    Returns:
        None where there is no such list.
    """
    path = ending_in(tree, ending)
    if path is None:
        return None
    wanted = {PurePosixPath(line.split()[0]).stem for line in _lines(tree.read_text(path))}
    stems = [PurePosixPath(name).stem for name in names]
    rows = np.flatnonzero([stem in wanted for stem in stems])
    return rows, len(wanted - set(stems))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
