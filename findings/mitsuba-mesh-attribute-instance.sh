#!/bin/sh
# One would guess: in Mitsuba a mesh whose colour is an attribute of its vertices (mesh_attribute)
# looks the same wherever it stands: a shapegroup that is placed by `instance` with a translation
# shows, at the same point of the mesh, the colours of the plain mesh, between those of the vertices.
# What happens: colours of instances that are moved are extrapolated far beyond those of the
# vertices, down to negative reflectances, and change with the place. An instance that is not moved
# and the plain mesh are right.
# Why: the weights of the vertices are found from the point in the scene's coordinates against
# vertices in the mesh's own (Mesh::barycentric_coordinates of the surface interaction).
# Versions: mitsuba 3.9.1, drjit 1.5.0, variant scalar_rgb, Python 3.11, Linux x86-64.
# Source: this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet mitsuba==3.9.1 drjit==1.5.0 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import mitsuba as mi
import numpy as np

mi.set_variant("scalar_rgb")
Transform = mi.ScalarTransform4f


def triangle(reflectance):
    """One triangle, one corner red, one green, one blue."""
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict({"type": "diffuse", "reflectance": reflectance})
    mesh = mi.Mesh("triangle", 3, 1, props=properties)
    mesh.add_attribute("vertex_color", 3, np.eye(3, dtype=np.float32).ravel())
    parts = mi.traverse(mesh)
    parts["vertex_positions"] = np.array([-1, -1, 0, 1, -1, 0, 0, 1, 0], np.float32)
    parts["faces"] = np.array([0, 1, 2], np.uint32)
    parts.update()
    return mesh


def seen(scene, x):
    """The reflectance in the middle of the triangle placed at x, looked at from the front."""
    ray = mi.Ray3f([x, 0, 5], [0, 0, -1])
    found = scene.ray_intersect(ray)
    assert found.is_valid()
    return np.array(found.bsdf().eval_diffuse_reflectance(found))


def instance(mesh, x):
    """A scene with the mesh in a group, placed at (x, 0, 0)."""
    group = mi.load_dict({"type": "shapegroup", "mesh": mesh})
    placed = {"type": "instance", "g": group, "to_world": Transform().translate([x, 0, 0])}
    return mi.load_dict(
        {"type": "scene", "group": group, "placed": placed, "light": {"type": "constant"}}
    )


by_vertex = {"type": "mesh_attribute", "name": "vertex_color"}
plain = mi.load_dict({"type": "scene", "mesh": triangle(by_vertex)})
true = seen(plain, 0.0)
print("plain mesh:", true.round(3).tolist())
assert np.allclose(true, [0.25, 0.25, 0.5], atol=1e-4)
assert np.allclose(seen(instance(triangle(by_vertex), 0.0), 0.0), true, atol=1e-4)
for x in (2.0, 5.0):
    found = seen(instance(triangle(by_vertex), x), x)
    print(f"instance moved by {x:g}:", found.round(3).tolist())
    assert found.min() < -0.5, "colours are right now: changed"
    assert np.allclose(found, [0.25 - x / 2, 0.25 + x / 2, 0.5], atol=1e-3), "other wrong colours"

print("as found: colours of vertices are extrapolated on instances that are moved")
PYTHON
