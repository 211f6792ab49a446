"""The student: a small convolutional network that gives a teacher's gaze code from the eye band.

It sees one thing, a grey band around both eyes at the scale of the face crop, and needs neither the
auto-encoder nor the eye localizer: whoever runs it gives it eye points, as every face detector for
phones does. Depthwise-separable convolutions with batch normalisation, which folds into them; no
step but convolution, product and sum, so that it can be exported.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien import weights
from mien.errors import MienError
from mien.fields import Width, check_fields, check_sizes

__all__ = [
    "BAND_HEIGHT",
    "BAND_WIDTH",
    "Student",
    "StudentConfig",
    "cut_band",
    "load_student",
    "save_student",
]

BAND_HEIGHT = 80
"""Of the band around the middle between the eyes. Pixels of the 224-pixel face crop."""
BAND_WIDTH = 192
"""The same."""
_LEVELS = 4
_MIN_STD = 0.02  # of [0, 1]; below it a band is noise, which is not to be amplified


@dataclass(frozen=True)
class StudentConfig:
    """Sizes of the network; the values that its weights were made with."""

    code_dim: Width = 16
    """d, length of the teacher's code."""
    width: Width = 20
    """Channels of the finest level; they double at each of the three coarser ones."""
    blocks: Width = 3
    """Residual blocks at each of the two coarsest levels; one less at the level before them."""
    features: Width = 96
    """Length of the vector that the code and the score are read from."""

    def __post_init__(self) -> None:
        check_fields(self, "student")


class _Separable(nn.Sequential):
    """Depthwise 3x3, then pointwise; each with batch normalisation and ReLU."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )


class _Residual(nn.Module):
    """x + pointwise(depthwise(pointwise(x))), twice as wide inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.layers(x)


class Student(nn.Module):
    """Eye band -> gaze code and eye score. The band stays a map to the end: where matters."""

    code_mean: Tensor
    code_scale: Tensor

    def __init__(self, config: StudentConfig, teacher: str = "") -> None:
        """Make a network with random weights.

        Args:
            config: sizes.
            teacher: weights id of the model whose code is learned; "" = not known.
        """
        super().__init__()
        self.config, self.teacher = config, teacher
        widths = [config.width * 2**level for level in range(_LEVELS)]
        layers: list[nn.Module] = [
            nn.Conv2d(1, widths[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for level in range(1, _LEVELS):
            blocks = config.blocks - (level == 1)
            layers.append(_Separable(widths[level - 1], widths[level], stride=2))
            layers += [_Residual(widths[level]) for _ in range(blocks)]
        self.convolutions = nn.Sequential(*layers)
        narrow = widths[-1] // 8
        places = (BAND_HEIGHT >> _LEVELS) * (BAND_WIDTH >> _LEVELS)
        self.squeeze = nn.Sequential(
            nn.Conv2d(widths[-1], narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()
        )
        self.features = nn.Linear(narrow * places, config.features)
        self.code = nn.Linear(config.features, config.code_dim)
        self.score = nn.Linear(config.features, 1)
        # The network learns the code as z-scores; these bring it back to the teacher's units.
        self.register_buffer("code_mean", torch.zeros(config.code_dim))
        self.register_buffer("code_scale", torch.ones(config.code_dim))

    def read(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code in standard deviations over faces [B, d] and the score's logit [B].

        Args:
            bands: luminance in [0, 1]. [B, 1, 80, 192].
        """
        mean = bands.mean(dim=(2, 3), keepdim=True)
        std = (bands - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        maps = self.convolutions((bands - mean) / (std + _MIN_STD))
        features = F.relu(self.features(self.squeeze(maps).flatten(1)))
        return self.code(features), self.score(features).squeeze(1)

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gaze code in the teacher's units [B, d] and the eye score in [0, 1] [B].

        Args:
            bands: luminance in [0, 1] around the eyes, as `cut_band` cuts it. [B, 1, 80, 192].
        """
        code, logit = self.read(bands)
        return code * self.code_scale + self.code_mean, logit.sigmoid()


def cut_band(images: Tensor, eyes: Tensor) -> Tensor:
    """Cut bands around the eyes [B, 1, 80, 192]; beyond the image its border goes on.

    The middle between the eyes falls on (96, 40), to the nearest whole pixel.

    Args:
        images: luminance of 224 px face crops, of 200 px wide eye-region crops or of the canvases
            cut from them. [B, 1, H, W], any type.
        eyes: x, y of both eyes, pixels of the image. [B, 2, 2].
    """
    height, width = images.shape[-2:]
    middle = eyes.float().mean(dim=1).round().long()
    columns = middle[:, :1] + torch.arange(BAND_WIDTH, device=images.device) - BAND_WIDTH // 2
    rows = middle[:, 1:] + torch.arange(BAND_HEIGHT, device=images.device) - BAND_HEIGHT // 2
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images[batch, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def save_student(
    student: Student,
    folder: str | Path,
    card: str,
    *,
    images: Collection[str] = (),
    overwrite: bool = False,
) -> int:
    """Write a student's folder, half precision, and return the bytes of its weights.

    Args:
        student: to be written.
        folder: where to.
        card: text of its model card.
        images: checksums of what it and its teacher were trained on.
        overwrite: replace the student that is there.

    Raises:
        MienError: the folder holds a model already, or a weight is not finite.
    """
    config = {"kind": "student", "teacher": student.teacher, "student": asdict(student.config)}
    state = {k: v for k, v in student.state_dict().items() if not k.endswith("_batches_tracked")}
    weights.save(folder, state, config, card, images=images, half=True, overwrite=overwrite)
    return (Path(folder) / weights.WEIGHTS_FILE).stat().st_size


def load_student(folder: str | Path) -> Student:
    """Load a student, ready to be used: evaluation mode, no gradients, on the CPU.

    Args:
        folder: that `mien distill gaze` wrote.

    Raises:
        MienError: missing, tampered with, of another version, or not a student's weights.
    """
    config, tensors = weights.read(folder)
    if config.get("kind") != "student":
        raise MienError(f"{folder} holds a whole model, not a student; load it with mien.load")
    try:
        sizes = StudentConfig(**config["student"])
        check_sizes(tensors, str(folder), sizes, ("code_dim", "width", "features"))
        student = Student(sizes, str(config.get("teacher", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise MienError(
            f"{folder}: the student's options are not known to this mien ({error})"
        ) from error
    own = {k: v for k, v in student.state_dict().items() if not k.endswith("_batches_tracked")}
    weights.check_keys(own, tensors, folder)
    student.load_state_dict(tensors, strict=False)  # but for counters, which nobody reads
    for parameter in student.parameters():
        if parameter.ndim == 4:  # channels innermost: faster on processors and GPUs alike
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return student.eval().requires_grad_(requires_grad=False)
