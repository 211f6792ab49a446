import pytest
import torch

from mien.render.mesh import grid_triangles


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
