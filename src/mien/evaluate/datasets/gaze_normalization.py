"""Data normalisation for gaze (Zhang, Sugano, Bulling, ETRA 2018): one virtual camera for all.

Every image is warped as if a virtual camera of fixed focal length stood at a fixed distance,
looked straight at the face and was rolled like the head. With e the face's centre and h the head's
x axis in the real camera's frame, C its matrix, and C_n, d_n the virtual camera's matrix and
distance:

    z = e / |e|    y = z x h / |z x h|    x = y x z    R = [x; y; z]
    S = diag(1, 1, d_n / |e|)
    W = C_n S R C^-1                       pixels of the image -> pixels of the warped one
    g_n = R g      H_n = R H               gaze and head rotation

The scaling S is for pixels only. In the first form of the method (2014, and the labels that come
with MPIIGaze's normalised eyes) gaze was scaled too, which bends it; that is not done here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["EYE_CROP", "FACE", "Normalisation", "VirtualCamera", "head_angles", "normalisation"]

Array = NDArray[np.floating]


@dataclass(frozen=True)
class VirtualCamera:
    """The camera that every image is warped to."""

    size: tuple[int, int]
    """Height and width of the warped image. Pixels."""
    focal: float = 960.0
    """Focal length. Pixels."""
    distance_mm: float = 600.0
    """How far the face's centre is."""
    centre: tuple[float, float] = (0.5, 0.5)
    """Where the face's centre is to be seen: fractions of the width and of the height."""

    @property
    def matrix(self) -> Array:
        """The camera's matrix; pixel centres are at integers. [3, 3]."""
        x = self.centre[0] * (self.size[1] - 1)
        y = self.centre[1] * (self.size[0] - 1)
        return np.array([[self.focal, 0, x], [0, self.focal, y], [0, 0, 1]], dtype=np.float64)


FACE = VirtualCamera((260, 260))
"""162 mm across, of which eyes 63 mm apart take 0.388: the face crop that the model sees."""
EYE_CROP = VirtualCamera((114, 237))
"""148 mm across: eyes 63 mm apart are 85 of 200 pixels apart, as in eye-region crops."""


@dataclass(frozen=True)
class Normalisation:
    """From one image and its camera to the virtual camera, and back."""

    rotation: Array
    """R: directions in the camera's frame -> in the virtual camera's. [3, 3]."""
    warp: Array
    """W: pixels -> pixels of the warped image, homogeneous. [3, 3]."""
    size: tuple[int, int]
    """Height and width of the warped image. Pixels."""

    def warp_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the warped image; black where the image ends. [H, W, 3] or [H, W]."""
        height, width = self.size
        warped = cv2.warpPerspective(image, self.warp, (width, height), flags=cv2.INTER_LINEAR)
        return warped.astype(np.uint8, copy=False)

    def direction(self, vector: Array) -> Array:
        """Return directions as the virtual camera sees them. [..., 3]."""
        return np.asarray(vector) @ self.rotation.T

    def head(self, rotation: Array) -> Array:
        """Return a head's rotation as the virtual camera sees it. [3, 3]."""
        return self.rotation @ rotation


def normalisation(
    *, centre_mm: Array, head_rotation: Array, camera_matrix: Array, to: VirtualCamera
) -> Normalisation:
    """Return how one image is warped.

    Args:
        centre_mm: of the face (or between the eyes), camera frame. [3].
        head_rotation: head -> camera frame; the identity for one who faces the camera upright, its
            x axis to image-right. [3, 3].
        camera_matrix: of the real camera, pixels; lens distortion already taken out. [3, 3].
        to: the virtual camera.

    Raises:
        ValueError: the centre is not in front of the camera, or the head's x axis points along the
            line of sight.
    """
    centre = np.asarray(centre_mm, dtype=np.float64).reshape(3)
    distance = float(np.linalg.norm(centre))
    if not (np.isfinite(centre).all() and centre[2] > 0):
        raise ValueError(f"a face in front of the camera is wanted, not one at {centre.tolist()}")
    forward = centre / distance
    down = np.cross(forward, np.asarray(head_rotation, dtype=np.float64)[:, 0])
    length = float(np.linalg.norm(down))
    if not length > 1e-6:
        raise ValueError("the head's x axis points along the line of sight")
    down /= length
    rotation = np.stack([np.cross(down, forward), down, forward])
    scale = np.diag([1.0, 1.0, to.distance_mm / distance])
    warp = to.matrix @ scale @ rotation @ np.linalg.inv(np.asarray(camera_matrix, np.float64))
    return Normalisation(rotation, warp, to.size)


def head_angles(rotation: Array) -> tuple[float, float]:
    """Return yaw and pitch of a head's rotation, radians: + towards image-left and + up.

    Args:
        rotation: head -> camera frame, the identity for one who faces the camera upright. [3, 3].
    """
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    return float(yaw), float(np.arcsin(np.clip(rotation[1, 2], -1, 1)))
