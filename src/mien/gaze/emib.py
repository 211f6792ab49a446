"""The gaze branch whole: locate the eyes, read their code, render eyes from a code."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.config import (
    CANVAS_MIDDLE,
    FACE_CROP,
    FACE_SIDE,
    GazeConfig,
)
from mien.gaze.cut import EyeImage, EyeViews, normalised
from mien.gaze.localizer import EyeLocalizer, Found
from mien.gaze.masked import EyeMaskedAutoencoder
from mien.gaze.windows import cut_half_canvas, cut_upright
from mien.types import GazeCode

__all__ = [
    "EMIB",
    "FAR",
    "GazeNetworks",
    "far_off",
    "find_around",
    "image_of_eyes",
    "nearest_pixel",
]

FAR = 4.0
"""Pixels, across or down, between the guess and the middle of the eyes that are found around it;
where it is farther, the eyes are located once more, around that middle."""
_PROJECTED = 32


class GazeNetworks(Protocol):
    """What runs the two networks of the gaze branch: the module itself, or an engine."""

    def find_eyes(self, half_canvas: Tensor, /) -> Found: ...
    def read_code(self, views: EyeViews, /) -> Tensor: ...


class EMIB(nn.Module):
    """Eye localizer, FF-IB and EM-AE."""

    canonical_eyes: Tensor

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        self.config = config
        self.localizer = EyeLocalizer(config.localizer_width)
        self.bottleneck = FullFaceBottleneck(config)
        self.autoencoder = EyeMaskedAutoencoder(config)
        # The contrast compares these projections: compared directly, codes forget all that the
        # frames of a clip can be distinguished without.
        self.projector = nn.Sequential(
            nn.Linear(config.code_dim, 64), nn.GELU(), nn.Linear(64, _PROJECTED)
        )
        # Canonical frame, face units; of the eye left of the image, then right of it.
        eyes = torch.tensor([[-0.03, -0.02, 0.98], [0.03, -0.02, 0.98]])
        self.register_buffer("canonical_eyes", eyes)

    def find_eyes(self, half_canvas: Tensor) -> Found:
        """Run the localizer. [B, 1, CANVAS_HEIGHT / 2, CANVAS_WIDTH / 2]."""
        return self.localizer.find(half_canvas)

    def read_code(self, views: EyeViews) -> Tensor:
        """Run the bottleneck on normalised views. [B, d]."""
        return self.bottleneck(views).mean

    def forward(
        self,
        pixels: Tensor,
        guess: Tensor | None = None,
        *,
        is_face: bool = True,
        face: Tensor | None = None,
        networks: GazeNetworks | None = None,
    ) -> GazeCode:
        """Find the eyes, as fractions of the image's sides [B, 2, 2], and read their code [B, d].

        Args:
            pixels: luminance in [0, 1] of face crops [B, 1, 224, 224] or
                eye-region crops [B, 1, 96, 200].
            guess: about where the eyes stand, x, y as fractions of the image's sides; None looks
                in the middle. [B, 2, 2].
            is_face: whether these are faces; eye-region crops have no surroundings.
            face: the faces at FACE_SIDE, where they are at hand; None: made of `pixels`.
                [B, 1, FACE_SIDE, FACE_SIDE].
            networks: what runs the networks; None: this module.
        """
        networks = networks or self
        image, logit = self.locate_eyes(
            pixels, guess, is_face=is_face, face=face, networks=networks
        )
        code = networks.read_code(normalised(cut_upright(image, self.config)))
        return self.finished(code, image.eyes, logit, pixels)

    @staticmethod
    def finished(code: Tensor, eyes: Tensor, logit: Tensor, pixels: Tensor) -> GazeCode:
        """Return codes [B, d] with eyes in pixels [B, 2, 2] and logits [B] as what is given out."""
        size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
        places = (eyes + 0.5) / size
        inside = ((places > 0) & (places < 1)).flatten(1).all(dim=1)
        score = logit.sigmoid() * inside
        return GazeCode(code, score > 0.5, places, score)

    def locate_eyes(
        self,
        pixels: Tensor,
        guess: Tensor | None,
        *,
        is_face: bool,
        face: Tensor | None = None,
        networks: GazeNetworks | None = None,
    ) -> tuple[EyeImage, Tensor]:
        """Return the images with the eyes found in them, and the eye localizer's logits [B].

        Arguments as for `forward`.
        """
        networks = networks or self
        size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
        if guess is None:
            middle = ((size - 1) / 2).expand(len(pixels), 2)
        else:
            middle = (guess * size - 0.5).mean(dim=1)
        whole = nearest_pixel(middle, size)
        eyes, logit = find_around(networks, pixels, whole)
        again = nearest_pixel(eyes.mean(dim=1), size)
        rows = far_off(whole, again).nonzero()[:, 0]
        if len(rows):
            found = find_around(networks, pixels[rows], again[rows])
            eyes, logit = eyes.index_copy(0, rows, found[0]), logit.index_copy(0, rows, found[1])
        return image_of_eyes(pixels, eyes, is_face=is_face, face=face), logit

    def render_eyes(self, views: EyeViews, code: Tensor) -> Tensor:
        """Render normalised eyes from a code: EM-AE with all patches visible. [B, 2, 1, h, w].

        Args:
            views: normalised surroundings; their eyes are not looked at.
            code: [B, d].
        """
        visible = self.autoencoder.encode(views, keep=1.0, generator=None)
        return self.autoencoder.decode_eyes(visible, code, views)


def nearest_pixel(middle: Tensor, size: Tensor) -> Tensor:
    """Return the pixel nearest to a middle; a wild guess stays in the image. [B, 2]."""
    return torch.minimum(middle.clamp_min(0), size - 1).round()


def far_off(guess: Tensor, found: Tensor) -> Tensor:
    """Return which middles are FAR from where they were guessed: found once more. Bool [B].

    Args:
        guess: the middles that canvases were cut around. Pixels [B, 2].
        found: the middles of the eyes found there. Pixels [B, 2].
    """
    return ((found - guess).abs() > FAR).any(dim=1)


def find_around(networks: GazeNetworks, pixels: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Locate eyes on the canvases around whole pixels. Pixels of the image [B, 2, 2]; logit [B]."""
    found = networks.find_eyes(cut_half_canvas(pixels, whole))
    corner = whole - whole.new_tensor(CANVAS_MIDDLE)
    return found.eyes + corner[:, None], found.logit


def image_of_eyes(
    pixels: Tensor, eyes: Tensor, *, is_face: bool, face: Tensor | None = None
) -> EyeImage:
    """Return images with the eyes that were found in them; arguments as for `EMIB.forward`."""
    batch = len(pixels)
    if not is_face:
        blank = pixels.new_zeros(batch, 1, FACE_SIDE, FACE_SIDE)
        nowhere = torch.full_like(eyes, -1e3)
        nowhere[:, 1] = 1e3
        return EyeImage(
            pixels, eyes, blank, nowhere, torch.zeros(batch, dtype=torch.bool).to(pixels.device)
        )
    if face is None:
        size = (FACE_SIDE, FACE_SIDE)
        face = F.interpolate(
            pixels, size=size, mode="bilinear", antialias=True, align_corners=False
        )
    face_eyes = (eyes + 0.5) * (FACE_SIDE / FACE_CROP) - 0.5
    there = torch.ones(batch, dtype=torch.bool, device=pixels.device)
    return EyeImage(pixels, eyes, face, face_eyes, there)
