"""Names of the table's factor columns and the lengths of its codes, for all who read or write them.

Units, frames and ranges stand in `mien.table.schema`.
"""

from __future__ import annotations

__all__ = [
    "CODES",
    "EYES_FOUND",
    "FACE_CODES",
    "FACE_EMBEDDING",
    "FACE_FOUND",
    "FEATURES",
    "GAZE_CODE",
    "LIGHT",
    "LIGHT_DIRECTION",
    "NEED_EYES",
    "NUMBERS",
    "POSE",
    "SCHEMAS",
    "code_lengths",
]

POSE = ("yaw_rad", "pitch_rad", "roll_rad")
LIGHT_DIRECTION = ("light_x", "light_y", "light_z")
LIGHT = ("light_ambient", "light_diffuse", *LIGHT_DIRECTION)
NUMBERS = (*POSE, *LIGHT)
"""Factors that are one number each."""

FACE_CODES = ("identity", "expression", "texture_code", "shape_code")
FACE_EMBEDDING = "face_embedding"
GAZE_CODE = "gaze_code"
FACE_FOUND = "face_found"
EYES_FOUND = "eyes_found"
NEED_EYES = (GAZE_CODE,)
"""Vectors that mean nothing where no eyes are found; no vector does where no face is found."""
FEATURES = "features"
"""No factor: everything that the encoder saw, factors mixed."""
CODES = (*FACE_CODES, FACE_EMBEDDING, GAZE_CODE, FEATURES)
"""Factors that are a vector each, in the table's order; not every table has the last three."""

SCHEMAS = ("mien", "openface", "pyfeat")
"""Whose names the columns of a written table have."""


def code_lengths(
    *,
    texture_dim: int,
    shape_dim: int,
    face_embedding_dim: int = 0,
    gaze_dim: int = 0,
    features_dim: int = 0,
) -> dict[str, int]:
    """Return the length of each code that there is, by the name of its column.

    Args:
        texture_dim: of z_t.
        shape_dim: of z_s.
        face_embedding_dim: 0 where the weights have no face embedding.
        gaze_dim: 0 where the weights have no gaze branch.
        features_dim: 0 where features are not read.
    """
    both = texture_dim + shape_dim
    dims = (both, both, texture_dim, shape_dim, face_embedding_dim, gaze_dim, features_dim)
    return {name: dim for name, dim in zip(CODES, dims, strict=True) if dim}
