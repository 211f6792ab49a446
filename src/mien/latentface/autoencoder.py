"""Stage 1: one face image to codes, pose and light; codes to canonical albedo and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.geometry.rotation import angles_to_rotation
from mien.latentface.config import ModelConfig
from mien.latentface.networks import PaperDecoder, PaperEncoder, SmallDecoder, SmallEncoder
from mien.types import Light, Pose

__all__ = ["Autoencoder", "Canonical", "Encoded", "read_angles"]


@dataclass(frozen=True)
class Encoded:
    """What the encoders read off a batch of images."""

    texture: Tensor
    """z_t, texture code. [B, D]."""
    shape: Tensor
    """z_s, shape code. [B, D]."""
    angles: Tensor
    """yaw, pitch, roll in radians. [B, 3]."""
    pose: Pose
    light: Light
    features: Tensor
    """The trunk's features, for the confidence maps. [B, F]."""
    levels: Sequence[tuple[Tensor, Tensor]]
    """Of each encoder of texture and shape the maps of its last two levels: [B, C, 8, 8], then
    those that codes are made of, [B, C, 4, 4]."""
    of_trunk: Sequence[Tensor] = ()
    """What all levels of the trunk give, finest first (`small` only). Each [B, C, S, S]."""

    @property
    def maps(self) -> Tensor:
        """Return all levels at 4 x 4, side by side. [B, C, 4, 4]."""
        return _pooled(self.levels)


@dataclass(frozen=True)
class Canonical:
    """The frontal face without pose and light."""

    albedo: Tensor
    """Colour in [0, 1]. [B, 3, H, W]."""
    depth: Tensor
    """z in face units, 1 +- depth_range. [B, 1, H, W]."""

    def __repr__(self) -> str:
        return f"Canonical(albedo={list(self.albedo.shape)}, depth={list(self.depth.shape)})"


class Autoencoder(nn.Module):
    """Encoders and decoders of the 3D-aware autoencoder (LatentFace, section 3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        codes = config.texture_dim + config.shape_dim
        size, width = config.image_size, config.width
        if config.networks == "small":
            self.trunk = SmallEncoder(size, config.encoders_width, config.feature_dim)
            self.to_codes = nn.Linear(config.feature_dim, codes)
            self.to_view = nn.Linear(config.feature_dim, 10)
            self.decode_albedo = SmallDecoder(config.texture_dim, 3, size, width)
            self.decode_depth = SmallDecoder(config.shape_dim, 1, size, width)
            self.decode_confidence = SmallDecoder(config.feature_dim, 3, size // 4, width // 2)
            confidence_head = self.decode_confidence.head
            heads = (self.decode_albedo.head, self.decode_depth.head)
        else:
            self.encode_texture = PaperEncoder(size, 2 * width, config.texture_dim)
            self.encode_shape = PaperEncoder(size, 2 * width, config.shape_dim)
            self.encode_view = PaperEncoder(size, width, config.feature_dim)
            self.to_view = nn.Linear(config.feature_dim, 10)
            self.encode_confidence = PaperEncoder(size, 2 * width, config.feature_dim)
            self.decode_albedo = PaperDecoder(config.texture_dim, 3, size, 2 * width)
            self.decode_depth = PaperDecoder(config.shape_dim, 1, size, 2 * width)
            self.decode_confidence = SmallDecoder(config.feature_dim, 3, size // 4, width)
            confidence_head = self.decode_confidence.head
            heads = (self.decode_albedo.layers[-1], self.decode_depth.layers[-1])
        # Pose starts near the frontal view, light near the camera, confidence even.
        nn.init.normal_(self.to_view.weight, std=1e-3)
        nn.init.zeros_(self.to_view.bias)
        nn.init.zeros_(confidence_head.weight)
        for head in heads:
            nn.init.normal_(head.weight, std=1e-2)  # type: ignore[arg-type]
        self.register_buffer("dome", _dome(size), persistent=False)

    def encode(self, images: Tensor) -> Encoded:
        """Images in [0, 1], [B, 3, H, W] -> Encoded."""
        config = self.config
        of_trunk: Sequence[Tensor] = ()
        if config.networks == "small":
            of_trunk = self.trunk.levels(images)
            levels = [self.trunk.maps_of(of_trunk)]
            hidden = self._hidden(levels[0][1])
            codes = self.to_codes(hidden).float()
            texture, shape = codes.split([config.texture_dim, config.shape_dim], dim=1)
            features, view = hidden, self.to_view(hidden)
        else:
            levels = self._levels(images)
            texture = self.encode_texture.read(levels[0][1]).float()
            shape = self.encode_shape.read(levels[1][1]).float()
            view = self.to_view(self.view_features(images))
            features = torch.relu(self.encode_confidence(images))
        angles, pose, light = _read_view(view.float(), config)
        return Encoded(texture, shape, angles, pose, light, features, levels, of_trunk)

    def view_features(self, images: Tensor) -> Tensor:
        """Return the layer that the view is read off linearly. [B, 3, H, W] -> [B, F]."""
        if self.config.networks == "small":
            return self._hidden(self.trunk.maps(images)[1])
        return torch.relu(self.encode_view(images))

    def _hidden(self, maps: Tensor) -> Tensor:
        """Return the last hidden layer of `small` networks, of the trunk's last maps. [B, F]."""
        return F.silu(self.trunk.read(maps))

    def maps(self, images: Tensor) -> Tensor:
        """Return what encodes texture and shape saw before codes were made of it. [B, C, 4, 4].

        The maps of the encoder's last two levels, both at 4 x 4; of `paper` networks those of
        texture's encoder, then those of shape's. Images are [B, 3, H, W] in [0, 1].
        """
        return _pooled(self._levels(images))

    @property
    def map_channels(self) -> int:
        """Return C of the maps."""
        return sum(encoder.map_channels for encoder in self._encoders)

    @property
    def _encoders(self) -> Sequence[SmallEncoder | PaperEncoder]:
        """Return what encodes texture and shape: one for both, or one each."""
        if self.config.networks == "small":
            return (self.trunk,)
        return (self.encode_texture, self.encode_shape)

    def _levels(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Images -> of each encoder of texture and shape the maps of its last two levels."""
        return [encoder.maps(images) for encoder in self._encoders]

    def canonical(self, texture: Tensor, shape: Tensor) -> Canonical:
        """Codes [B, D] -> the frontal albedo and depth."""
        albedo = self.decode_albedo(texture).float().sigmoid()
        raw = self.decode_depth(shape).float()
        # The dome only chooses convex over hollow at the start; the network can undo it.
        depth = 1 + self.config.depth_range * torch.tanh(raw + self.dome)
        return Canonical(albedo, depth)

    def log_scales(self, features: Tensor) -> Tensor:
        """Log of the expected absolute error: straight, mirrored, cross-frame. [B, 3, H/4, W/4]."""
        raw = self.decode_confidence(features).float()
        return math.log(0.1) + 1.5 * torch.tanh(raw / 1.5)


def _pooled(levels: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return all maps at 4 x 4, side by side. [B, C, 4, 4]."""
    return torch.cat([F.adaptive_avg_pool2d(maps, 4) for pair in levels for maps in pair], dim=1)


def _dome(size: int) -> Tensor:
    """Return a gentle bowl that is nearest to the camera at the middle. [1, 1, H, W]."""
    line = torch.linspace(-1, 1, size)
    radius2 = line[:, None] ** 2 + line[None, :] ** 2
    return (0.6 * radius2 - 0.5)[None, None]


def read_angles(view: Tensor, config: ModelConfig) -> Tensor:
    """Squash the first three raw numbers of a view into yaw, pitch, roll, radians. [B, 3]."""
    return torch.tanh(view[:, :3]) * math.radians(config.rotation_range_deg)


def _read_view(view: Tensor, config: ModelConfig) -> tuple[Tensor, Pose, Light]:
    """Squash the ten raw numbers of a view into angles, pose and light."""
    angles = read_angles(view, config)
    sideways = torch.tanh(view[:, 3:5]) * config.translation_range
    away = torch.tanh(view[:, 5:6]) * config.distance_range
    rotation = angles_to_rotation(*angles.unbind(dim=1))
    ambient = torch.sigmoid(view[:, 6])
    diffuse = torch.sigmoid(view[:, 7])
    towards = torch.cat([2 * torch.tanh(view[:, 8:10]), -torch.ones_like(view[:, :1])], dim=1)
    direction = F.normalize(towards, dim=1)
    light = Light(ambient, diffuse, direction)
    return angles, Pose(rotation, torch.cat([sideways, away], dim=1)), light
