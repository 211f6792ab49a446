import torch

from mien.render.shade import sample, shade
from mien.types import Light


def light(ambient: float, diffuse: float, direction: tuple[float, float, float]) -> Light:
    vector = torch.nn.functional.normalize(torch.tensor([direction], dtype=torch.float32), dim=1)
    return Light(torch.tensor([ambient]), torch.tensor([diffuse]), vector)


def facing(*normal: float) -> torch.Tensor:
    return torch.tensor(normal, dtype=torch.float32).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)


def test_a_surface_that_faces_the_light_gets_all_of_it_and_one_turned_away_the_ambient() -> None:
    albedo = torch.full((1, 3, 2, 2), 0.5)
    from_camera = light(0.3, 0.6, (0, 0, -1))
    torch.testing.assert_close(shade(albedo, facing(0, 0, -1), from_camera), albedo * 0.9)
    torch.testing.assert_close(shade(albedo, facing(0, 0, 1), from_camera), albedo * 0.3)
    torch.testing.assert_close(shade(albedo, facing(1, 0, 0), from_camera), albedo * 0.3)


def test_light_from_the_right_brightens_what_faces_right() -> None:
    albedo = torch.ones(1, 3, 2, 2)
    from_right = light(0.2, 0.5, (1, 0, -1))
    right = shade(albedo, facing(0.6, 0, -0.8), from_right)
    left = shade(albedo, facing(-0.6, 0, -0.8), from_right)
    torch.testing.assert_close(right, albedo * (0.2 + 0.5 * 1.4 / 2**0.5))
    torch.testing.assert_close(left, albedo * (0.2 + 0.5 * 0.2 / 2**0.5))


def test_each_row_has_its_own_light_and_gradients_reach_everything() -> None:
    lights = Light(
        torch.tensor([0.1, 0.9], requires_grad=True),
        torch.tensor([0.8, 0.0], requires_grad=True),
        torch.tensor([[0.0, 0, -1], [0, 0, -1]], requires_grad=True),
    )
    albedo = torch.ones(2, 3, 2, 2, requires_grad=True)
    normals = facing(0, 0, -1).repeat(2, 1, 1, 1).requires_grad_()
    lit = shade(albedo, normals, lights)
    torch.testing.assert_close(lit.detach(), torch.full((2, 3, 2, 2), 0.9))
    lit.sum().backward()
    for tensor in (albedo, normals, lights.ambient, lights.diffuse, lights.direction):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def centres(height: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    row, column = torch.meshgrid(
        torch.arange(height, dtype=dtype), torch.arange(width, dtype=dtype), indexing="ij"
    )
    return torch.stack([column, row])[None]


def test_the_pixel_centres_give_the_image_back() -> None:
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample(image, centres(5, 7).repeat(2, 1, 1, 1)), image)


def test_between_centres_the_image_is_blended_and_outside_it_goes_on() -> None:
    image = torch.tensor([[0.0, 4.0], [8.0, 12.0]]).reshape(1, 1, 2, 2)
    uv = torch.tensor([[0.25, 0.0], [0.0, 0.5], [-9.0, 1.0], [5.0, 5.0]]).T.reshape(1, 2, 1, 4)
    assert sample(image, uv).flatten().tolist() == [1.0, 4.0, 8.0, 12.0]


def test_a_mirrored_lookup_mirrors_the_image() -> None:
    image = torch.rand(1, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    uv = centres(4, 6)
    mirrored = torch.stack([5 - uv[:, 0], uv[:, 1]], dim=1)
    torch.testing.assert_close(sample(image, mirrored), image.flip(-1))


def test_a_single_pixel_is_its_own_everywhere() -> None:
    image = torch.full((1, 1, 1, 1), 0.7)
    torch.testing.assert_close(sample(image, centres(3, 3)), image.expand(1, 1, 3, 3))


def test_gradients_are_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    uv = (centres(3, 3, torch.float64) + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(sample, (image, uv))
