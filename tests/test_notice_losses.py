"""What the losses compare and what they punish, with networks whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from mien.gaze import objective
from mien.gaze.bottleneck import Bottleneck
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_SIDE, GazeConfig
from mien.gaze.emib import EMIB
from mien.gaze.localizer import EyeLocalizer
from mien.gaze.objective import GazeWeights, emib_loss, eye_distance
from mien.geometry.rotation import angles_to_rotation
from mien.latentface.autoencoder import Autoencoder, Canonical, Encoded
from mien.latentface.scene import render
from mien.latentface.stage1 import Stage1Weights, stage1_loss
from mien.latentface.structure import gradient_error, oriented_gradients
from mien.model import Model
from mien.types import Light, Loss, Pose

FOV, SIZE, DEPTH_RANGE = 10.0, 32, 0.1


class Known:
    """Stands for the autoencoder: says one lopsided face, at the given yaws."""

    def __init__(self, yaws: Sequence[float], *, near_border: bool = False) -> None:
        count = len(yaws)
        self.config = SimpleNamespace(fov_deg=FOV, depth_range=DEPTH_RANGE)
        line = torch.linspace(-1, 1, SIZE)
        # Bright and near at one side only: its mirror image is another face.
        albedo = (0.5 + 0.4 * line).expand(count, 3, SIZE, SIZE)
        depth = 1 + 0.05 * line.square()[:, None] + 0.04 * line
        if near_border:
            depth = 1.9 - depth
        self.face = Canonical(albedo, depth.expand(count, 1, SIZE, SIZE))
        self.yaws = torch.tensor(yaws)

    def encode(self, images: torch.Tensor) -> Encoded:
        count, none = len(images), 0 * self.yaws
        angles = torch.stack([self.yaws, none, none], dim=1)
        pose = Pose(angles_to_rotation(self.yaws, none, none), torch.zeros(count, 3))
        ahead = torch.tensor([[0.0, 0.0, -1.0]]).expand(count, 3)
        light = Light(0.5 + none, 0.5 + none, ahead)
        code = torch.zeros(count, 1)
        return Encoded(code, code, angles, pose, light, code, [])

    def canonical(self, texture: torch.Tensor, shape: torch.Tensor) -> Canonical:
        return self.face

    def log_scales(self, features: torch.Tensor) -> torch.Tensor:
        return torch.full((len(features), 3, SIZE // 4, SIZE // 4), -2.0)

    def loss(self) -> Loss:
        images = torch.full((len(self.yaws), 3, SIZE, SIZE), 0.5)
        stills = torch.full((len(images),), -1)
        model = cast(Autoencoder, self)
        return stage1_loss(model, images, images, stills, Stage1Weights())

    def penalty(self) -> float:
        """Return what is added for angles and depth, whatever the images are."""
        return sum(
            float(part) for name, part in self.loss().parts.items() if name.startswith("penalty/")
        )


def test_the_mirrored_branch_shows_the_mirrored_face_in_the_same_pose() -> None:
    model = Known([0.4, -0.2])
    code = torch.zeros(2, 1)
    encoded = model.encode(code)
    albedo, depth = model.face.albedo, model.face.depth
    straight = render(albedo, depth, encoded.pose, encoded.light, FOV).image
    mirrored = render(albedo.flip(-1), depth.flip(-1), encoded.pose, encoded.light, FOV).image
    rendered = model.loss().extras["renderings"]
    torch.testing.assert_close(rendered[:2], straight)
    torch.testing.assert_close(rendered[2:], mirrored)
    assert (straight - mirrored).abs().max() > 0.1


def test_poses_that_are_all_the_same_cost_and_different_ones_do_not() -> None:
    assert Known([0.1, 0.1, 0.1]).penalty() > Known([0.3, -0.3, 0.2]).penalty() + 0.05


def test_a_border_that_comes_near_the_camera_costs() -> None:
    yaws = [0.3, -0.3, 0.2]
    assert Known(yaws, near_border=True).penalty() > Known(yaws).penalty() + 0.1


def test_a_stripe_in_either_direction_is_missed() -> None:
    blank, mask = torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    upright = blank.clone()
    upright[..., 6:10] = 1
    level = upright.transpose(-1, -2)
    found = gradient_error(upright, blank, mask)
    assert found.item() > 0.1
    torch.testing.assert_close(gradient_error(level, blank, mask), found)


def test_faint_edges_weigh_as_much_as_strong_ones() -> None:
    line = torch.linspace(0, 1, 32)
    image = (0.5 + 0.5 * torch.sin(20 * line)).expand(1, 3, 32, 32)
    strong, faint = oriented_gradients(image), oriented_gradients(0.5 * image)
    assert faint.mean() > 0.9 * strong.mean()


def test_a_code_is_sampled_with_its_own_standard_deviation() -> None:
    variance = torch.tensor([0.01, 1.0, 4.0])
    mean = torch.tensor([1.0, 2.0, 3.0])
    bottleneck = Bottleneck(mean.expand(20_000, 3), variance.log().expand(20_000, 3))
    sampled = bottleneck.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(sampled.var(dim=0), variance, rtol=0.05, atol=0)
    torch.testing.assert_close(sampled.mean(dim=0), mean, rtol=0, atol=0.05)


def test_identity_and_expression_together_give_the_encoded_face(
    tiny_model: Model, crops: torch.Tensor
) -> None:
    network = tiny_model.network
    with torch.no_grad():
        factors = network(crops)
        encoded = network.autoencoder.encode(crops)
        expected = network.autoencoder.canonical(encoded.texture, encoded.shape)
        found = network.canonical(factors)
    assert (factors.neutral_texture - factors.texture_code).abs().max() > 0.1
    torch.testing.assert_close(found.albedo, expected.albedo, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.depth, expected.depth, atol=1e-4, rtol=0)


def looking(side: int) -> dict[str, torch.Tensor]:
    """Return two noisy canvases with eyes whose one half (left: 1, right: -1) is dark."""
    generator = torch.Generator().manual_seed(0)
    canvas = 90 + 60 * torch.rand(2, 1, CANVAS_HEIGHT, CANVAS_WIDTH, generator=generator)
    halves = torch.where(torch.arange(40) < 20, -80.0, 80.0)
    for x in (88, 168):
        canvas[..., 56:72, x - 20 : x + 20] = 120 + side * halves
    return {
        "canvas": canvas.round().byte(),
        "eyes": torch.tensor([[88.0, 64.0], [168.0, 64.0]]).expand(2, 2, 2),
        "face": torch.full((2, 1, FACE_SIDE, FACE_SIDE), 140, dtype=torch.uint8),
        "face_eyes": torch.tensor([[20.0, 25.0], [43.0, 25.0]]).expand(2, 2, 2),
        "has_face": torch.ones(2, dtype=torch.bool),
        "clip": torch.zeros(2, dtype=torch.int64),
        "open": torch.ones(2),
    }


def test_eyes_that_are_to_be_reconstructed_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a code the eyes are reconstructed from their surroundings alone."""
    sizes: dict[str, Any] = {
        "dim": 32,
        "heads": 2,
        "stem_width": 8,
        "bottleneck_depth": 1,
        "encoder_depth": 1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = EMIB(GazeConfig(code_dim=4, injected=False, **sizes))
    rendered: list[torch.Tensor] = []

    def distance(images: torch.Tensor, eyes: torch.Tensor) -> torch.Tensor:
        rendered.append(images.detach())
        return eye_distance(images, eyes)

    monkeypatch.setattr(objective, "eye_distance", distance)
    for side in (1, -1):
        emib_loss(
            model, looking(side), GazeWeights(), step=0, generator=torch.Generator().manual_seed(3)
        )
    left, right = rendered
    assert left.shape[0] == 2
    assert (left - right).abs().max() < 0.005 * left.std()


class Peaks(nn.Module):
    """Heat maps of two eyes, each with all its weight in one cell of 8 x 8 pixels."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        maps = torch.zeros(len(features), 2, *features.shape[-2:])
        maps[:, 0, 3, 5] = maps[:, 1, 2, 20] = 1e4
        return maps


def test_an_eye_is_found_in_the_middle_of_its_cell() -> None:
    localizer = EyeLocalizer()
    localizer.maps = Peaks()  # type: ignore[assignment]
    with torch.no_grad():
        found = localizer(torch.zeros(1, 1, CANVAS_HEIGHT, CANVAS_WIDTH)).eyes
    assert found.tolist() == [[[5 * 8 + 3.5, 3 * 8 + 3.5], [20 * 8 + 3.5, 2 * 8 + 3.5]]]
