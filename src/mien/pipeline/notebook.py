"""A face as a notebook shows it: what the model saw, and what it read off it."""

from __future__ import annotations

import base64
import html
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.face import Box
from mien.geometry.rotation import rotation_to_angles
from mien.types import Factors

__all__ = ["face_html"]


def face_html(
    crop: NDArray[np.uint8], factors: Factors, *, image: int, box: Box, score: float
) -> str:
    """Return a face as HTML: its crop and its factors that are numbers. Angles in degrees.

    Args:
        crop: RGB. [S, S, 3].
        factors: one row.
        image: number of its image.
        box: in the image's pixels.
        score: the detector's.
    """
    angles = rotation_to_angles(factors.pose.rotation.float())
    yaw, pitch, roll = (math.degrees(float(angle[0])) for angle in angles)
    light = factors.light
    ambient, diffuse = float(light.ambient[0]), float(light.diffuse[0])
    x, y, z = (f"{float(part):.2f}" for part in light.direction[0])
    rows = {
        "image": str(image),
        "box": ", ".join(f"{value:.0f}" for value in box),
        "score": f"{score:.2f}",
        "yaw, pitch, roll": f"{yaw:.1f}°, {pitch:.1f}°, {roll:.1f}°",
        "light, ambient and diffuse": f"{ambient:.2f}, {diffuse:.2f}",
        "light from (right, down, away)": f"{x}, {y}, {z}",
        "distance from neutral": f"{float(factors.expression[0].norm()):.1f}",
    }
    if factors.gaze is not None:
        rows["eyes"] = "open" if bool(factors.gaze.eyes_found[0]) else "none open found"
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    shown = f'<img alt="face" width="128" src="data:image/png;base64,{_png(crop)}">'
    return f"<table><tr><td>{shown}</td><td><table>{cells}</table></td></tr></table>"


def _png(pixels: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
