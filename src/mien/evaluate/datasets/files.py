"""Finding what a data set must have, and reading numbers out of its files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.matlab import read_variables
from mien.evaluate.datasets.tree import MAX_IMAGE, Tree, open_tree, reason_of

__all__ = [
    "MAX_NUMBER",
    "check_rotation",
    "data_places",
    "ending_in",
    "first_name",
    "found_below",
    "holds",
    "listed",
    "numbers",
    "read_matlab",
    "require",
    "root_of",
]

MAX_NUMBER = 1e12
"""No number of a label is larger."""
_MAX_ENTRIES, _MAX_FOLDERS = 200, 3


def holds(path: str | Path, *names: str) -> bool:
    """Return whether a folder or zip has all these files or folders; never raises."""
    try:
        tree = open_tree(path)
        if Path(path).is_dir():
            return all((Path(path) / name).exists() for name in names)
        return all(tree.has(name) or bool(tree.under(name).names) for name in names)
    except (MienError, OSError, ValueError):
        return False


def data_places(root: Path) -> Iterator[Path]:
    """Yield where data sets may be: sub-folders, their zips, and zips; never raises.

    Args:
        root: holds data sets.
    """
    for place in _folders_and_zips(root):
        yield place
        if place.is_dir():
            yield from (inner for inner in _folders_and_zips(place) if not inner.is_dir())


def _folders_and_zips(folder: Path) -> list[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # a folder that may not be read is no data set
        return []
    return [path for path in inside if path.is_dir() or path.suffix.lower() == ".zip"]


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
    lines = tree.read_text(path).splitlines()
    wanted = {PurePosixPath(line.split()[0]).stem for line in lines if line.strip()}
    stems = [PurePosixPath(name).stem for name in names]
    rows = np.flatnonzero([stem in wanted for stem in stems])
    return rows, len(wanted - set(stems))


def root_of(path: Path, *, marker: str, bases: tuple[str, ...], advice: str) -> Tree:
    """Return the tree below which `marker` stands: what is given, or one of its folders.

    Args:
        path: a folder or a zip.
        marker: a file or folder that identifies the data set, as "p00/p00.txt".
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


def numbers(tree: Tree, name: str, words: list[str], line: int) -> NDArray[np.float64]:
    """Return words of a line of a text file as numbers.

    Raises:
        MienError: one is no number, or not finite.
    """
    try:
        found = np.array([float(word) for word in words], dtype=np.float64)
    except ValueError as error:
        raise tree.error(name, f", line {line}: {error}") from error
    if not (np.abs(found) <= MAX_NUMBER).all():
        raise tree.error(name, f", line {line} holds NaN, or a number beyond {MAX_NUMBER:g}")
    return found


def check_rotation(tree: Tree, name: str, matrix: NDArray[np.floating]) -> None:
    """Refuse a matrix [3, 3] of a file that is no rotation. MienError: it is none."""
    near = np.abs(matrix).max() <= 2 and np.abs(matrix @ matrix.T - np.eye(3)).max() <= 0.01
    if not near or np.linalg.det(matrix) < 0:
        raise tree.error(name, " holds no rotation")


def read_matlab(
    tree: Tree, name: str, *fields: str, texts: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Return variables of a Matlab file (before version 7.3).

    Args:
        tree: a data set.
        name: path of the file.
        fields: variables of numbers, as float64.
        texts: variables of texts.

    Raises:
        MienError: the file is missing or damaged, or a variable is missing, too large, or holds
            something else than numbers.
    """
    data = tree.read_bytes(name, most=MAX_IMAGE)
    try:
        found = read_variables(data, frozenset((*fields, *texts)), most=MAX_IMAGE)
    except ValueError as error:
        raise MienError(
            f"{tree}/{name} cannot be read as a Matlab file: {reason_of(error)}"
        ) from error
    for field in (*fields, *texts):
        if field not in found:
            raise tree.error(name, f" holds no {field}")
    if any(not isinstance(found[field], np.ndarray) for field in fields):
        raise tree.error(name, " holds something else where numbers are due")
    return {field: np.asarray(value) for field, value in found.items()}


def _first_in(root: Path, folder: Path, pattern: re.Pattern[str], depth: int) -> str | None:
    entries = sorted(itertools.islice(folder.iterdir(), _MAX_ENTRIES))
    for entry in entries:
        if pattern.fullmatch(entry.name) and entry.is_file():
            return entry.relative_to(root).as_posix()
    if depth > 0:
        for below in [entry for entry in entries if entry.is_dir()][:_MAX_FOLDERS]:
            found = _first_in(root, below, pattern, depth - 1)
            if found is not None:
                return found
    return None
