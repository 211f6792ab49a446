"""Do two images show one person? Centred cosine against a threshold whose error rate was measured.

    similarity = cos(x - m, y - m)

with the codes x and y of the two faces and the mean code m of many people: codes of faces share
most of their length, and a plain cosine is high between any two. Mean and thresholds stand beside
the weights in verification.json, which tools/verification.py writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import weights as weights_folder
from mien.errors import MienError
from mien.linear.similarity import Threshold, centred
from mien.measured import read_measured
from mien.media.atomic import write_text
from mien.media.names import to_text
from mien.pipeline.analyze import analyze
from mien.pipeline.encode import open_encoder
from mien.pipeline.read import ImageLike

__all__ = ["CODES", "Reference", "Threshold", "Verification", "Verifier", "verify"]

CODES = ("face_embedding", "identity")
"""What faces may be compared by."""

_FORMAT = "mien verification 1"


@dataclass(frozen=True, eq=False)
class Reference:
    """What verification.json holds: measured once for some weights."""

    weights_id: str
    code: str
    """One of `CODES`."""
    mean: NDArray[np.floating[Any]] = field(repr=False)
    """Of the code over many people, within 1e6. [D]."""
    thresholds: tuple[Threshold, ...]
    """The false match rate falls from one to the next."""
    measured_on: str
    """People, images, pairs: one line."""

    def __post_init__(self) -> None:
        """Raise ValueError where this cannot be."""
        if self.code not in CODES:
            raise ValueError(f"the code is {' or '.join(CODES)}, not {self.code!r}")
        if self.mean.ndim != 1 or not (np.abs(self.mean) <= 1e6).all():
            raise ValueError("the mean is a list of numbers within 1e6")
        for one in self.thresholds:
            if not (abs(one.similarity) <= 1 and 0 <= one.false_match_rate < 1):
                raise ValueError("a similarity lies in [-1, 1], a rate in [0, 1)")
        if not self.thresholds or any(
            one.false_match_rate <= other.false_match_rate or one.similarity > other.similarity
            for one, other in pairwise(self.thresholds)
        ):
            raise ValueError("the thresholds are given from the highest false match rate down")

    def similarity(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[Any]:
        """Return the centred cosine of codes. [..., D], [..., D] => [...]."""
        return (self.centred(one) * self.centred(other)).sum(axis=-1)

    def centred(self, codes: NDArray[np.float32]) -> NDArray[Any]:
        """Return codes less their mean, of length one. [..., D] => [..., D]."""
        return centred(codes, self.mean)

    def threshold(self, false_match_rate: float) -> Threshold:
        """Return the threshold at a false match rate that was measured.

        Raises:
            MienError: it was not; names those that were.
        """
        for one in self.thresholds:
            if abs(one.false_match_rate - false_match_rate) <= 1e-9:
                return one
        known = ", ".join(f"{one.false_match_rate:g}" for one in self.thresholds)
        raise MienError(f"no threshold was measured at {false_match_rate:g}; there are {known}")

    def save(self, folder: str | Path) -> None:
        """Write verification.json into a folder of weights, over one that is there.

        Raises:
            MienError: it cannot be written.
        """
        content = {
            "format": _FORMAT,
            "weights": self.weights_id,
            "code": self.code,
            "measured_on": self.measured_on,
            "thresholds": [vars(one) for one in self.thresholds],
            "mean": [round(float(x), 6) for x in self.mean],
        }
        path = Path(folder) / weights_folder.VERIFICATION_FILE
        write_text(path, json.dumps(content, indent=1) + "\n")

    @staticmethod
    def read(where: str | Path) -> Reference:
        """Read what was measured for weights.

        Raises:
            MienError: nothing was, it was for other weights, or the file is damaged.
        """
        path = weights_folder.verification_file(where)
        if path is None:
            raise MienError(
                f"{to_text(str(where))} has no {weights_folder.VERIFICATION_FILE}: thresholds were "
                "not measured for these weights; measure them with tools/verification.py"
            )
        return read_measured(path, where, _FORMAT, _reference)


def _reference(found: dict[str, Any]) -> Reference:
    return Reference(
        str(found["weights"]),
        str(found["code"]),
        np.asarray(found["mean"], dtype=np.float64),
        tuple(_threshold(one) for one in found["thresholds"]),
        str(found["measured_on"]),
    )


@dataclass(frozen=True)
class Verification:
    """How alike two faces are, and what that says."""

    similarity: float
    """Centred cosine, in [-1, 1]."""
    threshold: Threshold
    """Which similarities were taken for one person, and how often that was wrong."""
    measured_on: str
    """The people and pairs of the threshold's rates; on other images they differ."""

    @property
    def same(self) -> bool:
        """Return whether the similarity reaches the threshold."""
        return self.similarity >= self.threshold.similarity


class Verifier:
    """Weights with their thresholds, to compare many faces."""

    def __init__(
        self, weights: str | Path | None = None, *, device: str = "cpu", detector: str = "auto"
    ) -> None:
        """Load weights; raises MienError as `mien.load` and `Reference.read`."""
        where = weights_folder.shipped_folder() if weights is None else weights
        self.reference = Reference.read(where)
        self._model = open_encoder(where, device=device, gaze=False)
        self._detector = detector

    def codes(self, images: Sequence[ImageLike]) -> NDArray[np.float32]:
        """Return the code of the largest face of each image. [N, D].

        Raises:
            MienError: an image cannot be read or shows no face, or the weights lack the code.
        """
        largest: dict[int, Any] = {}
        for face in analyze(images, model=self._model, detector=self._detector):
            x1, y1, x2, y2 = face.box
            area = (x2 - x1) * (y2 - y1)
            if area > largest.get(face.image, (0.0, None))[0]:
                largest[face.image] = area, face
        for number, image in enumerate(images):
            if number not in largest:
                name = to_text(image) if isinstance(image, (str, Path)) else f"image {number}"
                raise MienError(f"no face is found in {name}; give an image that shows one")
        factors = [largest[i][1].factors.numpy() for i in range(len(images))]
        found = [getattr(each, self.reference.code) for each in factors]
        if found and found[0] is None:
            raise MienError(f"the weights have no {self.reference.code}")
        return np.concatenate(found)

    def compare(
        self, one: ImageLike, other: ImageLike, *, false_match_rate: float = 0.01
    ) -> Verification:
        """Compare the largest faces of two images; see `verify`."""
        threshold = self.reference.threshold(false_match_rate)
        first, second = self.codes([one, other])
        if first.shape != self.reference.mean.shape:
            raise MienError(
                f"the mean in {weights_folder.VERIFICATION_FILE} has {len(self.reference.mean)} "
                f"numbers, the code {len(first)}; fetch it again"
            )
        similarity = float(self.reference.similarity(first, second))
        return Verification(similarity, threshold, self.reference.measured_on)


def verify(
    one: ImageLike,
    other: ImageLike,
    *,
    weights: str | Path | None = None,
    false_match_rate: float = 0.01,
    device: str = "cpu",
    detector: str = "auto",
) -> Verification:
    """Compare the largest faces of two images: are they of one person?

    For many comparisons make a `mien.verification.Verifier` once.

    Args:
        one: a path, RGB pixels uint8 [H, W, 3], a Pillow image or an open binary file.
        other: likewise.
        weights: a folder of weights or `hub:owner/name`; None: the shipped ones.
        false_match_rate: one at which a threshold was measured, as a fraction.
        device: cpu, cuda, cuda:N, mps.
        detector: auto, mien, yunet, haar; none: each image is a face cut out from hairline to chin.

    Raises:
        MienError: an image cannot be read or shows no face; no such threshold was measured for the
            weights; the weights, device or detector cannot be had.
    """
    verifier = Verifier(weights, device=device, detector=detector)
    return verifier.compare(one, other, false_match_rate=false_match_rate)


def _threshold(found: Any) -> Threshold:
    return Threshold(**{name: float(value) for name, value in found.items()})
