import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch.nn import functional as F

from mien.errors import MienError
from mien.geometry.camera import surface_normals, unproject
from mien.geometry.rotation import rotation_to_angles
from mien.types import Light
from mien.views.colours import BACKGROUND, depth_grey, normal_colours, on_background, shaded
from mien.views.edit import Edit, push_back_border, render_edited, restore_hidden, visibility
from mien.views.fine import enlarge, render_fine, smooth
from mien.views.mesh_export import face_mesh, glb_bytes, write_mesh
from mien.views.poses import frontal_pose, rotated_pose, turntable_poses
from mien.views.sheet import Column, contact_sheet

FOV = 10.0


def bump(size=32, height=0.05):
    """A round bump towards the camera. [1, 1, size, size]."""
    line = torch.linspace(-1, 1, size)
    radius2 = line[:, None] ** 2 + line[None] ** 2
    return (1 - height * (1 - radius2).clamp_min(0).sqrt())[None, None]


def test_a_background_shows_only_around_the_face():
    mask = torch.tensor([[[[1.0, 0.0]]]])
    image = on_background(torch.zeros(1, 3, 1, 2), mask)
    assert image[0, :, 0].tolist() == [[0, pytest.approx(BACKGROUND)]] * 3


def test_near_is_white_and_far_is_black():
    depth = torch.tensor([[[[1.0, 2.0, 3.0, 99.0]]]])
    mask = torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]])
    assert depth_grey(depth, mask)[0, 0, 0].tolist() == pytest.approx([1, 0.5, 0, BACKGROUND])
    flat = torch.ones(1, 1, 2, 2)
    for mask in (flat, 0 * flat):
        assert depth_grey(flat, mask).isfinite().all()


def test_a_normal_towards_the_camera_is_blue():
    towards = torch.tensor([0.0, 0.0, -1.0])[None, :, None, None]
    assert normal_colours(towards, torch.ones(1, 1, 1, 1)).flatten().tolist() == [0.5, 0.5, 1.0]
    up = torch.tensor([0.0, -1.0, 0.0])[None, :, None, None]
    assert normal_colours(up, torch.ones(1, 1, 1, 1)).flatten().tolist() == [0.5, 1.0, 0.5]


def test_a_cast_is_bright_where_it_faces_the_light():
    normals = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]).T[None, :, None]
    light = Light(torch.tensor([0.1]), torch.tensor([0.5]), torch.tensor([[0.0, 0.0, -1.0]]))
    assert shaded(normals, light)[0, 0, 0].tolist() == pytest.approx([0.6, 0.1])
    assert shaded(normals)[0, 0, 0, 0] > shaded(normals)[0, 0, 0, 1]


def test_a_turntable_goes_to_both_sides_and_comes_back():
    poses = turntable_poses(8, yaw=0.7, pitch=0.2)
    yaw, pitch, roll = rotation_to_angles(poses.rotation)
    assert yaw.max().item() == pytest.approx(0.7)
    assert yaw.min().item() == pytest.approx(-0.7)
    assert yaw[0].item() == pytest.approx(0)
    assert pitch.abs().max().item() <= 0.2 + 1e-6
    assert roll.abs().max().item() < 1e-6
    assert torch.equal(frontal_pose(2).rotation, torch.eye(3).expand(2, 3, 3))


def test_a_frontal_bump_is_seen_whole_and_a_rotated_one_is_not():
    depth = bump()
    assert visibility(depth, frontal_pose(), FOV)[..., 4:-4, 4:-4].min() > 0.5
    # Yaw + is towards image-left: the image-right cheek, at the right of the canonical
    # image, comes forward; the left one faces away.
    seen = visibility(depth, rotated_pose([0.9], [0.0]), FOV)
    assert seen[..., 8:24, 17:28].mean() > seen[..., 8:24, 4:15].mean() + 0.2
    mirrored = visibility(depth, rotated_pose([-0.9], [0.0]), FOV)
    torch.testing.assert_close(seen, mirrored.flip(-1), atol=0.2, rtol=0)


def test_a_point_behind_another_is_hidden():
    # A wall in the middle, seen from the side, hides what is beyond its foot.
    depth = torch.ones(1, 1, 32, 32)
    depth[..., 14:18] = 0.94
    seen = visibility(depth, rotated_pose([-0.7], [0.0]), FOV)[0, 0, 16]
    plain = visibility(torch.ones(1, 1, 32, 32), rotated_pose([-0.7], [0.0]), FOV)[0, 0, 16]
    hidden = (plain > 0.9) & (seen < 0.1)
    assert hidden[:14].sum() + hidden[18:].sum() >= 6
    assert (hidden[:14].sum() == 0) != (hidden[18:].sum() == 0)


def test_hidden_points_come_from_their_twins():
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    seen = (left == 0).float()
    restored = restore_hidden(left * 0.2 + (1 - left) * 0.8, seen)
    assert restored[..., 3].mean().item() == pytest.approx(0.8)
    assert restored[..., 13].mean().item() == pytest.approx(0.8)
    untouched = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(restore_hidden(untouched, torch.ones(1, 1, 16, 16)), untouched)


def test_a_rendered_frontal_face_is_the_models_own(tiny_model, crops):
    factors = tiny_model.encode(crops)
    pose = frontal_pose()
    factors = factors.with_pose(frontal_pose(len(crops)))
    expected = tiny_model.render(factors, pose=pose).image
    found = render_edited(tiny_model, factors, Edit(pose=pose)).image
    middle = (..., slice(8, 24), slice(8, 24))
    assert (found[middle] - expected[middle]).abs().mean() < 0.01


def test_edits_change_what_they_name(tiny_model, crops):
    factors = tiny_model.encode(crops)
    other = factors[:1]
    transferred = Edit(expression=other).apply(factors)
    torch.testing.assert_close(transferred.expression, other.expression.expand(3, -1))
    assert torch.equal(transferred.identity, factors.identity)
    assert Edit(neutral=True).apply(factors).expression.abs().max() == 0
    light = Light(torch.zeros(1), torch.zeros(1), torch.tensor([[0.0, 0.0, -1.0]]))
    dark = render_edited(tiny_model, factors, Edit(light=light))
    assert dark.image.max() == 0
    rotated = render_edited(tiny_model, factors, Edit(pose=rotated_pose([0.5], [0.1])))
    assert rotated.image.shape == (3, 3, 32, 32)
    assert not torch.equal(rotated.mask, dark.mask)


def test_a_mesh_faces_the_viewer_and_has_its_colours():
    albedo = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    depth = bump()
    mesh = face_mesh(albedo, depth, FOV)
    assert mesh.vertices.shape == (1024, 3)
    assert mesh.triangles.shape == (2 * 31 * 31, 3)
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    outward = np.cross(b - a, c - a)
    assert (outward[:, 2] > 0).all()
    assert (mesh.normals[:, 2] > 0).all()
    # Up in the image is up in the file; the nose comes out of it.
    assert mesh.vertices[:32, 1].min() > mesh.vertices[-32:, 1].max()
    assert mesh.vertices[16 * 32 + 16, 2] > mesh.vertices[0, 2]
    point = unproject(depth, FOV)[0, 5, 7] - torch.tensor([0, 0, 1])
    np.testing.assert_allclose(mesh.vertices[5 * 32 + 7], point.numpy() * [1, -1, -1], atol=1e-6)
    assert mesh.texture[5, 7].tolist() == [round(x * 255) for x in albedo[0, :, 5, 7].tolist()]


def test_a_glb_can_be_read_back(tmp_path):
    mesh = face_mesh(torch.rand(1, 3, 16, 16), bump(16), FOV)
    path = tmp_path / "face.glb"
    write_mesh(path, mesh)
    data = path.read_bytes()
    assert struct.unpack("<4sII", data[:12]) == (b"glTF", 2, len(data))
    (length,) = struct.unpack("<I", data[12:16])
    document = json.loads(data[20 : 20 + length])
    assert document["textures"] == [{"source": 0, "sampler": 0}]
    assert document["samplers"][0]["wrapS"] == 33071
    scene = trimesh.load_scene(path, process=False)
    (found,) = scene.geometry.values()
    np.testing.assert_array_equal(found.vertices, mesh.vertices)
    np.testing.assert_array_equal(found.faces, mesh.triangles)
    np.testing.assert_allclose(found.vertex_normals, mesh.normals, atol=1e-6)
    np.testing.assert_allclose(found.visual.uv * [1, -1] + [0, 1], mesh.uv, atol=1e-6)
    material = found.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture), mesh.texture)
    assert (material.metallicFactor, material.roughnessFactor, material.doubleSided) == (0, 1, True)
    assert glb_bytes(mesh) == data


def test_an_obj_comes_with_its_material_and_texture(tmp_path):
    mesh = face_mesh(torch.rand(1, 3, 8, 8), bump(8), FOV)
    write_mesh(tmp_path / "face.obj", mesh)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["face.mtl", "face.obj", "face.png"]
    lines = (tmp_path / "face.obj").read_text().splitlines()
    kinds = [line.split()[0] for line in lines]
    assert [kinds.count(k) for k in ("v", "vt", "vn", "f")] == [64, 64, 64, 98]
    assert "mtllib face.mtl" in lines
    assert "map_Kd face.png" in (tmp_path / "face.mtl").read_text()
    vertex = [float(x) for x in lines[kinds.index("v")].split()[1:]]
    np.testing.assert_allclose(vertex[:3], mesh.vertices[0], atol=1e-5)
    np.testing.assert_allclose(vertex[3:], mesh.texture[0, 0] / 255, atol=1e-3)
    corner = lines[kinds.index("f")].split()[1]
    assert corner == "/".join([str(mesh.triangles[0, 0] + 1)] * 3)


def test_meshes_are_not_overwritten_and_need_a_known_suffix(tmp_path):
    mesh = face_mesh(torch.rand(1, 3, 8, 8), bump(8), FOV)
    (tmp_path / "face.png").write_bytes(b"mine")
    with pytest.raises(MienError, match=r"face.png exists"):
        write_mesh(tmp_path / "face.obj", mesh)
    assert [p.name for p in tmp_path.iterdir()] == ["face.png"]
    write_mesh(tmp_path / "face.obj", mesh, overwrite=True)
    with pytest.raises(MienError, match=r"name it .obj or .glb"):
        write_mesh(tmp_path / "face.stl", mesh)


def test_a_sheet_holds_every_image_in_its_place():
    colours = torch.eye(3)[:, :, None, None].expand(3, 3, 8, 8)
    columns = [
        Column("a caption that is far too long for one line", colours),
        Column("grey", torch.full((3, 1, 4, 4), 0.5)),
    ]
    sheet = contact_sheet(columns, title="Title", subtitle="more", rows=["x", "y", "z"], cell=64)
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    for image in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [127, 127, 127]):
        near = (np.abs(sheet.astype(int) - image) <= 1).all(axis=2)
        assert near.sum() >= 60 * 60
    rows = [np.argwhere((sheet == c).all(axis=2))[0, 0] for c in ([255, 0, 0], [0, 255, 0])]
    assert rows[0] < rows[1]
    plain = contact_sheet(columns[1:], cell=64)
    assert plain.shape[0] < sheet.shape[0]


def test_what_lies_outside_the_head_cannot_hide_it():
    line = torch.linspace(-1, 1, 32)
    depth = (1 - 0.05 * (line[:, None] ** 2 + line**2)).expand(2, 1, 32, 32)  # corners nearest
    pushed = push_back_border(depth)
    assert pushed[..., 0, 0].min() > depth[..., 0, 0].max() + 0.02
    torch.testing.assert_close(pushed[..., 10:22, 10:22], depth[..., 10:22, 10:22])
    bowl = 2 - depth  # corners farthest already: hardly anything is pushed
    torch.testing.assert_close(push_back_border(bowl), bowl, atol=0.015, rtol=0)


def test_enlarging_keeps_flat_and_sloping_maps_and_has_no_kinks():
    line = torch.linspace(0, 1, 16)
    ramp = line[None, None, None].expand(1, 1, 16, 16)
    large = enlarge(ramp, 61)
    assert large.shape == (1, 1, 61, 61)
    torch.testing.assert_close(large[0, 0, 0, 8:-8], torch.linspace(0, 1, 61)[8:-8])
    torch.testing.assert_close(enlarge(torch.ones(1, 2, 8, 8), 20), torch.ones(1, 2, 20, 20))
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 1.0
    assert smooth(checks[None, None])[..., 1:-1, 1:-1].std() < 1e-6
    rough = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    kinks = [
        one[0, 0].diff(n=3, dim=1).abs().max()
        for one in (enlarge(rough, 481), F.interpolate(rough, (481, 481), mode="bicubic"))
    ]
    assert kinks[0] < kinks[1] / 5


def test_a_checkerboard_in_depth_is_not_seen_in_a_large_image():
    checks = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 - 0.5) * 2e-4
    light = Light(torch.tensor([0.2]), torch.tensor([0.8]), torch.tensor([[-0.8, 0.0, -0.6]]))
    white = torch.full((1, 3, 32, 32), 0.9)
    images = [
        render_fine(white, depth, frontal_pose(), light, FOV, 128).image[0, 0, 40:88, 40:88]
        for depth in (bump(), bump() + checks)
    ]
    assert (images[0] - images[1]).abs().max() < 1e-3
    # As rendered before: normals of an enlarged map.
    rough = [
        surface_normals(unproject(F.interpolate(d, (128, 128), mode="bicubic"), FOV))[0, 0, 40:88]
        for d in (bump(), bump() + checks)
    ]
    assert (rough[0] - rough[1]).abs().max() > 0.02


def test_outlines_are_soft_and_without_holes():
    depth, light = bump(64), Light(torch.ones(1), torch.zeros(1), torch.tensor([[0.0, 0, -1]]))
    pose = rotated_pose([0.8], [0.2])
    mask = render_fine(torch.ones(1, 3, 64, 64), depth, pose, light, FOV, 96).mask[0, 0]
    assert ((mask > 0) & (mask < 1)).sum() > 50
    for row in mask:
        covered = (row > 0).nonzero().flatten()
        if len(covered):
            assert (row[covered[0] : covered[-1]] > 0).all()


@pytest.mark.parametrize(("yaw", "pitch"), [(0.785, 0), (-0.785, 0), (0, -0.7), (0.8, 0.2)])
def test_a_rotated_head_stays_in_the_middle(tiny_model, crops, yaw, pitch, monkeypatch):
    factors = tiny_model.encode(crops)
    canonical = tiny_model.canonical(factors)
    deep = replace(canonical, depth=torch.full_like(canonical.depth, 1.05))  # off the axis
    monkeypatch.setattr(tiny_model, "canonical", lambda _: deep)
    edges = []
    for centred in (False, True):
        edit = Edit(pose=rotated_pose([yaw], [pitch]), centred=centred)
        mask = render_edited(tiny_model, factors, edit, size=64).mask[:, 0] > 0
        for one in mask:
            rows, columns = one.any(dim=1).nonzero(), one.any(dim=0).nonzero()
            edges.append([abs((each.min() + each.max()) / 2 - 31.5) for each in (rows, columns)])
    shifted = torch.tensor(edges).reshape(2, -1)
    assert shifted[1].max() <= 2
    assert shifted[0].max() > 6


def test_an_expression_changes_the_inner_face_only(tiny_model, crops):
    factors = tiny_model.encode(crops)
    plain = render_edited(tiny_model, factors[:1], Edit())
    whole = render_edited(tiny_model, factors[:1], Edit(expression=factors[1:2]))
    edit = Edit(expression=factors[1:2], inside_face=True)
    inside = render_edited(tiny_model, factors[:1], edit)
    for name in ("canonical_albedo", "canonical_depth"):
        before, moved, all_over = (getattr(each, name) for each in (plain, inside, whole))
        edge = torch.ones(32, 32, dtype=torch.bool)
        edge[6:, 3:-3] = False
        # Not equal: what its own pose hides, and so is restored, depends on the inner face too.
        change = (before - moved).abs(), (before - all_over).abs()
        assert change[0][..., edge].mean() < 0.1 * change[1][..., edge].mean()
        middle = (..., slice(14, 24), slice(12, 20))
        assert change[0][middle].mean() > 0.9 * change[1][middle].mean()


def test_no_faces_give_no_images(tiny_model, crops):
    none = tiny_model.encode(crops[:0])
    pose = rotated_pose([0.3], [0.0])
    assert render_edited(tiny_model, none, Edit()).image.shape == (0, 3, 32, 32)
    large = render_edited(tiny_model, none, Edit(pose=pose, centred=True), size=48)
    assert large.image.shape == (0, 3, 48, 48)
