"""A small model with the real one's interface, and small inputs, for the tests of `embed`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mien.geometry.rotation import angles_to_rotation
from mien.media.image import write_png
from mien.media.video import write_mp4
from mien.table.read import code_matrix
from mien.types import Factors, Light, Pose


@dataclass
class FakeModel:
    """Codes are the crop's mean colour, so that every row can be told from its picture."""

    weights_id: str = "fake00000000"
    config: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(image_size=8, texture_dim=3, shape_dim=2)
    )
    batches: list[int] = field(default_factory=list)

    def encode(self, images: torch.Tensor, /) -> Factors:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        self.batches.append(len(images))
        colour = images.float().mean(dim=(2, 3))
        turn = angles_to_rotation(*(0.001 * colour).unbind(dim=1))
        level = colour[:, 0] / 255
        direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(len(images), 3)
        return Factors(
            neutral_texture=colour,
            neutral_shape=colour[:, :2] / 2,
            expression_texture=-colour / 4,
            expression_shape=colour[:, 1:] / 8,
            pose=Pose(turn, torch.zeros(len(images), 3)),
            light=Light(level, 1 - level, direction),
        )


def colour_of(number: int) -> tuple[int, int, int]:
    return number % 251, number // 251, 200


def write_pictures(folder: Path, count: int, start: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        paths.append(folder / f"{number:05}.png")
        write_png(paths[-1], np.full((8, 8, 3), colour_of(number), dtype=np.uint8))
    return paths


def write_video(path: Path, count: int, fps: float = 10.0) -> Path:
    frames = (np.full((32, 32, 3), 20 + 5 * i, dtype=np.uint8) for i in range(count))
    write_mp4(path, frames, fps=fps)
    return path


def assert_same_table(left: Path, right: Path, tolerance: float = 0.0) -> None:
    """Compare all columns; numbers within the tolerance, everything else exactly."""
    first, second = pq.read_table(left), pq.read_table(right)
    assert first.schema.equals(second.schema, check_metadata=True)
    for name in first.column_names:
        one, other = first.column(name), second.column(name)
        if pa.types.is_fixed_size_list(one.type):
            np.testing.assert_allclose(code_matrix(one), code_matrix(other), atol=tolerance, rtol=0)
        elif pa.types.is_floating(one.type) and tolerance:
            pair = [column.to_numpy(zero_copy_only=False) for column in (one, other)]
            np.testing.assert_allclose(*pair, atol=tolerance, rtol=0)
        else:
            assert one.combine_chunks().equals(other.combine_chunks()), name
