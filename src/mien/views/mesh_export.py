"""A face as a file for 3D programs: OBJ with a texture beside it, or one binary glTF (GLB).

Files are right-handed with y up and the face looking along +z, its centre at the origin; one face
unit is written as one unit (a metre, for a head of usual size).
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mien.errors import MienError
from mien.geometry.camera import surface_normals, unproject
from mien.media.atomic import replacing
from mien.media.image import to_uint8
from mien.render.mesh import grid_triangles

__all__ = ["FaceMesh", "face_mesh", "glb_bytes", "obj_files", "write_mesh"]


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


def face_mesh(albedo: Tensor, depth: Tensor, fov_deg: float) -> FaceMesh:
    """Build the surface that a canonical depth map describes.

    Args:
        albedo: canonical colour, RGB in [0, 1]. [1, 3, H, W].
        depth: canonical z in face units. [1, 1, H, W].
        fov_deg: field of view across the canonical image, degrees.
    """
    height, width = depth.shape[-2:]
    grid = unproject(depth.detach().cpu().float(), fov_deg)
    normals = surface_normals(grid).movedim(1, -1).reshape(1, -1, 3)
    # 180 degrees about x: from x right, y down, z away to y up, z towards the viewer.
    signs = np.array([1, -1, -1], dtype=np.float32)
    centred = grid.reshape(-1, 3).numpy() - np.array([0, 0, 1], dtype=np.float32)
    rows, columns = np.mgrid[0:height, 0:width]
    uv = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1).reshape(-1, 2)
    return FaceMesh(
        vertices=centred * signs,
        normals=normals[0].numpy() * signs,
        uv=uv.astype(np.float32),
        triangles=grid_triangles(height, width, overlap=False).numpy().astype(np.uint32),
        texture=to_uint8(albedo)[0],
    )


def write_mesh(path: str | os.PathLike[str], mesh: FaceMesh, *, overwrite: bool = False) -> None:
    """Write a mesh as its suffix asks: `.glb`, or `.obj` with `.mtl` and `.png` beside it.

    Raises:
        MienError: another suffix, or a file is there and `overwrite` is False.
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
            raise MienError(f"{target} is there already; choose another name or give --overwrite")
    for target, data in files.items():
        with replacing(target, overwrite=overwrite) as unfinished:
            unfinished.write_bytes(data)


def obj_files(stem: str, mesh: FaceMesh) -> dict[str, bytes]:
    """Return the OBJ with vertex colours, its material and its texture: file name -> content.

    Written here: trimesh writes vertex colours or a texture, not both.
    """
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
    texture = io.BytesIO()
    Image.fromarray(mesh.texture).save(texture, format="PNG")
    files = {"obj": text.getvalue().encode(), "mtl": material.encode(), "png": texture.getvalue()}
    return {f"{stem}.{suffix}": data for suffix, data in files.items()}


def glb_bytes(mesh: FaceMesh) -> bytes:
    """Return the mesh as binary glTF 2.0 with its texture inside, one matte material."""
    import trimesh  # slow to import
    from trimesh.exchange.gltf import export_glb
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    matte = PBRMaterial(
        baseColorTexture=Image.fromarray(mesh.texture),
        metallicFactor=0.0,
        roughnessFactor=1.0,
        doubleSided=True,
    )
    # trimesh counts v from the bottom, as OBJ does, and turns it over again in glTF.
    visual = TextureVisuals(mesh.uv * [1, -1] + [0, 1], material=matte)
    body = trimesh.Trimesh(
        mesh.vertices,
        mesh.triangles.astype(np.int64),
        vertex_normals=mesh.normals,
        visual=visual,
        process=False,  # every vertex stays, in its order
    )
    scene = trimesh.Scene({"face": body})
    return export_glb(scene, include_normals=True, tree_postprocessor=_clamp_texture)


def _clamp_texture(tree: dict[str, Any]) -> None:
    """Let the texture's border go on beyond it, in place of its other side."""
    clamp, linear = 33071, 9729
    tree["samplers"] = [{"wrapS": clamp, "wrapT": clamp, "magFilter": linear, "minFilter": linear}]
    tree["textures"][0]["sampler"] = 0
