"""One image by Mitsuba: materials, lamps, surroundings, camera, exposure."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from benchmarks.other_renderer.casting import Cast, Casting, Shot
from benchmarks.other_renderer.eyes import eye_globe
from benchmarks.other_renderer.photograph import photographed, smoothed
from numpy.typing import NDArray

from mien.errors import MienError
from mien.synth.head_model import Part
from mien.synth.kernels import smooth_normals

__all__ = ["VARIANT", "Studio", "open_mitsuba"]

VARIANT = "scalar_rgb"
"""Of Mitsuba: needs no LLVM."""
LAMP_CM, LAMP_RADIUS_CM = (110.0, 220.0), (8.0, 45.0)
_GUMS, _MOUTH, _TEETH = [0.30, 0.07, 0.07], [0.10, 0.02, 0.02], [0.62, 0.56, 0.44]

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]


def open_mitsuba(variant: str = VARIANT) -> Any:
    """Return Mitsuba, one thread of it.

    Raises:
        MienError: it is not installed, or lacks the variant.
    """
    try:
        drjit, mitsuba = (import_module(name) for name in ("drjit", "mitsuba"))
    except ImportError as error:
        raise MienError("mitsuba is not installed; pip install mitsuba==3.9.1") from error
    if variant not in mitsuba.variants():
        raise MienError(f"mitsuba has no variant {variant}; choose {VARIANT}")
    try:
        mitsuba.set_variant(variant)
    except ImportError as error:
        raise MienError(f"{variant} does not run here ({error}); choose {VARIANT}") from error
    drjit.set_thread_count(1)
    # Poles of globes have corners without an area, which it warns of for every mesh.
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


@dataclass(frozen=True)
class Studio:
    """Where people are rendered."""

    mitsuba: Any
    casting: Casting
    size: int
    """Side of the images. Pixels."""
    samples: int
    """Rays through each pixel."""

    def render(self, cast: Cast) -> Pixels:
        """Return a person's images, RGB. uint8 [T, S, S, 3]."""
        materials = self._materials(cast)
        if cast.hair is not None:
            mesh = self._mesh(
                cast.hair.vertices,
                cast.hair.triangles,
                materials["hair"],
                uv=cast.hair.uv,
            )
            # Searched through once a person, not once an image.
            materials["hair"] = self.mitsuba.load_dict({"type": "shapegroup", "mesh": mesh})
        return np.stack([self._image(cast, shot, materials) for shot in cast.shots])

    def _materials(self, cast: Cast) -> dict[str, Any]:
        looks = cast.looks

        def plain(colour: Any, roughness: float, specular: float = 0.4) -> dict[str, Any]:
            return {
                "type": "principled",
                "base_color": colour,
                "roughness": roughness,
                "specular": specular,
            }

        skin = plain(self._texture(cast.skin.albedo), 0.5, looks.specular)
        skin |= {"roughness": self._texture(cast.skin.roughness[..., None]), "flatness": 0.4}
        described = {
            "skin": skin,
            "eye": plain(self._texture(cast.eye), 0.12, 0.6),
            "cloth": {"type": "twosided", "bsdf": plain(_rgb(looks.cloth), 0.9, 0.1)},
            "gums": plain(_rgb(_GUMS), 0.3),
            "mouth": {"type": "twosided", "bsdf": plain(_rgb(_MOUTH), 0.5, 0.2)},
            "teeth": plain(_rgb(_TEETH), 0.2),
        }
        if cast.hair is not None:
            strand = plain(self._texture(cast.hair.colours), 0.45, 0.35)
            described["hair"] = {"type": "twosided", "bsdf": strand}
        return {name: self.mitsuba.load_dict(bsdf) for name, bsdf in described.items()}

    def _texture(self, image: Array) -> dict[str, Any]:
        bitmap = self.mitsuba.Bitmap(np.ascontiguousarray(image))
        return {"type": "bitmap", "bitmap": bitmap, "raw": True, "wrap_mode": "clamp"}

    def _image(self, cast: Cast, shot: Shot, materials: dict[str, Any]) -> Pixels:
        rng = np.random.default_rng(shot.seed)
        scene = {
            "type": "scene",
            "integrator": {
                "type": "direct",
                "emitter_samples": 1,
                "bsdf_samples": 0,
                "hide_emitters": True,
            },
            "sensor": self._camera(shot),
            **self._lights(rng, shot),
            **self._meshes(cast, shot, materials),
        }
        loaded, render = self.mitsuba.load_dict(scene), self.mitsuba.render
        drawn = np.array(render(loaded, spp=self.samples, seed=shot.seed), np.float32)
        seen = self.mitsuba.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
        # Few rays do for what has no noise, and in one pass with the light they cost more.
        seen = np.array(render(loaded, integrator=seen, spp=2, seed=shot.seed), np.float32)
        light = smoothed(drawn[..., :3], seen[..., :3], seen[..., 3:])
        return photographed(rng, light, drawn[..., 3:])

    def _camera(self, shot: Shot) -> dict[str, Any]:
        look = self.mitsuba.ScalarTransform4f().look_at([0, 0, 0], [0, 0, 1], [0, -1, 0])
        return {
            "type": "perspective",
            "fov": float(np.rad2deg(shot.field_of_view)),
            "to_world": look,
            "near_clip": 1.0,
            "far_clip": 1000.0,
            "principal_point_offset_x": float(shot.offset[0]),
            "principal_point_offset_y": float(shot.offset[1]),
            "film": {
                "type": "hdrfilm",
                "width": self.size,
                "height": self.size,
                "pixel_format": "rgba",
                "component_format": "float32",
                "rfilter": {"type": "gaussian"},
            },
            "sampler": {"type": "independent", "sample_count": self.samples},
        }

    def _lights(self, rng: np.random.Generator, shot: Shot) -> dict[str, Any]:
        """Return a room about the head, the lamp of the truth, and at times a weak second one."""
        head = shot.head.mean(axis=0)
        found: dict[str, Any] = {
            "room": {
                "type": "envmap",
                "bitmap": self.mitsuba.Bitmap(_room(rng, shot.ambient)),
                "to_world": self.mitsuba.ScalarTransform4f().rotate([1, 0, 0], 180),
            }
        }
        lamps = [(shot.light, shot.diffuse)]
        if rng.random() < 0.4:
            other = np.array([-shot.light[0], rng.uniform(-0.6, 0.2), shot.light[2]])
            lamps.append((other / np.linalg.norm(other), 0.3 * shot.diffuse * rng.random()))
        for number, (direction, strength) in enumerate(lamps):
            away, radius = rng.uniform(*LAMP_CM), rng.uniform(*LAMP_RADIUS_CM)
            warm = 1 + 0.16 * rng.standard_normal() * np.array([1.0, 0.1, -1.0])
            radiance = strength * (away / radius) ** 2 * np.clip(warm, 0.4, 1.8)
            found[f"lamp_{number}"] = {
                "type": "sphere",
                "center": [float(x) for x in head + away * direction],
                "radius": float(radius),
                "emitter": {"type": "area", "radiance": _rgb(radiance)},
            }
        return found

    def _meshes(self, cast: Cast, shot: Shot, materials: dict[str, Any]) -> dict[str, Any]:
        head, surface = self.casting.head, self.casting.surface
        normals = np.empty_like(shot.head)
        smooth_normals(shot.head, head.triangles, normals)
        found = {
            "skin": self._mesh(
                shot.head[surface.vertex],
                surface.triangles,
                materials["skin"],
                normals=normals[surface.vertex],
                uv=surface.uv,
            )
        }
        for name, part in (("mouth", Part.MOUTH), ("gums", Part.GUMS), ("teeth", Part.TEETH)):
            triangles = head.triangles[head.triangle_part == part]
            used, number = np.unique(triangles, return_inverse=True)
            found[name] = self._mesh(
                shot.head[used],
                number.reshape(-1, 3),
                materials[name],
                normals=normals[used],
            )
        globe, uv, triangles = eye_globe()
        for number, (centre, rotation) in enumerate(shot.eyes):
            placed = (globe @ rotation.T + centre).astype(np.float32)
            found[f"eye_{number}"] = self._mesh(placed, triangles, materials["eye"], uv=uv)
        chest, triangles = _ellipsoid(shot.chest, np.array([21.0, 11.0, 10.0]))
        found["chest"] = self._mesh(chest, triangles, materials["cloth"])
        if cast.hair is not None:
            found["strands"] = materials["hair"]
            found["hair"] = {
                "type": "instance",
                "group": materials["hair"],
                "to_world": self.mitsuba.ScalarTransform4f(shot.to_camera),
            }
        return found

    def _mesh(
        self,
        points: Array,
        triangles: NDArray[np.integer],
        material: Any,
        *,
        normals: Array | None = None,
        uv: Array | None = None,
    ) -> Any:
        """Return a mesh; without normals it makes smooth ones itself."""
        properties = self.mitsuba.Properties()
        properties["bsdf"] = material
        mesh = self.mitsuba.Mesh(
            "mesh",
            len(points),
            len(triangles),
            props=properties,
            has_vertex_normals=True,
            has_vertex_texcoords=uv is not None,
        )
        given = self.mitsuba.traverse(mesh)
        given["vertex_positions"] = points.astype(np.float32).ravel()
        given["faces"] = triangles.astype(np.uint32).ravel()
        if uv is not None:
            given["vertex_texcoords"] = uv.ravel()
        given.update()
        if normals is not None:
            given["vertex_normals"] = normals.ravel()
            given.update()
        return mesh


def _rgb(colour: Any) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(x) for x in colour]}


def _room(rng: np.random.Generator, ambient: float) -> Array:
    """Return what surrounds a head: a floor, a brighter ceiling, windows. [32, 64, 3]."""
    rows, columns = 32, 64
    up = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None]
    top, bottom = rng.uniform(0.8, 1.5), rng.uniform(0.3, 0.9)
    image = (bottom + (top - bottom) * up) * np.ones((rows, columns, 3), np.float32)
    image *= 1 + 0.06 * rng.standard_normal(3).astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        row, column = rng.integers(2, 14), rng.integers(0, columns)
        high, wide = rng.integers(3, 8), rng.integers(3, 10)
        image[row : row + high, column : column + wide] += rng.uniform(1.0, 4.0)
    image = cv2.GaussianBlur(image, (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    return (image * (ambient / image.mean())).astype(np.float32)


def _ellipsoid(centre: Array, axes: NDArray[np.floating]) -> tuple[Array, NDArray[np.integer]]:
    globe, _, triangles = eye_globe(20, 32)
    unit = globe / np.linalg.norm(globe, axis=1, keepdims=True)
    return (unit * axes + centre).astype(np.float32), triangles
