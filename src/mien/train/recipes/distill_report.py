"""Measures of a student: its code against its teacher's on held-out images, size, speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch import Tensor
from torch.utils.benchmark import Timer

from mien.errors import MienError
from mien.gaze.config import EYE_CROP_HEIGHT, EYE_CROP_WIDTH, FACE_CROP
from mien.gaze.distillation import targets_of
from mien.gaze.emib import EMIB
from mien.gaze.student import BAND_HEIGHT, BAND_WIDTH, Student, cut_band
from mien.gaze.variation import image_of

__all__ = [
    "DistillReport",
    "Fidelity",
    "Speed",
    "ValidationSet",
    "explained_variance",
    "fidelity_of",
    "milliseconds",
    "random_images",
    "refuse_few",
    "speed_lines",
    "speeds",
    "validation_set",
]

_MIN_S = 0.3
_MIN_ROWS = 10


@dataclass(frozen=True)
class ValidationSet:
    """Held-out images and the teacher's outputs for them."""

    bands: Tensor
    """Luminance, 255 = white. uint8 [N, 1, 80, 192]."""
    code: Tensor
    """[N, d]."""
    seen: Tensor
    """Whether it sees eyes. Bool [N]."""


@dataclass(frozen=True)
class Fidelity:
    """How well a student's code reproduces its teacher's."""

    images: int
    """Images held out."""
    compared: int
    """Those in which the teacher sees eyes."""
    r2: float
    """1 - squared error / variance, of the code's d numbers together."""
    r2_of_each: tuple[float, ...]
    """The same for each number of the code. [d]."""
    score_agreed: float
    """Fraction of the images on which both agree whether eyes are seen."""


@dataclass(frozen=True)
class Speed:
    """Milliseconds a face; the teacher finds the eyes too, the student is given them."""

    batch: int
    """Faces at a time."""
    student_ms: float
    teacher_ms: float


@dataclass(frozen=True)
class DistillReport:
    """All that is measured when a student is done."""

    fidelity: Fidelity
    bytes: int
    """Of the student's weights as stored, half precision."""
    parameters: int
    speeds: tuple[Speed, ...]
    threads: int
    """Of the processor, as torch was set."""
    device: str
    """Where the speeds were measured."""

    def as_results(self) -> Mapping[str, str]:
        """Return the lines of a model card."""
        seen = self.fidelity
        lines = {
            f"R2 of the teacher's code on {seen.compared} held-out images": f"{seen.r2:.3f}",
            "R2 of the worst number of the code": f"{min(seen.r2_of_each):.3f}",
            "agrees on whether eyes are seen": f"{seen.score_agreed:.1%}",
            "size": f"{self.bytes / 1e6:.2f} MB, {self.parameters:,} parameters",
        }
        return lines | speed_lines(self.speeds, self.device, self.threads)


def speed_lines(
    speeds: Iterable[Speed], device: str, threads: int, *, of: str = ""
) -> dict[str, str]:
    """Return the lines of a model card on speeds.

    Args:
        speeds: measured.
        device: where.
        threads: of the processor.
        of: what they are of, before each line.
    """
    return {
        f"{of}ms a face at batch {each.batch} ({device}, {threads} threads)": (
            f"{each.student_ms:.2f}, teacher {each.teacher_ms:.2f}"
        )
        for each in speeds
    }


def explained_variance(target: Tensor, predicted: Tensor) -> tuple[float, tuple[float, ...]]:
    """Return R2 of codes, all numbers together and each: 1 = the same, 0 = no better than the mean.

    Args:
        target: the teacher's. [N, d].
        predicted: the student's. [N, d].
    """
    pair = target.double().numpy(), predicted.double().numpy()
    each = r2_score(*pair, multioutput="raw_values")
    total = r2_score(*pair, multioutput="variance_weighted")
    return float(total), tuple(np.asarray(each).tolist())


@torch.no_grad()
def validation_set(teacher: EMIB, batches: Iterable[dict[str, Tensor]]) -> ValidationSet:
    """Run a teacher on images, as they are.

    Args:
        teacher: in evaluation mode.
        batches: of mien.data.eye_loader; images that the student is not trained on.

    Raises:
        MienError: it sees eyes in fewer than ten of them.
    """
    bands, codes, seen = [], [], []
    for batch in batches:
        image = image_of(batch)
        targets = targets_of(teacher, image)
        bands.append((cut_band(image.pixels, targets.eyes) * 255).round().byte().cpu())
        codes.append(targets.code.cpu())
        seen.append(targets.seen.cpu())
    refuse_few(torch.cat(seen) if seen else torch.zeros(0, dtype=torch.bool))
    return ValidationSet(torch.cat(bands), torch.cat(codes), torch.cat(seen))


def refuse_few(seen: Tensor) -> None:
    """Refuse to measure on fewer than ten images in which a teacher sees eyes. Bool [N]."""
    if int(seen.sum()) < _MIN_ROWS:
        raise MienError(
            f"the teacher sees eyes in {int(seen.sum())} of {len(seen)} held-out images, too few "
            "to measure a student on; give more images, raise distill.held_out_fraction, or mend "
            "--crop"
        )


@torch.no_grad()
def fidelity_of(student: Student, held: ValidationSet, *, at_once: int = 64) -> Fidelity:
    """Compare a student, in evaluation mode, with its teacher."""
    device = student.code_mean.device
    outputs = [student(bands.to(device).float() / 255) for bands in held.bands.split(at_once)]
    code = torch.cat([code for code, _ in outputs]).cpu()
    score = torch.cat([score for _, score in outputs]).cpu()
    r2, each = explained_variance(held.code[held.seen], code[held.seen])
    agreed = ((score > 0.5) == held.seen).float().mean()
    return Fidelity(len(held.seen), int(held.seen.sum()), r2, each, float(agreed))


@torch.no_grad()
def speeds(
    student: Student, teacher: EMIB, *, is_face: bool, batches: tuple[int, ...] = (1, 32)
) -> tuple[Speed, ...]:
    """Measure both networks, input and output excluded.

    Args:
        student: in evaluation mode.
        teacher: in evaluation mode, on the same device.
        is_face: whether the teacher looks at faces, or at eye-region crops.
        batches: faces at a time.
    """
    device = student.code_mean.device
    generator = torch.Generator().manual_seed(0)
    found = []
    for batch in batches:
        bands = torch.rand(batch, 1, BAND_HEIGHT, BAND_WIDTH, generator=generator).to(device)
        images = random_images(batch, is_face=is_face).to(device)
        found.append(
            Speed(
                batch,
                milliseconds(lambda b=bands: student(b)) / batch,
                milliseconds(lambda p=images: teacher(p, is_face=is_face)) / batch,
            )
        )
    return tuple(found)


def random_images(batch: int, *, is_face: bool) -> Tensor:
    """Return noise of the size that a gaze branch looks at. [B, 1, H, W]."""
    size = (FACE_CROP, FACE_CROP) if is_face else (EYE_CROP_HEIGHT, EYE_CROP_WIDTH)
    return torch.rand(batch, 1, *size, generator=torch.Generator().manual_seed(0))


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of a call; torch's timer warms up and waits for a GPU."""
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=_MIN_S).median * 1e3
