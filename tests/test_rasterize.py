import os
import subprocess
import sys
from collections.abc import Iterator

import numba
import pytest
import torch
from torch import Tensor

from mien.errors import MienError
from mien.render.mesh import grid_triangles
from mien.render.rasterize import Fragments, rasterize

BACKENDS = ("reference", "numba")


def bumpy_grid(batch: int, size: int, *, seed: int = 0, dtype: torch.dtype = torch.float32):
    """A grid of vertices near the pixel centres that folds over itself here and there."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(size, dtype=dtype)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    noise = torch.randn(batch, size * size, 3, generator=generator, dtype=dtype)
    flat = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(1, -1, 3)
    return flat + noise * torch.tensor([0.5, 0.5, 0.1], dtype=dtype), grid_triangles(size, size)


def by_definition(points: Tensor, triangles: Tensor, height: int, width: int) -> Tensor:
    """Ask every pixel about every triangle, one at a time, in float64. int64 [H, W]."""
    owner = torch.full((height, width), -1)
    for y in range(height):
        for x in range(width):
            nearest = float("inf")
            for face, row in enumerate(triangles.tolist()):
                (u0, v0, z0), (u1, v1, z1), (u2, v2, z2) = points[row].double().tolist()
                area = (u1 - u0) * (v2 - v0) - (v1 - v0) * (u2 - u0)
                if area == 0 or area != area:
                    continue
                b1 = ((x - u0) * (v2 - v0) - (y - v0) * (u2 - u0)) / area
                b2 = ((u1 - u0) * (y - v0) - (v1 - v0) * (x - u0)) / area
                z = z0 + b1 * (z1 - z0) + b2 * (z2 - z0)
                if min(b1, b2, 1 - b1 - b2) >= 0 and z < nearest:
                    nearest, owner[y, x] = z, face
    return owner


def assert_same(one: Fragments, other: Fragments) -> None:
    assert torch.equal(one.pix_to_face, other.pix_to_face)
    assert torch.equal(one.depth, other.depth)
    assert torch.equal(one.barycentric, other.barycentric)


def one_triangle(*corners: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    return torch.tensor([corners]), torch.tensor([[0, 1, 2]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_triangle_owns_the_centres_inside_it_and_on_its_edges(backend: str) -> None:
    points, triangles = one_triangle((0, 0, 1), (2, 0, 2), (0, 2, 3))
    seen = rasterize(points, triangles, 3, 4, backend=backend)
    expected = torch.tensor([[[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]]])
    assert torch.equal(seen.pix_to_face, expected)
    assert torch.equal(seen.mask, (expected >= 0).float().unsqueeze(1))
    assert seen.depth[0, 1, 1].item() == 2.5
    assert seen.barycentric[0, 1, 0].tolist() == [0.5, 0.0, 0.5]
    assert seen.depth[0, 2, 2].item() == float("inf")
    assert seen.barycentric[0, 2, 2].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_windings_are_rendered(backend: str) -> None:
    points, triangles = one_triangle((0, 0, 1), (2, 0, 2), (0, 2, 3))
    front = rasterize(points, triangles, 3, 3, backend=backend)
    back = rasterize(points, triangles.flip(1), 3, 3, backend=backend)
    assert torch.equal(front.pix_to_face, back.pix_to_face)
    torch.testing.assert_close(front.barycentric, back.barycentric.flip(-1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_pixels_are_those_of_the_definition(backend: str) -> None:
    points, triangles = bumpy_grid(1, 6, dtype=torch.float64)
    seen = rasterize(points, triangles, 6, 7, backend=backend)
    assert torch.equal(seen.pix_to_face[0], by_definition(points[0], triangles, 6, 7))


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numba_agrees_with_the_reference_in_every_bit(dtype: torch.dtype) -> None:
    points, triangles = bumpy_grid(3, 33, dtype=dtype)
    points = points * torch.tensor([1.3, 1.1, -1.0], dtype=dtype) - 4.0
    args = (points, triangles, 30, 37)
    reference = rasterize(*args, backend="reference")
    assert_same(reference, rasterize(*args, backend="numba"))
    assert reference.depth.dtype == dtype


def test_few_large_triangles_agree_too() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(2, 30, 3, generator=generator) * 2600 - 1000
    triangles = torch.randint(0, 30, (40, 3), generator=generator)
    args = (points, triangles, 300, 290)
    assert_same(rasterize(*args, backend="reference"), rasterize(*args, backend="numba"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearest_surface_wins_whatever_its_row(backend: str) -> None:
    points = torch.tensor([[[0.0, 0, z], [9, 0, z], [0, 9, z]] for z in (3, -1, 2)]).reshape(
        1, 9, 3
    )
    triangles = torch.arange(9).reshape(3, 3)
    seen = rasterize(points, triangles, 3, 3, backend=backend)
    assert (seen.pix_to_face == 1).all()
    assert (seen.depth == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_at_the_same_depth_the_lowest_row_wins(backend: str) -> None:
    # Three different triangles, all over the image and all at depth 0.7.
    points = torch.tensor(
        [[-1.3, -2, 0.7], [17, 0, 0.7], [0.1, 19, 0.7], [-5, -7, 0.7], [31, 23, 0.7]]
    )
    triangles = torch.tensor([[4, 3, 2], [0, 1, 2], [1, 2, 0]])
    seen = rasterize(points[None], triangles[1:], 5, 5, backend=backend)
    assert (seen.pix_to_face == 0).all()
    seen = rasterize(points[None], triangles, 5, 5, backend=backend)
    covered = rasterize(points[None], triangles[:1], 5, 5, backend=backend).pix_to_face == 0
    assert torch.equal(seen.pix_to_face, torch.where(covered, 0, 1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3, 1), (2, 3, 0), (2, 0, 0)])
def test_empty_meshes_and_batches_give_empty_images(backend: str, shape) -> None:
    batch, vertices, faces = shape
    triangles = torch.arange(3).expand(faces, 3)
    seen = rasterize(torch.zeros(batch, vertices, 3), triangles, 4, 5, backend=backend)
    assert seen.pix_to_face.shape == (batch, 4, 5)
    assert (seen.pix_to_face == -1).all()
    assert (seen.depth == float("inf")).all()
    assert (seen.barycentric == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "corners",
    [
        ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
        ((0, 0, 1), (1, 1, 1), (3, 3, 1)),
        ((0, 2, 1), (3, 2, 1), (1, 2, 1)),
    ],
    ids=["point", "diagonal", "row"],
)
def test_triangles_without_area_are_skipped(backend: str, corners) -> None:
    points, triangles = one_triangle(*corners)
    assert (rasterize(points, triangles, 4, 4, backend=backend).pix_to_face == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("coordinate", [0, 1, 2])
@pytest.mark.parametrize("vertex", [0, 1, 2])
def test_triangles_that_are_not_finite_are_skipped_and_no_others(
    backend: str, value: float, coordinate: int, vertex: int
) -> None:
    points = torch.tensor([[-9.0, -9, 1], [30, -9, 1], [-9, 30, 1]]).repeat(2, 1)
    points[3:, 2] = 5
    points[vertex, coordinate] = value
    triangles = torch.arange(6).reshape(2, 3)
    seen = rasterize(points[None], triangles, 3, 3, backend=backend)
    assert (seen.pix_to_face == 1).all()
    assert (seen.depth == 5).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shift", [(50, 0), (-50, 0), (0, 50), (0, -50), (1e30, 1e30), (-1e30, 3)])
def test_meshes_off_the_screen_leave_it_empty(backend: str, shift) -> None:
    points, triangles = bumpy_grid(1, 5)
    points = points + torch.tensor([*shift, 0.0])
    assert (rasterize(points, triangles, 5, 5, backend=backend).pix_to_face == -1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_triangle_far_larger_than_the_screen_covers_it(backend: str) -> None:
    points, triangles = one_triangle((-1e9, -1e9, 1), (3e9, -1e9, 1), (-1e9, 3e9, 1))
    assert (rasterize(points, triangles, 4, 4, backend=backend).pix_to_face == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_of_one_is_the_row_of_many(backend: str) -> None:
    points, triangles = bumpy_grid(4, 12)
    many = rasterize(points, triangles, 12, 12, backend=backend)
    for row in range(4):
        one = rasterize(points[row : row + 1], triangles, 12, 12, backend=backend)
        rows = slice(row, row + 1)
        expected = Fragments(many.pix_to_face[rows], many.barycentric[rows], many.depth[rows])
        assert_same(one, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shared_edges_leave_no_gap(backend: str) -> None:
    # A fan about a point: every edge is shared, at every angle, at awkward coordinates.
    generator = torch.Generator().manual_seed(1)
    spokes = 97
    angle = torch.arange(spokes) * (2 * torch.pi / spokes)
    rim = 200 + 500 * torch.stack([angle.cos(), angle.sin()], dim=-1)
    hub = 32 + torch.rand(1, 2, generator=generator)
    flat = torch.cat([hub, rim])
    points = torch.cat([flat, torch.rand(spokes + 1, 1, generator=generator)], dim=1)
    outer = torch.arange(1, spokes + 1)
    triangles = torch.stack([torch.zeros_like(outer), outer, outer.roll(-1)], dim=1)
    # The same fan, its hub on a pixel centre, through which every edge then passes.
    centred = points.clone()
    centred[0, :2] = 32.0
    seen = rasterize(torch.stack([points, centred]), triangles, 64, 64, backend=backend)
    assert (seen.pix_to_face >= 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [8, 9])
def test_a_mirrored_mesh_gives_the_mirrored_image(backend: str, size: int) -> None:
    points, triangles = bumpy_grid(1, size, dtype=torch.float64)
    grid = points.reshape(1, size, size, 3)
    mirrored = grid.flip(2) * torch.tensor([-1.0, 1, 1]) + torch.tensor([size - 1.0, 0, 0])
    one = rasterize(points, triangles, size, size, backend=backend)
    other = rasterize(mirrored.reshape(1, -1, 3), triangles, size, size, backend=backend)
    torch.testing.assert_close(other.mask.flip(-1), one.mask)
    torch.testing.assert_close(other.depth.flip(-1), one.depth)


def test_half_precision_is_computed_in_float32_and_nothing_carries_a_gradient() -> None:
    points, triangles = bumpy_grid(1, 6)
    seen = rasterize(points.half().requires_grad_(), triangles.int(), 6, 6)
    assert_same(seen, rasterize(points.half().float(), triangles, 6, 6))
    assert seen.depth.dtype == torch.float32
    assert not seen.depth.requires_grad
    assert not seen.barycentric.requires_grad


def test_numba_uses_as_many_threads_as_torch(threads: int) -> None:
    rasterize(*bumpy_grid(2, 4), 4, 4, backend="numba")
    assert numba.get_num_threads() == min(threads, os.cpu_count() or 1)
    assert torch.get_num_threads() == threads


def test_numbas_pool_leaves_torch_its_threads() -> None:
    # In a process of its own, where the pool has not started; it would take all four.
    code = (
        "import torch\n"
        "from mien.render.mesh import grid_triangles\n"
        "from mien.render.rasterize import rasterize\n"
        "torch.set_num_threads(2)\n"
        "rasterize(torch.rand(3, 16, 3), grid_triangles(4, 4), 8, 8, backend='numba')\n"
        "print(torch.get_num_threads())"
    )
    own = {**os.environ, "NUMBA_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, check=True)
    assert done.stdout.strip() == b"2"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("points", "triangles", "size"),
    [
        (torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.int64), 4),
        (torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.int64), 4),
        (torch.zeros(1, 3, 3), torch.zeros(3, dtype=torch.int64), 4),
        (torch.zeros(1, 3, 3), torch.tensor([[0, 1, 3]]), 4),
        (torch.zeros(1, 3, 3), torch.tensor([[0, 1, -1]]), 4),
        (torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]), 0),
    ],
)
def test_wrong_shapes_and_unknown_points_are_refused(backend, points, triangles, size) -> None:
    with pytest.raises(ValueError, match=r"points|triangles|pixel"):
        rasterize(points, triangles, size, size, backend=backend)


def test_an_unknown_backend_is_refused_by_name() -> None:
    points, triangles = bumpy_grid(1, 2)
    with pytest.raises(MienError, match="opengl"):
        rasterize(points, triangles, 2, 2, backend="opengl")


def test_triton_is_refused_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    points, triangles = bumpy_grid(1, 2)
    with pytest.raises(MienError, match="triton"):
        rasterize(points, triangles, 2, 2, backend="triton")


def test_other_devices_get_the_reference_and_numba_refuses_them() -> None:
    points, triangles = torch.zeros(1, 3, 3, device="meta"), torch.tensor([[0, 1, 2]])
    with pytest.raises(MienError, match="numba"):
        rasterize(points, triangles, 2, 2, backend="numba")


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 5), (4, 6), (64, 64)])
def test_every_cell_is_split_in_two_and_the_middle_ones_of_an_even_width_twice(height, width):
    cells = (height - 1) * (width - 1)
    twice = (height - 1) * ((width - 1) % 2)
    assert grid_triangles(height, width).shape == (2 * (cells + twice), 3)
    assert grid_triangles(height, width, overlap=False).shape == (2 * cells, 3)


@pytest.mark.parametrize("width", [2, 3, 6, 7])
def test_the_triangles_are_mirror_symmetric(width: int) -> None:
    triangles = grid_triangles(4, width)
    row, column = triangles // width, triangles % width
    mirrored = row * width + (width - 1 - column)

    def as_sets(faces):
        return {tuple(sorted(face)) for face in faces.tolist()}

    assert as_sets(mirrored) == as_sets(triangles)
    assert len(as_sets(triangles)) == len(triangles)


@pytest.mark.parametrize("overlap", [True, False])
def test_all_triangles_face_the_camera(overlap: bool) -> None:
    triangles = grid_triangles(4, 6, overlap=overlap)
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    points = torch.stack([column, row, torch.ones_like(row)], dim=-1).reshape(-1, 3)
    a, b, c = points[triangles].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    assert (normal == torch.tensor([0.0, 0.0, -1.0])).all()


def test_without_overlap_every_inner_edge_is_shared_by_two() -> None:
    triangles = grid_triangles(4, 6, overlap=False)
    edges = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    counts = edges.sort(dim=1).values.unique(dim=0, return_counts=True)[1]
    assert set(counts.tolist()) == {1, 2}
    assert (counts == 1).sum() == 2 * (3 + 5)


@pytest.mark.parametrize(("height", "width"), [(1, 5), (5, 1), (0, 0)])
def test_a_grid_without_cells_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="no cell"):
        grid_triangles(height, width)
