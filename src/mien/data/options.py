"""What is trained on and how a crop is varied: frozen, shared by all stages of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mien.errors import MienError
from mien.fields import Amount, Count, Fraction, Steps, check_fields

__all__ = [
    "DataOptions",
    "EyeDataOptions",
    "PeopleDataOptions",
    "SceneDataOptions",
    "SourceOptions",
]


@dataclass(frozen=True)
class SourceOptions:
    """What is trained on and how it is read; the same for every method."""

    sources: tuple[str, ...] = ()
    """Folders, .zip, .parquet, videos, or synth:HEAD_MODEL. Filled from --data."""
    exclude: tuple[str, ...] = ()
    """Sources whose images must not be trained on; compared by the pixels of the crop."""
    cache: str = ""
    """Folder of the crop cache; empty = the run folder's own."""
    detector: Literal["auto", "mien", "yunet", "haar", "none"] = "auto"
    """What finds the faces in photographs and videos; none = all images are face crops already, as
    those of `mien synth` are known to be."""
    every: Count = 5
    """Take every n-th frame of a video."""
    workers: Count = 1
    """Threads that prepare batches."""
    stream_fraction: Fraction = 0.5
    """Fraction of the clips taken from an endless synth: source where there are others too."""
    stream_frames: Count = 8
    """Frames rendered for each clip of an endless source."""

    def __post_init__(self) -> None:
        check_fields(self, "data")


@dataclass(frozen=True)
class DataOptions(SourceOptions):
    """What is trained on and how a crop is varied; shared by both stages of LatentFace."""

    turned: Steps = 0
    """Further views of every photograph whose landmarks the detector gives (data.detector=yunet):
    turned, relit and with another expression by the head model of a synth: source. They are stills
    with a known pose (stage1.loss_weights.known_pose); in stage 2 they may be clips
    (stage2.turned_clips)."""
    margin: Fraction = 0.125
    """Room kept around each crop for jitter, as a fraction of its side."""
    max_shift: Fraction = 0.04
    """Largest shift of the crop, as a fraction of its side."""
    max_log_scale: Fraction = 0.06
    """Largest natural logarithm of the scale factor, up or down: 0.06 is about 6 %."""
    max_rotation: Amount = 0.06
    """Largest in-plane rotation. Radians."""
    hflip_prob: Fraction = 0.5
    """Probability of a horizontal flip; all frames of a clip are flipped, or none."""
    per_clip: bool = False
    """Sample one shift, scale and rotation for all frames of a clip."""
    colour_jitter: Amount = 0.15
    """Strength of brightness, contrast, saturation and per-channel jitter."""
    grayscale_prob: Fraction = 0.2
    """Probability of a grey image; all frames of a clip are grey, or none."""
    blur_prob: Fraction = 0.2
    """Probability that the encoder's input is scaled down and up again."""
    max_noise_std: Amount = 0.02
    """Largest standard deviation of the noise added to the encoder's input. [0, 1] scale."""


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


@dataclass(frozen=True)
class PeopleDataOptions(SourceOptions):
    """Whom the face embedding learns to tell apart; see mien.data.people_cache."""

    people: Count = 4000
    """People rendered from a synth:HEAD_MODEL."""
    views: Count = 3
    """Further views of every photograph; rendered people have one more in each of two looks."""
    glasses: Fraction = 0.35
    """In how many of a photograph's further views the head wears glasses, drawn afresh in each:
    glasses, too, are not who somebody is."""
    rendered_fraction: Fraction = 0.35
    """Fraction of rendered people in a batch, where there are photographs as well."""


@dataclass(frozen=True)
class SceneDataOptions(SourceOptions):
    """What the face detector learns from; see mien.data.scenes."""

    detector: Literal["yunet", "none"] = "yunet"
    """What finds the faces in photographs and videos; none = all images are face crops already.
    The answers that are learned are YuNet's in either case."""
    backgrounds: tuple[str, ...] = ()
    """Sources of images without faces. Filled from --backgrounds."""
    validation: str = ""
    """Folder with photographs in its folders faces and no_faces; the least score is chosen on
    them."""
    licences: tuple[str, ...] = ()
    """Licences of the images, for detector.json."""
