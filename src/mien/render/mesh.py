"""The triangles of a regular grid of vertices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["grid_triangles"]


def grid_triangles(height: int, width: int, *, overlap: bool = True) -> Tensor:
    r"""Split the cells of a grid into triangles, left-right mirror symmetric.

    Cells left of the middle are split along "\", those right of it along "/", so that a mirrored
    grid gives the mirrored surface. With an even `width` a column of cells stands on the mirror
    line, where one diagonal cannot be symmetric: those cells are split along both, and the z-buffer
    takes the nearer.

    Args:
        height: Rows of vertices, >= 2.
        width: Columns of vertices, >= 2.
        overlap: False splits the cells on the mirror line along "\" alone, for uses in which no
            two triangles may overlap (export of a mesh); the symmetry then fails in that column.

    Returns:
        Rows of the vertices, which are counted row by row. int64 [F, 3] with
        F = 2 (height - 1) (width - 1), and 2 (height - 1) more for the overlap of an even width.
        Wound so that (b - a) x (c - a) points to the camera (z < 0 in a frame with x right,
        y down, z away).

    Raises:
        ValueError: The grid has no cell.
    """
    if height < 2 or width < 2:
        raise ValueError(f"a grid of {height} x {width} vertices has no cell")
    index = torch.arange(height * width).reshape(height, width)
    cells = (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:])
    half, both = divmod(width - 1, 2)
    left = _split(cells, slice(0, half + both), falling=True)
    right_from = half if both and overlap else half + both
    right = _split(cells, slice(right_from, width - 1), falling=False)
    return torch.cat([left, right])


def _split(cells: tuple[Tensor, ...], columns: slice, *, falling: bool) -> Tensor:
    r"""Return two triangles for each cell of these columns, cut along "\" (falling) or "/"."""
    top_left, bottom_left, top_right, bottom_right = (part[:, columns] for part in cells)
    if falling:
        first = (top_left, bottom_left, bottom_right)
        second = (top_left, bottom_right, top_right)
    else:
        first = (top_left, bottom_left, top_right)
        second = (top_right, bottom_left, bottom_right)
    both = torch.stack([torch.stack(first, dim=-1), torch.stack(second, dim=-1)], dim=2)
    return both.reshape(-1, 3)
