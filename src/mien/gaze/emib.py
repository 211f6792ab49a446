"""The gaze branch whole: locate the eyes, read their code, render eyes from a code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.config import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FACE_CROP,
    FACE_SIDE,
    GazeConfig,
)
from mien.gaze.cut import EyeImage, EyeViews, cut_views, normalised
from mien.gaze.localizer import EyeLocalizer, cut_canvas
from mien.gaze.masked import EyeMaskedAutoencoder
from mien.types import GazeCode

__all__ = ["EMIB"]

# Eyes that are found far from the guess are located once more around there.
_PASSES = 2
_PROJECTED = 32


class EMIB(nn.Module):
    """Eye localizer, FF-IB and EM-AE."""

    canonical_eyes: Tensor

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        self.config = config
        self.localizer = EyeLocalizer()
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

    def forward(
        self, pixels: Tensor, guess: Tensor | None = None, *, is_face: bool = True
    ) -> GazeCode:
        """Find the eyes, as fractions of the image's sides [B, 2, 2], and read their code [B, d].

        Args:
            pixels: luminance in [0, 1] of face crops [B, 1, 224, 224] or
                eye-region crops [B, 1, 96, 200].
            guess: about where the eyes stand, x, y as fractions of the image's sides; None looks
                in the middle. [B, 2, 2].
            is_face: whether these are faces; eye-region crops have no surroundings.
        """
        image, logit = self.locate_eyes(pixels, guess, is_face=is_face)
        code = self.bottleneck(normalised(cut_views(image, self.config))).mean
        size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
        places = (image.eyes + 0.5) / size
        inside = ((places > 0) & (places < 1)).flatten(1).all(dim=1)
        score = logit.sigmoid() * inside
        return GazeCode(code, score > 0.5, places, score)

    def locate_eyes(
        self, pixels: Tensor, guess: Tensor | None, *, is_face: bool
    ) -> tuple[EyeImage, Tensor]:
        """Return the images with the eyes found in them, and the eye localizer's logits [B].

        Arguments as for `forward`.
        """
        size = pixels.new_tensor([pixels.shape[-1], pixels.shape[-2]])
        if guess is None:
            middle = ((size - 1) / 2).expand(len(pixels), 2)
        else:
            middle = (guess * size - 0.5).mean(dim=1)
        corner = pixels.new_tensor([CANVAS_WIDTH // 2, CANVAS_HEIGHT // 2])
        eyes, logit = middle[:, None].expand(-1, 2, -1), pixels.new_zeros(len(pixels))
        for _ in range(_PASSES):
            # Whole pixels: the canvas is then a cut, not a blur. A wild guess stays in the image.
            whole = torch.minimum(middle.clamp_min(0), size - 1).round()
            found = self.localizer(cut_canvas(pixels, whole))
            eyes, logit = found.eyes + (whole - corner)[:, None], found.logit
            middle = eyes.mean(dim=1)
        return _image(pixels, eyes, is_face=is_face), logit

    def render_eyes(self, views: EyeViews, code: Tensor) -> Tensor:
        """Render normalised eyes from a code: EM-AE with all patches visible. [B, 2, 1, h, w].

        Args:
            views: normalised surroundings; their eyes are not looked at.
            code: [B, d].
        """
        visible = self.autoencoder.encode(views, keep=1.0, generator=None)
        return self.autoencoder.decode_eyes(visible, code, views)


def _image(pixels: Tensor, eyes: Tensor, *, is_face: bool) -> EyeImage:
    batch = len(pixels)
    if not is_face:
        blank = pixels.new_zeros(batch, 1, FACE_SIDE, FACE_SIDE)
        nowhere = torch.full_like(eyes, -1e3)
        nowhere[:, 1] = 1e3
        return EyeImage(
            pixels, eyes, blank, nowhere, torch.zeros(batch, dtype=torch.bool).to(pixels.device)
        )
    face = F.interpolate(
        pixels, size=(FACE_SIDE, FACE_SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    face_eyes = (eyes + 0.5) * (FACE_SIDE / FACE_CROP) - 0.5
    there = torch.ones(batch, dtype=torch.bool, device=pixels.device)
    return EyeImage(pixels, eyes, face, face_eyes, there)
