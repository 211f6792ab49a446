"""Shape on a folder of images and depth maps, as unsup3d's rendered Basel faces (synface).

synface/test/image/000008_image_1_1.png has its depth in synface/test/depth/000008_depth_1_1.png:
the same name with "depth" for "image". Both are cut to the middle 170 pixels, as the authors'
settings say, and depth is as theirs: with v the grey value in [0, 1],

    z = 1.1 - 0.2 v        nearer is brighter, 0 is nothing

before a camera that sees 10 degrees, which are this model's range and camera by default. Trained on
that set theirs reach SIDE 0.793 and MAD 16.51 (Wu et al., 2020, table 2); ours never saw it.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, holds, open_tree
from mien.evaluate.digest import data_digest
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.depth_metrics import reduced
from mien.evaluate.tasks.rendered_depth import draw_depth
from mien.evaluate.tasks.shape import TrueShape, score_shape

__all__ = ["SYNFACE", "read_synface"]

BASES = ("test", "synface/test", "synface", "")
IMAGE = re.compile(r".*\.(?:png|jpg|jpeg)", re.I)
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float64])

MIDDLE = 170
"""Side of the square that is cut out of larger images. Pixels."""
FAR, SPAN = 1.1, 0.2
SOURCE = (
    "S. Wu, C. Rupprecht, A. Vedaldi, Visual Geometry Group, Oxford: synface.zip of unsup3d "
    "(made of the Basel Face Model)"
)
LAYOUT = (
    "test/image/000008_image_1_1.png and test/depth/000008_depth_1_1.png, ...; or a folder with "
    "image/ and depth/"
)


def read_synface(path: Path, *, size: int) -> TrueShape:
    """Read the depth of the test part, at the size of a model.

    Args:
        path: a folder or zip.
        size: side of the depth maps, pixels.

    Raises:
        MienError: the folders are not there, or no image has a depth map.
    """
    tree = _root(path)
    pairs, unmatched = _pairs(tree)
    depth = np.zeros((len(pairs), size, size), dtype=np.float32)
    mask = np.zeros(depth.shape, dtype=bool)
    sound = np.ones(len(pairs), dtype=bool)
    for row, (image, label) in enumerate(pairs):
        try:
            tree.image(image)
            grey = _middle(_grey(tree, label))
        except MienError:
            sound[row] = False  # a few of the set's files are broken; they are counted
            continue
        depth[row], mask[row] = reduced(FAR - SPAN * grey, grey > 0, size)
    kept = np.flatnonzero(sound)
    if not len(kept):
        raise MienError(f"synface: no image below {tree} can be read; copy the data set again")
    names = tuple(pairs[int(row)][0] for row in kept)
    return TrueShape(
        names=names,
        read=lambda row: _middle(tree.image(names[row])),
        depth=depth[kept],
        mask=mask[kept],
        group=np.arange(len(kept)),
        yaw=None,
        data=data_digest(names),
        notes=(
            f"{unmatched} images without depth and {len(pairs) - len(kept)} that cannot be read "
            "are left out",
        ),
    )


def _root(path: Path) -> Tree:
    tree = open_tree(path)
    for base in BASES:
        if holds(path, *(f"{base}/{part}".lstrip("/") for part in ("image", "depth"))):
            return tree.under(base)
    raise MienError(f"synface: {tree}/test/image is missing; synface wants {LAYOUT}; from {SOURCE}")


def _pairs(tree: Tree) -> tuple[list[tuple[str, str]], int]:
    """Return image and depth of each pair, and how many images have no depth."""
    known = set(tree.under("depth").names)
    pairs, unmatched = [], 0
    for name in tree.under("image").names:
        if not IMAGE.fullmatch(name):
            continue
        folder, _, file = name.rpartition("/")
        below = f"{folder}/" if folder else ""
        labels = [below + file.replace("image", "depth"), name]
        label = next((each for each in labels if each in known), None)
        if label is None:
            unmatched += 1
        else:
            pairs.append((f"image/{name}", f"depth/{label}"))
    if not pairs:
        raise MienError(
            f"synface: no image of {tree}/image has its depth in {tree}/depth; names are alike "
            'but for "image" and "depth"'
        )
    return pairs, unmatched


def _grey(tree: Tree, name: str) -> NDArray[np.float64]:
    """Return a depth image as [0, 1], nothing 0. [H, W]."""
    data = tree.read_bytes(name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            deep = image.mode.startswith("I")
            pixels = np.asarray(image if deep else image.convert("L"), dtype=np.float64)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MienError(f"{tree}/{name} is not an image that can be read") from error
    return pixels / (65535 if deep else 255)


def _middle(pixels: Pixels) -> Pixels:
    """Return the middle square of at most `MIDDLE` pixels. [S, S] or [S, S, 3]."""
    height, width = pixels.shape[:2]
    side = min(height, width, MIDDLE)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return pixels[top : top + side, left : left + side]


def _run(path: Path, context: EvalContext) -> Result:
    model = context.drawing_model("synface")
    truth = read_synface(path, size=model.config.image_size)
    drawn = draw_depth(model, len(truth), truth.read, say=context.say)
    return score_shape(truth, drawn, model.config.fov_deg, context)


SYNFACE = Protocol(
    name="synface",
    factor="shape",
    title="Depth and normals of unsup3d's rendered Basel faces: SIDE and MAD",
    layout=LAYOUT,
    source=SOURCE,
    matches=lambda path: any(
        holds(path, *(f"{base}/{part}".lstrip("/") for part in ("image", "depth")))
        for base in BASES
    ),
    run=_run,
    draws=True,
)
