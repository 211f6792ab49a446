"""The loss of a narrower LatentFace: what a teacher reads off the same images.

    L = w_h d(h^, h) + w_z d(z^, z) + w_f d(f^, f) + w_v d(v^, v) + w_m d(A m^, m)
        + w_e (1 - cos(e^, e)),            d(a, b) = mean((a - b)^2 / s^2)

h is the trunk's last hidden layer, z the codes of texture and shape, f the factors that are made of
them (identity and expression), v the view (angles, shift and light), m the maps, e the face
embedding; the student's have a hat. s is the standard deviation over faces, of every number of h,
z, v and m and of each factor whole, for what a factor's axes weigh is their meaning. A is a linear
map that is trained with the student and thrown away: the student's maps are fewer.

Feature distillation is Romero et al. 2015 (FitNets); the terms and their weights are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.fields import Amount, check_fields
from mien.latentface.autoencoder import Encoded
from mien.latentface.latentface import LatentFace
from mien.types import Factors, Loss

__all__ = ["DistillWeights", "Learner", "Reading", "distill_loss", "read_all"]


@dataclass(frozen=True)
class DistillWeights:
    """How much each term counts."""

    hidden: Amount = 0.3
    """w_h, of the trunk's last hidden layer."""
    codes: Amount = 1.0
    """w_z, of the codes of texture and shape."""
    factors: Amount = 1.0
    """w_f, of identity and expression."""
    view: Amount = 1.0
    """w_v, of pose and light."""
    maps: Amount = 0.5
    """w_m, of the encoder's maps."""
    face_embedding: Amount = 4.0
    """w_e, of the face embedding."""

    def __post_init__(self) -> None:
        check_fields(self, "distill.loss_weights")


@dataclass(frozen=True)
class Reading:
    """What a network reads off images, by the name of the term; rows are images."""

    hidden: Tensor
    """h. [B, F]."""
    codes: Tensor
    """z. [B, 2 D]."""
    factors: tuple[Tensor, ...]
    """f: identity's texture and shape, expression's texture and shape. Each [B, D]."""
    view: Tensor
    """v: yaw, pitch, roll, shift (3), ambient, diffuse, the light's direction (2). [B, 10]."""
    maps: Tensor
    """m. [B, C, 4, 4]."""
    face_embedding: Tensor | None
    """e. [B, K]."""


class Learner(nn.Module):
    """A student with what only its training needs: the scales s, and A."""

    hidden_scale: Tensor
    codes_scale: Tensor
    view_scale: Tensor
    maps_scale: Tensor
    factor_scales: Tensor

    def __init__(self, student: LatentFace, teacher: LatentFace) -> None:
        """Take the student; scales are 1 until `fit` sets them."""
        super().__init__()
        self.student = student
        channels = teacher.autoencoder.map_channels
        self.to_maps = nn.Conv2d(student.autoencoder.map_channels, channels, 1)
        config = teacher.config
        self.register_buffer("hidden_scale", torch.ones(config.feature_dim))
        self.register_buffer("codes_scale", torch.ones(config.texture_dim + config.shape_dim))
        self.register_buffer("view_scale", torch.ones(10))
        self.register_buffer("maps_scale", torch.ones(channels, 1, 1))
        self.register_buffer("factor_scales", torch.ones(4))

    @torch.no_grad()
    def fit(self, readings: Iterable[Reading]) -> None:
        """Set the scales from the teacher's readings of some images."""
        all_of = list(readings)

        def spread(parts: list[Tensor]) -> Tensor:
            # Numbers that hardly vary are left small rather than amplified.
            std = torch.cat(parts).std(dim=0)
            return std.clamp_min(0.05 * float(std.mean()) + 1e-6)

        self.hidden_scale.copy_(spread([each.hidden for each in all_of]))
        self.codes_scale.copy_(spread([each.codes for each in all_of]))
        self.view_scale.copy_(spread([each.view for each in all_of]))
        maps = [each.maps.permute(0, 2, 3, 1).flatten(0, 2) for each in all_of]
        self.maps_scale.copy_(spread(maps)[:, None, None])
        for i in range(4):
            whole = torch.cat([each.factors[i] for each in all_of])
            self.factor_scales[i] = whole.var(dim=0).mean().sqrt()


def read_all(network: LatentFace, images: Tensor) -> Reading:
    """Read everything that is distilled off face crops in [0, 1]. [B, 3, S, S]."""
    encoded = network.autoencoder.encode(images)
    factors = network.factors_of(images, encoded)
    return Reading(
        encoded.features.float(),
        torch.cat([encoded.texture, encoded.shape], dim=1).float(),
        _parts(factors),
        _view(encoded),
        encoded.maps.float(),
        factors.face_embedding,
    )


def _parts(factors: Factors) -> tuple[Tensor, ...]:
    return (
        factors.neutral_texture,
        factors.neutral_shape,
        factors.expression_texture,
        factors.expression_shape,
    )


def _view(encoded: Encoded) -> Tensor:
    pose, light = encoded.pose, encoded.light
    shades = torch.stack([light.ambient, light.diffuse], dim=1)
    parts = [encoded.angles, pose.translation, shades, light.direction[:, :2]]
    return torch.cat(parts, dim=1).float()


def distill_loss(
    learner: Learner, wanted: Reading, images: Tensor, weights: DistillWeights
) -> Loss:
    """Return the loss of a batch.

    Args:
        learner: learns; its scales are set.
        wanted: the teacher's reading of these images.
        images: face crops in [0, 1]. [B, 3, S, S].
        weights: of the terms.
    """
    found = read_all(learner.student, images)
    apart = {
        "hidden": (found.hidden - wanted.hidden) / learner.hidden_scale,
        "codes": (found.codes - wanted.codes) / learner.codes_scale,
        "view": (found.view - wanted.view) / learner.view_scale,
        "maps": (learner.to_maps(found.maps) - wanted.maps) / learner.maps_scale,
    }
    errors = {name: difference.square().mean() for name, difference in apart.items()}
    pairs = zip(found.factors, wanted.factors, learner.factor_scales, strict=True)
    errors["factors"] = torch.stack([((a - b) / s).square().mean() for a, b, s in pairs]).mean()
    if found.face_embedding is not None and wanted.face_embedding is not None:
        cosine = F.cosine_similarity(found.face_embedding, wanted.face_embedding)
        errors["face_embedding"] = (1 - cosine).mean()
    parts = {name: getattr(weights, name) * error for name, error in errors.items()}
    # 0: as the teacher; 1: as the mean of its readings.
    monitors = {f"error/{name}": error.detach() for name, error in errors.items()}
    total = torch.stack(list(parts.values())).sum()
    return Loss(total, {name: part.detach() for name, part in parts.items()}, monitors)
