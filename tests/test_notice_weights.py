"""Weights whose options and tensors have old names are read under the present ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mien import weights


def test_old_names_are_read_under_the_present_ones(tmp_path: Path) -> None:
    tensors = {
        "likeness.mean": torch.ones(2),
        "gaze.finder.x": torch.zeros(1),
        "own": 2 * torch.ones(1),
    }
    weights.save(tmp_path, tensors, {"likeness_dim": 3, "width": 4}, "card")
    with pytest.warns(DeprecationWarning, match=r"likeness_dim .* face_embedding_dim"):
        options, read = weights.read(tmp_path)
    assert options == {"face_embedding_dim": 3, "width": 4}
    assert read.keys() == {"face_embedding.mean", "gaze.localizer.x", "own"}
