"""An endless, repeatable stream of clips of people who do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch

from mien.synth.accessories import with_accessories, worn_triangles
from mien.synth.background import expose, sample_backgrounds, sample_sensor
from mien.synth.clip import Clip, ClipPlan, Labels, label_clip
from mien.synth.expression import EXPRESSIONS
from mien.synth.frame import sample_frames
from mien.synth.head_model import HeadModel
from mien.synth.paint import hair_cover, paint, resting_head
from mien.synth.person import sample_person
from mien.synth.regions import find_regions
from mien.synth.render import (
    Rendered,
    Surface,
    render_frames,
    render_frames_torch,
    two_sided_triangles,
)
from mien.synth.scene import Placement, deform, light_rows, place

__all__ = ["Stream"]


@dataclass(eq=False)
class Stream:
    """Clips numbered from 0; clip i depends on (seed, i) alone, so a run can resume anywhere."""

    head: HeadModel
    """The linear head that all people share; accessories are added."""
    _: KW_ONLY
    seed: int
    """With a clip's index, decides everything in the clip."""
    frames_per_clip: int
    """T, at least 1."""
    size: int
    """Side of the images in pixels, at least 16."""
    balanced: bool = False
    """Show the seven expressions in turn instead of sampling them."""
    wide_gaze: bool = False
    """Let the eyes look anywhere, not mostly ahead and at the camera."""
    light: str = "natural"
    """`natural`, `changing` or `hard`, as in `sample_frames`."""
    device: torch.device | str = "cpu"
    """Where to render; on the CPU a fused kernel does it. Images agree between devices but for
    rounding; on one device they repeat exactly on the CPU only."""

    def __post_init__(self) -> None:
        if self.frames_per_clip < 1 or self.size < 16:
            raise ValueError("a clip has at least 1 frame of at least 16 pixels")
        self.head = with_accessories(self.head)
        self._regions = find_regions(self.head)
        self._two_sided = two_sided_triangles(self.head)

    def __iter__(self) -> Iterator[Clip]:
        index = 0
        while True:
            yield self.clip(index)
            index += 1

    def plan(self, index: int) -> ClipPlan:
        """Sample all that chance decides about clip `index`."""
        if index < 0:
            raise ValueError("clips are numbered from 0")
        rng = np.random.default_rng([self.seed, index])
        count = self.frames_per_clip
        if self.balanced:
            expressions = np.arange(count) % len(EXPRESSIONS)
        else:
            expressions = rng.integers(len(EXPRESSIONS), size=count)
        person = sample_person(rng, len(self.head.identity))
        frames = sample_frames(
            rng, self.head, expressions, wide_gaze=self.wide_gaze, light=self.light
        )
        steady = bool(rng.random() < 0.5)
        background = sample_backgrounds(rng, count, self.size, steady=steady)
        return ClipPlan(index, person, frames, background, sample_sensor(rng, count))

    def clip(self, index: int) -> Clip:
        """Render clip `index`."""
        plan = self.plan(index)
        cover = hair_cover(self.head, self._regions, plan.person)
        placement = self._place(plan, cover)
        rendered = self._render(plan, placement, cover)
        labels = label_clip(plan, placement, self.head.landmarks)
        return Clip(expose(rendered.image, plan.sensor), labels, rendered.depth, rendered.mask)

    def labels(self, index: int) -> Labels:
        """Return the truth about clip `index` without rendering it."""
        plan = self.plan(index)
        cover = hair_cover(self.head, self._regions, plan.person)
        return label_clip(plan, self._place(plan, cover), self.head.landmarks)

    def _place(self, plan: ClipPlan, cover: np.ndarray) -> Placement:
        resting = resting_head(self.head, self._regions, plan.person, cover)
        deformed = deform(self.head, resting, plan.frames)
        return place(self.head, resting, deformed, plan.frames, self.size)

    def _render(self, plan: ClipPlan, placement: Placement, cover: np.ndarray) -> Rendered:
        shown = worn_triangles(self.head, plan.person)
        surface = Surface(
            paint(self.head, self._regions, plan.person, cover),
            self.head.triangles[shown],
            self._two_sided[shown],
        )
        light = light_rows(plan.frames)
        if torch.device(self.device).type == "cpu":
            return render_frames(placement, surface, light, plan.background)
        return render_frames_torch(placement, surface, light, plan.background, device=self.device)
