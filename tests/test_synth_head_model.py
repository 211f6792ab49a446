"""Loading a head model: both layouts, and every way it can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.synth import head_model
from mien.synth.head_model import ICT_GROUPS, ICT_VERTICES, Part, load_head_model, read_obj
from mien.synth.toy import toy_head

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict-facekit" / "ict_facekit.npz"

QUAD = """# a comment
v 0 0 0
v 1 0 0
v 1 1 0.5
v 0 1 0
vt 0 0
usemtl skin
f 1/1 2/1 3/1 4/1
f -4//1 -3//1 -2//1
"""


def test_obj_polygons_become_fans_and_indices_may_count_from_the_end(tmp_path):
    path = tmp_path / "quad.obj"
    path.write_text(QUAD)
    points, triangles = read_obj(path)
    assert points.dtype == np.float32
    assert points.tolist()[2] == [1.0, 1.0, 0.5]
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 0 0\n", "line 1"),
        ("v 0 0 0\nf 1 2\n", "line 2"),
        ("v 0 0 0\nf 0 1 1\n", "line 2"),
        ("v 0 0 0\nf 1 1 7\n", "names a vertex that is not there"),
        ("# nothing\n", "holds no vertices"),
    ],
)
def test_a_damaged_obj_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "bad.obj"
    path.write_text(text)
    with pytest.raises(MienError, match=message):
        read_obj(path)


@pytest.fixture
def small_topology(monkeypatch):
    """Pretend that the real model has ten vertices, eight of them rendered."""
    monkeypatch.setattr(head_model, "ICT_VERTICES", 10)
    groups = ((0, 6, Part.SKIN), (8, 9, Part.EYE_LEFT), (9, 10, Part.EYE_RIGHT))
    monkeypatch.setattr(head_model, "ICT_GROUPS", groups)
    monkeypatch.setattr(head_model, "ICT_LANDMARKS", tuple(i % 6 for i in range(68)))


def _write_obj(path: Path, points: np.ndarray) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in points]
    lines += ["f 1 2 3", "f 4 5 6", "f 7 8 9", "f 1 9 10"]
    path.write_text("\n".join(lines) + "\n")


def _write_folder(folder: Path) -> np.ndarray:
    points = np.arange(30.0).reshape(10, 3)
    _write_obj(folder / "generic_neutral_mesh.obj", points)
    _write_obj(folder / "identity000.obj", points + 1.0)
    _write_obj(folder / "identity001.obj", points + 2.0)
    _write_obj(folder / "jawOpen.obj", points + np.array([0.0, 3.0, 0.0]))
    return points


def test_a_folder_of_shapes_gives_offsets_of_the_rendered_parts(tmp_path, small_topology):
    points = _write_folder(tmp_path)
    head = load_head_model(tmp_path)
    assert head.expression_names == ("jawOpen",)
    # y and z change sign: up and towards the viewer become down and away.
    np.testing.assert_allclose(head.neutral[0], points[0] * [1, -1, -1])
    np.testing.assert_allclose(head.neutral[6], points[8] * [1, -1, -1])
    np.testing.assert_allclose(head.identity[1], np.broadcast_to([2.0, -2.0, -2.0], (8, 3)))
    np.testing.assert_allclose(head.expression[0], np.broadcast_to([0.0, -3.0, 0.0], (8, 3)))
    # The triangle with vertices 7 and 8 of the file is not rendered.
    assert head.triangles.tolist() == [[0, 1, 2], [3, 4, 5], [0, 6, 7]]
    assert head.part.tolist() == [0] * 6 + [Part.EYE_LEFT, Part.EYE_RIGHT]


def test_the_checkout_around_the_folder_does_too(tmp_path, small_topology):
    (tmp_path / "FaceXModel").mkdir()
    _write_folder(tmp_path / "FaceXModel")
    assert (
        load_head_model(tmp_path).fingerprint
        == load_head_model(tmp_path / "FaceXModel").fingerprint
    )


def test_npz_and_folder_give_the_same_head(tmp_path, small_topology):
    folder = tmp_path / "model"
    folder.mkdir()
    points = _write_folder(folder)
    ones = np.ones((10, 3))
    np.savez(
        tmp_path / "model.npz",
        neutral=points,
        identity=np.stack([ones, 2 * ones]).astype(np.float16),
        expression=(ones * [0, 3, 0])[None].astype(np.float16),
        expression_names=np.array(["jawOpen"]),
        faces=np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 8, 9]], dtype=np.int32),
    )
    assert (
        load_head_model(tmp_path / "model.npz").fingerprint == load_head_model(folder).fingerprint
    )


def test_a_shape_of_another_topology_is_named(tmp_path, small_topology):
    _write_folder(tmp_path)
    _write_obj(tmp_path / "identity001.obj", np.zeros((12, 3)))
    with pytest.raises(MienError, match=r"identity001\.obj"):
        load_head_model(tmp_path)


def test_what_is_no_head_model_is_refused(tmp_path):
    with pytest.raises(MienError, match="no head model at"):
        load_head_model(tmp_path / "nowhere")
    with pytest.raises(MienError, match="generic_neutral_mesh"):
        load_head_model(tmp_path)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(MienError, match="cannot read"):
        load_head_model(tmp_path / "text.npz")
    np.savez(tmp_path / "half.npz", neutral=np.zeros((3, 3)))
    with pytest.raises(MienError, match="lacks identity"):
        load_head_model(tmp_path / "half.npz")
    _write_folder(tmp_path)
    with pytest.raises(MienError, match="10 vertices"):
        load_head_model(tmp_path)


def test_the_toy_head_is_whole_and_faces_the_camera():
    head = toy_head(identities=3)
    assert head.identity.shape == (3, *head.neutral.shape)
    assert head.expression.shape == (len(head.expression_names), *head.neutral.shape)
    assert head.triangles.max() < len(head.neutral)
    marks = head.neutral[head.landmarks]
    # Nose ahead (-z), chin below (+y), jaw's first landmark on the left of the image.
    assert marks[30, 2] < marks[8, 2]
    assert marks[8, 1] > marks[27, 1]
    assert marks[0, 0] < 0 < marks[16, 0]
    # Signed volume is positive where the winding is outward.
    corners = head.neutral[head.triangles].astype(np.float64)
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum()
    assert volume > 0


@pytest.mark.data
@pytest.mark.skipif(not ICT.is_file(), reason="ICT-FaceKit is not in shared/data")
def test_ict_facekit_loads_with_its_rendered_parts():
    head = load_head_model(ICT)
    assert len(head.neutral) == sum(end - start for start, end, _ in ICT_GROUPS) < ICT_VERTICES
    assert head.identity.shape[0] == 100
    assert len(head.expression_names) == 57
    marks = head.neutral[head.landmarks]
    assert marks[0, 0] < 0 < marks[16, 0]
    assert marks[30, 2] == pytest.approx(marks[:, 2].min(), abs=0.2)
    # The eyes' landmarks surround the eyeballs.
    left, right = head.eye_vertices
    for vertices, eye in ((left, slice(42, 48)), (right, slice(36, 42))):
        offset = head.neutral[vertices].mean(axis=0) - marks[eye].mean(axis=0)
        assert np.abs(offset[:2]).max() < 0.6
