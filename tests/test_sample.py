import torch

from mien.render.sample import sample


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
