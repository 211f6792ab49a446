"""What EM-IB learns from: values, where gradients go, and that a code of gaze comes out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.gaze.bottleneck import eye_masks
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_SIDE, GazeConfig
from mien.gaze.cut import cut_views, normalised
from mien.gaze.emib import EMIB
from mien.gaze.layers import patches
from mien.gaze.localizer_objective import localizer_loss
from mien.gaze.masked import Visible
from mien.gaze.objective import (
    GazeWeights,
    _unattended,  # pyright: ignore[reportPrivateUsage]
    contrast,
    emib_loss,
    emib_sheet,
    eye_distance,
)
from mien.gaze.variation import image_of
from mien.types import Loss

SMALL = GazeConfig(code_dim=4, dim=32, heads=2, stem_width=8, bottleneck_depth=1, encoder_depth=1)
BARE = GazeWeights(unattended_weight=0.0, eye_jitter_std=0.0)


def _batch(
    count: int, seed: int = 0, clips: int = 2
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Render dark irises in bright eyes on grey skin; return the batch and the irises' offsets."""
    generator = torch.Generator().manual_seed(seed)
    gaze = 2 * torch.rand(count, 2, generator=generator) - 1
    rows = torch.arange(CANVAS_HEIGHT)[:, None].float()
    columns = torch.arange(CANVAS_WIDTH)[None].float()
    canvas = torch.full((count, 1, CANVAS_HEIGHT, CANVAS_WIDTH), 140.0)
    canvas += 8 * torch.randn(canvas.shape, generator=generator)
    eyes = torch.tensor([[88.0, 64.0], [168.0, 64.0]]).expand(count, 2, 2)
    for i in range(count):
        for x, y in eyes[i].tolist():
            white = ((columns - x) / 22) ** 2 + ((rows - y) / 12) ** 2 < 1
            iris = (columns - x - 10 * gaze[i, 0]) ** 2 + (rows - y - 4 * gaze[i, 1]) ** 2 < 64
            canvas[i, 0][white] = 230.0
            canvas[i, 0][iris & white] = 30.0
    batch = {
        "canvas": canvas.clamp(0, 255).byte(),
        "eyes": eyes.clone(),
        "face": torch.full((count, 1, FACE_SIDE, FACE_SIDE), 140, dtype=torch.uint8),
        "face_eyes": torch.tensor([[20.0, 25.0], [43.0, 25.0]]).expand(count, 2, 2).clone(),
        "has_face": torch.ones(count, dtype=torch.bool),
        "clip": torch.arange(count) // max(1, count // clips),
        "open": torch.ones(count),
    }
    return batch, gaze


def _model(config: GazeConfig = SMALL) -> EMIB:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return EMIB(config)


def _loss(model: EMIB, weights: GazeWeights, step: int = 0, seed: int = 1) -> Loss:
    batch, _ = _batch(8)
    generator = torch.Generator().manual_seed(seed)
    return emib_loss(model, batch, weights, step=step, generator=generator)


def _gradient(module: torch.nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def test_eye_distance_is_l1_plus_gradients() -> None:
    rendered = torch.zeros(1, 2, 1, 8, 8)
    assert eye_distance(rendered, rendered) == 0
    # A constant error has no gradient: the L1 alone is left.
    assert torch.isclose(eye_distance(rendered, rendered + 0.5), torch.tensor(0.5))
    # A step of 1 between columns 3 and 4: L1 1/2; gradients 8 of 56, then 4 of 12, then 2 of 2.
    step = rendered.clone()
    step[..., 4:] = 1.0
    assert torch.isclose(eye_distance(rendered, step), torch.tensor(0.5 + 1 / 7 + 1 / 3 + 1.0))


def test_contrast_is_the_cross_entropy_within_a_clip() -> None:
    code = torch.eye(4)
    clip = torch.tensor([0, 0, 1, 1])
    loss, hit = contrast(code, code, clip, 0.5)
    # Two candidates each: cosine 1 of its own eyes, 0 of the other's.
    assert torch.isclose(loss, torch.tensor(math.log(1 + math.exp(-2))))
    assert hit == 1
    swapped = code[torch.tensor([1, 0, 3, 2])]
    loss, hit = contrast(code, swapped, clip, 0.5)
    assert torch.isclose(loss, torch.tensor(2 + math.log(1 + math.exp(-2))))
    assert hit == 0


@pytest.mark.parametrize(
    "weights",
    [
        BARE,
        GazeWeights(contrastive_weight=0.3, unattended_weight=0.5, unattended_every=2),
        GazeWeights(attended_weight=0, contrastive_weight=1),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_parts_sum_to_the_total_and_repeat(weights: GazeWeights, step: int) -> None:
    model = _model()
    one, other = _loss(model, weights, step), _loss(model, weights, step)
    assert torch.isclose(torch.stack(list(one.parts.values())).sum(), one.total)
    assert torch.equal(one.total, other.total)
    assert not torch.equal(one.total, _loss(model, weights, step, seed=2).total)


def test_the_eyes_are_learned_through_the_code() -> None:
    model = _model()
    _loss(model, BARE).total.backward()
    assert _gradient(model.bottleneck) > 0
    assert _gradient(model.autoencoder) > 0


def test_without_injection_the_bottleneck_learns_nothing_from_the_eyes() -> None:
    model = _model(replace(SMALL, injected=False))
    _loss(model, BARE).total.backward()
    assert _gradient(model.bottleneck) == 0
    assert _gradient(model.autoencoder) > 0


def test_unattended_steps_train_the_autoencoder_alone() -> None:
    model = _model()
    weights = GazeWeights(unattended_weight=0.5, unattended_every=2)
    loss = _loss(model, weights, step=1)
    assert set(loss.parts) == {"unattended"}
    loss.total.backward()
    assert _gradient(model.bottleneck) == 0
    assert _gradient(model.autoencoder) > 0


def test_a_variational_bottleneck_reports_its_divergence() -> None:
    model = _model(replace(SMALL, variational=True))
    loss = _loss(model, GazeWeights(kl_weight=0.1, unattended_weight=0.0))
    assert float(loss.monitors["kl_nats"]) > 0
    assert torch.isclose(loss.parts["kl"], 0.1 * loss.monitors["kl_nats"])


def test_surroundings_hide_the_eyes_from_the_autoencoder() -> None:
    model = _model()
    batch, _ = _batch(2)
    other = {**batch, "canvas": batch["canvas"].clone()}
    for x in (88, 168):
        other["canvas"][..., 56:73, x - 20 : x + 20] = 10
    one = normalised(cut_views(image_of(batch), SMALL))
    two = normalised(cut_views(image_of(other), SMALL))
    # The same brightness statistics, so that only the hidden pixels differ.
    two = type(two)(two.eyes, one.band, one.face, one.band_eyes, one.face_eyes, one.has_face)
    code = torch.zeros(2, 4)
    assert torch.equal(model.render_eyes(one, code), model.render_eyes(two, code))
    assert not torch.equal(model.render_eyes(one, code), model.render_eyes(one, code + 1))


def test_eye_crops_need_no_face() -> None:
    model = _model()
    batch, _ = _batch(2)
    batch["has_face"][:] = False
    views = normalised(cut_views(image_of(batch), SMALL))
    changed = {**batch, "face": torch.zeros_like(batch["face"])}
    other = normalised(cut_views(image_of(changed), SMALL))
    assert torch.equal(model.bottleneck(views).mean, model.bottleneck(other).mean)


def test_a_code_of_gaze_is_learned_without_gaze() -> None:
    model = _model()
    batch, gaze = _batch(32, seed=5, clips=8)
    assert _unexplained(model, batch, gaze) > 0.6
    optimizer = torch.optim.Adam(
        [*model.bottleneck.parameters(), *model.autoencoder.parameters()], lr=3e-3
    )
    generator = torch.Generator().manual_seed(0)
    weights = GazeWeights(unattended_weight=0.0, eye_jitter_std=0.0, visible_fraction=1.0)
    # Trained on rotated and mirrored images, measured on the images as they are.
    for step in range(20):
        loss = emib_loss(model, batch, weights, step=step, generator=generator).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert _unexplained(model, batch, gaze) < 0.2


def _unexplained(model, batch, gaze) -> float:
    """The fraction of the variance of the horizontal gaze that no linear map of the code gives."""
    with torch.no_grad():
        code = model.bottleneck(normalised(cut_views(image_of(batch), SMALL))).mean
    features = torch.cat([code, torch.ones(len(code), 1)], dim=1).double()
    fitted = features @ torch.linalg.lstsq(features, gaze.double()).solution
    return float(((fitted - gaze).square().sum(0) / (gaze - gaze.mean(0)).square().sum(0))[0])


def test_localizer_loss_counts_hidden_eyes_as_not_seen() -> None:
    model = _model()
    batch, _ = _batch(32)
    batch["open"][:4] = math.nan
    loss = localizer_loss(model.localizer, batch, generator=torch.Generator().manual_seed(0))
    assert torch.isclose(loss.parts["place"] + loss.parts["score"], loss.total)
    loss.total.backward()
    assert _gradient(model.localizer) > 0
    assert torch.isfinite(loss.total)


def test_contact_sheet_is_an_image() -> None:
    batch, _ = _batch(4)
    sheet = emib_sheet(_model(), batch)
    assert sheet.dtype == np.uint8
    height, width = SMALL.eye_height, SMALL.eye_width
    assert sheet.shape == (4 * height, 4 * 2 * width, 3)
    assert emib_sheet(_model(), batch, count=2).shape[0] == 2 * height


@pytest.mark.parametrize(
    "wrong",
    [
        {"contrastive_weight": -1.0},
        {"visible_fraction": 1.5},
        {"unattended_every": 1},
        {"temperature": 0.0},
    ],
)
def test_senseless_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GazeWeights(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"dim": 30}, {"eye_patch": 12}, {"band_width": 97}])
def test_senseless_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="gaze"):
        GazeConfig(**wrong)  # type: ignore[arg-type]


def test_surroundings_count_only_where_they_were_not_seen_and_there_are_no_eyes() -> None:
    model = _model()
    weights = GazeWeights(
        unattended_weight=0.5, unattended_every=2, eye_jitter_std=0.0, no_face_prob=0.0
    )
    views = normalised(cut_views(image_of(_batch(4)[0]), SMALL))
    band = patches(views.band, SMALL.band_patch)
    visible: list[Visible] = []
    rendered = torch.zeros_like(band)

    class Fake:
        """Sees what EM-AE sees and gives back `rendered`."""

        config = SMALL

        class autoencoder:
            @staticmethod
            def encode(*args: object, **options: object) -> Visible:
                visible.append(model.autoencoder.encode(*args, **options))  # type: ignore[arg-type]
                return visible[-1]

            @staticmethod
            def decode_rest(seen: object, code: object) -> torch.Tensor:
                return rendered

    def loss() -> float:
        generator = torch.Generator().manual_seed(3)
        return float(_unattended(Fake, views, None, weights, generator))  # type: ignore[arg-type]

    rendered = band.clone()
    assert loss() == 0
    rest, _ = eye_masks(views, SMALL)
    outside = patches(rest, SMALL.band_patch)
    seen = torch.zeros(4, SMALL.band_tokens + SMALL.face_tokens)
    seen = seen.scatter(1, visible[0].order, 1.0)[:, : SMALL.band_tokens, None]
    assert 0 < float(seen.mean()) < 1
    rendered = band + 100 * seen  # wrong where the patches were seen
    assert loss() == 0
    rendered = band + 100 * (1 - outside)  # wrong at the eyes
    assert loss() == 0
    rendered = band + 2 * (1 - seen)  # wrong in all that was hidden
    assert loss() == pytest.approx(2)
