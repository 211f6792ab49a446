"""InsightFace's .bin files: 112 px images, aligned, two by two, and whether each two are one.

Such a file is a pickle of (list of JPEG files, list of booleans), of bytes or of arrays of NumPy.
It is read by mien.evaluate.datasets.inert, which runs nothing that a file asks for.

Where the face is, by 375 faces in LFW: YuNet's landmarks brought to the template that the images
are aligned to (eyes at (38.3, 51.7) and (73.5, 51.5), mouth at 92.3 of 112) by the best similarity
take our crop's centre to (57.0, 63.7) and its side to 99.5, medians; quartile distances 5.6, 3.9
and 3.9. The template is symmetric about 56 and so is the square here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.inert import read_inert
from mien.evaluate.datasets.pairs import FOLDS, Pairs, folds_by_order
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.tree import image_of, open_tree
from mien.evaluate.protocol import EvalContext, Images
from mien.media.names import to_text

__all__ = ["SIDE", "aligned", "pair_set"]

SIDE = 112
"""Width and height of the images, pixels."""
SQUARE = (56 - 99.5 / 2, 63.7 - 99.5 / 2, 56 + 99.5 / 2, 63.7 + 99.5 / 2)
"""Our crop in them: x1, y1, x2, y2, pixels."""


def read_bin(data: bytes, *, where: str) -> tuple[list[bytes], NDArray[np.bool_]]:
    """Return the JPEG files of a .bin, two for each pair, and whether each pair is one person.

    Args:
        data: the file's bytes.
        where: the file, for errors.

    Returns:
        [2 P] and [P].

    Raises:
        MienError: it is no such file, or would have to be unpickled.
    """
    try:
        whole = read_inert(data)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise MienError(
            f"{where} is not InsightFace's (list of JPEG bytes, list of booleans) and is never "
            f"unpickled ({reason[:80]}); give the original file"
        ) from error
    if not isinstance(whole, list | tuple) or len(whole) != 2:
        raise MienError(f"{where} does not hold two lists, of images and of labels")
    files, labels = (_listed(part) for part in whole)
    files = [item.tobytes() if _is_file(item) else item for item in files]
    if not (_is_list(files, bytes) and _is_list(labels, int) and set(labels) <= {0, 1}):
        raise MienError(f"{where} does not hold a list of bytes and one of booleans")
    if len(files) != 2 * len(labels):
        raise MienError(f"{where} holds {len(files)} images for {len(labels)} pairs; copy again")
    return list(files), np.array(labels, dtype=bool)


def aligned(names: Sequence[str], read: Callable[[int], NDArray[np.uint8]]) -> Images:
    """Return images that are aligned as those of .bin files.

    Args:
        names: of N images.
        read: as in `Images`; one that is not 112 x 112 is refused when it is read.
    """

    def checked(number: int) -> NDArray[np.uint8]:
        image = read(number)
        if image.shape[:2] != (SIDE, SIDE):
            raise MienError(
                f"{names[number]} is {image.shape[1]} x {image.shape[0]}; aligned images "
                f"are {SIDE} x {SIDE}"
            )
        return image

    boxes = np.tile(np.array(SQUARE), (len(names), 1))
    return Images(tuple(names), checked, crop="box", boxes=boxes)


def pair_set(
    name: str,
    *,
    title: str,
    layout: str,
    source: str,
    packed: str,
    lists: Sequence[str],
    read: Callable[[Path], Pairs],
    matches: Callable[[Path], bool] | None = None,
) -> DataSet[Pairs]:
    """Return a set of pairs that may stand there as one .bin in place of its own files.

    Args:
        name: of the protocol.
        title: what is measured.
        layout: of its own files.
        source: where a person obtains them.
        packed: name of the .bin.
        lists: paths; where one is there the set's own files are, and are read.
        read: reads them.
        matches: whether they are there; if not given, whether one of `lists` is.
    """

    def known(path: Path) -> bool:
        own = matches(path) if matches else any(holds(path, place) for place in lists)
        return own or _bin_in(path, packed) is not None

    def read_either(path: Path, _: EvalContext) -> Pairs:
        place = path if path.is_file() and path.suffix == ".bin" else None
        if place is None and path.is_dir() and not any(holds(path, name) for name in lists):
            place = _bin_in(path, packed)
        return read(path) if place is None else read_pairs(place, protocol=name)

    form = f"{layout}\nor DATA/{packed} (InsightFace's aligned {SIDE} px images)"
    return DataSet(title=title, layout=form, source=source, matches=known, read=read_either)


def _bin_in(path: Path, name: str) -> Path | None:
    """Return the .bin of this name: what is given, or in it; never raises."""
    try:
        places = (path / name, path) if path.name == name else (path / name,)
        return next((place for place in places if place.is_file()), None)
    except (OSError, ValueError):
        return None


def read_pairs(path: Path, *, protocol: str) -> Pairs:
    """Return the pairs of a .bin file in ten folds; a repeated image is there once.

    Raises:
        MienError: the file cannot be read, or holds too few pairs.
    """
    where = to_text(path)
    files, same = read_bin(open_tree(path.parent).read_bytes(path.name), where=where)
    fold = folds_by_order(same=same, wanted=FOLDS, protocol=protocol)
    number: dict[str, int] = {}
    kept: list[bytes] = []
    rows = []
    for data in files:
        content = hashlib.sha256(data).hexdigest()
        if content not in number:
            number[content] = len(kept)
            kept.append(data)
        rows.append(number[content])
    # Called by their content: the same data have the same name.
    names = [f"{content[:16]}.jpg" for content in number]
    index = np.array(rows, dtype=np.int64)
    return Pairs(
        images=aligned(names, lambda i: image_of(kept[i], f"{where}, image {i}")),
        first=index[::2],
        second=index[1::2],
        same=same,
        fold=fold,
        width=SIDE,
        notes=(f"Aligned images of {path.name}: intervals take pairs as independent",),
    )


def _listed(part: Any) -> list[Any]:
    """Return a list of what a list or an array holds; numbers of NumPy become Python's."""
    if isinstance(part, np.ndarray):
        part = list(part) if part.ndim > 1 or part.dtype == object else part.tolist()
    whole = list(part) if isinstance(part, list | tuple) else []
    return [item.item() if isinstance(item, np.generic) else item for item in whole]


def _is_file(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 1


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)
