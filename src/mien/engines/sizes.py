"""The sizes of a model's networks, and the folder of graphs that the package has for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mien.gaze.config import GazeConfig
from mien.latentface.config import ModelConfig

__all__ = [
    "WholeConfig",
    "digest_of",
    "find_graphs",
    "graphs_folder",
    "read_sizes",
    "whole_config",
]


@dataclass(frozen=True)
class WholeConfig(ModelConfig):
    """LatentFace's sizes and, where the weights have a gaze branch, that branch's."""

    gaze: GazeConfig | None = None

    @property
    def latentface(self) -> ModelConfig:
        """Return LatentFace's sizes alone."""
        return ModelConfig(**{f.name: getattr(self, f.name) for f in fields(ModelConfig)})


def whole_config(sizes: ModelConfig, gaze: GazeConfig | None) -> WholeConfig:
    """Return the sizes of both methods' networks as one."""
    options = {name: value for name, value in asdict(sizes).items() if name != "gaze"}
    return WholeConfig(**options, gaze=gaze)


def read_sizes(options: Mapping[str, Any], *, gaze: bool = False) -> WholeConfig:
    """Return the sizes that a configuration of weights states.

    Args:
        options: as config.json has them.
        gaze: whether there is a gaze branch where they do not mention one.

    Raises:
        TypeError, ValueError, MienError: an option is not known, missing or out of its range.
    """
    branch = options.get("gaze") or {}
    sizes = ModelConfig(**{name: value for name, value in options.items() if name != "gaze"})
    return whole_config(sizes, GazeConfig(**branch) if branch or gaze else None)


def graphs_folder() -> Path:
    """Return the folder of the package's graphs: one folder each for networks of some sizes."""
    return Path(__file__).parent.parent / "shipped" / "graphs"


def digest_of(config: WholeConfig) -> str:
    """Return 12 hex digits for the networks' sizes and options."""
    return hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()[:12]


def find_graphs(config: WholeConfig) -> Path | None:
    """Return the folder of graphs for networks of these sizes; None where the package has none."""
    folder = graphs_folder() / digest_of(config)
    return folder if folder.is_dir() else None
