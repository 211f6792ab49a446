"""The factors of a face and what is rendered from them: frozen, each field with shape and frame.

All of these are batches: `len` is the number of faces, rows are chosen with a slice, an index
tensor or one number (which keeps the batch dimension), `to` moves them to another device, `numpy`
gives NumPy arrays in place of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from mien.errors import MienError

if TYPE_CHECKING:  # its import takes longer than reading a face, and graphs do without
    import torch
    from torch import Tensor

__all__ = ["Factors", "GazeCode", "Light", "Loss", "Pose", "Rendering"]


class _Batch:
    """What frozen dataclasses of tensors [B, ...] have in common; a field may be None."""

    def __len__(self) -> int:
        return len(next(iter(self._parts().values())))

    def __getitem__(self, rows: int | slice | Tensor) -> Self:
        if isinstance(rows, int):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of a batch of {len(self)}")
            rows = slice(rows, rows + 1 or None)
        return self._each(lambda part: part[rows])

    def __repr__(self) -> str:
        # Shapes, not numbers: a batch of faces would fill pages.
        shown = {n: p if isinstance(p, _Batch) else list(p.shape) for n, p in self._parts().items()}
        return f"{type(self).__name__}({', '.join(f'{n}={p!r}' for n, p in shown.items())})"

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on another device."""
        return self._each(lambda part: part.to(device))

    def numpy(self) -> Self:
        """Return the same batch as NumPy arrays, float32 in place of finer or coarser floats."""
        return self._each(lambda part: part.numpy() if isinstance(part, _Batch) else _array(part))

    def torch(self) -> Self:
        """Return the same batch of arrays as tensors on the CPU, which share their memory."""
        from torch import from_numpy

        return self._each(lambda p: p.torch() if isinstance(p, _Batch) else from_numpy(p))

    def expand(self, rows: int) -> Self:
        """Let one row serve `rows` faces: every part [1, ...] becomes [rows, ...]."""
        return self._each(lambda part: part.expand(rows, *part.shape[1:]))

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts, in order; a field that one of them lacks is None.

        Args:
            parts: at least one.
        """

        def join(values: list[Any]) -> Any:
            if any(value is None for value in values):
                return None
            return values[0].cat(values) if isinstance(values[0], _Batch) else _joined(values)

        names = [f.name for f in fields(cast("Any", cls))]
        return cls(**{name: join([getattr(part, name) for part in parts]) for name in names})

    def _parts(self) -> dict[str, Any]:
        """Return the fields that are there, by name."""
        named = {f.name: getattr(self, f.name) for f in fields(cast("Any", self))}
        return {name: part for name, part in named.items() if part is not None}

    def _each(self, change: Callable[[Any], Any]) -> Self:
        changed = {name: change(part) for name, part in self._parts().items()}
        return replace(cast("Any", self), **changed)


def _array(part: Any) -> Any:
    """Return a tensor as an array; an array as it is."""
    if isinstance(part, np.ndarray):
        return part
    part = part.detach()
    return (part.float() if part.is_floating_point() else part).cpu().numpy()


def _joined(parts: Sequence[Any], axis: int = 0) -> Any:
    """Join tensors, or arrays, along an axis."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=axis)
    import torch

    return torch.cat(list(parts), dim=axis)


@dataclass(frozen=True, repr=False)
class Pose(_Batch):
    """How the head stands before the camera: rotated about the canonical centre, then shifted."""

    rotation: Tensor
    """Rotation matrix, canonical -> camera frame. [B, 3, 3]."""
    translation: Tensor
    """Shift in face units, camera frame (x right, y down, z away). [B, 3]."""


@dataclass(frozen=True, repr=False)
class Light(_Batch):
    """One distant light and an ambient term; shading = ambient + diffuse * max(0, n . l)."""

    ambient: Tensor
    """Fraction of the albedo seen in full shadow, >= 0. [B]."""
    diffuse: Tensor
    """Further fraction seen where the surface faces the light, >= 0. [B]."""
    direction: Tensor
    """Unit vector l from the surface to the light, camera frame (x right, y down, z away).
    [B, 3]."""


@dataclass(frozen=True, repr=False)
class GazeCode(_Batch):
    """Where a batch of faces looks, as a code; a calibration makes angles of it."""

    code: Tensor
    """The bottleneck's code; means nothing where no eyes are found. [B, d]."""
    eyes_found: Tensor
    """Whether open eyes are seen. Bool [B]."""
    eyes: Tensor
    """Centres x, y of the eye left of the image, then of the eye right of it, as fractions of the
    image's width and height: (0, 0) = its outer top left corner. [B, 2, 2]."""
    eye_score: Tensor
    """Certainty that eyes are seen, in [0, 1]. [B]."""


@dataclass(frozen=True, repr=False)
class Factors(_Batch):
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
    """Head pose, canonical -> camera frame."""
    light: Light
    """Light in the camera frame."""
    gaze: GazeCode | None = None
    """None where the weights have no gaze branch."""
    face_embedding: Tensor | None = None
    """Who it is, to be compared by cosine; cannot be rendered. None where the weights have none.
    [B, K]."""
    features: Tensor | None = None
    """The encoders' maps before they became codes, the same for a mirrored image: no factor, but
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
        return _joined([self.neutral_texture, self.neutral_shape], axis=1)

    @property
    def expression(self) -> Tensor:
        """Return what the face does: both codes minus their neutrals, texture first. [B, 2 D]."""
        return _joined([self.expression_texture, self.expression_shape], axis=1)

    def with_expression(self, other: Factors) -> Factors:
        """Return these people with the other's expression: expression transfer.

        Args:
            other: the source of the expressions; [B, D] codes as these, or one row for all.

        Raises:
            MienError: its codes have another length, as those of other weights may, or it has
                other than one row or as many as these.
        """
        for name in ("expression_texture", "expression_shape"):
            given, wanted = getattr(other, name).shape, getattr(self, name).shape
            if given not in (wanted, (1, *wanted[1:])):
                raise MienError(
                    f"{name} must be {list(wanted)} or one row for all, not {list(given)}; "
                    "take the expression of as many faces, read by the same weights"
                )
        texture = other.expression_texture.expand_as(self.neutral_texture)
        shape = other.expression_shape.expand_as(self.neutral_shape)
        return replace(self, expression_texture=texture, expression_shape=shape)

    def neutral(self) -> Factors:
        """Return these people at rest: the identity alone, expression codes [B, D] all 0."""
        zero_texture = 0 * self.neutral_texture
        zero_shape = 0 * self.neutral_shape
        return replace(self, expression_texture=zero_texture, expression_shape=zero_shape)

    def with_pose(self, pose: Pose) -> Factors:
        """Return the same faces in another pose, one row a face: rotation [B, 3, 3]."""
        return replace(self, pose=pose)

    def with_light(self, light: Light) -> Factors:
        """Return the same faces under another light, one row a face: direction [B, 3]."""
        return replace(self, light=light)


@dataclass(frozen=True, repr=False)
class Rendering(_Batch):
    """A batch of faces rendered from their factors; every image [B, C, H, W]."""

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
