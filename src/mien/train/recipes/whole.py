"""Weights of both methods in one folder, as recipes that train a part of them export them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mien import weights
from mien.data.options import SourceOptions
from mien.data.provenance import image_hashes
from mien.data.sources import Sources, find_sources
from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model, tensors_of

__all__ = ["seen_images", "write_whole"]


def write_whole(
    folder: Path,
    network: LatentFace,
    branch: EMIB | None,
    card: str,
    images: frozenset[str],
    *,
    like: LatentFace,
) -> None:
    """Write LatentFace and a gaze branch into one file, over what is there.

    Args:
        folder: where to.
        network: LatentFace.
        branch: the gaze branch; None: there is none.
        card: text of the model card.
        images: checksums of what both were trained on.
        like: what training started from: where it was in half precision, the file is.
    """
    half = weights.is_half(like.state_dict())
    config = asdict(network.config) | ({"gaze": asdict(branch.config)} if branch else {})
    tensors = tensors_of(network, branch)
    weights.save(folder, tensors, config, card, images=images, half=half, overwrite=True)


def seen_images(given: Model, sources: Sources, options: SourceOptions) -> frozenset[str]:
    """Return checksums of what weights were trained on and of what is trained on now.

    Args:
        given: the weights that training starts from, or learns from.
        sources: of the run.
        options: say what of them is left out.
    """
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    return given.images | image_hashes(sources.pieces, excluded)
