"""Scenes for the detector's training: faces pasted over backgrounds, in sizes, turns and shapes.

A scene is drawn larger than what the network sees, labelled by a teacher (YuNet) as it is, and only
then turned and cut out: so the teacher's answers hold for heads that lie on their side, and for
faces that the image's edge cuts, of which it knows nothing itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CANVAS", "SceneSource", "draw_scene", "spoil"]

Pixels = NDArray[np.uint8]
CANVAS = 320
"""Side of a scene. Pixels."""
_LEAST, _MOST = 18.0, 520.0
"""Sides of the smallest and the largest image of a face that is pasted. Pixels."""
_KINDS = {"crowd": 0.34, "few": 0.22, "one": 0.16, "tiles": 0.13, "empty": 0.15}
"""Kinds of scenes and how often each is drawn."""


@dataclass(frozen=True)
class SceneSource:
    """What scenes are made of; all may be memory-mapped."""

    faces: NDArray[np.uint8]
    """Square images with one face in the middle. RGB [N, S, S, 3]."""
    real: NDArray[np.float32]
    """x1, y1, x2, y2 of the part of each that is a photograph, 0 to 1. [N, 4]."""
    backgrounds: NDArray[np.uint8]
    """Images without faces. RGB [M, T, T, 3]."""


def draw_scene(source: SceneSource, rng: np.random.Generator) -> Pixels:
    """Return a scene: a crowd, a few faces, one large face, a contact sheet, or no face.

    Args:
        source: faces and backgrounds.
        rng: source of all choices.

    Returns:
        RGB, uint8 [CANVAS, CANVAS, 3].
    """
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    if kind == "tiles":
        return spoil(_tiles(source, rng), rng)
    canvas = _background(source, rng)
    for side in _sides(kind, rng):
        _paste(canvas, source, side, rng)
    for _ in range(rng.integers(0, 4)):
        _cover(canvas, source, rng)
    return spoil(canvas, rng)


def _sides(kind: str, rng: np.random.Generator) -> list[float]:
    """Return the sides of the images to be pasted, the smallest first. Pixels."""
    if kind == "empty":
        return []
    low, high, count = {
        "crowd": (_LEAST, 110.0, rng.integers(6, 22)),
        "few": (50.0, 220.0, rng.integers(2, 6)),
        "one": (150.0, _MOST, 1),
    }[kind]
    return sorted(np.exp(rng.uniform(math.log(low), math.log(high), count)).tolist())


def _background(source: SceneSource, rng: np.random.Generator) -> Pixels:
    """Return a part of a background, a texture, pieces of faces or one colour."""
    choice = rng.random()
    if choice < 0.55:
        image = source.backgrounds[rng.integers(len(source.backgrounds))]
        side = int(rng.uniform(0.35, 1) * image.shape[0])
        x, y = rng.integers(0, image.shape[0] - side + 1, 2)
        out = _resized(image[y : y + side, x : x + side], CANVAS, cv2.INTER_AREA)
        turned = np.rot90(out, int(rng.integers(4)))
        return _recolour(np.ascontiguousarray(turned), rng)
    if choice < 0.75:
        return _texture(rng)
    if choice < 0.9:
        return _shuffled(source, rng)
    flat = np.empty((CANVAS, CANVAS, 3), np.uint8)
    flat[:] = rng.integers(0, 256, 3)
    return flat


def _texture(rng: np.random.Generator) -> Pixels:
    """Return noise of several scales with lines, discs and letters on it."""
    out = np.zeros((CANVAS, CANVAS, 3), np.float32)
    for _ in range(rng.integers(1, 4)):
        cells = int(np.exp(rng.uniform(math.log(2), math.log(120))))
        noise = rng.random((cells, cells, 3 if rng.random() < 0.5 else 1), dtype=np.float32)
        kind = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        grown = cv2.resize(noise, (CANVAS, CANVAS), interpolation=kind).reshape(CANVAS, CANVAS, -1)
        out += grown * rng.uniform(0.3, 1)
    out = out / max(float(out.max()), 1e-3) * rng.uniform(100, 255)
    image = np.clip(out, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 25)):
        _shape(image, rng)
    return image


def _shape(image: Pixels, rng: np.random.Generator) -> None:
    """Draw a line, an ellipse, a rectangle, letters or a chequer of black and white cells."""
    colour = [int(c) for c in rng.integers(0, 256, 3)]
    x, y = (int(v) for v in rng.integers(0, CANVAS, 2))
    size = int(np.exp(rng.uniform(math.log(3), math.log(90))))
    kind = rng.integers(5)
    if kind == 0:
        end = [int(v) for v in rng.integers(0, CANVAS, 2)]
        cv2.line(image, (x, y), end, colour, int(rng.integers(1, 8)))
    elif kind == 1:
        axes = size, int(size * rng.uniform(0.4, 1))
        angle = float(rng.uniform(0, 180))
        thickness = -1 if rng.random() < 0.6 else 2
        cv2.ellipse(image, (x, y), axes, angle, 0, 360, colour, thickness)
    elif kind == 2:
        corner = (x + size, y + int(size * rng.uniform(0.3, 2)))
        cv2.rectangle(image, (x, y), corner, colour, -1 if rng.random() < 0.6 else 2)
    elif kind == 3:
        text = "".join(chr(c) for c in rng.integers(48, 122, 6))
        font = int(rng.integers(0, 4))
        cv2.putText(image, text, (x, y), font, size / 30, colour, 1 + size // 30)
    else:
        _chequer(image, (x, y), 2 * size, rng)


def _chequer(image: Pixels, place: tuple[int, int], side: int, rng: np.random.Generator) -> None:
    """Draw random cells like those of a printed code, turned: its dark spots are no eyes."""
    cells = int(rng.integers(3, 10))
    marks = rng.integers(0, 2, (cells, cells), dtype=np.uint8) * 255
    marks = cv2.copyMakeBorder(marks, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    low, high = sorted(rng.integers(0, 256, 2).tolist())
    shown = np.repeat(np.where(marks > 0, high, low).astype(np.uint8)[..., None], 3, axis=2)
    scale = max(side, 8) / (cells + 2)
    affine = cv2.getRotationMatrix2D((cells / 2 + 1, cells / 2 + 1), rng.uniform(0, 360), scale)
    affine[:, 2] += np.array(place) - (cells / 2 + 1)
    flags = cv2.INTER_NEAREST
    cv2.warpAffine(
        *(shown, affine, (CANVAS, CANVAS), image, flags), borderMode=cv2.BORDER_TRANSPARENT
    )


def _shuffled(source: SceneSource, rng: np.random.Generator) -> Pixels:
    """Return pieces of faces put together at random: skin, hair and clothes without a face."""
    cells = int(rng.integers(3, 9))
    side = math.ceil(CANVAS / cells)
    out = np.empty((cells * side, cells * side, 3), np.uint8)
    for row in range(cells):
        for column in range(cells):
            image = source.faces[rng.integers(len(source.faces))]
            part = int(image.shape[0] * rng.uniform(0.12, 0.3))
            # The outer parts: an eye or a mouth alone is what a face is told by.
            x = int(rng.choice([0, image.shape[0] - part]))
            y = int(rng.integers(0, image.shape[0] - part))
            piece = np.rot90(image[y : y + part, x : x + part], int(rng.integers(4)))
            place = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            out[place] = _resized(np.ascontiguousarray(piece), side)
    if rng.random() < 0.5:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(1, 8))), np.uint8)
    return np.ascontiguousarray(out[:CANVAS, :CANVAS])


def _tiles(source: SceneSource, rng: np.random.Generator) -> Pixels:
    """Return a contact sheet of whole images."""
    cells = int(rng.integers(2, 12))
    side = math.ceil(CANVAS / cells)
    gap = int(rng.integers(0, 4))
    out = np.full((cells * side, cells * side, 3), rng.integers(0, 256), np.uint8)
    for row in range(cells):
        for column in range(cells):
            image, _ = _face(source, rng)
            y, x = row * side, column * side
            place = np.s_[y : y + side - gap, x : x + side - gap]
            out[place] = _resized(image, side - gap, cv2.INTER_AREA)
    return np.ascontiguousarray(out[:CANVAS, :CANVAS])


def _face(source: SceneSource, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.float32]]:
    """Return an image of a face and which part of it is real, mirrored and recoloured at random."""
    row = int(rng.integers(len(source.faces)))
    image, real = source.faces[row], source.real[row]
    if rng.random() < 0.5:
        image = image[:, ::-1]
        real = np.array([1 - real[2], real[1], 1 - real[0], real[3]], np.float32)
    return _recolour(np.ascontiguousarray(image), rng), real


def _recolour(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the image with other brightness, contrast and white, mostly."""
    if rng.random() < 0.3:
        return image
    gain = rng.uniform(0.5, 1.4) * rng.uniform(0.85, 1.15, 3)
    levels = np.arange(256, dtype=np.float64)[:, None] / 255
    table = 255 * (levels ** rng.uniform(0.6, 1.6)) * gain + rng.uniform(-20, 20)
    return np.asarray(cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)


def _resized(image: Pixels, side: int, interpolation: int = cv2.INTER_LINEAR) -> Pixels:
    return np.asarray(cv2.resize(image, (side, side), interpolation=interpolation), np.uint8)


def _paste(canvas: Pixels, source: SceneSource, side: float, rng: np.random.Generator) -> None:
    """Paste a face, turned by up to 25 degrees, as a rectangle or an oval."""
    image, real = _face(source, rng)
    size = image.shape[0]
    if rng.random() < 0.15:
        few = max(8, int(size * rng.uniform(0.15, 0.5)))
        image = _resized(_resized(image, few, cv2.INTER_AREA), size)
    corner = _corner(side, rng)
    angle = float(rng.normal(0, 12)) if rng.random() < 0.7 else 0.0
    mask = _mask(size, real, rng, oval=bool(rng.random() < 0.6))
    scale = side / size
    if scale < 0.5:
        few = max(8, round(size * scale * 1.2))
        image = _resized(image, few, cv2.INTER_AREA)
        mask = cv2.resize(mask, (few, few), interpolation=cv2.INTER_AREA)
        size, scale = few, side / few
    # The part of the canvas that the turned square can reach.
    reach = side * (abs(math.sin(math.radians(angle))) + 1) / 2
    left, top = (max(0, math.floor(v + side / 2 - reach)) for v in corner)
    right, below = (min(CANVAS, math.ceil(v + side / 2 + reach)) for v in corner)
    if right <= left or below <= top:
        return
    affine = cv2.getRotationMatrix2D((size / 2, size / 2), angle, scale)
    affine[:, 2] += corner - np.array([left, top]) + side / 2 - size / 2
    shape = (right - left, below - top)
    drawn = cv2.warpAffine(image, affine, shape, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, affine, shape)
    place = canvas[top:below, left:right]
    place[:] = cv2.blendLinear(drawn, place, alpha, 1 - alpha)


def _corner(side: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return where the top left corner of a pasted image lies: it may leave the canvas a little."""
    if side < CANVAS:
        return rng.uniform(-0.1 * side, CANVAS - 0.9 * side, 2)
    return (CANVAS - side) * rng.uniform(0.2, 0.8, 2)


def _mask(
    size: int, real: NDArray[np.float32], rng: np.random.Generator, *, oval: bool
) -> NDArray[np.float32]:
    """Return what is seen of a face's image: an oval around the head or all that is real."""
    mask = np.zeros((size, size), np.float32)
    x1, y1, x2, y2 = (round(float(v) * size) for v in real)
    mask[y1:y2, x1:x2] = 1
    if oval:
        ring = np.zeros_like(mask)
        centre = round(size * rng.uniform(0.47, 0.53)), round(size * rng.uniform(0.45, 0.52))
        axes = round(size * rng.uniform(0.33, 0.48)), round(size * rng.uniform(0.42, 0.5))
        cv2.ellipse(ring, centre, axes, 0, 0, 360, 1, -1)
        mask *= ring
    soft = size * rng.uniform(0.005, 0.05)
    if rng.random() < 0.8:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32)
    return mask


def _cover(canvas: Pixels, source: SceneSource, rng: np.random.Generator) -> None:
    """Put something in front: a shape, or a piece of a background."""
    if rng.random() < 0.5:
        _shape(canvas, rng)
        return
    image = source.backgrounds[rng.integers(len(source.backgrounds))]
    wide, high = (int(v) for v in rng.integers(8, 110, 2))
    x, y = int(rng.integers(0, CANVAS - wide)), int(rng.integers(0, CANVAS - high))
    u, v = int(rng.integers(0, image.shape[1] - wide)), int(rng.integers(0, image.shape[0] - high))
    canvas[y : y + high, x : x + wide] = image[v : v + high, u : u + wide]


def spoil(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the image greyed, darkened, blurred, with noise, compressed: each sometimes."""
    if rng.random() < 0.12:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.25:
        image = _recolour(image, rng)
    if rng.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.5))), np.uint8)
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 18), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(25, 95))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image)
