"""A model that only encodes, by onnxruntime alone: torch is not loaded, which takes seconds."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import weights
from mien.engines.side_by_side import parts_of, side_by_side, threads
from mien.engines.sizes import WholeConfig, find_graphs, read_sizes
from mien.errors import MienError
from mien.gaze.config import EYE_CROP_HEIGHT, EYE_CROP_WIDTH, FACE_CROP
from mien.types import Factors

__all__ = ["GraphEncoder", "open_graphs"]

Array = NDArray[Any]


class GraphEncoder:
    """Reads the factors of face crops as `mien.model.Model` does, as NumPy arrays."""

    def __init__(
        self, folder: Path, config: WholeConfig, tensors: dict[str, Array], weights_id: str
    ) -> None:
        """Take the package's graphs for networks of these sizes, and weights, float32 by name."""
        from mien.engines.sessions import Sessions

        self.config, self.weights_id = config, weights_id
        self._sessions, self._threads = Sessions(folder, tensors), threads()
        session, _, names = self._sessions.open("encoder" if config.gaze else "face")
        self._features_dim = int(session.get_outputs()[names.index("maps")].shape[1])

    @property
    def crop_size(self) -> int:
        """Return the side of the face crops that `encode` takes. Pixels."""
        return self.config.image_size if self.config.gaze is None else FACE_CROP

    @property
    def eye_crop_size(self) -> tuple[int, int]:
        """Return height and width of eye-region crops, which only a `Model` reads. Pixels."""
        return EYE_CROP_HEIGHT, EYE_CROP_WIDTH

    @property
    def features_dim(self) -> int:
        """Return F, the length of `Factors.features`."""
        return self._features_dim

    def encode(self, crops: NDArray[np.uint8], *, features: bool = False) -> Factors:
        """Read the factors off face crops.

        Args:
            crops: RGB, `crop_size` pixels wide and high; B at least 1. [B, 3, S, S].
            features: give `Factors.features` too, which takes about as long again.
        """

        def read(rows: Array) -> Factors:
            grey, small = self._as_read(rows)
            return self._sessions.factors(grey, small, features=features)

        parts = parts_of(len(crops), self._threads)
        found = list(side_by_side(read, [crops[rows] for rows in parts], self._threads))
        return found[0] if len(found) == 1 else Factors.cat(found)

    def _as_read(self, crops: NDArray[np.uint8]) -> tuple[Array | None, Array]:
        """Return luminance, where gaze is read, and RGB as `Sessions.factors` takes them."""
        if self.config.gaze is None:
            return None, crops.astype(np.float32) / 255
        read = self._sessions.run("crops", crops.transpose(0, 2, 3, 1))
        return read["grey"], read["small"]


def open_graphs(where: str | Path | None = None, *, gaze: bool = True) -> GraphEncoder | None:
    """Return what encodes by the package's graphs, or None where it has none for these weights.

    Args:
        where: as for `mien.model.load`.
        gaze: read gaze, too, where the weights have such a branch.

    Raises:
        MienError: as `mien.model.load`.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    source = weights.shipped_folder() if where is None else where
    options = weights.read_options(source)
    try:
        config = read_sizes(options)
    except (TypeError, ValueError, MienError):
        return None  # which `mien.model.load` says better
    folder = find_graphs(config)
    if folder is None:
        return None
    config = config if gaze else replace(config, gaze=None)
    _, tensors = weights.read_arrays(source)
    return GraphEncoder(folder, config, tensors, weights.weights_id(source))
