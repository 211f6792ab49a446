"""Stage 1's loss on a batch: straight, mirrored and cross-frame images must be reconstructed.

The cross-frame branch renders the canonical face of frame i with the pose and light of frame j of
the same clip and compares it with frame j: a canonical face that holds its frame's rotation cannot
match. It is our addition to Wu et al.'s two branches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mien.fields import Amount, check_fields
from mien.geometry.rotation import rotation_to_angles
from mien.latentface.autoencoder import Autoencoder, Canonical, Encoded
from mien.latentface.depth_penalties import border_nearness, depth_outliers, roughness
from mien.latentface.reconstruction import ReconstructionError, reconstruction_error
from mien.latentface.scene import View, shade_view, view
from mien.types import Light, Loss, Pose

__all__ = ["Stage1Weights", "partners", "pose_error", "stage1_loss"]


@dataclass(frozen=True)
class Stage1Weights:
    """How much each term counts."""

    photometric: Amount = 0.5
    """Confidence-weighted L1."""
    gradient: Amount = 4.0
    """Image gradients at three scales."""
    orientation: Amount = 4.0
    """Contrast-normalised oriented gradients."""
    mirrored: Amount = 0.5
    """The mirrored branch against the straight one."""
    cross: Amount = 1.0
    """The cross-frame branch against the straight one; only frames of clips have it. The
    photometric term alone: structure cannot be right where expressions differ."""
    yaw_std: Amount = 1.0
    """Penalty where the standard deviation of the predicted yaw over the batch is below
    `min_yaw_std`."""
    min_yaw_std: Amount = 0.1
    """Radians."""
    angle_limit_penalty: Amount = 5.0
    """Penalty on angles above `angle_limit`, where a pose could run away to its bound."""
    angle_limit: Amount = 0.75
    """Radians."""
    border_depth: Amount = 4.0
    """Penalty on canonical depth beside the face that comes near the camera. Such a border hides
    the rotated face; what is hidden has no gradient, so that nothing else brings it back."""
    border_level: Amount = 0.3
    """How far behind the canonical centre the border must stay, as a fraction of the depth's
    range."""
    depth_outliers: Amount = 8.0
    """Penalty on canonical depth far from that of most faces in the batch: in heads turned far, a
    ridge hides what the network cannot draw, and is hardly seen itself."""
    outlier_level: Amount = 0.2
    """How far faces may differ in depth at a pixel, as a fraction of the depth's range."""
    roughness: Amount = 0.0
    """Penalty on the canonical depth's Laplacian."""
    known_pose: Amount = 0.0
    """Mean absolute error of the angles where the head's pose is known: of rendered images, and of
    photographs that were turned. 0: learned without."""

    def __post_init__(self) -> None:
        check_fields(self, "stage1.loss_weights")


def partners(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Return (rows, partner of each): the next frame of the same clip in the batch, cyclically.

    Args:
        clip: clip of each row, -1 for stills. [B].
    """
    order: dict[int, list[int]] = {}
    for row, name in enumerate(clip.tolist()):
        if name >= 0:
            order.setdefault(name, []).append(row)
    pairs = [
        (frames[i], frames[(i + 1) % len(frames)])
        for frames in order.values()
        if len(frames) > 1
        for i in range(len(frames))
    ]
    index = torch.tensor(pairs, dtype=torch.long, device=clip.device).reshape(-1, 2)
    return index[:, 0], index[:, 1]


# The rasteriser is Numba or Triton code, and pairs of frames are found in Python: torch.compile
# leaves both as they are and compiles what is around them.
_view = cast("Callable[[Tensor, Pose, float], View]", torch.compiler.disable(view))
_partners = cast("Callable[[Tensor], tuple[Tensor, Tensor]]", torch.compiler.disable(partners))


def stage1_loss(
    model: Autoencoder,
    images: Tensor,
    targets: Tensor,
    clip: Tensor,
    weights: Stage1Weights,
    *,
    real: Tensor | None = None,
    rotation: Tensor | None = None,
) -> Loss:
    """Return the loss of one batch; Wu et al. 2020, equations 3 and 4.

    Args:
        model: the autoencoder.
        images: what the encoders see, perhaps blurred and noisy; RGB in [0, 1]. [B, 3, H, W].
        targets: the same images untouched, to be reconstructed. [B, 3, H, W].
        clip: clip of each row, -1 for stills. [B].
        weights: of the terms.
        real: 1 where a target shows its file's image, 0 where that image's edge is repeated and
            nothing is to be reconstructed; None: 1 everywhere. [B, 1, H, W].
        rotation: the heads' rotations where they are known, NaN elsewhere. [B, 3, 3].

    Returns:
        The loss. Extras: `renderings`, straight, mirrored, then cross-frame [2 B + C, 3, H, W];
        canonical `albedo` [B, 3, H, W] and `depth` [B, 1, H, W].
    """
    encoded = model.encode(images)
    canonical = model.canonical(encoded.texture, encoded.shape)
    log_scales = model.log_scales(encoded.features)
    source, target = _partners(clip)
    every = torch.arange(len(images), device=images.device)
    # One pass through the renderer for all three branches.
    face = torch.cat([every, every, source])
    seen = torch.cat([every, every, target])
    renderings, mask = _render_branches(model, canonical, encoded, face, seen)
    scale = torch.cat([log_scales[:, :1], log_scales[:, 1:2], log_scales[target, 2:]])
    compared = mask if real is None else mask * real[seen]
    error = reconstruction_error(renderings, targets[seen], scale, compared)
    parts = _weigh(error, len(images), len(source), weights)
    yaw = encoded.angles[:, 0]
    # A pose that freezes lets the canonical face hold the rotation; keep it moving.
    parts["penalty/yaw_std"] = weights.yaw_std * (weights.min_yaw_std - yaw.std()).clamp_min(0)
    # Near its limit the squashed angle has no gradient left to bring it back.
    excess = (encoded.angles.abs() - weights.angle_limit).clamp_min(0)
    parts["penalty/angle_limit"] = weights.angle_limit_penalty * excess.sum(dim=1).mean()
    parts |= _depth_penalties(canonical.depth, model.config.depth_range, weights)
    monitors = _monitors(encoded, canonical, error, mask, len(images))
    if rotation is not None and weights.known_pose:
        apart, share = pose_error(encoded.angles, rotation)
        parts["penalty/known_pose"] = weights.known_pose * share * apart
        monitors["known_pose_deg"] = torch.rad2deg(apart.detach())
    extras = {"renderings": renderings, "albedo": canonical.albedo, "depth": canonical.depth}
    return Loss(torch.stack(list(parts.values())).sum(), parts, monitors, extras)


def _depth_penalties(depth: Tensor, extent: float, weights: Stage1Weights) -> dict[str, Tensor]:
    """Return the penalties on canonical depth. Each []."""
    border = border_nearness(depth, extent, weights.border_level)
    return {
        "penalty/border_depth": weights.border_depth * border,
        "penalty/depth_outliers": weights.depth_outliers
        * depth_outliers(depth, extent, weights.outlier_level),
        "penalty/roughness": weights.roughness * roughness(depth, extent),
    }


def pose_error(angles: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean absolute error of known angles, radians, and how many are known. [], []."""
    known = rotation.isfinite().all(dim=(1, 2))
    truth = torch.stack(rotation_to_angles(torch.where(known[:, None, None], rotation, 0.0)), dim=1)
    error = (angles - truth).abs().mean(dim=1) * known
    return error.sum() / known.sum().clamp_min(1), known.to(error.dtype).mean()


def _render_branches(
    model: Autoencoder, canonical: Canonical, encoded: Encoded, face: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Render canonical faces `face` with pose and light of rows `seen`; the second B mirrored."""
    batch = len(canonical.albedo)
    fov = model.config.fov_deg
    albedo = torch.cat(
        [canonical.albedo, canonical.albedo.flip(-1), canonical.albedo[face[2 * batch :]]]
    )
    depth = torch.cat(
        [canonical.depth, canonical.depth.flip(-1), canonical.depth[face[2 * batch :]]]
    )
    pose: Pose = encoded.pose[seen]
    light: Light = encoded.light[seen]
    where = _view(depth, pose, fov)
    return shade_view(albedo, depth, where, pose.rotation, light, fov), where.mask


def _weigh(
    error: ReconstructionError, batch: int, crossed: int, weights: Stage1Weights
) -> dict[str, Tensor]:
    """Average each term over its branch and weigh it."""
    branches = {"straight": slice(0, batch), "mirrored": slice(batch, 2 * batch)}
    factors = {"straight": 1.0, "mirrored": weights.mirrored, "cross": weights.cross}
    if crossed:
        branches["cross"] = slice(2 * batch, 2 * batch + crossed)
    parts = {}
    for name, rows in branches.items():
        # Stills have no other frame: their part of the cross term is zero, not redistributed.
        factor = factors[name] * (crossed / batch if name == "cross" else 1.0)
        parts[f"{name}/photometric"] = factor * weights.photometric * error.photometric[rows].mean()
        if name == "cross":
            continue
        parts[f"{name}/gradient"] = factor * weights.gradient * error.gradient[rows].mean()
        parts[f"{name}/orientation"] = factor * weights.orientation * error.orientation[rows].mean()
    return parts


def _monitors(
    encoded: Encoded, canonical: Canonical, error: ReconstructionError, mask: Tensor, batch: int
) -> dict[str, Tensor]:
    """Numbers that show a collapse: flat depth, frozen pose, empty images."""
    log_depth = canonical.depth.detach().flatten(1).log()
    angle_std = encoded.angles.detach().std(dim=0)
    return {
        "absolute_error": error.absolute[:batch].detach().mean(),
        "absolute_error_cross": error.absolute[2 * batch :].detach().mean()
        if len(mask) > 2 * batch
        else error.absolute.new_zeros(()),
        "log_depth_range": (log_depth.amax(dim=1) - log_depth.amin(dim=1)).mean(),
        "yaw_std": angle_std[0],
        "pitch_std": angle_std[1],
        "roll_std": angle_std[2],
        "covered": mask[:batch].mean(),
        "diffuse": encoded.light.diffuse.detach().mean(),
    }
