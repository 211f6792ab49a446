"""Colours of files => sRGB: ICC profiles of images; primaries and transfer curves of video.

What holds no profile and no tags is taken as sRGB. High dynamic range (PQ, HLG) is mapped to the
range of sRGB: up to three quarters of the reference white (203 cd/m2, ITU-R BT.2408) nothing
changes but the encoding, what is brighter is compressed smoothly.
"""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

__all__ = ["HDR_CURVES", "WIDE_PRIMARIES", "icc_to_srgb", "video_to_srgb"]

# Numbers of ITU-T H.273, which FFmpeg uses as they are.
_PQ, _HLG = 16, 18
HDR_CURVES = (_PQ, _HLG)
"""Transfer curves of high dynamic range."""
_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),  # BT.709, sRGB
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
WIDE_PRIMARIES = (9, 12)
"""Primaries that reach beyond sRGB's: BT.2020 and Display P3."""
_REFERENCE_WHITE = 203.0
_KNEE = 0.75
_SAME = 2
"""Levels of 255 by which a profile may differ from sRGB and still be taken for it."""


def icc_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image in sRGB; as it is where its profile is broken, of another kind, or sRGB.

    Args:
        image: of mode L, RGB or CMYK.
        profile: the ICC profile embedded in its file.

    Returns:
        Of the same size; RGB where it was converted.
    """
    transform = None if profile is None else _transform(profile, image.mode)
    return image if transform is None else ImageCms.applyTransform(image, transform) or image


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    spaces = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        core: Any = source.profile
        if core.xcolor_space.strip() != spaces.get(mode):
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    # Most files hold a profile of sRGB itself: their pixels stay as they are.
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(cube).convert(mode)
    moved = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return None if np.abs(moved - np.asarray(probe.convert("RGB"))).max() <= _SAME else transform


def video_to_srgb(pixels: NDArray[np.uint16], curve: int, primaries: int) -> NDArray[np.uint8]:
    """Return the pixels of a video's frame in sRGB.

    Args:
        pixels: R'G'B', 0 to 65535, in the video's own primaries and transfer curve. [H, W, 3].
        curve: transfer curve, by its number in ITU-T H.273.
        primaries: likewise.

    Returns:
        RGB [H, W, 3].
    """
    light = _light(curve)[pixels]
    if curve == _HLG:
        # BT.2100's OOTF for a display of 1000 cd/m2: brighter by the 0.2th power of luminance.
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (1000 / _REFERENCE_WHITE) * np.power(luminance, 0.2)[..., None]
    if primaries in WIDE_PRIMARIES:
        light = light @ _to_srgb_primaries(primaries).T
    light = light.clip(0)
    if curve in HDR_CURVES:
        # One factor for all three, so that hues stay.
        peak = light.max(axis=2, keepdims=True)
        room = 1 - _KNEE
        mapped = np.where(peak > _KNEE, _KNEE + room * np.tanh((peak - _KNEE) / room), peak)
        light *= mapped / np.maximum(peak, 1e-6)
    light = light.clip(0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _light(curve: int) -> NDArray[np.float32]:
    """Return the light of each code value: 1 = reference white; of HLG the scene's, up to 1."""
    code = np.arange(65536) / 65535
    if curve == _PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = code ** (1 / m2)
        light = 10000 / _REFERENCE_WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif curve == _HLG:  # BT.2100's inverse OETF
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:  # sRGB's own, so that greys stay as they are
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@functools.cache
def _to_srgb_primaries(primaries: int) -> NDArray[np.float32]:
    """Return the matrix from light in these primaries to light in sRGB's. [3, 3]."""
    to_xyz = [_to_xyz(_CHROMATICITIES[number]) for number in (1, primaries)]
    return np.linalg.solve(*to_xyz).astype(np.float32)


def _to_xyz(corners: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    red_green_blue_white = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*corners, _D65)]).T
    each, white = red_green_blue_white[:, :3], red_green_blue_white[:, 3]
    return each * np.linalg.solve(each, white)
