"""Extended Yale B (Georghiades et al., 2001; Lee et al., 2005): faces under 64 single lamps.

yaleB01_P00A+035E+15.pgm is person 1 in pose 0, lit from azimuth 35 and elevation 15 degrees of the
camera's axis. By the readme a positive azimuth is to the right of the subject, which is image-left,
and a positive elevation is above. The images say the same: over the cropped ones with azimuths
up to 90 degrees the brightness of the right half less that of the left correlates with the azimuth
by -0.985, that of the lower half less the upper with the elevation by -0.833. So the direction
to the lamp is, in our frame,

    l = (-cos E sin A, -sin E, -cos E cos A)

The cropped faces (168 x 192, pose 0) end at brow, cheeks and chin, too tight for a detector, and
some are all but black. All are cut alike, so one square serves all: where YuNet's lies in the
median over 319 of them that are lit from within 20 degrees (centre 86.2, 84.5, side 270.7 pixels;
the eyes are at 34.8, 40.8 and 130.9, 42.0). Beyond the image its edge goes on. In images as
they were taken (640 x 480, poses 0 to 8) the face is searched.

Without a lamp of its own the ambient image of each series is left out, and so are those that the
authors marked as bad.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import first_name
from mien.evaluate.datasets.sets import DataSet, LightSet
from mien.evaluate.datasets.tree import Tree, open_one_zip

__all__ = ["YALE_B"]

NAME = re.compile(r"yaleB(\d\d)_P(\d\d)A([+-]\d{3})E([+-]\d\d)\.(?:pgm|jpg|jpeg|png|bmp)", re.I)
CROPPED = (168, 192)
"""Width and height of the cropped images. Pixels."""
SQUARE = (-49.2, -50.9, 221.5, 219.8)
"""x1, y1, x2, y2 in a cropped image, pixels."""
MAX_TRIED = 100
SOURCE = (
    "the Extended Yale Face Database B (A. Georghiades, P. Belhumeur, D. Kriegman, K.-C. Lee); "
    "free for research"
)
LAYOUT = (
    "yaleB01_P00A+000E+00.pgm, ... at any depth, as CroppedYale/yaleB01/ has them; PGM, JPEG or "
    "PNG; cropped, or as they were taken"
)


def read_yale_b(path: Path) -> LightSet:
    """Read the labels, which are the names; images are read when asked for.

    Args:
        path: a folder or zip with the images, or a folder with one such zip.

    Raises:
        MienError: there are no such images, or two of one name.
    """
    tree = open_one_zip(path)
    found = tree.named(NAME)
    if not found:
        raise MienError(
            f"yale-b: {tree} holds no image like yaleB01_P00A+000E+00.pgm; obtain {SOURCE}"
        )
    names = tuple(name for name, _ in found)
    keys = {match.group(1, 2, 3, 4) for _, match in found}
    if len(keys) < len(found):
        raise MienError(
            f"yale-b: {tree} holds images of one name in several folders; give one of them, as "
            "CroppedYale"
        )
    person, pose, azimuth, elevation = (
        np.array([int(match[group]) for _, match in found]) for group in (1, 2, 3, 4)
    )
    height, width = _size(tree, names)
    cropped = height > width
    # Copies of the cropped set are sometimes reduced; the square is reduced with them.
    scale = np.array([width / CROPPED[0], height / CROPPED[1]] * 2)
    boxes = np.tile(np.array(SQUARE) * scale, (len(names), 1))
    bad = sum(name.lower().endswith(".bad") for name in tree.names)
    return LightSet(
        images=tree.images(names, crop="box", boxes=boxes) if cropped else tree.images(names),
        person=person.astype(np.int64),
        direction=dome_direction(azimuth, elevation),
        pose=pose.astype(np.int64),
        notes=(
            f"{len(set(person))} people, {len(set(zip(azimuth, elevation, strict=True)))} lamps, "
            f"{len(set(pose))} poses, {'cropped' if cropped else 'whole'} images; {bad} are "
            "marked as bad and left out",
            *tree.unused(names),
        ),
    )


def _size(tree: Tree, names: Sequence[str]) -> tuple[int, int]:
    """Return height and width of the first image that can be read."""
    for name in names[:MAX_TRIED]:
        try:
            return tree.image(name).shape[:2]
        except MienError:  # it will count as an image without a face
            continue
    raise tree.error(names[0], " and the next images cannot be read")


def dome_direction(
    azimuth_deg: NDArray[np.number], elevation_deg: NDArray[np.number]
) -> NDArray[np.float64]:
    """Return unit vectors to lamps, camera frame (x right, y down, z away). [N, 3].

    Args:
        azimuth_deg: from the camera's axis, + towards image-left, the subject's own right. [N].
        elevation_deg: + up. [N].
    """
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    return np.stack([-np.cos(e) * np.sin(a), -np.sin(e), -np.cos(e) * np.cos(a)], axis=-1)


def _matches(path: Path) -> bool:
    try:
        places = (path, open_one_zip(path).source) if path.is_dir() else (path,)
        return any(first_name(place, NAME) is not None for place in places)
    except (MienError, OSError):
        return False


YALE_B = DataSet(
    title="Direction of light on Extended Yale B, predicted and by maps fitted cross-subject",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    read=lambda path, _: read_yale_b(path),
)
