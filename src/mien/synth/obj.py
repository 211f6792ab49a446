"""A small reader of Wavefront OBJ meshes: positions and triangles, nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.errors import MienError

__all__ = ["read_obj"]


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the vertices and faces of an OBJ file.

    Polygons are cut into fans; texture coordinates, normals and materials are passed over.

    Args:
        path: The OBJ file.

    Returns:
        Vertices float32 [V, 3] in the file's own units and axes; triangles int32 [F, 3].

    Raises:
        MienError: The file cannot be read, or a line of it is no valid vertex or face.
    """
    vertices: list[tuple[float, float, float]] = []
    triangles: list[tuple[int, int, int]] = []
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                words = line.split()
                if not words:
                    continue
                try:
                    if words[0] == "v":
                        vertices.append((float(words[1]), float(words[2]), float(words[3])))
                    elif words[0] == "f":
                        triangles.extend(_fan(words[1:], len(vertices)))
                except (ValueError, IndexError) as error:
                    raise MienError(
                        f"{path}, line {number}: not a valid vertex or face; "
                        "download the model again"
                    ) from error
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}; check the folder") from error
    if not vertices:
        raise MienError(f"{path} holds no vertices; give a Wavefront OBJ mesh")
    points = np.asarray(vertices, dtype=np.float32)
    faces = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
    if faces.size and (faces.min() < 0 or faces.max() >= len(points)):
        raise MienError(f"{path}: a face names a vertex that is not there; download it again")
    return points, faces


def _fan(words: list[str], vertex_count: int) -> list[tuple[int, int, int]]:
    """Return the triangles of one polygon; indices count from 1, or from the end if negative."""
    if len(words) < 3:
        raise ValueError("a face needs three corners")
    raw = [int(word.split("/", 1)[0]) for word in words]
    if 0 in raw:
        raise ValueError("OBJ indices count from 1")
    corners = [index - 1 if index > 0 else vertex_count + index for index in raw]
    return [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
