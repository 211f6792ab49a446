"""Finds the eyes of unlabelled training images by the gaze branch's own eye localizer."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import numpy as np
import torch

from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model

__all__ = ["LocalizerSearch"]


class LocalizerSearch:
    """Looks for eyes as embedding does, with what the gaze branch knows by now."""

    def __init__(self, network: LatentFace, branch: EMIB) -> None:
        """Take the networks as they are; later training of them changes nothing here.

        Args:
            network: gives the pose of faces.
            branch: gaze branch with a trained eye localizer.
        """
        # A model freezes what it is given, and the branch is still to be trained.
        self._model = Model(network, gaze=copy.deepcopy(branch))
        hashed = hashlib.blake2b(digest_size=12)
        kinds = {
            "pose": network.autoencoder.state_dict(),
            "localizer": branch.localizer.state_dict(),
            "eyes": {"canonical_eyes": branch.canonical_eyes},
        }
        for kind, tensors in kinds.items():
            for name, tensor in sorted(tensors.items()):
                hashed.update(f"{kind}/{name}".encode())
                hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        self.name = hashed.hexdigest()

    def __call__(
        self, images: np.ndarray[Any, np.dtype[np.uint8]], *, eye_crops: bool
    ) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return eyes as shares of the sides [B, 2, 2] and whether they are seen [B].

        Args:
            images: RGB face crops, or eye-region crops. uint8 [B, H, W, 3].
            eye_crops: which they are.
        """
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)
        found = self._model.encode_eyes(batch) if eye_crops else self._model.encode(batch).gaze
        assert found is not None
        return found.eyes.float().cpu().numpy(), found.eyes_found.cpu().numpy()
