"""Measures of a narrower gaze branch: codes and eyes against its teacher's, size, speed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH
from mien.gaze.distillation import Targets, targets_of
from mien.gaze.emib import EMIB
from mien.gaze.variation import image_of
from mien.train.recipes.distill_report import (
    Fidelity,
    Speed,
    explained_variance,
    milliseconds,
    random_images,
    refuse_few,
    speed_lines,
)

__all__ = [
    "BranchFidelity",
    "BranchReport",
    "BranchValidation",
    "branch_fidelity",
    "branch_speeds",
    "branch_validation",
]

# What the head pose's guess of the eyes is off by, either way. Pixels.
_GUESS_PX = 8.0

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class BranchValidation:
    """Held-out images and the teacher's outputs for them."""

    batches: tuple[Batch, ...]
    """Of mien.data.eye_loader, on the CPU, each with a `guess` of the eyes. N images."""
    targets: Targets
    """The teacher's. [N]."""


@dataclass(frozen=True)
class BranchFidelity:
    """How well a narrower branch reproduces its teacher; each has found the eyes itself."""

    code: Fidelity
    eyes_median_px: float
    """Median distance between both's eyes, where the teacher sees them. Pixels of a face crop."""
    eyes_p95_px: float
    """95th percentile of it."""


@dataclass(frozen=True)
class BranchReport:
    """All that is measured when a narrower branch is done."""

    fidelity: BranchFidelity
    parameters: int
    """Of the eye localizer and FF-IB."""
    teacher_parameters: int
    """Of the teacher's."""
    speeds: tuple[Speed, ...]
    threads: int
    """Of the processor, as torch was set."""
    device: str
    """Where the speeds were measured."""

    def as_results(self) -> Mapping[str, str]:
        """Return the lines of a model card."""
        code, found = self.fidelity.code, self.fidelity
        lines = {
            f"R2 of the teacher's gaze code on {code.compared} held-out images": f"{code.r2:.3f}",
            "R2 of the worst number of the code": f"{min(code.r2_of_each):.3f}",
            "distance to the teacher's eyes, pixels of 224": f"median {found.eyes_median_px:.2f}, "
            f"95th percentile {found.eyes_p95_px:.2f}",
            "agrees with the teacher on whether eyes are seen": f"{code.score_agreed:.1%}",
            "eye localizer and FF-IB": f"{self.parameters:,} parameters, "
            f"teacher {self.teacher_parameters:,}",
        }
        return lines | speed_lines(self.speeds, self.device, self.threads, of="gaze, ")


@torch.no_grad()
def branch_validation(teacher: EMIB, batches: Iterable[Batch]) -> BranchValidation:
    """Run a teacher on images, as they are, with guesses of the eyes that are off by some pixels.

    Args:
        teacher: in evaluation mode.
        batches: of mien.data.eye_loader; images that the student is not trained on.

    Raises:
        MienError: it sees eyes in fewer than ten of them.
    """
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([CANVAS_WIDTH, CANVAS_HEIGHT])
    kept, found = [], []
    for batch in batches:
        off = (2 * torch.rand(len(batch["canvas"]), 1, 2, generator=generator) - 1) * _GUESS_PX
        guess = ((size / 2 + off) / size).expand(-1, 2, 2)
        batch = {name: value.cpu() for name, value in batch.items()} | {"guess": guess}
        kept.append(batch)
        found.append(_read(teacher, batch))
    targets = _joined(found)
    refuse_few(targets.seen)
    return BranchValidation(tuple(kept), targets)


@torch.no_grad()
def branch_fidelity(student: EMIB, held: BranchValidation) -> BranchFidelity:
    """Compare a branch, in evaluation mode, with its teacher."""
    wanted, got = held.targets, _joined([_read(student, batch) for batch in held.batches])
    seen = wanted.seen
    r2, each = explained_variance(wanted.code[seen], got.code[seen])
    apart = (got.eyes - wanted.eyes)[seen].norm(dim=2).flatten()
    median, p95 = apart.quantile(apart.new_tensor([0.5, 0.95])).tolist()
    agreed = float((got.seen == seen).float().mean())
    return BranchFidelity(Fidelity(len(seen), int(seen.sum()), r2, each, agreed), median, p95)


@torch.no_grad()
def branch_speeds(
    student: EMIB, teacher: EMIB, *, is_face: bool, batches: tuple[int, ...] = (1, 32)
) -> tuple[Speed, ...]:
    """Measure both; arguments as of `distill_report.speeds`."""
    found = []
    for batch in batches:
        images = random_images(batch, is_face=is_face).to(teacher.canonical_eyes.device)
        times = [
            milliseconds(lambda n=network, p=images: n(p, is_face=is_face)) / batch
            for network in (student, teacher)
        ]
        found.append(Speed(batch, *times))
    return tuple(found)


def _read(branch: EMIB, batch: Batch) -> Targets:
    """Return a branch's outputs for a batch, on the CPU."""
    device = branch.canonical_eyes.device
    there = {name: value.to(device) for name, value in batch.items()}
    found = targets_of(branch, image_of(there), there["guess"])
    return Targets(found.code.cpu(), found.score.cpu(), found.eyes.cpu())


def _joined(found: list[Targets]) -> Targets:
    """Return the outputs for all batches as one."""
    if not found:
        return Targets(torch.zeros(0, 1), torch.zeros(0), torch.zeros(0, 2, 2))
    parts = zip(*((each.code, each.score, each.eyes) for each in found), strict=True)
    return Targets(*(torch.cat(part) for part in parts))
