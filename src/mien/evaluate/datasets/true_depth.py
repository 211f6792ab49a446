"""True depth of rendered faces: people of `mien synth`, and unsup3d's Basel faces (synface).

Rendered people: beside the images of a folder of `mien synth`, truth.zip holds depth z in
centimetres before its own camera, whose field of view differs from image to image. It is brought
before the model's camera, which sees the same square at distance 1: with the head's centre at z0,
focal length f and S pixels a side, the square is w = (S - 1) z0 / f wide there, and

    z = 1 + (z_cm - z0) 2 tan(fov / 2) / w

so that depth is measured in widths of the image; what an image cannot tell, how near the camera
was, does not count. The face is what lies inside an ellipse about the middle of the crop and on the
head: no ears, no hair, no neck.

Synface (Wu et al., 2020): synface/test/image/000008_image_1_1.png has its depth in
synface/test/depth/000008_depth_1_1.png: the same name with "depth" for "image". Both are cut to the
middle 170 pixels, as the authors' settings say, and depth is as theirs: with v the grey value in
[0, 1],

    z = 1.1 - 0.2 v        nearer is brighter, 0 is nothing

before a camera that sees 10 degrees, which are this model's range and camera by default. Trained on
that set theirs reach SIDE 0.793 and MAD 16.51 (their table 2); ours never saw it.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.sets import DataSet, ShapeSet
from mien.evaluate.datasets.synthetic import LABELS_FILE, Clips, inner_face, read_clips
from mien.evaluate.datasets.tree import MAX_IMAGE, Tree, open_tree
from mien.evaluate.protocol import EvalContext, checksum

__all__ = ["RENDERED_SHAPE", "SYNFACE"]

BASES = ("test", "synface/test", "synface", "")
IMAGE = re.compile(r".*\.(?:png|jpg|jpeg)", re.I)
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float64])

MAX_SIDE = 8192
"""Larger images of depth are refused. Pixels."""
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
TRUTH = "truth.zip"
UNITS_PER_CM = 100
"""Depth of rendered people is stored in whole hundredths of a centimetre."""


def read_true_shape(path: Path, *, size: int, fov_deg: float) -> ShapeSet:
    """Read the depth of all images, at the size and before the camera of a model.

    Args:
        path: a folder of `mien synth`, or a zip of one.
        size: side of the depth maps, pixels.
        fov_deg: field of view of the model's camera.

    Raises:
        MienError: it is no such folder, or an image's truth is missing or damaged.
    """
    clips = read_clips(path, "rendered-shape")
    names = tuple(str(name) for name in clips.table["path"])
    missing = [name for name in ("focal_px", "translation_z") if name not in clips.table]
    if missing:
        raise MienError(
            f"rendered-shape: {clips.tree}/{LABELS_FILE} has no {', '.join(missing)}; render the "
            "folder again"
        )
    depth = np.zeros((len(names), size, size), dtype=np.float32)
    mask = np.zeros(depth.shape, dtype=bool)
    for row, z, inside in _true_depths(clips, names):
        scaled = before_model(
            z,
            centre=float(clips.column("translation_z")[row]),
            focal=float(clips.column("focal_px")[row]),
            fov_deg=fov_deg,
        )
        depth[row], head = reduced(scaled, inside, size)
        mask[row] = head & inner_face(size)
    return ShapeSet(
        names=names,
        read=clips.images().read,
        depth=depth,
        mask=mask,
        group=clips.person,
        yaw=clips.column("yaw_rad"),
        data=clips.checksum,
        notes=("the face inside an ellipse, before the model's camera",),
    )


def before_model(
    depth: NDArray[np.floating], *, centre: float, focal: float, fov_deg: float
) -> NDArray[np.float64]:
    """Return depth before the model's camera, the head's centre 1 away. [H, W].

    Args:
        depth: z in any unit. [H, W].
        centre: z of the head's centre, same unit.
        focal: focal length of the camera that saw it, pixels.
        fov_deg: field of view of the model's camera, degrees.
    """
    width = (depth.shape[1] - 1) * centre / focal
    scale = 2 * math.tan(math.radians(fov_deg) / 2) / width
    return 1 + (np.asarray(depth, dtype=np.float64) - centre) * scale


def read_synface(path: Path, *, size: int) -> ShapeSet:
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
    return ShapeSet(
        names=names,
        read=lambda row: _middle(tree.image(names[row])),
        depth=depth[kept],
        mask=mask[kept],
        group=np.arange(len(kept)),
        yaw=None,
        data=checksum(names),
        notes=(
            f"{unmatched} images without depth and {len(pairs) - len(kept)} that cannot be read "
            "are left out",
        ),
    )


def reduced(
    depth: NDArray[np.floating], mask: NDArray[np.bool_], size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a depth map and its mask at another size, without mixing surface and background.

    Args:
        depth: [H, W].
        mask: where there is a surface. [H, W].
        size: side of the result, pixels.

    Returns:
        Depth [size, size], 0 where the mask is not; a pixel is in the mask where all that it is
        made of is.
    """

    def resized(values: NDArray[np.floating]) -> NDArray[np.float64]:
        image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float64)

    cover = resized(mask.astype(np.float32))
    # About its own middle: float32 has few digits for hundredths of a millimetre at a metre.
    middle = float(depth[mask].mean()) if mask.any() else 0.0
    mean = resized(np.where(mask, depth - middle, 0.0)) / cover.clip(1e-6)
    inside = cover > 0.99
    return np.where(inside, mean + middle, 0.0), inside


def _true_depths(clips: Clips, names: tuple[str, ...]) -> Any:
    """Yield row, depth in cm [H, W] and the head's mask [H, W]; each archive is opened once."""
    folders: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        folders.setdefault(name.rpartition("/")[0], []).append(row)
    for folder, rows in folders.items():
        file = f"{folder}/{TRUTH}" if folder else TRUTH
        try:
            with zipfile.ZipFile(io.BytesIO(clips.tree.read_bytes(file))) as archive:
                for row in rows:
                    stem = Path(names[row]).stem
                    units = _image(archive, f"{stem}_depth.png").astype(np.float64)
                    head = (_image(archive, f"{stem}_mask.png") > 0) & (units > 0)
                    yield row, units / UNITS_PER_CM, head
        except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
            raise MienError(
                f"rendered-shape: {clips.tree}/{file} is damaged; render the folder again"
            ) from error


def _image(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    if archive.getinfo(name).file_size > MAX_IMAGE:
        raise ValueError(f"{name} is larger than {MAX_IMAGE >> 20} MiB")
    with Image.open(io.BytesIO(archive.read(name))) as image:
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{name} is larger than {MAX_SIDE} pixels")
        return np.asarray(image)


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
    data = tree.read_bytes(name, most=MAX_IMAGE)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if max(image.size) > MAX_SIDE:
                raise ValueError(f"it is larger than {MAX_SIDE} pixels")
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


def _read_rendered(path: Path, context: EvalContext) -> ShapeSet:
    config = context.rendering_model("rendered-shape").config
    return read_true_shape(path, size=config.image_size, fov_deg=config.fov_deg)


RENDERED_SHAPE = DataSet(
    title="Depth and normals of rendered people: SIDE and MAD as Wu et al. (2020)",
    layout=f"a folder of `mien synth`: {LABELS_FILE}, person_000001/frame_000.png, "
    f"person_000001/{TRUTH}",
    source="render it: mien synth",
    matches=lambda path: holds(path, LABELS_FILE, f"person_000001/{TRUTH}"),
    read=_read_rendered,
)
SYNFACE = DataSet(
    title="Depth and normals of unsup3d's rendered Basel faces: SIDE and MAD",
    layout=LAYOUT,
    source=SOURCE,
    matches=lambda path: any(
        holds(path, *(f"{base}/{part}".lstrip("/") for part in ("image", "depth")))
        for base in BASES
    ),
    read=lambda path, context: read_synface(
        path, size=context.rendering_model("synface").config.image_size
    ),
)
