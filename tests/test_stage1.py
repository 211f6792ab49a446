"""Stage 1: image formation, losses, and that eight images can be learned by heart."""

import math
from typing import Literal

import pytest
import torch

from mien.geometry.rotation import angles_to_rotation
from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.latentface.depth_penalties import border_nearness, depth_outliers, roughness
from mien.latentface.reconstruction import confidence_error, reconstruction_error
from mien.latentface.scene import shade_view, view
from mien.latentface.stage1 import Stage1Weights, partners, stage1_loss
from mien.latentface.structure import gradient_error, orientation_error, oriented_gradients
from mien.types import Light, Pose

FOV = 10.0


def frontal(batch: int = 1) -> Pose:
    return Pose(torch.eye(3).expand(batch, 3, 3), torch.zeros(batch, 3))


def even_light(batch: int = 1) -> Light:
    direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(batch, 3)
    return Light(torch.ones(batch), torch.zeros(batch), direction)


def smooth_face(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    albedo = torch.nn.functional.interpolate(
        coarse, size=(size, size), mode="bilinear", align_corners=True
    )
    line = torch.linspace(-1, 1, size)
    depth = 1 + 0.04 * (line[:, None] ** 2 + line[None] ** 2)
    return albedo, depth[None, None]


def rotated(yaw: float) -> Pose:
    rotation = angles_to_rotation(torch.tensor([yaw]), torch.tensor([0.0]), torch.tensor([0.0]))
    return Pose(rotation, torch.zeros(1, 3))


def test_the_frontal_view_is_the_canonical_face() -> None:
    albedo, depth = smooth_face()
    seen = view(depth, frontal(), FOV)
    image = shade_view(albedo, depth, seen, frontal().rotation, even_light(), FOV)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(image[inner], albedo[inner], atol=2e-3, rtol=0)
    torch.testing.assert_close(seen.depth[inner], depth[inner], atol=1e-4, rtol=0)


def test_a_mirrored_face_turned_the_other_way_is_the_mirrored_image() -> None:
    albedo, depth = smooth_face()

    def image(flip: bool, yaw: float) -> torch.Tensor:
        a, d = (albedo.flip(-1), depth.flip(-1)) if flip else (albedo, depth)
        pose = rotated(yaw)
        return shade_view(a, d, view(d, pose, FOV), pose.rotation, even_light(), FOV)

    torch.testing.assert_close(image(True, -0.3), image(False, 0.3).flip(-1), atol=2e-3, rtol=0)


def test_light_from_the_right_brightens_the_right() -> None:
    albedo, depth = smooth_face()
    direction = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, -1.0]]), dim=1)
    light = Light(torch.tensor([0.2]), torch.tensor([0.8]), direction)
    image = shade_view(
        torch.full_like(albedo, 0.5),
        depth,
        view(depth, frontal(), FOV),
        frontal().rotation,
        light,
        FOV,
    )
    assert image[..., 20:28].mean() > image[..., 4:12].mean() + 0.05


def test_gradients_reach_depth_and_pose_and_agree_with_finite_differences() -> None:
    albedo, depth = smooth_face(16)
    albedo, depth = albedo.double(), depth.double()
    target = torch.zeros(1, 3, 16, 16, dtype=torch.float64)

    def loss(scale: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
        curved = 1 + (depth - 1) * scale
        rotation = angles_to_rotation(yaw[None], 0 * yaw[None], 0 * yaw[None])
        pose = Pose(rotation, torch.zeros(1, 3, dtype=torch.float64))
        light = Light(
            *(
                x.double()
                for x in (
                    torch.tensor([0.4]),
                    torch.tensor([0.6]),
                    torch.tensor([[0.0, 0.0, -1.0]]),
                )
            )
        )
        image = shade_view(albedo, curved, view(curved, pose, FOV), rotation, light, FOV)
        inner = image[..., 4:12, 4:12] - target[..., 4:12, 4:12]
        return inner.square().mean()

    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    yaw = torch.tensor(0.07, dtype=torch.float64, requires_grad=True)
    for value, gradient in zip(
        (scale, yaw), torch.autograd.grad(loss(scale, yaw), (scale, yaw)), strict=True
    ):
        step = 1e-6
        with torch.no_grad():
            ahead, behind = (
                loss(*(v + s * step if v is value else v for v in (scale, yaw))) for s in (1, -1)
            )
        assert gradient.item() == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-2)


def test_confidence_error_is_the_laplace_likelihood() -> None:
    prediction, target = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.3)
    sigma = 0.1
    expected = math.sqrt(2) * 0.2 / sigma + math.log(sigma * math.sqrt(2))
    log_scale = torch.full((1, 1, 2, 2), math.log(sigma))
    found = confidence_error(prediction, target, log_scale, torch.ones(1, 1, 2, 2))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_masked_pixels_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(1, 3, 16, 16, generator=generator)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    prediction = torch.where(mask > 0, target, torch.zeros_like(target))
    error = reconstruction_error(prediction, target, torch.full((1, 1, 4, 4), -2.3), mask)
    assert error.absolute.item() == 0
    assert error.orientation.item() == pytest.approx(0, abs=1e-6)
    empty = reconstruction_error(prediction, target, torch.full((1, 1, 4, 4), -2.3), mask * 0)
    assert empty.photometric.item() == 0
    assert empty.absolute.item() == 0


def test_structure_terms_vanish_only_for_the_same_image() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 16, 16, generator=generator)
    other = torch.rand(2, 3, 16, 16, generator=generator)
    mask = torch.ones(2, 1, 16, 16)
    for term in (gradient_error, orientation_error):
        assert term(image, image, mask).abs().max().item() < 1e-6
        assert term(other, image, mask).min().item() > 0.01


def test_oriented_gradients_do_not_depend_on_contrast() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 16, generator=generator)
    torch.testing.assert_close(
        oriented_gradients(image), oriented_gradients(0.7 * image), atol=0.05, rtol=0.1
    )


def test_partners_are_other_frames_of_the_same_clip() -> None:
    rows, others = partners(torch.tensor([5, 5, 7, 7, 7, -1, 9]))
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert others.tolist() == [1, 0, 3, 4, 2]


def test_a_border_before_the_face_costs_and_is_pushed_back() -> None:
    depth = torch.full((1, 1, 32, 32), 1.05)
    depth[..., 8:24, 12:20] = 0.95  # the face itself may be near
    assert border_nearness(depth, 0.1, 0.3) == 0
    depth[..., :, 1] = 0.9
    depth.requires_grad_()
    cost = border_nearness(depth, 0.1, 0.3)
    assert 0.05 < cost < 0.5
    cost.backward()
    assert depth.grad is not None
    pushed = depth.grad[0, 0] < 0
    assert pushed[:, 1].all()
    assert not pushed[:, 2:].any()


def test_faces_of_one_depth_are_no_outliers_of_each_other() -> None:
    # A network that answers alike for every face gives one depth, expanded; torch's own median
    # then takes what follows in the storage, here the ridges of another face.
    ridges = torch.where(torch.arange(8 * 32) % 3 == 0, 1.0, 5.0)
    depth = ridges[: 6 * 32].view(6, 32).expand(5, 1, 6, 32)
    assert depth_outliers(depth, 0.1, 0.2) == 0


def test_a_ridge_in_one_face_costs_and_is_pushed_back() -> None:
    line = torch.linspace(-1, 1, 32)
    depth = (1 + 0.04 * line**2).expand(5, 1, 32, 32).clone()
    depth += 0.004 * torch.arange(-2, 3)[:, None, None, None]  # faces differ a little
    assert depth_outliers(depth, 0.1, 0.2) == 0
    depth[1, :, 24:30, 6:8] = 0.92
    depth[3, :, 3, :] = 1.1
    depth.requires_grad_()
    cost = depth_outliers(depth, 0.1, 0.2)
    assert 0.001 < cost < 0.05
    cost.backward()
    assert depth.grad is not None
    assert (depth.grad[1, 0, 24:30, 6:8] < 0).all()
    assert (depth.grad[3, 0, 3] > 0).any()
    assert (depth.grad[[0, 2, 4]] == 0).all()


def test_a_weave_is_rough_and_a_slope_is_not() -> None:
    slope = torch.linspace(0.9, 1.1, 32).expand(1, 1, 32, 32)
    assert roughness(slope, 0.1) < 1e-4
    weave = 0.001 * (torch.arange(32)[:, None] + torch.arange(32)[None]).fmod(2)
    torch.testing.assert_close(roughness(slope + weave, 0.1), torch.tensor(0.04), atol=1e-3, rtol=0)


def test_the_total_is_the_sum_of_its_parts() -> None:
    model = Autoencoder(
        ModelConfig(image_size=32, width=16, feature_dim=64, texture_dim=32, shape_dim=32)
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator)
    clip = torch.tensor([0, 0, -1, -1])
    loss = stage1_loss(model, images, images, clip, Stage1Weights())
    torch.testing.assert_close(loss.total, torch.stack(list(loss.parts.values())).sum())
    assert {"straight/photometric", "cross/photometric", "penalty/yaw_std"} <= loss.parts.keys()


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("networks", ["small", "paper"])
def test_sizes(size: int, networks: Literal["small", "paper"]) -> None:
    config = ModelConfig(
        networks=networks, image_size=size, width=16, feature_dim=64, texture_dim=32, shape_dim=32
    )
    model = Autoencoder(config)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = model.encode(images)
        canonical = model.canonical(encoded.texture, encoded.shape)
    assert encoded.texture.shape == encoded.shape.shape == (2, 32)
    assert canonical.albedo.shape == (2, 3, size, size)
    assert canonical.depth.shape == (2, 1, size, size)
    assert (canonical.depth - 1).abs().max() <= config.depth_range
    with torch.no_grad():
        one = model.encode(images[:1])
    torch.testing.assert_close(one.texture, encoded.texture[:1], atol=1e-5, rtol=1e-4)


def test_paper_networks_have_the_papers_sizes() -> None:
    model = Autoencoder(ModelConfig(networks="paper"))

    def millions(*parts: torch.nn.Module) -> float:
        return sum(p.numel() for part in parts for p in part.parameters()) / 1e6

    assert millions(model.encode_texture) == pytest.approx(4.85, rel=0.02)
    assert millions(model.encode_texture, model.decode_albedo) == pytest.approx(12.98, rel=0.02)


@pytest.mark.slow  # eighty steps of stage 1
def test_eight_images_are_learned_by_heart() -> None:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = Autoencoder(
            ModelConfig(image_size=32, width=16, feature_dim=64, texture_dim=32, shape_dim=32)
        )
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(8, 3, 6, 6, generator=generator)
    images = torch.nn.functional.interpolate(
        coarse, size=(32, 32), mode="bilinear", align_corners=True
    )
    clip = torch.full((8,), -1)
    weights = Stage1Weights(mirrored=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(80):
        loss = stage1_loss(model, images, images, clip, weights)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        errors.append(loss.monitors["absolute_error"].item())
    assert errors[-1] < 0.4 * errors[0]


def rotated_scene() -> tuple[Autoencoder, torch.Tensor, torch.Tensor]:
    """A network whose frames differ in pose, light and albedo, and a clip of two frames."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = Autoencoder(
            ModelConfig(image_size=32, width=16, feature_dim=64, texture_dim=32, shape_dim=32)
        )
        with torch.no_grad():
            for head in (model.decode_albedo.head, model.decode_depth.head, model.to_view):
                head.weight.normal_(std=0.3)  # type: ignore[operator]
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return model, images, torch.tensor([4, 4, -1])


def rendered(
    model: Autoencoder, images: torch.Tensor, face: int, seen: int, *, flip: bool = False
) -> torch.Tensor:
    """Face `face` with pose and light of frame `seen`, straight from the equations. [3, H, W]."""
    encoded = model.encode(images)
    canonical = model.canonical(encoded.texture, encoded.shape)
    albedo, depth = canonical.albedo[face : face + 1], canonical.depth[face : face + 1]
    if flip:
        albedo, depth = albedo.flip(-1), depth.flip(-1)
    row = slice(seen, seen + 1)
    pose, light, fov = encoded.pose[row], encoded.light[row], model.config.fov_deg
    return shade_view(albedo, depth, view(depth, pose, fov), pose.rotation, light, fov)[0]


@torch.no_grad()
def test_branches_render_what_they_are_named_for() -> None:
    model, images, clip = rotated_scene()
    renderings = stage1_loss(model, images, images, clip, Stage1Weights()).extras["renderings"]
    assert len(renderings) == 3 + 3 + 2
    for row in range(3):
        torch.testing.assert_close(renderings[row], rendered(model, images, row, row))
        mirrored = rendered(model, images, row, row, flip=True)
        torch.testing.assert_close(renderings[3 + row], mirrored)
        assert (mirrored - renderings[row]).abs().mean() > 1e-3
    for row, (face, seen) in enumerate([(0, 1), (1, 0)]):
        torch.testing.assert_close(renderings[6 + row], rendered(model, images, face, seen))


@torch.no_grad()
def test_the_cross_frame_branch_is_compared_with_the_other_frame() -> None:
    model, images, clip = rotated_scene()
    weights = Stage1Weights()
    loss = stage1_loss(model, images, images, clip, weights)
    encoded = model.encode(images)
    canonical = model.canonical(encoded.texture, encoded.shape)
    log_scales = model.log_scales(encoded.features)

    def cross(target: list[int]) -> float:
        """Photometric term of faces 0, 1 in the pose of 1, 0, against these frames."""
        other = [1, 0]
        rows = torch.tensor(other)
        pose, light, fov = encoded.pose[rows], encoded.light[rows], model.config.fov_deg
        seen = view(canonical.depth[:2], pose, fov)
        images_of = shade_view(
            canonical.albedo[:2], canonical.depth[:2], seen, pose.rotation, light, fov
        )
        scale = log_scales[other, 2:]
        error = reconstruction_error(images_of, images[target], scale, seen.mask)
        # Two of three images have another frame.
        return float(2 / 3 * weights.cross * weights.photometric * error.photometric.mean())

    found = loss.parts["cross/photometric"].item()
    assert found == pytest.approx(cross([1, 0]), rel=1e-4)
    assert abs(cross([0, 1]) - cross([1, 0])) > 1e-3


@torch.no_grad()
def test_known_poses_are_learned_and_unknown_ones_left_alone() -> None:
    model, images, clip = rotated_scene()
    weights = Stage1Weights(known_pose=2.0)
    angles = model.encode(images).angles
    truth = angles_to_rotation(*(angles + torch.tensor([0.3, -0.1, 0.2])).unbind(dim=1))
    truth[1] = math.nan
    loss = stage1_loss(model, images, images, clip, weights, rotation=truth)
    # A third of (0.3 + 0.1 + 0.2), of two in three images.
    assert float(loss.parts["penalty/known_pose"]) == pytest.approx(2 * 0.2 * 2 / 3, abs=1e-4)
    assert float(loss.monitors["known_pose_deg"]) == pytest.approx(math.degrees(0.2), abs=1e-2)
    without = stage1_loss(model, images, images, clip, weights)
    assert "penalty/known_pose" not in without.parts
    unknown = torch.full_like(truth, math.nan)
    none = stage1_loss(model, images, images, clip, weights, rotation=unknown)
    assert float(none.total) == pytest.approx(float(without.total))


@torch.no_grad()
def test_what_is_no_image_need_not_be_reconstructed() -> None:
    model, images, clip = rotated_scene()
    real = torch.ones(3, 1, 32, 32)
    real[..., :10] = 0
    other = images.clone()
    other[..., :10] = 0
    # Errors spread over a pixel or two at the border of what is compared, by the gradients.
    found, same = (
        stage1_loss(model, images, targets, clip, Stage1Weights(), real=real).parts
        for targets in (images, other)
    )
    for name in ("straight/photometric", "mirrored/photometric", "cross/photometric"):
        assert float(found[name]) == pytest.approx(float(same[name]), abs=1e-6), name
    whole = stage1_loss(model, images, other, clip, Stage1Weights()).parts
    assert abs(float(whole["straight/photometric"] - found["straight/photometric"])) > 0.05
