"""Compiled kernels of the clip renderer: normals, z-buffer and shading in one pass, and pixels.

They release the interpreter's lock and run on one thread each; frames are rendered side by side.
Threads that numba starts by itself wait for each other at every loop, which costs far more than
it gains as soon as the machine has other work to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from mien.render.compiled import compiled

__all__ = [
    "FLIP_ABOVE",
    "SUPERSAMPLE",
    "add_stretched",
    "blur",
    "for_each_frame",
    "shade_frame",
    "smooth_normals",
    "visible_vertices",
]

# The samples of a pixel stand on a SUPERSAMPLE x SUPERSAMPLE grid and are averaged.
SUPERSAMPLE = 2
# A smooth normal that points away from the camera by more than this belongs to a sheet seen from
# behind, and is flipped.
FLIP_ABOVE = 0.3
# Farther than any surface; a finite number, so that fast arithmetic may be used on it.
_FAR = 1e30
_FAST = {"contract", "arcp", "nsz", "reassoc", "afn"}


@compiled(fastmath=_FAST, nogil=True)
def smooth_normals(points: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> None:
    """Write the unit outward vertex normals, weighted by area.

    Args:
        points: float32 [V, 3].
        triangles: Outward winding, int32 [F, 3].
        normals: Written, float32 [V, 3].
    """
    normals[:] = 0.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, vx = points[b, 0] - points[a, 0], points[c, 0] - points[a, 0]
        uy, vy = points[b, 1] - points[a, 1], points[c, 1] - points[a, 1]
        uz, vz = points[b, 2] - points[a, 2], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(normals.shape[0]):
        squared = normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2
        inverse = np.float32(1.0) / (math.sqrt(squared) + np.float32(1e-12))
        for k in range(3):
            normals[v, k] *= inverse


@compiled(fastmath=_FAST, nogil=True)
def _fill(
    points: np.ndarray,
    triangles: np.ndarray,
    two_sided: np.ndarray,
    depth: np.ndarray,
    owner: np.ndarray,
) -> None:
    """Write nearest depth and triangle of every sample; `points` are u, v (in samples) and z."""
    depth[:] = _FAR
    owner[:] = -1
    last = depth.shape[0] - 1
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Outward faces wind counter-clockwise in a y-up view: negative here, where y points down.
        if area == 0.0 or (area > 0.0 and not two_sided[t]):
            continue
        left, right = max(math.ceil(min(ax, bx, cx)), 0), min(math.floor(max(ax, bx, cx)), last)
        top, bottom = max(math.ceil(min(ay, by, cy)), 0), min(math.floor(max(ay, by, cy)), last)
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        inverse = np.float32(1.0) / area
        for y in range(top, bottom + 1):
            dy = np.float32(y) - ay
            for x in range(left, right + 1):
                dx = np.float32(x) - ax
                wb = (dx * (cy - ay) - dy * (cx - ax)) * inverse
                wc = ((bx - ax) * dy - (by - ay) * dx) * inverse
                wa = np.float32(1.0) - wb - wc
                if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                    continue
                z = wa * az + wb * bz + wc * cz
                if z < depth[y, x]:
                    depth[y, x] = z
                    owner[y, x] = t


@compiled(fastmath=_FAST, nogil=True)
def _shade_sample(
    place: tuple[Any, Any],
    corners: np.ndarray,
    vertices: tuple[np.ndarray, np.ndarray, np.ndarray],
    light: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add the colour of one sample to `out` [3]; `vertices` are points, normals and material."""
    points, normals, material = vertices
    a, b, c = corners[0], corners[1], corners[2]
    dx, dy = place[0] - points[a, 0], place[1] - points[a, 1]
    abx, aby = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    acx, acy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
    inverse = np.float32(1.0) / (abx * acy - aby * acx)
    wb = (dx * acy - dy * acx) * inverse
    wc = (abx * dy - aby * dx) * inverse
    wa = np.float32(1.0) - wb - wc
    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    length = np.float32(1.0) / (math.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-12))
    if nz * length > FLIP_ABOVE:
        length = -length
    lambert = max(np.float32(0.0), (nx * light[0] + ny * light[1] + nz * light[2]) * length)
    half = max(np.float32(0.0), (nx * light[3] + ny * light[4] + nz * light[5]) * length)
    gloss = wa * material[a, 3] + wb * material[b, 3] + wc * material[c, 3]
    sharp = wa * material[a, 4] + wb * material[b, 4] + wc * material[c, 4]
    half4 = half * half * half * half
    half16 = half4 * half4 * half4 * half4
    half128 = (half16 * half16 * half16 * half16) ** 2
    lobe = (np.float32(1.0) - sharp) * half16 + sharp * half128
    highlight = gloss * lobe if lambert > 0.0 else np.float32(0.0)
    for k in range(3):
        albedo = wa * material[a, k] + wb * material[b, k] + wc * material[c, k]
        out[k] += albedo * (light[6 + k] + light[9 + k] * lambert) + light[9 + k] * highlight


@compiled(fastmath=_FAST, nogil=True)
def _to_samples(camera: np.ndarray, focal: float, size: int) -> np.ndarray:
    """Project vertices to u, v (in samples) and z; the principal point is the image's middle."""
    points = np.empty_like(camera)
    middle = np.float32(0.5 * (size - 1))
    for v in range(points.shape[0]):
        scale = focal / camera[v, 2]
        for k in range(2):
            pixel = camera[v, k] * scale + middle
            points[v, k] = (pixel + np.float32(0.5)) * SUPERSAMPLE - np.float32(0.5)
        points[v, 2] = camera[v, 2]
    return points


@compiled(fastmath=_FAST, nogil=True)
def shade_frame(
    view: tuple[np.ndarray, float],
    surface: tuple[np.ndarray, np.ndarray, np.ndarray],
    light: np.ndarray,
    background: np.ndarray,
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Render one frame over its background.

    Args:
        view: Vertices in the camera frame, float32 [V, 3]; focal length in pixels, float32.
        surface: Per-vertex albedo r g b, gloss and sharpness, float32 [V, 5]; triangles with
            outward winding, int32 [F, 3]; whether each is seen from behind too, bool [F].
        light: l, half vector, ambient r g b, diffuse r g b, float32 [12].
        background: Colours behind the head, float32 [S, S, 3].
        images: Written: colours in [0, 1], float32 [S, S, 3]; mean z of the covered samples, 0
            where there are none, float32 [S, S]; fraction of the pixel covered, float32 [S, S].
    """
    camera, focal = view
    material, triangles, two_sided = surface
    image, depth_map, cover = images
    size = image.shape[0]
    normals = np.empty_like(camera)
    smooth_normals(camera, triangles, normals)
    points = _to_samples(camera, focal, size)
    depth = np.empty((size * SUPERSAMPLE, size * SUPERSAMPLE), np.float32)
    owner = np.empty(depth.shape, np.int32)
    _fill(points, triangles, two_sided, depth, owner)
    vertices = (points, normals, material)
    colour = np.empty(3, np.float32)
    part = np.float32(1.0 / (SUPERSAMPLE * SUPERSAMPLE))
    for pixel in range(size * size):
        y, x = pixel // size, pixel % size
        colour[:] = 0.0
        covered, z = 0, np.float32(0.0)
        for sample in range(SUPERSAMPLE * SUPERSAMPLE):
            row = y * SUPERSAMPLE + sample // SUPERSAMPLE
            column = x * SUPERSAMPLE + sample % SUPERSAMPLE
            t = owner[row, column]
            if t >= 0:
                covered += 1
                z += depth[row, column]
                place = (np.float32(column), np.float32(row))
                _shade_sample(place, triangles[t], vertices, light, colour)
        hole = np.float32(SUPERSAMPLE * SUPERSAMPLE - covered)
        for k in range(3):
            value = (colour[k] + hole * background[y, x, k]) * part
            image[y, x, k] = min(max(value, np.float32(0.0)), np.float32(1.0))
        cover[y, x] = covered * part
        depth_map[y, x] = z / np.float32(max(covered, 1))


@compiled(fastmath=_FAST, nogil=True)
def visible_vertices(
    points: np.ndarray, triangles: np.ndarray, size: int, tolerance: float, seen: np.ndarray
) -> None:
    """Find the vertices that nothing hides.

    Args:
        points: u and v in pixels, z. float32 [V, 3].
        triangles: int32 [F, 3].
        size: Side of the z-buffer, pixels.
        tolerance: How far behind the front a vertex may lie, in the unit of z.
        seen: Written: 1 where seen, 0 where hidden or outside. float32 [V].
    """
    depth = np.empty((size, size), np.float32)
    owner = np.empty((size, size), np.int32)
    _fill(points, triangles, np.zeros(len(triangles), np.bool_), depth, owner)
    for v in range(points.shape[0]):
        x, y = math.floor(points[v, 0] + 0.5), math.floor(points[v, 1] + 0.5)
        inside = 0 <= x < size and 0 <= y < size
        seen[v] = 1.0 if inside and points[v, 2] <= depth[y, x] + tolerance else 0.0


def for_each_frame(work: Callable[[int], None], frames: int) -> None:
    """Call `work` with each frame's number, on as many threads as torch uses."""
    threads = min(torch.get_num_threads(), frames)
    if threads <= 1:
        for frame in range(frames):
            work(frame)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(frames)):
            pass


@compiled(nogil=True)
def add_stretched(image: np.ndarray, field: np.ndarray) -> None:
    """Stretch a coarse field [C, C, 3], C >= 2, bilinearly over an image [S, S, 3] and add it."""
    size, cells = image.shape[0], field.shape[0]
    step = (cells - 1.0) / (size - 1.0)
    for y in range(size):
        top = min(int(y * step), cells - 2)
        down = np.float32(y * step - top)
        up = np.float32(1.0) - down
        for x in range(size):
            left = min(int(x * step), cells - 2)
            right = np.float32(x * step - left)
            for k in range(3):
                at_left = field[top, left, k] * up + field[top + 1, left, k] * down
                at_right = field[top, left + 1, k] * up + field[top + 1, left + 1, k] * down
                image[y, x, k] += at_left + right * (at_right - at_left)


@compiled(nogil=True)
def blur(image: np.ndarray, sigma: float) -> None:
    """Blur an image [S, S, 3] in place with a Gaussian of `sigma` > 0 pixels; borders repeat."""
    size = image.shape[0]
    reach = max(1, math.ceil(3.0 * sigma))
    weights = np.empty(2 * reach + 1, np.float32)
    for j in range(2 * reach + 1):
        weights[j] = math.exp(-0.5 * ((j - reach) / sigma) ** 2)
    weights /= weights.sum()
    rows = np.zeros_like(image)
    for y in range(size):
        for x in range(size):
            for j in range(2 * reach + 1):
                at = min(max(x + j - reach, 0), size - 1)
                for k in range(3):
                    rows[y, x, k] += weights[j] * image[y, at, k]
    image[:] = 0.0
    for y in range(size):
        for j in range(2 * reach + 1):
            at = min(max(y + j - reach, 0), size - 1)
            for x in range(size):
                for k in range(3):
                    image[y, x, k] += weights[j] * rows[at, x, k]
