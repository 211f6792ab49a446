"""Finds the eyes of training pictures that nobody has labelled: by the gaze branch's own finder."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np
import torch

from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model

__all__ = ["FinderSearch"]


class FinderSearch:
    """Looks for eyes as embedding does, with what the gaze branch knows by now."""

    def __init__(self, network: LatentFace, branch: EMIB) -> None:
        """Take the networks as they are; later training of them changes nothing here.

        Args:
            network: gives the pose of faces.
            branch: gaze branch with a trained finder.
        """
        # A model freezes what it is given, and the branch is still to be trained.
        self._model = Model(network, gaze=copy.deepcopy(branch))
        hashed = hashlib.blake2b(digest_size=12)
        kinds = {
            "pose": network.autoencoder.state_dict(),
            "finder": branch.finder.state_dict(),
            "eyes": {"canonical_eyes": branch.canonical_eyes},
        }
        for kind, tensors in kinds.items():
            for name, tensor in sorted(tensors.items()):
                hashed.update(f"{kind}/{name}".encode())
                hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        self.name = hashed.hexdigest()

    def __call__(
        self, pictures: np.ndarray[Any, np.dtype[np.uint8]], *, strips: bool
    ) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return eyes as shares of the sides [B, 2, 2] and whether they are seen [B].

        Args:
            pictures: RGB face crops, or strips. uint8 [B, H, W, 3].
            strips: which they are.
        """
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        found = self._model.encode_eyes(images) if strips else self._model.encode(images).gaze
        assert found is not None
        return found.eyes.float().cpu().numpy(), found.eyes_found.cpu().numpy()
