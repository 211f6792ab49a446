"""After stage 2: the basis of each code, and neutral codes that are not drawn to the mean."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.errors import MienError
from mien.latentface.discriminant import told_by
from mien.latentface.latentface import LatentFace
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor
from mien.latentface.unbiased import make_unbiased
from mien.train.options import Stage2Options, TrainConfig
from mien.train.recipes.stage2 import Layout

__all__ = ["check_bases", "fit_bases"]


def check_bases(config: TrainConfig) -> None:
    """Refuse options of the bases that contradict the model's.

    Raises:
        MienError: more is to be erased than there is room for, or no basis to erase it from.
    """
    stage, model = config.stage2, config.model
    for name in ("erased_expressions", "erased_view", "unbiased"):
        if getattr(stage, name) and not model.identity_directions:
            raise MienError(
                f"stage2.{name} is about the directions that identity keeps; add "
                "model.identity_directions=48"
            )
    left = min(model.texture_dim, model.shape_dim) - model.identity_directions
    erased = stage.erased_expressions + 2 * stage.erased_view
    if erased > max(left, 0):
        raise MienError(
            f"stage2.erased_expressions and twice erased_view are {erased}: "
            f"model.identity_directions={model.identity_directions} leave {left} of the codes' "
            "directions"
        )
    if stage.unbiased and model.neutral != "regression":
        raise MienError("stage2.unbiased is about the regressor; add model.neutral=regression")


def fit_bases(
    model: LatentFace, codes: dict[str, Tensor], view: Tensor, layout: Layout, stage: Stage2Options
) -> None:
    """Fit the basis of texture and of shape codes to the neutral codes of all clips, in place.

    Args:
        model: with trained neutral networks; one without bases stays as it is.
        codes: scaled "texture" and "shape" codes. Each [N, D].
        view: pose and light that the autoencoder reads off the frames. [N, V].
        layout: of the clips.
        stage: what is erased, and whether neutral codes are made unbiased.
    """
    for name, basis, network in (
        ("texture", model.texture_basis, model.neutral_texture),
        ("shape", model.shape_basis, model.neutral_shape),
    ):
        if basis is None:
            continue
        neutral = _neutral_codes(network, codes[name])
        erased = _erased(neutral, view, layout, stage)
        basis.fit(*(clips for _, clips in layout.clips(neutral)), erased=erased)
        if stage.unbiased:
            assert isinstance(network, NeutralRegressor)
            clips = zip(layout.clips(codes[name]), layout.clips(neutral), strict=True)
            pairs = [(of_codes, of_neutral) for (_, of_codes), (_, of_neutral) in clips]
            make_unbiased(basis, network, pairs, kept=model.config.identity_directions)


def _erased(neutral: Tensor, view: Tensor, layout: Layout, stage: Stage2Options) -> Tensor | None:
    """Return what the directions of identity are to be free of; None: nothing. [D, K]."""
    found = []
    if stage.erased_expressions:
        shown = neutral[layout.shown_rows.to(neutral.device)]
        found.append(told_by(shown, layout.shown, stage.erased_expressions))
    if stage.erased_view:
        found.append(told_by(neutral, view, stage.erased_view))
        # Pose and light change rendered faces' codes otherwise than photographs'.
        rendered = layout.each_frame(layout.rendered).to(neutral.device)
        if rendered.any() and not rendered.all():
            found.append(told_by(neutral[rendered], view[rendered], stage.erased_view))
    return torch.linalg.qr(torch.cat(found, dim=1)).Q if found else None


@torch.no_grad()
def _neutral_codes(network: NeutralDiffusion | NeutralRegressor, codes: Tensor) -> Tensor:
    """Return the neutral code of every frame, ten thousand at a time. [N, D]."""
    return torch.cat([network(part) for part in codes.split(10_000)])
