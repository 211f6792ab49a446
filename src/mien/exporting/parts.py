"""The graphs of a model that are exported, what goes into each, and how far each is from torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mien.batch import prepare
from mien.engines.graphs import (
    CodeGraph,
    DecoderGraph,
    EncoderGraph,
    FaceGraph,
    Graph,
    LocalizerGraph,
)
from mien.errors import MienError
from mien.gaze.cut import luminance, normalised
from mien.gaze.emib import image_of_eyes, nearest_pixel
from mien.gaze.localizer import project_eyes
from mien.gaze.windows import cut_half_canvas, cut_upright
from mien.model import Model

__all__ = ["Part", "Run", "answers", "compare", "parts_of"]

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""A graph in some engine: inputs in their order, [B, ...], to outputs in theirs."""


@dataclass(frozen=True)
class Part:
    """A graph with inputs from real crops."""

    graph: Graph
    inputs: tuple[Tensor, ...]
    """One row a crop. [B, ...] each."""


@torch.no_grad()
def parts_of(model: Model, crops: Tensor) -> list[Part]:
    """Return the whole encoder, then its networks one by one, then the decoder.

    Args:
        model: on the CPU; without a gaze branch its two networks are left out.
        crops: face crops, uint8 or in [0, 1]. At least two. [B, 3, H, W].

    Raises:
        MienError: the neutral codes are sampled by diffusion, which the formats have no words for.
    """
    if model.config.neutral == "diffusion":
        raise MienError(
            "weights whose neutral codes come from a diffusion model cannot be exported; take ones "
            "trained with model.neutral=regression"
        )
    network, gaze = model.network, model.gaze
    images = prepare(crops, (model.crop_size, model.crop_size))
    small = prepare(crops, (model.config.image_size, model.config.image_size))
    factors = network(small)
    parts = [
        Part(EncoderGraph(network, gaze).as_graph(), (images,)),
        Part(FaceGraph(network).as_graph(), (small,)),
        Part(DecoderGraph(network).as_graph(), (factors.texture_code, factors.shape_code)),
    ]
    if gaze is None:
        return parts
    grey = luminance(images)
    guess = project_eyes(gaze.canonical_eyes, factors.pose, model.config.fov_deg)
    size = grey.new_tensor([grey.shape[-1], grey.shape[-2]])
    canvas = cut_half_canvas(grey, nearest_pixel((guess * size - 0.5).mean(dim=1), size))
    eyes = gaze.locate_eyes(grey, guess, is_face=True)[0].eyes
    image = image_of_eyes(grey, eyes, is_face=True)
    views = normalised(cut_upright(image, gaze.config))
    fields = (views.eyes, views.band, views.face, views.band_eyes, views.face_eyes, views.has_face)
    parts.append(Part(LocalizerGraph(gaze.localizer).as_graph(), (canvas,)))
    parts.append(Part(CodeGraph(gaze.bottleneck).as_graph(), fields))
    return parts


@torch.no_grad()
def compare(part: Part, run: Run) -> Mapping[str, float]:
    """Return the largest difference to torch of each output; of yes and no how many differ."""
    found, wanted = answers(part, run)
    return {
        name: float((a != b).sum() if b.dtype == torch.bool else (a - b).abs().max())
        for name, a, b in zip(part.graph.outputs, found, wanted, strict=True)
    }


@torch.no_grad()
def answers(part: Part, run: Run) -> tuple[list[Tensor], Sequence[Tensor]]:
    """Return a graph's outputs in some engine, and torch's.

    The first crop is run alone, the others together: the batch is free.
    """
    wanted = part.graph.module(*part.inputs)
    wanted = (wanted,) if isinstance(wanted, Tensor) else wanted
    alone = run([x[:1] for x in part.inputs])
    others = run([x[1:] for x in part.inputs])
    return [torch.cat([a, b]) for a, b in zip(alone, others, strict=True)], wanted
