"""The parts of a model as plain functions of tensors, which graph formats can hold.

Batch sizes stay free. What has no operator elsewhere is written out: group normalisation keeps all
sizes but the batch's as constants, bilinear reduction is two products with constant matrices.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.engines.sessions import FACE_OUTPUTS, outputs_of
from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_CROP, FACE_SIDE
from mien.gaze.cut import EyeViews, luminance, normalised
from mien.gaze.emib import EMIB, find_around, image_of_eyes, nearest_pixel
from mien.gaze.localizer import EyeLocalizer, project_eyes
from mien.gaze.windows import cut_upright
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = [
    "CodeGraph",
    "DecoderGraph",
    "EncoderGraph",
    "EngineGraph",
    "FaceGraph",
    "Graph",
    "LocalizerGraph",
    "ReductionGraph",
    "plain",
    "tensors_of",
]


@dataclass(frozen=True)
class Graph:
    """A part of a model, ready to be written."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    """Examples of a batch of two, by name."""
    outputs: tuple[str, ...]


class FaceGraph(nn.Module):
    """Face crops at the model's image size -> factors but gaze, then the encoder's maps."""

    def __init__(self, network: LatentFace) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what comes out."""
        embedding = self.network.face_embedding is not None
        return (*outputs_of(face_embedding=embedding, gaze=False), "maps")

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """RGB in [0, 1], [B, 3, S, S] -> outputs in their order."""
        factors, maps = self.network.read(images)
        return (*_parts(factors), maps.flatten(1))

    def as_graph(self) -> Graph:
        """Return what is written."""
        size = self.network.config.image_size
        return Graph("face", self, {"images": torch.rand(2, 3, size, size)}, self.outputs)


class LocalizerGraph(nn.Module):
    """Canvases around the eyes, at half their size -> eyes and how likely they are there."""

    def __init__(self, localizer: EyeLocalizer) -> None:
        super().__init__()
        self.localizer = localizer

    def forward(self, half_canvas: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance [B, 1, 64, 128] -> x, y in pixels of the canvas [B, 2, 2], logit [B]."""
        found = self.localizer.find(half_canvas)
        return found.eyes, found.logit

    def as_graph(self) -> Graph:
        """Return what is written."""
        example = torch.rand(2, 1, CANVAS_HEIGHT // 2, CANVAS_WIDTH // 2)
        return Graph("localizer", self, {"half_canvas": example}, ("eyes", "logit"))


class CodeGraph(nn.Module):
    """Normalised views of the eyes -> the gaze code."""

    def __init__(self, bottleneck: FullFaceBottleneck) -> None:
        super().__init__()
        self.bottleneck = bottleneck

    def forward(
        self,
        eyes: Tensor,
        band: Tensor,
        face: Tensor,
        band_eyes: Tensor,
        face_eyes: Tensor,
        has_face: Tensor,
    ) -> Tensor:
        """`EyeViews`, field by field -> [B, d]."""
        return self.bottleneck(EyeViews(eyes, band, face, band_eyes, face_eyes, has_face)).mean

    def as_graph(self) -> Graph:
        """Return what is written."""
        config = self.bottleneck.config
        views = {
            "eyes": torch.rand(2, 2, 1, config.eye_height, config.eye_width),
            "band": torch.rand(2, 1, config.band_height, config.band_width),
            "face": torch.rand(2, 1, FACE_SIDE, FACE_SIDE),
            "band_eyes": torch.rand(2, 2, 2),
            "face_eyes": torch.rand(2, 2, 2),
            "has_face": torch.tensor([True, False]),
        }
        return Graph("gaze", self, views, ("gaze_code",))


class DecoderGraph(nn.Module):
    """Texture and shape codes -> the frontal face: albedo and depth."""

    texture_inverse: Tensor | None
    shape_inverse: Tensor | None

    def __init__(self, network: LatentFace) -> None:
        super().__init__()
        self.network = network
        for name in ("texture", "shape"):
            basis = getattr(network, f"{name}_basis")
            inverse = None if basis is None else torch.linalg.inv(basis.basis.double()).float()
            self.register_buffer(f"{name}_inverse", inverse)

    def forward(self, texture_code: Tensor, shape_code: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] each -> albedo in [0, 1] [B, 3, S, S], depth in face units [B, 1, S, S]."""
        network = self.network
        if self.texture_inverse is not None and self.shape_inverse is not None:
            texture_code = texture_code @ self.texture_inverse
            shape_code = shape_code @ self.shape_inverse
        texture = network.texture_scale.inverse(texture_code)
        face = network.autoencoder.canonical(texture, network.shape_scale.inverse(shape_code))
        return face.albedo, face.depth

    def as_graph(self) -> Graph:
        """Return what is written."""
        config = self.network.config
        codes = {
            "texture_code": torch.randn(2, config.texture_dim),
            "shape_code": torch.randn(2, config.shape_dim),
        }
        return Graph("decoder", self, codes, ("albedo", "depth"))


class _WholeEncoder(nn.Module):
    """Reads all factors, gaze included where there is such a branch."""

    to_small: Tensor
    to_face: Tensor

    def __init__(self, network: LatentFace, gaze: EMIB | None) -> None:
        super().__init__()
        self.network, self.gaze = network, gaze
        size = network.config.image_size
        self.crop_size = size if gaze is None else FACE_CROP
        self.register_buffer("to_small", _reduction(self.crop_size, size))
        self.register_buffer("to_face", _reduction(self.crop_size, FACE_SIDE))

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the names of what is read."""
        embedding = self.network.face_embedding is not None
        return outputs_of(face_embedding=embedding, gaze=self.gaze is not None)

    def read(self, images: Tensor, small: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the factors, and the encoder's maps. [B, C, 4, 4].

        Args:
            images: RGB in [0, 1]. [B, 3, crop_size, crop_size].
            small: the same faces at LatentFace's size. [B, 3, S, S].
        """
        factors, maps = self.network.read(small)
        parts = _parts(factors)
        if self.gaze is None:
            return parts, maps
        grey = luminance(images)
        guess = project_eyes(self.gaze.canonical_eyes, factors.pose, self.network.config.fov_deg)
        eyes, logit = self._located(grey, guess)
        face = self.to_face @ grey @ self.to_face.T
        image = image_of_eyes(grey, eyes, is_face=True, face=face)
        code = self.gaze.read_code(normalised(cut_upright(image, self.gaze.config)))
        read = self.gaze.finished(code, eyes, logit, grey)
        return (*parts, read.code, read.eyes_found, read.eyes, read.eye_score), maps

    def _located(self, grey: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Run both passes on all faces: a graph has no rows that are left out."""
        assert self.gaze is not None
        size = grey.new_tensor([FACE_CROP, FACE_CROP])
        whole = nearest_pixel((guess * size - 0.5).mean(dim=1), size)
        eyes, _ = find_around(self.gaze, grey, whole)
        return find_around(self.gaze, grey, nearest_pixel(eyes.mean(dim=1), size))


class EncoderGraph(_WholeEncoder):
    """Face crops at the size that the model wants -> all factors, gaze included where there is."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what comes out."""
        return self.factors

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """RGB in [0, 1], [B, 3, crop_size, crop_size] -> outputs in their order."""
        return self.read(images, self.to_small @ images @ self.to_small.T)[0]

    def as_graph(self) -> Graph:
        """Return what is written."""
        images = {"images": torch.rand(2, 3, self.crop_size, self.crop_size)}
        return Graph("encoder", self, images, self.outputs)


class EngineGraph(_WholeEncoder):
    """The whole encoder as an engine runs it: both sizes are given, the maps come out, too."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what comes out."""
        return (*self.factors, "maps")

    def forward(self, images: Tensor, small: Tensor) -> tuple[Tensor, ...]:
        """As `read` takes them -> outputs in their order."""
        parts, maps = self.read(images, small)
        return (*parts, maps.flatten(1))

    def as_graph(self) -> Graph:
        """Return what is written."""
        size, side = self.crop_size, self.network.config.image_size
        given = {"images": torch.rand(2, 3, size, size), "small": torch.rand(2, 3, side, side)}
        return Graph("encoder", self, given, self.outputs)


class ReductionGraph(nn.Module):
    """Face crops at the size that the model wants -> the same at LatentFace's size."""

    to_small: Tensor

    def __init__(self, crop_size: int, size: int) -> None:
        super().__init__()
        self.crop_size = crop_size
        self.register_buffer("to_small", _reduction(crop_size, size))

    def forward(self, images: Tensor) -> Tensor:
        """RGB, [B, 3, crop_size, crop_size] -> [B, 3, S, S]."""
        return self.to_small @ images @ self.to_small.T

    def as_graph(self) -> Graph:
        """Return what is written."""
        images = {"images": torch.rand(2, 3, self.crop_size, self.crop_size)}
        return Graph("small", self, images, ("small",))


def _parts(factors: Factors) -> tuple[Tensor, ...]:
    codes = (getattr(factors, name) for name in FACE_OUTPUTS[:4])
    pose, light = factors.pose, factors.light
    embedding = () if factors.face_embedding is None else (factors.face_embedding,)
    rest = pose.rotation, pose.translation, light.ambient, light.diffuse, light.direction
    return (*codes, *rest, *embedding)


def _reduction(width: int, size: int) -> Tensor:
    """Return the matrix of bilinear reduction along one side. [size, width]."""
    eye = torch.eye(width)[None, None]
    return F.interpolate(eye, size=(size, width), mode="bilinear", antialias=True)[0, 0]


class _PlainGroupNorm(nn.Module):
    """Group normalisation whose sizes, but for the batch, stand in the graph as constants."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        channels, height, width = x.shape[1:]
        size = channels // self.groups * height * width
        grouped = F.layer_norm(x.reshape(-1, self.groups, size), (size,), eps=self.eps)
        flat = grouped.reshape(-1, channels, height, width)
        return flat * self.weight[:, None, None] + self.bias[:, None, None]


def plain(module: nn.Module) -> nn.Module:
    """Return a copy of a module in which group normalisations are plain; its weights are shared."""
    memory = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    copied = copy.deepcopy(module, memory)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(parent, name, _PlainGroupNorm(child))
    return copied.eval()


def tensors_of(network: LatentFace, gaze: EMIB | None) -> dict[str, Tensor]:
    """Return the tensors of both methods, of any shape, as one file of weights names them."""
    branch = gaze.state_dict() if gaze else {}
    return {**network.state_dict(), **{f"gaze.{name}": value for name, value in branch.items()}}
