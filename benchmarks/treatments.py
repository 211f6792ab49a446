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
from mien.media.image import read
from mien.model import Model, load

Pixels = NDArray[np.uint8]
CODES = ("face_embedding", "identity")


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
    value = crop / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return (255 * light + 0.5).astype(np.uint8)


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
