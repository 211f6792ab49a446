"""Centred head poses: frontal, rotated by given angles, and a turntable over time."""

from __future__ import annotations

import math

import torch

from mien.geometry.rotation import angles_to_rotation
from mien.types import Pose

__all__ = ["frontal_pose", "rotated_pose", "turntable_poses"]


def frontal_pose(count: int = 1, device: torch.device | str = "cpu") -> Pose:
    """Return `count` times the canonical pose: facing the camera, centred."""
    return rotated_pose([0.0] * count, [0.0] * count, device)


def rotated_pose(yaw: list[float], pitch: list[float], device: torch.device | str = "cpu") -> Pose:
    """Return centred poses: rotation [B, 3, 3], translation 0 [B, 3].

    Args:
        yaw: radians, + towards image-left; one a pose.
        pitch: radians, + up; one a pose.
        device: where the tensors are made.
    """
    yaws = torch.tensor(yaw, dtype=torch.float32, device=device)
    pitches = torch.tensor(pitch, dtype=torch.float32, device=device)
    rotation = angles_to_rotation(yaws, pitches, torch.zeros_like(yaws))
    return Pose(rotation, torch.zeros(len(yaws), 3, device=device))


def turntable_poses(
    frames: int,
    *,
    yaw: float = 0.7,
    pitch: float = 0.2,
    device: torch.device | str = "cpu",
) -> Pose:
    """Return one loop of a head that rotates to both sides while it nods gently.

    The last frame leads back to the first, so that the film can be repeated.

    Args:
        frames: number of poses.
        yaw: largest angle to either side, radians.
        pitch: largest angle up and down, radians.
        device: where the tensors are made.
    """
    phases = [2 * math.pi * i / frames for i in range(frames)]
    yaws = [yaw * math.sin(phase) for phase in phases]
    pitches = [pitch * math.sin(2 * phase) for phase in phases]
    return rotated_pose(yaws, pitches, device)
