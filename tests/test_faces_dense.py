"""Cells of a detector's grids to faces."""

from __future__ import annotations

import numpy as np
import pytest

from mien.faces.dense import decode, suppress


def grid(cells, score=0.0):
    """Cells that predict nothing: no score, boxes as large as the stride."""
    return (
        np.full(cells, score, np.float32),
        np.zeros((cells, 4), np.float32),
        np.zeros((cells, 10), np.float32),
    )


def test_a_cell_is_decoded_by_its_place_and_stride():
    scores, boxes, marks = grid(12)
    scores[7] = 0.9  # row 1, column 3 of a grid 4 wide
    boxes[7] = (0.5, 0.25, np.log(2), np.log(4))
    marks[7] = np.arange(10) / 10
    (row,) = decode([(scores, boxes, marks)], [16], [4], 0.5)
    assert row[:4] == pytest.approx(
        [(3.5 - 1) * 16, (1.25 - 2) * 16, (3.5 + 1) * 16, (1.25 + 2) * 16]
    )
    points = row[4:14].reshape(5, 2)
    assert points[0] == pytest.approx([3 * 16, 1.1 * 16], abs=1e-4)
    assert points[4] == pytest.approx([3.8 * 16, 1.9 * 16], abs=1e-4)
    assert row[14] == pytest.approx(0.9)


def test_grids_are_joined_and_weak_cells_left_out():
    fine, coarse = grid(4, 0.3), grid(1, 0.8)
    rows = decode([fine, coarse], [8, 32], [2, 1], 0.5)
    assert len(rows) == 1
    assert rows[0, 2] - rows[0, 0] == 32
    assert len(decode([fine, coarse], [8, 32], [2, 1], 0.1)) == 5


def test_absurd_answers_are_no_faces():
    scores, boxes, marks = grid(3, 0.9)
    boxes[0, 2] = np.nan
    boxes[1, 2] = 1e30  # its size is bounded, and finite
    rows = decode([(scores, boxes, marks)], [8], [3], 0.5)
    assert len(rows) == 2
    assert np.isfinite(rows).all()


def test_the_surest_of_overlapping_boxes_is_kept():
    rows = np.zeros((4, 15), np.float32)
    rows[:, :4] = [[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [8, 0, 18, 10]]
    rows[:, 14] = [0.6, 0.9, 0.7, 0.5]
    kept = suppress(rows, 0.3)
    assert kept[:, 14] == pytest.approx([0.9, 0.7, 0.5])
    assert suppress(rows, 0.1)[:, 14] == pytest.approx([0.9, 0.7])
    assert suppress(rows[:0], 0.3).shape == (0, 15)
