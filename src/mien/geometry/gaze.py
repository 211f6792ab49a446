"""Directions of gaze: unit vectors to angles and back, angles between them, their mirror image.

Camera frame (x right, y down, z away): pitch = asin(-y), + up; yaw = atan2(-x, -z), + towards
image-left; a gaze into the camera is (0, 0, -1). Every function takes NumPy arrays or tensors, all
of one kind and of any leading shape, and returns that kind; NaN in a row stays in that row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # loaded where a direction is asked for
    from torch import Tensor

__all__ = ["angle_between", "gaze_angles", "gaze_vector", "mirrored"]

Array = TypeVar("Array", NDArray[Any], "Tensor")


def gaze_vector(yaw: Array, pitch: Array) -> Array:
    """Return the unit vectors that look along these angles. [...] => [..., 3].

    Args:
        yaw: radians, + towards image-left. [...].
        pitch: radians, + up. [...].
    """
    return _in_torch(_vector, yaw, pitch)


def gaze_angles(vector: Array) -> tuple[Array, Array]:
    """Return (yaw, pitch) in radians: yaw in [-pi, pi], pitch in [-pi / 2, pi / 2].

    Args:
        vector: camera frame; of any length but 0, which gives NaN. [..., 3].
    """
    return (
        _in_torch(lambda v: _angles(v)[0], vector),
        _in_torch(lambda v: _angles(v)[1], vector),
    )


def angle_between(one: Array, other: Array) -> Array:
    """Return the angle between directions, radians in [0, pi]. [...].

    From |a x b| and a . b, so that it is as exact for nearly equal directions as for others; the
    arc cosine of float32 sees nothing below 0.02 degrees.

    Args:
        one: of any length but 0. [..., 3].
        other: of any length but 0; its leading shape may differ by broadcasting. [..., 3].
    """
    return _in_torch(_between, one, other)


def mirrored(vector: Array) -> Array:
    """Return the gaze in the mirrored image: yaw changes sign, pitch does not. [..., 3]."""
    return _in_torch(lambda v: v * v.new_tensor([-1.0, 1.0, 1.0]), vector)


def _vector(yaw: Tensor, pitch: Tensor) -> Tensor:
    import torch

    from mien.geometry.rotation import angles_to_vector

    return angles_to_vector(*torch.broadcast_tensors(yaw, pitch))


def _angles(vector: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    from mien.geometry.rotation import vector_to_angles

    return vector_to_angles(vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True))


def _between(one: Tensor, other: Tensor) -> Tensor:
    import torch

    cross = torch.linalg.cross(*torch.broadcast_tensors(one, other), dim=-1)
    return torch.atan2(torch.linalg.vector_norm(cross, dim=-1), (one * other).sum(dim=-1))


def _in_torch(function: Callable[..., Tensor], *given: Array) -> Array:
    """Call a function of tensors with arrays of either kind, as float32 or finer."""
    import torch

    if isinstance(given[0], torch.Tensor):
        tensors = cast("tuple[Tensor, ...]", given)
        finest = reduce(torch.promote_types, (x.dtype for x in tensors), torch.float32)
        return cast("Array", function(*(x.to(finest) for x in tensors)))
    arrays = [np.asarray(x) for x in given]
    finest = np.result_type(np.float32, *arrays)
    # A copy: torch warns of arrays that may not be written to.
    result = function(*(torch.from_numpy(np.array(x, dtype=finest)) for x in arrays))
    return cast("Array", result.numpy())
