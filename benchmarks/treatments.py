"""How far a treatment of the image (greyscale, JPEG, blur ...) moves the embeddings of faces.

Run: python -m benchmarks.treatments --people PEOPLE [--weights FOLDER]

PEOPLE holds a folder of face crops for each person. Printed is the cosine between the embedding of
a crop and that of the same crop treated, and the AUC of all pairs when every crop is treated so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mien.linear.verification import auc, roc
from mien.media.colour import video_to_srgb
from mien.media.image import read
from mien.model import Model, load

Pixels = NDArray[np.uint8]
CODES = ("face_embedding", "identity")
# From light in sRGB's primaries: ITU-R BT.2087; SMPTE EG 432-1; Adobe RGB (1998).
_TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
_TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])
_TO_ADOBE = np.array([[0.7152, 0.2848, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0412, 0.9588]])
# Numbers of ITU-T H.273.
_SRGB_CURVE, _HLG, _BT2020, _P3 = 13, 18, 9, 12


def resized(crop: Pixels, size: int) -> Pixels:
    """Return a crop made smaller and brought back to its size."""
    small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8
    )


def compressed(crop: Pixels, quality: int) -> Pixels:
    """Return a crop as a JPEG file gives it back."""
    stored = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)


def noisy(crop: Pixels, std: float) -> Pixels:
    """Return a crop with the same noise for every crop of its size."""
    noise = np.random.default_rng(0).normal(0, 255 * std, crop.shape)
    return (crop + noise).clip(0, 255).astype(np.uint8)


def grey(crop: Pixels) -> Pixels:
    """Return a greyscale copy, RGB."""
    once = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(once, cv2.COLOR_GRAY2RGB), np.uint8)


def linear(crop: Pixels) -> Pixels:
    """Return the linear light of an sRGB crop, as if it were sRGB."""
    return (255 * light_of(crop) + 0.5).astype(np.uint8)


def light_of(crop: Pixels) -> NDArray[Any]:
    """Return the light of an sRGB crop, 1 = white. [H, W, 3]."""
    value = crop / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def display_p3(crop: Pixels) -> NDArray[np.uint16]:
    """Return the same colours in Display P3, R'G'B' 0 to 65535. [H, W, 3]."""
    light = (light_of(crop) @ _TO_P3.T).clip(0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (65535 * value + 0.5).astype(np.uint16)


def adobe_rgb(crop: Pixels) -> Pixels:
    """Return the same colours in Adobe RGB (1998), as if they were sRGB."""
    light = (light_of(crop) @ _TO_ADOBE.T).clip(0, 1)
    return (255 * light ** (256 / 563) + 0.5).astype(np.uint8)


def hlg(crop: Pixels) -> NDArray[np.uint16]:
    """Return the same colours in BT.2100 HLG, white at 203 cd/m2 of 1000; 0 to 65535. [H, W, 3]."""
    shown = (light_of(crop) @ _TO_BT2020.T).clip(0, 1) * (203 / 1000)
    luminance = shown @ np.array([0.2627, 0.6780, 0.0593])
    scene = shown * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    value = np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)
    return (65535 * value.clip(0, 1) + 0.5).astype(np.uint16)


def untagged(values: NDArray[np.uint16]) -> Pixels:
    """Return what a file without tags or profile is taken for."""
    return (values / 257 + 0.5).astype(np.uint8)


TREATMENTS: dict[str, Callable[[Pixels], Any]] = {
    "none": lambda x: x,
    "greyscale": grey,
    "JPEG quality 50": lambda x: compressed(x, 50),
    "JPEG quality 20": lambda x: compressed(x, 20),
    "32 px wide": lambda x: resized(x, 32),
    "24 px wide": lambda x: resized(x, 24),
    "blurred, sigma 1.5 px": lambda x: cv2.GaussianBlur(x, (0, 0), 1.5),
    "half as bright": lambda x: x // 2,
    "linear light shown as sRGB": linear,
    "Display P3 without a profile": lambda x: untagged(display_p3(x)),
    "Display P3 as read": lambda x: video_to_srgb(display_p3(x), _SRGB_CURVE, _P3),
    "Adobe RGB without a profile": adobe_rgb,
    "HLG without tags": lambda x: untagged(hlg(x)),
    "HLG as read, tone-mapped": lambda x: video_to_srgb(hlg(x), _HLG, _BT2020),
    "noise, standard deviation 0.05": lambda x: noisy(x, 0.05),
    "upside down": lambda x: x[::-1],
}


@torch.no_grad()
def embedded(model: Model, crops: list[Pixels]) -> dict[str, NDArray[Any]]:
    """Return both embeddings of crops of one size, of length 1. Each [N, D]."""
    parts: dict[str, list[Any]] = {name: [] for name in CODES}
    side = model.config.image_size
    for start in range(0, len(crops), 256):
        images = torch.from_numpy(np.stack(crops[start : start + 256])).permute(0, 3, 1, 2) / 255
        small = torch.nn.functional.interpolate(
            images, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        factors = model.network(small)
        for name in CODES:
            parts[name].append(torch.nn.functional.normalize(getattr(factors, name), dim=1))
    return {name: torch.cat(part).numpy() for name, part in parts.items()}


def area(codes: NDArray[Any], person: NDArray[Any]) -> float:
    """Return the AUC of all pairs by cosine."""
    first, second = np.triu_indices(len(codes), 1)
    similarity = (codes @ codes.T)[first, second]
    return auc(curve=roc(similarity=similarity, same=person[first] == person[second]))


def main() -> None:
    """Print a row a treatment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--weights", default=None)
    given = parser.parse_args()
    model = load(given.weights)
    files = sorted(file for file in given.people.glob("*/*") if file.is_file())
    person = np.array([file.parent.name for file in files])
    crops = [read(file) for file in files]
    plain = embedded(model, crops)
    print(f"{len(set(person))} people, {len(crops)} images")
    for name, treat in TREATMENTS.items():
        found = embedded(model, [np.ascontiguousarray(treat(crop)) for crop in crops])
        cells = []
        for code in CODES:
            cosine = (found[code] * plain[code]).sum(axis=1)
            cells += [np.median(cosine), np.percentile(cosine, 5), area(found[code], person)]
        print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
