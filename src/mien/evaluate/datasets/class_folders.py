"""Images in folders that are named after their class, inside folders named after their part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.tree import IMAGES, Tree, open_tree
from mien.evaluate.protocol import Images

__all__ = ["ClassFolders", "class_place", "read_class_folders"]

SYNONYMS = (
    ("angry", "anger"),
    ("disgust", "disgusted", "disgusting"),
    ("fear", "fearful", "afraid", "scared"),
    ("happy", "happiness", "joy"),
    ("sad", "sadness"),
    ("surprise", "surprised"),
    ("neutral", "neutrality"),
    ("contempt", "contemptuous"),
)
"""What one class is called in several copies of a data set."""
_NUMBER = re.compile(r"\d+[\s_.-]+")
_LISTED = 6


@dataclass(frozen=True)
class ClassFolders:
    """The images of a data set, with their classes and parts."""

    images: Images
    labels: NDArray[np.int64]
    """Places in the classes. [N]."""
    part: NDArray[np.str_]
    """[N]."""
    unused: Mapping[str, int]
    """Folder => number of images in it that are of no class or part."""


def class_place(folder: str, classes: Sequence[str], *, numbered: bool = False) -> int | None:
    """Return the place of the class that a folder is named after; None where it is none.

    Args:
        folder: its name: the class's or a synonym, in any case, a number and "_" before it.
        classes: the data set's names of them.
        numbered: whether 1 stands for the first class, and so on.
    """
    name = _NUMBER.sub("", folder.strip().lower(), count=1)
    if numbered and name.isdecimal() and 0 < int(name) <= len(classes):
        return int(name) - 1
    alike = next((group for group in SYNONYMS if name in group), (name,))
    return next((k for k, known in enumerate(classes) if known in alike), None)


def read_class_folders(
    path: Path,
    *,
    protocol: str,
    parts: Mapping[str, str],
    classes: Sequence[str],
    numbered: bool = False,
) -> ClassFolders | None:
    """Find the images below PART/CLASS/ at any depth, or in PART.zip; None where there are none.

    Args:
        path: folder or zip.
        protocol: named in errors.
        parts: name of a folder, in lower case => part.
        classes: the data set's names of them.
        numbered: as in `class_place`.

    Raises:
        MienError: a class is missing in a part, while folders are there that are not understood;
            or two images have one name.
    """
    files: list[tuple[int, str, Callable[[], NDArray[np.uint8]], int, str]] = []
    unused: Counter[str] = Counter()
    for tree, start in _trees(path, parts):
        for name in tree.names:
            *above, folder, file = ["", *f"{start}{name}".split("/")][-20:]
            if not file.lower().endswith(IMAGES):
                continue
            place = class_place(folder, classes, numbered=numbered)
            known = next((one for one in above if one.lower() in parts), None)
            if place is None or known is None:
                unused[f"{start}{name}".rpartition("/")[0] or "."] += 1
                continue
            order = list(parts).index(known.lower())
            called = f"{known}/{folder}/{file}"
            files.append((order, called, partial(tree.image, name), place, parts[known.lower()]))
    if not files:
        return None
    files.sort(key=lambda found: found[0])
    names = tuple(called for _, called, *_ in files)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise MienError(f"{protocol}: {path} holds two images {twice[0]}; leave one of them there")
    reads = [read for _, _, read, *_ in files]
    found = ClassFolders(
        Images(names, lambda row: reads[row](), crop="face"),
        np.array([place for *_, place, _ in files], dtype=np.int64),
        np.array([part for *_, part in files]),
        dict(unused),
    )
    _refuse_missing(found, path, protocol, classes)
    return found


def _trees(path: Path, parts: Mapping[str, str]) -> list[tuple[Tree, str]]:
    trees = [(open_tree(path), "")]
    if path.is_dir():
        zips = [(path / f"{part}.zip", f"{part}/") for part in parts]
        trees += [(open_tree(file), start) for file, start in zips if file.is_file()]
    return trees


def _refuse_missing(found: ClassFolders, path: Path, protocol: str, classes: Sequence[str]) -> None:
    """Refuse a part without images of a class where that may be in a folder of another name."""
    for part in np.unique(found.part):
        there = np.unique(found.labels[found.part == part])
        lacking = [name for place, name in enumerate(classes) if place not in there]
        if lacking and found.unused:
            others = ", ".join(sorted(found.unused)[:_LISTED])
            raise MienError(
                f"{protocol}: the part {part} of {path} has no image of {', '.join(lacking)}, and "
                f"these folders are not understood: {others}; name them as the classes"
            )
