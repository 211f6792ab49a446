"""The library on one page: load weights, encode faces into factors, render factors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mien import weights
from mien.errors import MienError
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.scene import render
from mien.types import Factors, Light, Pose, Rendering

__all__ = ["Model", "load", "resolve_device"]


class Model:
    """Trained networks with their configuration; encodes and renders, never trains."""

    def __init__(self, network: LatentFace, *, weights_id: str = "", card: str = "") -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.config = network.config
        self.weights_id = weights_id
        """First 12 hex digits of the weights' SHA-256; empty when never saved."""
        self.card = card

    @property
    def device(self) -> torch.device:
        """Return where the networks are."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def encode(self, images: Tensor) -> Factors:
        """Read the factors off face crops.

        Args:
            images: RGB face crops framed from hairline to chin; float in [0, 1] or uint8, any
                size. [B, 3, H, W].

        Returns:
            Factors on the model's device.

        Raises:
            MienError: when the tensor is not such a batch.
        """
        prepared = prepare(images, self.config.image_size).to(self.device)
        return self.network(prepared)

    @torch.no_grad()
    def render(
        self, factors: Factors, *, pose: Pose | None = None, light: Light | None = None
    ) -> Rendering:
        """Draw factors.

        Args:
            factors: whom to draw.
            pose: another pose than the factors' own; one row serves all.
            light: another light, in the camera frame; one row serves all.
        """
        factors = factors.to(self.device)
        pose = (pose.to(self.device) if pose else factors.pose).expand(len(factors))
        light = (light.to(self.device) if light else factors.light).expand(len(factors))
        canonical = self.network.canonical(factors)
        return render(canonical.albedo, canonical.depth, pose, light, self.config.fov_deg)

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and the model card into `folder`.

        Raises:
            MienError: when the folder cannot be written.
        """
        weights.save(Path(folder), self.network.state_dict(), asdict(self.config), self.card)


def prepare(images: Tensor, size: int) -> Tensor:
    """Check a batch of crops and bring it to [0, 1] float32 at `size`. [B, 3, size, size]."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise MienError(
            f"images must be [B, 3, H, W], not {list(images.shape)}; stack RGB crops channel first"
        )
    if images.dtype == torch.uint8:
        images = images.float() / 255
    elif not images.is_floating_point():
        raise MienError(f"images must be uint8 or float in [0, 1], not {images.dtype}")
    elif images.numel() and (
        not images.isfinite().all() or images.min() < -1e-3 or images.max() > 1 + 1e-3
    ):
        raise MienError("float images must lie in [0, 1] and be finite; divide 8-bit values by 255")
    images = images.float()
    if images.shape[-2:] != (size, size):
        images = F.interpolate(
            images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
        )
    return images.clamp(0, 1)


def resolve_device(name: str) -> torch.device:
    """Return the asked-for device.

    Raises:
        MienError: when it is not there; never a silent fall-back to the CPU.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MienError(f"--device {name}: no such device; use cpu, cuda, cuda:0 or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MienError(
            f"--device {name}: torch {torch.__version__} finds no CUDA device; use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MienError(f"--device {name}: only {torch.cuda.device_count()} CUDA devices are there")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MienError("--device mps: torch finds no Apple GPU; use --device cpu")
    return device


def load(where: str | Path | None = None, *, device: str = "cpu") -> Model:
    """Load weights.

    Args:
        where: a folder or file of weights, or a hub id `owner/name`; None loads the shipped ones.
        device: `cpu`, `cuda`, `cuda:0`, `mps`.

    Raises:
        MienError: weights missing, of another version or tampered with; device not there.
    """
    target = resolve_device(device)
    source = weights.shipped_folder() if where is None else where
    config, state_dict = weights.read(source)
    try:
        network = LatentFace(ModelConfig(**config))
        network.load_state_dict(state_dict)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MienError(
            f"{source}: the weights do not fit their configuration: {str(error).splitlines()[0]}"
        ) from error
    return Model(network.to(target), weights_id=weights.weights_id(source))
