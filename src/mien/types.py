"""The factors of a face and what is drawn from them: frozen, each field with shape and frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["Factors", "GazeCode", "Light", "Loss", "Pose", "Rendering"]


@dataclass(frozen=True)
class Pose:
    """How the head stands before the camera: turn about the canonical centre, then shift."""

    rotation: Tensor
    """Canonical -> camera frame. [B, 3, 3]."""
    translation: Tensor
    """Shift in face units, camera frame (x right, y down, z away). [B, 3]."""

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: slice | Tensor) -> Pose:
        return Pose(self.rotation[rows], self.translation[rows])

    def to(self, device: torch.device | str) -> Pose:
        """Return the same pose on another device."""
        return Pose(self.rotation.to(device), self.translation.to(device))

    def expand(self, rows: int) -> Pose:
        """Let one row serve `rows` faces."""
        return Pose(self.rotation.expand(rows, 3, 3), self.translation.expand(rows, 3))


@dataclass(frozen=True)
class Light:
    """One distant light and an ambient term; shading = ambient + diffuse * max(0, n . l)."""

    ambient: Tensor
    """Share of the albedo seen in full shadow, >= 0. [B]."""
    diffuse: Tensor
    """Further share seen where the surface faces the light, >= 0. [B]."""
    direction: Tensor
    """Unit vector l from the surface to the light, camera frame. [B, 3]."""

    def __len__(self) -> int:
        return len(self.ambient)

    def __getitem__(self, rows: slice | Tensor) -> Light:
        return Light(self.ambient[rows], self.diffuse[rows], self.direction[rows])

    def to(self, device: torch.device | str) -> Light:
        """Return the same light on another device."""
        return Light(self.ambient.to(device), self.diffuse.to(device), self.direction.to(device))

    def expand(self, rows: int) -> Light:
        """Let one row serve `rows` faces."""
        direction = self.direction.expand(rows, 3)
        return Light(self.ambient.expand(rows), self.diffuse.expand(rows), direction)


@dataclass(frozen=True)
class GazeCode:
    """Where a batch of faces looks, as the bottleneck says it; a calibration makes angles of it."""

    code: Tensor
    """The bottleneck's code; means nothing where no eyes are found. [B, d]."""
    eyes_found: Tensor
    """Whether open eyes are seen. Bool [B]."""
    eyes: Tensor
    """Centres x, y of the eye left of the image, then of the eye right of it, as shares of the
    image's width and height: (0, 0) = its outer top left corner. [B, 2, 2]."""
    eye_score: Tensor
    """Certainty that eyes are seen, in [0, 1]. [B]."""

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, rows: slice | Tensor) -> GazeCode:
        return GazeCode(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to(self, device: torch.device | str) -> GazeCode:
        """Return the same codes on another device."""
        return GazeCode(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def cat(parts: Sequence[GazeCode]) -> GazeCode:
        """Return the rows of all parts, in order."""
        names = [f.name for f in fields(GazeCode)]
        return GazeCode(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Factors:
    """What a batch of faces is made of; identity + expression = the autoencoder's codes."""

    neutral_texture: Tensor
    """The person's time-invariant texture code. [B, D]."""
    neutral_shape: Tensor
    """The person's time-invariant shape code. [B, D]."""
    expression_texture: Tensor
    """Texture code minus its neutral. [B, D]."""
    expression_shape: Tensor
    """Shape code minus its neutral. [B, D]."""
    pose: Pose
    light: Light
    gaze: GazeCode | None = None
    """None where the weights have no gaze branch."""
    face_embedding: Tensor | None = None
    """Who it is, to be compared by cosine; cannot be drawn. None where the weights know none.
    [B, K]."""
    features: Tensor | None = None
    """What the encoder saw before it became codes, the same for a mirrored image: no factor, but
    what a probe with many labels reads best. None unless it was asked for. [B, F]."""

    @property
    def texture_code(self) -> Tensor:
        """Return z_t, the texture code as seen in the image. [B, D]."""
        return self.neutral_texture + self.expression_texture

    @property
    def shape_code(self) -> Tensor:
        """Return z_s, the shape code as seen in the image. [B, D]."""
        return self.neutral_shape + self.expression_shape

    @property
    def identity(self) -> Tensor:
        """Return who it is: both neutral codes, texture first. [B, 2 D]."""
        return torch.cat([self.neutral_texture, self.neutral_shape], dim=1)

    @property
    def expression(self) -> Tensor:
        """Return what the face does: both codes minus their neutrals, texture first. [B, 2 D]."""
        return torch.cat([self.expression_texture, self.expression_shape], dim=1)

    def __len__(self) -> int:
        return len(self.neutral_texture)

    def __getitem__(self, rows: slice | Tensor) -> Factors:
        return self._each(lambda part: part[rows])

    def to(self, device: torch.device | str) -> Factors:
        """Return the same factors on another device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Any], Any]) -> Factors:
        there = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: change(part) for k, part in there.items() if part is not None})

    def with_expression(self, other: Factors) -> Factors:
        """Return these people with the other's expression; one row of `other` serves all."""
        texture = other.expression_texture.expand_as(self.neutral_texture)
        shape = other.expression_shape.expand_as(self.neutral_shape)
        return replace(self, expression_texture=texture, expression_shape=shape)

    def neutral(self) -> Factors:
        """Return these people at rest: the identity alone."""
        zero_texture = torch.zeros_like(self.neutral_texture)
        zero_shape = torch.zeros_like(self.neutral_shape)
        return replace(self, expression_texture=zero_texture, expression_shape=zero_shape)

    def with_pose(self, pose: Pose) -> Factors:
        """Return the same faces, turned otherwise."""
        return replace(self, pose=pose)

    def with_light(self, light: Light) -> Factors:
        """Return the same faces under another light."""
        return replace(self, light=light)

    @staticmethod
    def cat(parts: Sequence[Factors]) -> Factors:
        """Return the rows of all parts, in order."""

        def join(name: str) -> Tensor:
            return torch.cat([getattr(part, name) for part in parts])

        pose = Pose(
            torch.cat([part.pose.rotation for part in parts]),
            torch.cat([part.pose.translation for part in parts]),
        )
        light = Light(
            torch.cat([part.light.ambient for part in parts]),
            torch.cat([part.light.diffuse for part in parts]),
            torch.cat([part.light.direction for part in parts]),
        )
        names = ("neutral_texture", "neutral_shape", "expression_texture", "expression_shape")
        looks = [part.gaze for part in parts if part.gaze is not None]
        gaze = GazeCode.cat(looks) if len(looks) == len(parts) else None
        codes = {name: join(name) for name in names}
        for name in ("face_embedding", "features"):
            if all(getattr(part, name) is not None for part in parts):
                codes[name] = join(name)
        return Factors(**codes, pose=pose, light=light, gaze=gaze)


@dataclass(frozen=True)
class Rendering:
    """A batch of faces drawn from their factors; every image [B, C, H, W]."""

    image: Tensor
    """Shaded face in the camera's view, RGB in [0, 1]. [B, 3, H, W]."""
    mask: Tensor
    """1 where the face's surface covers the pixel. [B, 1, H, W]."""
    depth: Tensor
    """Depth z in face units in the camera's view; 0 where nothing. [B, 1, H, W]."""
    normals: Tensor
    """Outward unit normals, camera frame; 0 where nothing. [B, 3, H, W]."""
    canonical_albedo: Tensor
    """Colour without light, frontal, RGB in [0, 1]. [B, 3, H, W]."""
    canonical_depth: Tensor
    """Depth z of the frontal face in face units. [B, 1, H, W]."""
    canonical_normals: Tensor
    """Outward unit normals of the frontal face, canonical frame. [B, 3, H, W]."""


@dataclass(frozen=True)
class Loss:
    """What a training objective gives for a batch."""

    total: Tensor
    """What is minimised, a mean over the images of the batch; requires grad. []."""
    parts: dict[str, Tensor]
    """Weighted parts that sum to the total. Each []."""
    monitors: dict[str, Tensor] = field(default_factory=dict)
    """Numbers to watch that are not minimised, without gradient. Each []."""
    extras: dict[str, Tensor] = field(default_factory=dict)
    """What a contact sheet shows, such as rendered images; each objective says what."""
