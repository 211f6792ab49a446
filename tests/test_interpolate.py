import pytest
import torch
from torch import Tensor

from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import Fragments, rasterize

BACKENDS = ("reference", "numba")


def scene(
    batch: int = 2, size: int = 7, channels: int = 3, dtype: torch.dtype = torch.float64
) -> tuple[Fragments, Tensor, Tensor, Tensor]:
    """A jittered grid somewhat larger than its pixels, with random attributes."""
    generator = torch.Generator().manual_seed(5)
    axis = torch.arange(size, dtype=dtype) * 1.4 - 1.1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    flat = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(1, -1, 3)
    noise = torch.randn(batch, size * size, 3, generator=generator, dtype=dtype)
    points, triangles = flat + 0.2 * noise, grid_triangles(size, size)
    attributes = torch.randn(batch, size * size, channels, generator=generator, dtype=dtype)
    return rasterize(points, triangles, 6, 8), points, triangles, attributes


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_linear_function_of_the_position_is_reproduced(backend: str) -> None:
    fragments, points, triangles, _ = scene()
    u, v = points[..., :1], points[..., 1:2]
    out = interpolate(fragments, points, triangles, 2 * u - 3 * v + 1, backend=backend)
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    expected = (2 * column - 3 * row + 1).double() * fragments.mask
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_weights_are_those_of_the_rasteriser(backend: str) -> None:
    fragments, points, triangles, _ = scene()
    corner = torch.zeros(2, len(triangles) * 3, 3, dtype=torch.float64)
    corner[:] = torch.eye(3, dtype=torch.float64).repeat(len(triangles), 1)
    apart = triangles.reshape(-1)
    own = torch.arange(len(apart)).reshape(-1, 3)
    out = interpolate(fragments, points[:, apart], own, corner, backend=backend)
    torch.testing.assert_close(out.permute(0, 2, 3, 1), fragments.barycentric)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_numba_agrees_with_the_reference_in_values_and_gradients(
    dtype, shared, channels, threads
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _compare(dtype, shared=shared, channels=channels)
    finally:
        torch.set_num_threads(before)


def _compare(dtype: torch.dtype, *, shared: bool, channels: int) -> None:
    fragments, points, triangles, attributes = scene(3, 9, channels, dtype)
    weight = torch.randn(3, channels, 6, 8, dtype=dtype, generator=torch.Generator().manual_seed(1))
    results = []
    for backend in BACKENDS:
        moved = points.clone().requires_grad_()
        given = (attributes[0] if shared else attributes).clone().requires_grad_()
        out = interpolate(fragments, moved, triangles, given, backend=backend)
        (out * weight).sum().backward()
        results.append((out.detach(), moved.grad, given.grad))
    for numba, reference in zip(*results, strict=True):
        assert numba.dtype == dtype
        torch.testing.assert_close(numba, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
def test_gradients_are_finite_differences(backend: str, shared: bool) -> None:
    fragments, points, triangles, attributes = scene(2, 5, 2)
    given = (attributes[0] if shared else attributes).clone().requires_grad_()

    def run(moved: Tensor, values: Tensor) -> Tensor:
        return interpolate(fragments, moved, triangles, values, backend=backend)

    assert torch.autograd.gradcheck(run, (points.clone().requires_grad_(), given))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wants", [(True, False), (False, True), (False, False)])
def test_only_the_gradients_that_are_asked_for_are_made(backend: str, wants) -> None:
    fragments, points, triangles, attributes = scene()
    moved, given = points.requires_grad_(wants[0]), attributes.requires_grad_(wants[1])
    out = interpolate(fragments, moved, triangles, given, backend=backend)
    assert out.requires_grad == any(wants)
    if any(wants):
        out.sum().backward()
    assert (moved.grad is not None, given.grad is not None) == wants


@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_gets_no_gradient(backend: str) -> None:
    fragments, points, triangles, attributes = scene()
    points.requires_grad_()
    interpolate(fragments, points, triangles, attributes, backend=backend).square().sum().backward()
    assert points.grad is not None
    assert (points.grad[..., 2] == 0).all()
    assert points.grad[..., :2].abs().sum() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_vertices_that_are_not_finite_do_not_poison_the_gradient(backend: str) -> None:
    _, points, triangles, attributes = scene()
    points[0, 9] = float("nan")
    attributes[0, 9] = float("nan")
    fragments = rasterize(points, triangles, 6, 8, backend=backend)
    points.requires_grad_()
    attributes.requires_grad_()
    out = interpolate(fragments, points, triangles, attributes, backend=backend)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert points.grad is not None
    assert points.grad.isfinite().all()
    assert attributes.grad is not None
    assert attributes.grad.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_triangle_that_has_lost_its_area_gives_zero(backend: str) -> None:
    points = torch.tensor([[[0.0, 0, 1], [4, 0, 1], [0, 4, 1]]])
    triangles = torch.tensor([[0, 1, 2]])
    fragments = rasterize(points, triangles, 3, 3)
    flat = torch.ones_like(points).requires_grad_()
    out = interpolate(fragments, flat, triangles, torch.ones(3, 2), backend=backend)
    out.sum().backward()
    assert (out == 0).all()
    assert flat.grad is not None
    assert (flat.grad == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_of_one_is_the_row_of_many(backend: str) -> None:
    fragments, points, triangles, attributes = scene(3)
    many = interpolate(fragments, points, triangles, attributes, backend=backend)
    for row in range(3):
        rows = slice(row, row + 1)
        one = interpolate(
            rasterize(points[rows], triangles, 6, 8),
            points[rows],
            triangles,
            attributes[rows],
            backend=backend,
        )
        assert torch.equal(one, many[rows])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("batch", "vertices", "faces"), [(0, 3, 1), (2, 3, 0), (2, 0, 0)])
def test_empty_meshes_give_zero(backend: str, batch: int, vertices: int, faces: int) -> None:
    points, triangles = torch.zeros(batch, vertices, 3), torch.arange(3).expand(faces, 3)
    fragments = rasterize(points, triangles, 4, 5)
    out = interpolate(fragments, points, triangles, torch.ones(vertices, 2), backend=backend)
    assert out.shape == (batch, 2, 4, 5)
    assert (out == 0).all()


def test_mixed_types_are_computed_in_float32() -> None:
    fragments, points, triangles, attributes = scene(dtype=torch.float32)
    given = attributes.bfloat16().requires_grad_()
    out = interpolate(fragments, points, triangles, given)
    out.sum().backward()
    assert out.dtype == torch.float32
    assert given.grad is not None
    assert given.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("change", ["batch", "points", "rank", "faces", "vertices"])
def test_what_does_not_belong_together_is_refused(change: str) -> None:
    fragments, points, triangles, attributes = scene()
    if change == "batch":
        points = points[:1]
    elif change == "points":
        attributes = attributes[:, 1:]
    elif change == "rank":
        attributes = attributes[0, 0]
    elif change == "faces":
        triangles = triangles[:1]
    else:
        points, attributes = points[:, :3], attributes[:, :3]
    with pytest.raises(ValueError, match=r"fragments|attributes|points"):
        interpolate(fragments, points, triangles, attributes)
