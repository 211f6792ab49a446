"""Cuts by whole pixels give what sampling at any place gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from made_canvases import cut_canvas
from mien.gaze.config import (
    CANVAS_HEIGHT,
    CANVAS_MIDDLE,
    CANVAS_WIDTH,
    FACE_CROP,
    GazeConfig,
)
from mien.gaze.cut import EyeViews, cut_views
from mien.gaze.emib import EMIB, FAR, image_of_eyes
from mien.gaze.layers import Block, patches
from mien.gaze.localizer import Found
from mien.gaze.windows import cut_half_canvas, cut_upright, window

SMALL = GazeConfig(dim=16, heads=2, stem_width=4, bottleneck_depth=1)


def _pixels(count: int, size: tuple[int, int] = (FACE_CROP, FACE_CROP)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 1, size[0] // 4, size[1] // 4, generator=generator)
    return F.interpolate(coarse, size=size, mode="bilinear")


def test_a_window_is_a_slice_and_goes_on_with_the_border() -> None:
    pixels = _pixels(2)
    cut = window(pixels, torch.tensor([[10, 20], [-3, 220]]), (6, 9))
    assert torch.equal(cut[0], pixels[0, :, 20:26, 10:19])
    assert torch.equal(cut[1, 0, :4, 3:], pixels[1, 0, 220:224, :6])
    assert torch.equal(cut[1, 0, :4, :3], pixels[1, 0, 220:224, :1].expand(-1, 3))
    assert torch.equal(cut[1, 0, 4:], cut[1, 0, 3:4].expand(2, -1))


@pytest.mark.parametrize("size", [(FACE_CROP, FACE_CROP), (96, 200)])
def test_half_canvases_are_canvases_averaged(size: tuple[int, int]) -> None:
    pixels = _pixels(5, size)
    middle = torch.tensor([[112.0, 95], [0, 0], [size[1] - 1, size[0] - 1], [60, 7], [199, 90]])
    expected = F.avg_pool2d(cut_canvas(pixels, middle), 2)
    found = cut_half_canvas(pixels, middle)
    assert found.shape == (5, 1, CANVAS_HEIGHT // 2, CANVAS_WIDTH // 2)
    assert (found - expected).abs().max() < 2e-5


@pytest.mark.parametrize("is_face", [True, False])
def test_upright_cuts_are_the_sampled_ones(is_face: bool) -> None:
    size = (FACE_CROP, FACE_CROP) if is_face else (96, 200)
    generator = torch.Generator().manual_seed(1)
    # Some of the eyes beyond the image's borders.
    eyes = torch.rand(16, 2, 2, generator=generator) * 300 - 40
    image = image_of_eyes(_pixels(16, size), eyes, is_face=is_face)
    expected, found = cut_views(image, GazeConfig()), cut_upright(image, GazeConfig())
    for name in ("eyes", "band", "face", "band_eyes", "face_eyes"):
        wanted, given = getattr(expected, name), getattr(found, name)
        assert given.shape == wanted.shape
        assert torch.allclose(given, wanted, rtol=1e-5, atol=5e-5), name
    assert torch.equal(found.has_face, expected.has_face)


def test_the_second_pass_is_for_faces_whose_eyes_are_far_from_the_guess() -> None:
    branch = EMIB(SMALL).eval()
    seen: list[int] = []
    moves = torch.tensor([[0.2, -0.4], [-3.0, FAR], [7.0, 3.0], [0.0, -FAR - 1]])

    class Moving:
        """Finds eyes beside the middle of the canvas at first, then in the middle."""

        def find_eyes(self, half_canvas: torch.Tensor) -> Found:
            off = moves if not seen else torch.zeros(len(half_canvas), 2)
            seen.append(len(half_canvas))
            middle = (torch.tensor(CANVAS_MIDDLE) + off)[:, None]
            eyes = middle + torch.tensor([[-20.0, 0], [20, 0]])
            return Found(eyes, torch.zeros(len(half_canvas)))

        def read_code(self, views: EyeViews) -> torch.Tensor:
            return branch.read_code(views)

    with torch.no_grad():
        found = branch(_pixels(4), networks=Moving())
    assert seen == [4, 2]
    # The middle of the image is at 111.5, and its nearest whole pixel at 112.
    middles = (found.eyes * FACE_CROP - 0.5).mean(dim=1)
    assert torch.allclose(middles, 112 + moves, atol=1e-3)


def test_the_first_token_alone_is_that_of_all() -> None:
    block, tokens = Block(16, 4), torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(block.first(tokens), block(tokens)[:, :1], atol=1e-6)


def test_patches_are_those_of_unfolding() -> None:
    images = _pixels(2, (24, 40))
    assert torch.equal(patches(images, 8), F.unfold(images, 8, stride=8).transpose(1, 2))
