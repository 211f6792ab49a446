"""A stand-in for a model whose codes can be checked against its images."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mien.geometry.rotation import angles_to_rotation
from mien.types import Factors, GazeCode, Light, Pose


@dataclass(frozen=True)
class FakeConfig:
    texture_dim: int = 3
    shape_dim: int = 2
    face_embedding_dim: int = 0
    gaze: None = None


@dataclass
class FakeModel:
    """Codes are the crop's mean colour, so that every row can be checked against its image."""

    weights_id: str = "fake00000000"
    crop_size: int = 8
    eye_crop_size: tuple[int, int] = (4, 8)
    config: FakeConfig = field(default_factory=FakeConfig)
    batches: list[int] = field(default_factory=list)

    @property
    def features_dim(self) -> int:
        return 1

    def encode(self, images: torch.Tensor, /, *, features: bool = False) -> Factors:
        assert not features
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

    def encode_eyes(self, eye_crops: torch.Tensor, /) -> GazeCode:
        raise NotImplementedError
