"""The sizes of a model that is none: two numbers of gaze, one of everything else."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONFIG", "FakeConfig", "FakeGazeConfig"]


@dataclass(frozen=True)
class FakeGazeConfig:
    code_dim: int = 2


@dataclass(frozen=True)
class FakeConfig:
    gaze: FakeGazeConfig | None = FakeGazeConfig()
    texture_dim: int = 1
    shape_dim: int = 1
    face_embedding_dim: int = 0


CONFIG = FakeConfig()
