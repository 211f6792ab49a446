"""A face as a file for 3D programs: OBJ with a texture beside it, or one binary glTF (GLB).

Files are right-handed with y up and the face looking along +z, its centre at the origin; one face
unit is written as one unit (a metre, for a head of usual size).
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mien.errors import MienError
from mien.geometry.camera import place, unproject
from mien.geometry.surface import surface_normals
from mien.media.atomic import replacing
from mien.render.mesh import grid_triangles
from mien.types import Pose

__all__ = ["FaceMesh", "face_mesh", "glb_bytes", "obj_files", "write_mesh"]

_ARRAY, _ELEMENTS = 34962, 34963
_FLOAT, _UINT = 5126, 5125


@dataclass(frozen=True)
class FaceMesh:
    """One textured surface; y up, z towards the viewer."""

    vertices: NDArray[np.float32]
    """[V, 3]."""
    normals: NDArray[np.float32]
    """Outward, unit length. [V, 3]."""
    uv: NDArray[np.float32]
    """Place in the texture, from its top left corner, in [0, 1]. [V, 2]."""
    triangles: NDArray[np.uint32]
    """Counter-clockwise seen from outside. [F, 3]."""
    texture: NDArray[np.uint8]
    """RGB. [H, W, 3]."""


def face_mesh(albedo: Tensor, depth: Tensor, fov_deg: float, pose: Pose | None = None) -> FaceMesh:
    """Build the surface that a canonical depth map describes.

    Args:
        albedo: canonical colour, RGB in [0, 1]. [1, 3, H, W].
        depth: canonical z in face units. [1, 1, H, W].
        fov_deg: field of view across the canonical image.
        pose: turns and shifts the surface; canonical where not given.
    """
    height, width = depth.shape[-2:]
    grid = unproject(depth.detach().cpu().float(), fov_deg)
    normals = surface_normals(grid).movedim(1, -1).reshape(1, -1, 3)
    points = grid.reshape(1, -1, 3)
    if pose is not None:
        turn = pose.to("cpu")
        points = place(points, turn)
        normals = normals @ turn.rotation.transpose(1, 2)
    # Half a turn about x: from x right, y down, z away to y up, z towards the viewer.
    signs = np.array([1, -1, -1], dtype=np.float32)
    centred = points[0].numpy() - np.array([0, 0, 1], dtype=np.float32)
    rows, columns = np.mgrid[0:height, 0:width]
    uv = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1).reshape(-1, 2)
    texture = albedo[0].detach().cpu().float().clamp(0, 1).movedim(0, -1).numpy()
    return FaceMesh(
        vertices=centred * signs,
        normals=normals[0].numpy() * signs,
        uv=uv.astype(np.float32),
        triangles=grid_triangles(height, width, overlap=False).numpy().astype(np.uint32),
        texture=(texture * 255).round().astype(np.uint8),
    )


def write_mesh(path: str | os.PathLike[str], mesh: FaceMesh, *, overwrite: bool = False) -> None:
    """Write a mesh; the suffix says how: `.glb`, or `.obj` with `.mtl` and `.png` beside it.

    Raises:
        MienError: another suffix, or a file is there and `overwrite` was not said.
    """
    path = Path(path)
    if path.suffix.lower() == ".glb":
        files: Mapping[Path, bytes] = {path: glb_bytes(mesh)}
    elif path.suffix.lower() == ".obj":
        files = {path.with_name(name): data for name, data in obj_files(path.stem, mesh).items()}
    else:
        raise MienError(f"cannot write a mesh as {path.name}; name it .obj or .glb")
    for target in files:
        if target.exists() and not overwrite:
            raise MienError(f"{target} is there already; choose another name or say --overwrite")
    for target, data in files.items():
        with replacing(target, overwrite=overwrite) as unfinished:
            unfinished.write_bytes(data)


def obj_files(stem: str, mesh: FaceMesh) -> dict[str, bytes]:
    """Return the OBJ with vertex colours, its material and its texture: file name -> content."""
    height, width = mesh.texture.shape[:2]
    column = (mesh.uv[:, 0] * width).astype(int).clip(0, width - 1)
    row = (mesh.uv[:, 1] * height).astype(int).clip(0, height - 1)
    colours = mesh.texture[row, column] / 255.0
    text = io.StringIO()
    text.write(f"# mien: y up, z towards the viewer\nmtllib {stem}.mtl\nusemtl face\n")
    np.savetxt(text, np.hstack([mesh.vertices, colours]), fmt="v %.6f %.6f %.6f %.4f %.4f %.4f")
    np.savetxt(text, mesh.uv * [1, -1] + [0, 1], fmt="vt %.6f %.6f")
    np.savetxt(text, mesh.normals, fmt="vn %.5f %.5f %.5f")
    corners = np.repeat(mesh.triangles.astype(np.int64) + 1, 3, axis=1)
    np.savetxt(text, corners, fmt="f %d/%d/%d %d/%d/%d %d/%d/%d")
    material = f"newmtl face\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {stem}.png\n"
    return {
        f"{stem}.obj": text.getvalue().encode(),
        f"{stem}.mtl": material.encode(),
        f"{stem}.png": _png(mesh.texture),
    }


def glb_bytes(mesh: FaceMesh) -> bytes:
    """Return the mesh as binary glTF 2.0 with its texture inside."""
    parts = [
        np.ascontiguousarray(mesh.vertices, dtype="<f4").tobytes(),
        np.ascontiguousarray(mesh.normals, dtype="<f4").tobytes(),
        np.ascontiguousarray(mesh.uv, dtype="<f4").tobytes(),
        np.ascontiguousarray(mesh.triangles, dtype="<u4").tobytes(),
        _png(mesh.texture),
    ]
    views: list[dict[str, int]] = []
    binary = b""
    for data, target in zip(parts, (_ARRAY, _ARRAY, _ARRAY, _ELEMENTS, 0), strict=True):
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)}
        views.append(view | ({"target": target} if target else {}))
        binary += _padded(data, b"\0")
    document = _gltf(mesh, views, len(binary))
    header = _padded(json.dumps(document, separators=(",", ":")).encode(), b" ")
    body = _chunk(b"JSON", header) + _chunk(b"BIN\0", binary)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def _gltf(mesh: FaceMesh, views: list[dict[str, int]], size: int) -> dict[str, object]:
    """Return the JSON part: one node, one mesh, one matte material."""
    count = len(mesh.vertices)
    position = {
        "bufferView": 0,
        "componentType": _FLOAT,
        "count": count,
        "type": "VEC3",
        "min": mesh.vertices.min(axis=0).tolist(),
        "max": mesh.vertices.max(axis=0).tolist(),
    }
    normal = {"bufferView": 1, "componentType": _FLOAT, "count": count, "type": "VEC3"}
    uv = {"bufferView": 2, "componentType": _FLOAT, "count": count, "type": "VEC2"}
    corners = {
        "bufferView": 3,
        "componentType": _UINT,
        "count": mesh.triangles.size,
        "type": "SCALAR",
    }
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}
    matte = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    clamp, linear = 33071, 9729
    return {
        "asset": {"version": "2.0", "generator": "mien"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "face"}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": matte, "doubleSided": True}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"wrapS": clamp, "wrapT": clamp, "magFilter": linear, "minFilter": linear}],
        "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "accessors": [position, normal, uv, corners],
        "bufferViews": views,
        "buffers": [{"byteLength": size}],
    }


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<I4s", len(data), kind) + data


def _padded(data: bytes, fill: bytes) -> bytes:
    """Fill up to a multiple of four bytes."""
    return data + fill * (-len(data) % 4)


def _png(image: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG")
    return out.getvalue()
