"""Runs on CUDA, else in triton's interpreter, wherever triton is installed."""

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import Fragments, rasterize

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE == "cpu":
        # Read when the kernels are first imported, which nothing else does on a CPU.
        monkeypatch.setenv("TRITON_INTERPRET", "1")


def scene(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two folded grids on both sides of depth 0, partly off the screen, one vertex not a number."""
    generator = torch.Generator().manual_seed(7)
    axis = torch.arange(9, dtype=dtype) * 1.7
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    noise = torch.randn(2, 81, 3, generator=generator, dtype=dtype)
    flat = torch.stack([u, v, torch.zeros_like(u)], dim=-1).reshape(1, -1, 3)
    points = flat + noise * torch.tensor([0.6, 0.6, 0.3], dtype=dtype)
    points[0, 3] = float("nan")
    return points.to(DEVICE), grid_triangles(9, 9).to(DEVICE)


def both(points: Tensor, triangles: Tensor, height: int, width: int) -> tuple[Fragments, Fragments]:
    one = rasterize(points, triangles, height, width, backend="triton")
    return one, rasterize(points, triangles, height, width, backend="reference")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fragments_are_the_references(dtype: torch.dtype) -> None:
    points, triangles = scene(dtype)
    one, other = both(points, triangles, 14, 13)
    assert torch.equal(one.pix_to_face, other.pix_to_face)
    torch.testing.assert_close(one.depth, other.depth)
    torch.testing.assert_close(one.barycentric, other.barycentric)


def test_few_large_triangles_ties_and_both_windings() -> None:
    corners = torch.tensor([[-1e9, -1e9, 0.7], [3e9, -1e9, 0.7], [-1e9, 3e9, 0.7]], device=DEVICE)
    points = torch.cat([corners, corners, corners * torch.tensor([1, 1, -1.0], device=DEVICE)])
    triangles = torch.tensor([[5, 4, 3], [0, 1, 2], [6, 7, 8]], device=DEVICE)
    seen = rasterize(points[None], triangles[:2], 20, 20, backend="triton")
    assert (seen.pix_to_face == 0).all()
    seen = rasterize(points[None], triangles, 20, 20, backend="triton")
    assert (seen.pix_to_face == 2).all()


@pytest.mark.parametrize(("batch", "vertices", "faces"), [(0, 3, 1), (2, 3, 0), (2, 0, 0)])
def test_empty_meshes_give_empty_images(batch: int, vertices: int, faces: int) -> None:
    points = torch.zeros(batch, vertices, 3, device=DEVICE)
    triangles = torch.arange(3, device=DEVICE).expand(faces, 3)
    one, other = both(points, triangles, 4, 5)
    assert torch.equal(one.pix_to_face, other.pix_to_face)
    assert torch.equal(one.depth, other.depth)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
def test_values_and_gradients_are_the_references(dtype: torch.dtype, shared: bool) -> None:
    points, triangles = scene(dtype)
    fragments = rasterize(points, triangles, 14, 13, backend="triton")
    generator = torch.Generator().manual_seed(8)
    attributes = torch.randn(2, 81, 3, generator=generator, dtype=dtype).to(DEVICE)
    weight = torch.randn(2, 3, 14, 13, generator=generator, dtype=dtype).to(DEVICE)
    results = []
    for backend in ("triton", "reference"):
        moved = points.clone().requires_grad_()
        given = (attributes[0] if shared else attributes).clone().requires_grad_()
        out = interpolate(fragments, moved, triangles, given, backend=backend)
        (out * weight).sum().backward()
        results.append((out.detach(), moved.grad, given.grad))
    for triton, reference in zip(*results, strict=True):
        torch.testing.assert_close(triton, reference, rtol=1e-4, atol=1e-4)
