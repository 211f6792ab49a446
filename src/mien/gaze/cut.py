"""From a face or an eye-region crop to what the networks see: two eyes, a band, a small face.

The eyes are cut at the scale of the image and made independent of skin and lamp (each has mean 0
and standard deviation 1, like the targets of a masked autoencoder with normalised patches). The
band around both, at half that scale, and the face, small, are the surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.config import FACE_SIDE, GazeConfig

__all__ = [
    "EyeImage",
    "EyeViews",
    "cut_views",
    "eye_mask",
    "luminance",
    "normalised",
    "offsets",
    "place_eyes",
    "sample_at",
]

# Standard deviations below these are noise, not an image.
_MIN_EYE_STD, _MIN_BAND_STD = 0.03, 0.04
_LIMIT = 4.0


@dataclass(frozen=True)
class EyeImage:
    """Images in which the eyes are known."""

    pixels: Tensor
    """Luminance in [0, 1] at the scale of the 224-px face crop. [B, 1, H, W]."""
    eyes: Tensor
    """x, y of the eye left of the image, then right of it; pixels of `pixels`. [B, 2, 2]."""
    face: Tensor
    """The whole face, luminance in [0, 1]; zeros where there is none. [B, 1, 64, 64]."""
    face_eyes: Tensor
    """The eyes in `face`, pixels. [B, 2, 2]."""
    has_face: Tensor
    """Whether there is a face, or only an eye-region crop. Bool [B]."""

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class EyeViews:
    """What the networks see of a batch of faces."""

    eyes: Tensor
    """Each eye's image. [B, 2, 1, eye_height, eye_width]."""
    band: Tensor
    """Both eyes and what is around them. [B, 1, band_height, band_width]."""
    face: Tensor
    """The whole face. [B, 1, 64, 64]."""
    band_eyes: Tensor
    """x, y of the eyes in the band. Pixels [B, 2, 2]."""
    face_eyes: Tensor
    """x, y of the eyes in the face. Pixels [B, 2, 2]."""
    has_face: Tensor
    """Bool [B]."""

    def __len__(self) -> int:
        return len(self.eyes)

    def __getitem__(self, rows: slice | Tensor) -> EyeViews:
        return EyeViews(*(getattr(self, f.name)[rows] for f in fields(self)))

    def with_surroundings(self, other: EyeViews) -> EyeViews:
        """Return these eyes in the other faces: positives of the contrast, eyes alone unchanged."""
        return replace(other, eyes=self.eyes)


def luminance(images: Tensor) -> Tensor:
    """Return the luminance of RGB images. [B, 3, H, W] -> [B, 1, H, W]."""
    red, green, blue = images.unbind(dim=1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


def cut_views(
    image: EyeImage,
    config: GazeConfig,
    *,
    affine: Tensor | None = None,
    jitter: Tensor | None = None,
) -> EyeViews:
    """Cut eyes, band and face out of images, not yet normalised.

    Args:
        image: images with known eyes.
        config: sizes.
        affine: offsets from the middle in the cut => offsets in the image. [B, 2, 2].
        jitter: shift of the left eye's, the right eye's and the band's middle. Pixels [B, 3, 2].
    """
    eyes = image.eyes
    if affine is None:
        affine = torch.eye(2, device=eyes.device).expand(len(eyes), 2, 2)
    if jitter is None:
        jitter = eyes.new_zeros(len(eyes), 3, 2)
    centres = eyes + jitter[:, :2]
    middle = eyes.mean(dim=1) + jitter[:, 2]
    size = (config.eye_height, config.eye_width)
    cut = [sample_at(image.pixels, _grid(centres[:, k], affine, size)) for k in (0, 1)]
    double = (2 * config.band_height, 2 * config.band_width)
    band = F.avg_pool2d(sample_at(image.pixels, _grid(middle, affine, double)), 2)
    inverse = torch.linalg.inv(affine).transpose(1, 2)
    half = eyes.new_tensor([(config.band_width - 1) / 2, (config.band_height - 1) / 2])
    middle_of_face = eyes.new_full((len(eyes), 2), (FACE_SIDE - 1) / 2)
    whole = _grid(middle_of_face, affine, (FACE_SIDE, FACE_SIDE))
    scale = (image.face_eyes[:, 1] - image.face_eyes[:, 0]).norm(dim=1)
    scale = scale / (eyes[:, 1] - eyes[:, 0]).norm(dim=1).clamp_min(1e-3)
    moved = image.face_eyes + jitter[:, :2] * scale[:, None, None]
    return EyeViews(
        eyes=torch.stack(cut, dim=1),
        band=band,
        face=sample_at(image.face, whole),
        band_eyes=(centres - middle[:, None]) @ inverse / 2 + half,
        face_eyes=(moved - middle_of_face[:, None]) @ inverse + middle_of_face[:, None],
        has_face=image.has_face,
    )


def place_eyes(image: EyeImage, config: GazeConfig) -> tuple[Tensor, Tensor]:
    """Return where the eyes stand in the band and in the face of upright cuts. [B, 2, 2] each."""
    half = image.eyes.new_tensor([(config.band_width - 1) / 2, (config.band_height - 1) / 2])
    middle = image.eyes.mean(dim=1, keepdim=True)
    return (image.eyes - middle) / 2 + half, image.face_eyes


def normalised(views: EyeViews) -> EyeViews:
    """Take brightness and contrast out: of each eye by its own, of band and face by the band's."""
    mean = views.eyes.mean(dim=(-2, -1), keepdim=True)
    std = views.eyes.std(dim=(-2, -1), keepdim=True).clamp_min(_MIN_EYE_STD)
    eyes = (views.eyes - mean) / std
    mean = views.band.mean(dim=(1, 2, 3), keepdim=True)
    std = views.band.std(dim=(1, 2, 3), keepdim=True).clamp_min(_MIN_BAND_STD)
    band, face = (views.band - mean) / std, (views.face - mean) / std
    there = views.has_face[:, None, None, None]
    return replace(
        views,
        eyes=eyes.clamp(-_LIMIT, _LIMIT),
        band=band.clamp(-_LIMIT, _LIMIT),
        face=torch.where(there, face, torch.zeros_like(face)).clamp(-_LIMIT, _LIMIT),
    )


def eye_mask(eyes: Tensor, size: tuple[int, int], half: tuple[float, float]) -> Tensor:
    """Return 1 = kept, 0 = in a rectangle around either eye. [B, 1, H, W].

    Args:
        eyes: x, y in pixels of the image to be masked. [B, 2, 2].
        size: its height and width.
        half: half the rectangle's width and height, pixels.
    """
    rows = torch.arange(size[0], device=eyes.device)[None, None, :, None]
    columns = torch.arange(size[1], device=eyes.device)[None, None, None, :]
    beside = (columns - eyes[:, :, 0, None, None]).abs() <= half[0]
    level = (rows - eyes[:, :, 1, None, None]).abs() <= half[1]
    return (~(beside & level).any(dim=1, keepdim=True)).to(eyes.dtype)


def sample_at(pixels: Tensor, places: Tensor) -> Tensor:
    """Return bilinear samples [B, C, h, w]; beyond an image its outermost pixels go on.

    Args:
        pixels: [B, C, H, W].
        places: x, y in pixels, (0, 0) = centre of the top left pixel. [B, h, w, 2].
    """
    span = places.new_tensor([pixels.shape[-1] - 1, pixels.shape[-2] - 1])
    # Not `render.shade.sample`: the two round differently, and trained weights were fitted to each.
    return F.grid_sample(
        pixels, places / span * 2 - 1, mode="bilinear", padding_mode="border", align_corners=True
    )


def offsets(size: tuple[int, int], middle: tuple[float, float], device: torch.device) -> Tensor:
    """Return x, y of every pixel of an image of this height and width from a middle. [H, W, 2]."""
    y, x = torch.meshgrid(
        torch.arange(size[0], device=device) - middle[1],
        torch.arange(size[1], device=device) - middle[0],
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1)


def _grid(middle: Tensor, affine: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the image coordinates that a cut of this size samples. Pixels [B, H, W, 2]."""
    around = offsets(size, ((size[1] - 1) / 2, (size[0] - 1) / 2), middle.device)
    return torch.einsum("bij,hwj->bhwi", affine, around) + middle[:, None, None]
