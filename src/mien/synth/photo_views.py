"""Other views of the person in a photograph: the photograph carried on the mean head, and turned.

Five landmarks place the mean head under weak perspective, x = s R X + t, and bend it until they fit
(the displacement spreads by radial basis functions); the photograph is its texture. The head is
then turned, relit and given another expression before another background; it may wear glasses.
Hidden parts take the colours of the other side of the face. The idea is that of Masi et al. 2016
("Do we really need to collect millions of faces for effective face recognition?").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from mien.render.rasterize import rasterize
from mien.synth.accessories import glasses_triangles
from mien.synth.expression import EXPRESSIONS, sample_expression_weights
from mien.synth.frame import rotation_matrix
from mien.synth.head_model import HeadModel, Part
from mien.synth.kernels import smooth_normals
from mien.synth.view_glasses import WornGlasses, sample_worn_glasses, tint

__all__ = ["PhotoViews", "Turn", "Views"]

Pixels = NDArray[np.uint8]
Array = NDArray[Any]

_OVERSAMPLING = 2
_RELIT_CHANCE = 0.75
_REACH_CM = 30.0
"""Vertices farther than this from the face are not bent."""
_GRAZING = 0.25
"""Cosine between normal and view below which the photograph shows too little of a surface."""
# A photograph shows neither an open mouth's inside nor shut lids: these shapes are left out.
_LEFT_OUT = ("jawOpen", "eyeBlink", "eyeLook")
_SEEN_CM = (
    (-0.10, -0.03, -0.35),
    (0.10, -0.03, -0.35),
    (0.0, 0.50, 0.07),
    (-0.26, -0.22, 0.32),
    (0.26, -0.22, 0.32),
)
"""Where a detector sees the five landmarks, beside the head model's own (eyes between their lids,
tip of the nose, corners of the mouth). Fitted to YuNet's landmarks of 2,536 rendered images of 500
people, turned by up to 40 degrees: with the model's own, heads seem to look down by 11 degrees."""
_FOCUS = (0.5, 0.53)
"""Where the middle of eyes and mouth stands in a crop with a margin, as fractions of its side."""


@dataclass(frozen=True)
class Turn:
    """How far heads are turned: yaw, pitch, roll in degrees."""

    std_deg: tuple[float, float, float] = (25.0, 10.0, 6.0)
    limit_deg: tuple[float, float, float] = (45.0, 20.0, 20.0)


@dataclass(frozen=True)
class Views:
    """Other views of the person in a photograph."""

    pixels: Pixels
    """RGB, framed as the photograph is. uint8 [N, P, P, 3]."""
    rotation: Array
    """Of the heads in them, head -> camera frame. float32 [N, 3, 3]."""
    own: Array
    """Of the head in the photograph, as its landmarks show it. float32 [3, 3]."""


@dataclass(frozen=True)
class _Fit:
    """The mean head as it stands in a photograph."""

    shape: Array
    """Vertices, head frame, cm. [V, 3]."""
    rotation: Array
    """Head -> camera frame. [3, 3]."""
    scale: float
    """Pixels a cm."""
    texture: Array
    """Where in the photograph each vertex has its colour, pixels. [V, 2]."""


class PhotoViews:
    """Renders further views of photographs; holds what does not depend on the photograph."""

    def __init__(self, head: HeadModel, turn: Turn | None = None, *, glasses: float = 0.0) -> None:
        """Prepare.

        Args:
            head: its mean shape and its expressions are used.
            turn: how far heads are turned; None: as usual.
            glasses: in how many of the views the head wears glasses, drawn afresh in each. [0, 1].
        """
        self._turn, self._glasses = turn or Turn(), glasses
        kept = np.isin(head.part, (Part.SKIN, Part.EYE_LEFT, Part.EYE_RIGHT))
        row = np.cumsum(kept) - 1
        triangles = head.triangles[kept[head.triangles].all(axis=1)]
        self._triangles = np.ascontiguousarray(row[triangles].astype(np.int64))
        self._with_glasses = np.concatenate([self._triangles, glasses_triangles() + kept.sum()])
        self._marks = row[head.landmarks]
        marks = head.neutral[head.landmarks].astype(np.float64)
        eyes = marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)
        controls = np.stack([*eyes, marks[30], marks[48], marks[54]]) + np.array(_SEEN_CM)
        middle = controls.mean(axis=0)
        self._controls, self._shape = controls - middle, head.neutral[kept] - middle
        # Linear in the displacements of the five controls: solved once, for unit displacements.
        spread = RBFInterpolator(self._controls, np.eye(5), kernel="linear", degree=0)
        self._spread = spread(self._shape)
        self._spread[np.linalg.norm(self._shape, axis=1) > _REACH_CM] = 0
        self._mirror = KDTree(self._shape).query(self._shape * [-1, 1, 1])[1]
        names = head.expression_names
        self._names = names
        self._usable = np.array([not name.startswith(_LEFT_OUT) for name in names])
        self._expression = head.expression[:, kept].reshape(len(names), -1)

    def __call__(
        self,
        photograph: Pixels,
        landmarks: Array,
        count: int,
        rng: np.random.Generator,
        backgrounds: Sequence[Pixels],
    ) -> Views:
        """Return other views of the person.

        Args:
            photograph: RGB crop with a margin. uint8 [P, P, 3].
            landmarks: x, y of image-left eye, image-right eye, tip of the nose, image-left and
                image-right corner of the mouth; pixels, centres at integers. [5, 2].
            count: how many views, N.
            rng: source of all choices.
            backgrounds: other images, to be blurred; at least one. Each uint8 [H, W, 3].
        """
        fit = self._fit(np.asarray(landmarks, dtype=np.float64))
        views = [self._view(photograph, fit, rng, backgrounds) for _ in range(count)]
        pixels = np.array([view for view, _ in views], np.uint8).reshape(-1, *photograph.shape)
        rotation = np.array([turned for _, turned in views], np.float32).reshape(-1, 3, 3)
        return Views(pixels, rotation, fit.rotation.astype(np.float32))

    def rotation(self, landmarks: Array) -> Array:
        """Return the rotation of the mean head under five landmarks, head -> camera frame. [3, 3].

        Args:
            landmarks: as of `__call__`. [5, 2].
        """
        return self._fit(np.asarray(landmarks, dtype=np.float64)).rotation

    def _fit(self, landmarks: Array) -> _Fit:
        """Place the mean head under the landmarks and bend it until they fit."""
        points, centre = self._controls, landmarks.mean(axis=0)
        # P = s R's first rows, by least squares, then the nearest scaled rotation.
        gram = points.T @ points + 1e-3 * np.eye(3)
        projection = np.linalg.solve(gram, points.T @ (landmarks - centre)).T
        left, sizes, right = np.linalg.svd(projection, full_matrices=False)
        first = left @ right
        rotation = np.vstack([first, np.cross(first[0], first[1])])
        scale = float(sizes.mean())
        error = (landmarks - centre) / scale - points @ first.T
        displacement = np.c_[error, np.zeros(5)] @ rotation
        shape = self._shape + self._spread @ displacement
        pixels = scale * (shape @ first.T) + centre
        facing = -self._normals(shape @ rotation.T, self._triangles)[:, 2]
        hidden = (facing < _GRAZING) & (facing[self._mirror] > facing)
        source = np.where(hidden, self._mirror, np.arange(len(shape)))
        return _Fit(shape, rotation, scale, pixels[source])

    def _view(
        self, photograph: Pixels, fit: _Fit, rng: np.random.Generator, backgrounds: Sequence[Pixels]
    ) -> tuple[Pixels, Array]:
        """Return one view, and the head's rotation in it. [P, P, 3], [3, 3]."""
        size, fine = len(photograph), len(photograph) * _OVERSAMPLING
        rotation = rotation_matrix(*np.deg2rad(self._sample_turn(rng))) @ fit.rotation
        posed, scale, offset = self._pose(fit, rotation, size, rng)
        worn, triangles = None, self._triangles
        if self._glasses and rng.random() < self._glasses:
            worn = sample_worn_glasses(fit.shape[self._marks], rng)
            posed = np.concatenate([posed, worn.points @ rotation.T])
            triangles = self._with_glasses
        pixels = (scale * posed[:, :2] + offset + 0.5) * _OVERSAMPLING - 0.5
        points = np.c_[pixels, posed[:, 2]].astype(np.float32)
        found = rasterize(torch.from_numpy(points)[None], torch.from_numpy(triangles), fine, fine)
        face, weights = found.pix_to_face[0].numpy(), found.barycentric[0].numpy()[..., None]
        corners = triangles[np.maximum(face, 0)]
        colour = _colour(photograph, fit, worn, corners, weights)
        if rng.random() < _RELIT_CHANCE:
            normals = self._normals(posed, triangles)
            # A frame is a thin sheet, lit on the side that is seen.
            sheet = normals[len(fit.shape) :]
            sheet[sheet[:, 2] > 0] *= -1
            colour *= _relight((normals[corners] * weights).sum(axis=2), rng)
        behind = backgrounds[int(rng.integers(len(backgrounds)))]
        behind = cv2.GaussianBlur(behind, (0, 0), rng.uniform(3, 12))
        behind = cv2.resize(behind, (fine, fine)).astype(np.float32) * rng.uniform(0.5, 1.2)
        image = np.where((face >= 0)[..., None], colour, behind).clip(0, 255)
        if worn is not None:
            tint(image, points[len(fit.shape) :], found.depth[0].numpy(), worn)
        pixels = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return pixels, rotation

    def _sample_turn(self, rng: np.random.Generator) -> Array:
        """Return yaw, pitch and roll by which a head is turned. Degrees [3]."""
        limit = np.array(self._turn.limit_deg)
        return np.clip(rng.normal(0, self._turn.std_deg), -limit, limit)

    def _pose(
        self, fit: _Fit, rotation: Array, size: int, rng: np.random.Generator
    ) -> tuple[Array, float, Array]:
        """Return a rotated head with another expression, camera frame, and where it goes."""
        chosen = int(rng.integers(len(EXPRESSIONS)))
        weights = sample_expression_weights(rng, chosen, self._names) * rng.uniform(-0.15, 0.6)
        moved = (weights * self._usable).astype(np.float32) @ self._expression
        posed = (fit.shape + moved.reshape(-1, 3)) @ rotation.T
        scale = fit.scale * rng.uniform(0.92, 1.08)
        middle = (self._controls @ rotation.T)[[0, 1, 3, 4], :2].mean(axis=0)
        offset = np.array(_FOCUS) * size - scale * middle + rng.uniform(-0.02, 0.02, 2) * size
        return posed, scale, offset

    def _normals(self, points: Array, triangles: Array) -> Array:
        """Return unit outward normals of the vertices. [V, 3]."""
        normals = np.empty(points.shape, dtype=np.float32)
        smooth_normals(points.astype(np.float32), triangles.astype(np.int32), normals)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _colour(
    photograph: Pixels, fit: _Fit, worn: WornGlasses | None, corners: Array, weights: Array
) -> Array:
    """Return each pixel's colour: a head's is the photograph's, glasses' their own. [H, W, 3].

    Args:
        photograph: RGB. uint8 [P, P, 3].
        fit: where in it the head's vertices have their colours.
        worn: glasses, whose vertices follow the head's.
        corners: vertices that each pixel lies between. [H, W, 3].
        weights: theirs. [H, W, 3, 1].
    """
    texture = fit.texture
    if worn is not None:
        texture = np.concatenate([texture, np.zeros((len(worn.points), 2))])
    place = (texture[corners] * weights).sum(axis=2).astype(np.float32)
    colour = cv2.remap(
        photograph,
        place[..., 0],
        place[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    if worn is not None:
        colour[corners[..., 0] >= len(fit.shape)] = worn.colour
    return colour


def _relight(normals: Array, rng: np.random.Generator) -> Array:
    """Return by what each pixel's colour is multiplied under a further lamp. [H, W, 3]."""
    light = rng.normal(size=3)
    light[2] = -abs(light[2]) - 0.2
    light /= np.linalg.norm(light)
    ambient, diffuse = rng.uniform(0.35, 0.8), rng.uniform(0.2, 0.8)
    shade = (ambient + diffuse * np.maximum(normals @ light, 0)) / (ambient + 0.55 * diffuse)
    tint = rng.uniform(0.8, 1.15) * (1 + 0.08 * rng.normal(size=3))
    return (shade[..., None] * tint).astype(np.float32)
