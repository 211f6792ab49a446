"""Where a data set begins inside what a user gives, and what its Matlab files hold."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, holds, open_tree

__all__ = ["first_name", "found_below", "numbers", "read_matlab", "root_of"]

_MOST_ENTRIES, _MOST_FOLDERS = 200, 3


def root_of(path: Path, *, marker: str, bases: tuple[str, ...], advice: str) -> Tree:
    """Return the tree below which `marker` stands: what is given, or one of its folders.

    Args:
        path: a folder or a zip.
        marker: a file or folder that tells the data set, as "p00/p00.txt".
        bases: folders that it may be in, without "".
        advice: what to do if there is none; ends the message.

    Raises:
        MienError: there is no such thing.
    """
    tree = open_tree(path)
    for base in ("", *bases):
        if holds(path, f"{base}/{marker}" if base else marker):
            return tree.under(base)
    raise MienError(f"{tree}: {marker} is missing; {advice}")


def found_below(path: Path, marker: str, bases: tuple[str, ...]) -> bool:
    """Return whether `root_of` finds the marker; never raises."""
    return any(holds(path, f"{base}/{marker}" if base else marker) for base in ("", *bases))


def first_name(path: Path, pattern: re.Pattern[str], *, depth: int = 3) -> str | None:
    """Return a file whose name fits, without listing all of a large folder; never raises.

    Args:
        path: a folder, of whose levels only the first entries are looked at, or a zip.
        pattern: of the whole last part of a path.
        depth: levels of folders that are looked at.

    Returns:
        Its path below `path` with `/`; None where none is seen.
    """
    try:
        if not path.is_dir():
            names = open_tree(path).names
            return next((n for n in names if pattern.fullmatch(n.rsplit("/", 1)[-1])), None)
        return _first_in(path, path, pattern, depth)
    except (MienError, OSError):
        return None


def _first_in(root: Path, folder: Path, pattern: re.Pattern[str], depth: int) -> str | None:
    entries = sorted(itertools.islice(folder.iterdir(), _MOST_ENTRIES))
    for entry in entries:
        if pattern.fullmatch(entry.name) and entry.is_file():
            return entry.relative_to(root).as_posix()
    if depth > 0:
        for below in [entry for entry in entries if entry.is_dir()][:_MOST_FOLDERS]:
            found = _first_in(root, below, pattern, depth - 1)
            if found is not None:
                return found
    return None


def numbers(tree: Tree, name: str, words: list[str], line: int) -> NDArray[np.float64]:
    """Return words of a line of a text file as numbers.

    Raises:
        MienError: one is no number, or not finite.
    """
    try:
        found = np.array([float(word) for word in words], dtype=np.float64)
    except ValueError as error:
        raise MienError(f"{tree}/{name}, line {line}: {error}; copy the data set again") from error
    if not np.isfinite(found).all():
        raise MienError(f"{tree}/{name}, line {line} holds NaN; copy the data set again")
    return found


def read_matlab(tree: Tree, name: str, *fields: str) -> dict[str, NDArray[np.generic]]:
    """Return variables of a Matlab file (before version 7.3).

    Raises:
        MienError: the file is missing or damaged, or a variable is missing.
    """
    from scipy.io import loadmat

    data = tree.read_bytes(name)
    try:
        found = loadmat(io.BytesIO(data), variable_names=list(fields))
    except Exception as error:  # SciPy raises many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MienError(f"{tree}/{name} cannot be read as a Matlab file: {reason}") from error
    for field in fields:
        if field not in found:
            raise MienError(f"{tree}/{name} holds no {field}; copy the data set again")
    return {field: np.asarray(found[field]) for field in fields}
