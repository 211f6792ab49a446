"""What is trained on and how a crop is varied: frozen, shared by all stages of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mien.errors import MienError

__all__ = ["DataOptions", "EyeDataOptions", "SourceOptions", "check_range"]


@dataclass(frozen=True)
class SourceOptions:
    """What is trained on and how it is read; the same for every method."""

    sources: tuple[str, ...] = ()
    """Folders, .zip, .parquet, videos, or synth:HEAD_MODEL. Filled from --data."""
    exclude: tuple[str, ...] = ()
    """Sources whose images must not be trained on; compared by the pixels of the crop."""
    cache: str = ""
    """Folder of the crop cache; empty = the run folder's own."""
    detector: str = "none"
    """none (the images are face crops already), haar, yunet or auto."""
    every: int = 5
    """Take every n-th frame of a video."""
    workers: int = 1
    """Threads that prepare batches."""
    stream_fraction: float = 0.5
    """Fraction of the clips taken from an endless synth: source where there are others too."""
    stream_frames: int = 8
    """Frames rendered for each clip of an endless source."""

    def __post_init__(self) -> None:
        check_range("data.every", self.every, 1)
        check_range("data.workers", self.workers, 1)
        check_range("data.stream_frames", self.stream_frames, 1)
        check_range("data.stream_fraction", self.stream_fraction, 0, 1)


@dataclass(frozen=True)
class DataOptions(SourceOptions):
    """What is trained on and how a crop is varied; shared by both stages of LatentFace."""

    margin: float = 0.125
    """Room kept around each crop for jitter, as a fraction of its side."""
    max_shift: float = 0.04
    """Largest shift of the crop, as a fraction of its side."""
    max_log_scale: float = 0.06
    """Largest natural logarithm of the scale factor, up or down: 0.06 is about 6 %."""
    max_rotation: float = 0.06
    """Largest in-plane rotation. Radians."""
    hflip_prob: float = 0.5
    """Probability of a horizontal flip; all frames of a clip are flipped, or none."""
    per_clip: bool = False
    """Sample one shift, scale and rotation for all frames of a clip."""
    colour_jitter: float = 0.15
    """Strength of brightness, contrast, saturation and per-channel jitter."""
    grayscale_prob: float = 0.2
    """Probability of a grey image; all frames of a clip are grey, or none."""
    blur_prob: float = 0.2
    """Probability that the encoder's input is scaled down and up again."""
    max_noise_std: float = 0.02
    """Largest standard deviation of the noise added to the encoder's input. [0, 1] scale."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "margin",
            "hflip_prob",
            "grayscale_prob",
            "blur_prob",
            "max_shift",
            "max_log_scale",
        ):
            check_range(f"data.{name}", getattr(self, name), 0, 1)
        for name in ("max_rotation", "colour_jitter", "max_noise_std"):
            check_range(f"data.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class EyeDataOptions(SourceOptions):
    """What the gaze branch is trained on; images are kept as they are and varied by its loss."""

    crop: Literal["face", "eyes"] = "face"
    """What the images show: a face, or only a wide eye-region crop (no detector)."""
    clip_pattern: str = ""
    """Regular expression looked for in an image's name; its first group names the clip. Empty, or
    where it is not found: clips as the source has them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            groups = re.compile(self.clip_pattern).groups
        except re.error as error:
            raise MienError(
                f"data.clip_pattern {self.clip_pattern!r} is no regular expression: {error}"
            ) from error
        if self.clip_pattern and not groups:
            raise MienError(
                f"data.clip_pattern {self.clip_pattern!r} has no group; put what names the clip "
                "in parentheses, as in '^(\\d+)_'"
            )


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside low to high, both included."""
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise MienError(f"{name} must be {bounds}, not {value:g}")
