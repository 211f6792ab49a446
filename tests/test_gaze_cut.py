"""Cutting eyes, band and face out of images: places, mirrors, normalisation."""

from __future__ import annotations

import math

import pytest
import torch

from made_canvases import cut_canvas
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_SIDE, GazeConfig
from mien.gaze.cut import EyeImage, EyeViews, cut_views, eye_mask, luminance, normalised
from mien.gaze.localizer import EyeLocalizer, fit_canonical_eyes, project_eyes
from mien.gaze.variation import image_of, jitter, relit, sample_affine
from mien.geometry.camera import focal_length
from mien.geometry.rotation import angles_to_rotation
from mien.types import Pose

CONFIG = GazeConfig()
EYES = torch.tensor([[[90.0, 60.0], [170.0, 70.0]]])
FACE_EYES = torch.tensor([[[20.0, 25.0], [43.0, 28.0]]])


def _dots(size: tuple[int, int], places: torch.Tensor) -> torch.Tensor:
    """Draw a soft dot at each place. [1, 1, H, W]."""
    rows = torch.arange(size[0])[:, None]
    columns = torch.arange(size[1])[None]
    image = torch.zeros(size)
    for x, y in places.tolist():
        image += torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    return image[None, None].clamp(0, 1)


def _batch() -> dict[str, torch.Tensor]:
    return {
        "canvas": (_dots((CANVAS_HEIGHT, CANVAS_WIDTH), EYES[0]) * 255).byte(),
        "eyes": EYES,
        "face": (_dots((FACE_SIDE, FACE_SIDE), FACE_EYES[0]) * 255).byte(),
        "face_eyes": FACE_EYES,
        "has_face": torch.tensor([True]),
    }


def _centre(image: torch.Tensor) -> torch.Tensor:
    """Return x, y of an image's centre of mass. [H, W] -> [2]."""
    rows, columns = torch.arange(image.shape[0]), torch.arange(image.shape[1])
    total = image.sum()
    return torch.stack([(image.sum(0) * columns).sum(), (image.sum(1) * rows).sum()]) / total


def _rotated(angle: float, zoom: float) -> torch.Tensor:
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    return torch.tensor([[[cos, -sin], [sin, cos]]])


@pytest.mark.parametrize("affine", [None, _rotated(0.2, 1.0), _rotated(-0.1, 1.1)])
def test_each_eye_stands_in_the_middle_of_its_cut(affine: torch.Tensor | None) -> None:
    views = cut_views(image_of(_batch()), CONFIG, affine=affine)
    middle = torch.tensor([(CONFIG.eye_width - 1) / 2, (CONFIG.eye_height - 1) / 2])
    for k in (0, 1):
        assert torch.allclose(_centre(views.eyes[0, k, 0]), middle, atol=0.05)


@pytest.mark.parametrize("affine", [None, _rotated(0.2, 1.0), _rotated(-0.1, 1.1)])
def test_band_and_face_say_where_the_eyes_stand_in_them(affine: torch.Tensor | None) -> None:
    shift = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [6.0, -4.0]]])
    views = cut_views(image_of(_batch()), CONFIG, affine=affine, jitter=shift)
    assert torch.allclose(_centre(views.band[0, 0]), views.band_eyes[0].mean(0), atol=0.1)
    assert torch.allclose(_centre(views.face[0, 0]), views.face_eyes[0].mean(0), atol=0.1)
    left = views.band[0, 0].clone()
    left[:, CONFIG.band_width // 2 :] = 0
    assert torch.allclose(_centre(left), views.band_eyes[0, 0], atol=0.1)


def test_jitter_moves_the_cut_and_not_the_face() -> None:
    image = image_of(_batch())
    moved = cut_views(image, CONFIG, jitter=torch.tensor([[[3.0, 2.0], [0, 0], [0, 0]]]))
    still = cut_views(image, CONFIG)
    offset = _centre(moved.eyes[0, 0, 0]) - _centre(still.eyes[0, 0, 0])
    assert torch.allclose(offset, torch.tensor([-3.0, -2.0]), atol=0.05)
    assert torch.equal(moved.face, still.face)
    assert torch.allclose(moved.band_eyes[0, 0] - still.band_eyes[0, 0], torch.tensor([1.5, 1.0]))


def test_a_mirrored_image_swaps_its_eyes() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = {k: v.repeat(16, *[1] * (v.ndim - 1)) for k, v in _batch().items()}
    image = image_of(batch, mirror=True, generator=generator)
    flipped = image.eyes[:, 0, 0] != EYES[0, 0, 0]
    assert 0 < int(flipped.sum()) < 16
    row = int(flipped.nonzero()[0])
    expected = torch.tensor([[CANVAS_WIDTH - 1 - 170.0, 70.0], [CANVAS_WIDTH - 1 - 90.0, 60.0]])
    assert torch.equal(image.eyes[row], expected)
    views = cut_views(image, CONFIG)
    middle = torch.tensor([(CONFIG.eye_width - 1) / 2, (CONFIG.eye_height - 1) / 2])
    assert torch.allclose(_centre(views.eyes[row, 0, 0]), middle, atol=0.05)
    assert torch.allclose(_centre(views.face[row, 0]), views.face_eyes[row].mean(0), atol=0.1)


def test_normalised_eyes_do_not_know_the_lamp() -> None:
    generator = torch.Generator().manual_seed(1)
    eyes = 0.2 + 0.3 * torch.rand(2, 2, 1, 48, 64, generator=generator)
    band = 0.2 + 0.3 * torch.rand(2, 1, 40, 96, generator=generator)
    face = 0.2 + 0.3 * torch.rand(2, 1, 64, 64, generator=generator)
    place = torch.zeros(2, 2, 2)
    views = EyeViews(eyes, band, face, place, place, torch.tensor([True, False]))
    brighter = EyeViews(2 * eyes + 0.1, 2 * band + 0.1, 2 * face + 0.1, *_rest(views))
    one, other = normalised(views), normalised(brighter)
    assert torch.allclose(one.eyes, other.eyes, atol=1e-4)
    assert torch.allclose(one.band, other.band, atol=1e-4)
    assert torch.allclose(one.eyes.mean(dim=(-2, -1)), torch.zeros(2, 2, 1), atol=1e-4)
    assert one.face[0].abs().sum() > 0
    assert one.face[1].abs().sum() == 0


def _rest(views: EyeViews) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return views.band_eyes, views.face_eyes, views.has_face


def test_eye_mask_hides_rectangles_around_the_eyes_alone() -> None:
    mask = eye_mask(torch.tensor([[[5.0, 4.0], [20.0, 4.0]]]), (10, 30), (2, 1))
    assert mask.shape == (1, 1, 10, 30)
    assert mask[0, 0, 3:6, 3:8].sum() == 0
    assert mask[0, 0, 3:6, 18:23].sum() == 0
    assert mask.sum() == 300 - 2 * 15


def test_luminance_weighs_green_most() -> None:
    colours = torch.eye(3)[..., None, None]
    assert torch.allclose(luminance(colours).flatten(), torch.tensor([0.299, 0.587, 0.114]))


def test_canvas_is_a_cut_with_the_border_going_on() -> None:
    pixels = torch.arange(224 * 224.0).view(1, 1, 224, 224)
    canvas = cut_canvas(pixels, torch.tensor([[100.0, 90.0]]))
    assert canvas.shape == (1, 1, CANVAS_HEIGHT, CANVAS_WIDTH)
    middle = canvas[0, 0, CANVAS_HEIGHT // 2, CANVAS_WIDTH // 2]
    assert torch.isclose(middle, pixels[0, 0, 90, 100], rtol=1e-4)
    assert torch.allclose(canvas[0, 0, :, 0], canvas[0, 0, :, 20], rtol=1e-4)


def test_localizer_points_at_pixels_of_the_canvas() -> None:
    found = EyeLocalizer()(torch.full((3, 1, CANVAS_HEIGHT, CANVAS_WIDTH), 0.5))
    assert found.eyes.shape == (3, 2, 2)
    assert found.logit.shape == (3,)
    # A network that sees nothing must not know better than about the middle.
    middle = torch.tensor([(CANVAS_WIDTH - 1) / 2, (CANVAS_HEIGHT - 1) / 2])
    assert (found.eyes - middle).abs().max() < 40


def test_variation_is_sampled_from_the_generator() -> None:
    image = image_of(_batch())
    views = cut_views(image, CONFIG)

    def sampled(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        affine = sample_affine(image, generator).flatten()
        shift = jitter(image, 1.0, generator).flatten()
        return torch.cat([affine, shift, relit(views, generator).eyes.flatten()])

    assert torch.equal(sampled(3), sampled(3))
    assert not torch.equal(sampled(3), sampled(4))


def test_image_knows_its_length() -> None:
    image: EyeImage = image_of(_batch())
    assert len(image) == 1


CANONICAL = torch.tensor([[-0.032, -0.018, 0.975], [0.031, -0.019, 0.977]])


def _poses(count: int) -> Pose:
    generator = torch.Generator().manual_seed(0)
    angles = torch.randn(count, 3, generator=generator) * 0.3
    rotation = angles_to_rotation(angles[:, 0], angles[:, 1], angles[:, 2])
    return Pose(rotation, torch.randn(count, 3, generator=generator) * 0.01)


def test_fit_finds_the_eyes_again() -> None:
    pose = _poses(50)
    fitted = fit_canonical_eyes(pose, project_eyes(CANONICAL, pose, 10.0), 10.0)
    assert torch.allclose(fitted, CANONICAL, atol=1e-4)


def test_an_upright_head_shows_its_eyes_where_the_camera_projects_them() -> None:
    pose = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    seen = project_eyes(CANONICAL, pose, 10.0)[0]
    # In pixels of an image 225 px wide whose corners are the crop's.
    pixels = CANONICAL[:, :2] / CANONICAL[:, 2:] * focal_length(225, 10.0) + 112
    assert torch.allclose(seen * 224, pixels, atol=0.01)
    assert seen[0, 0] < 0.5 < seen[1, 0]
