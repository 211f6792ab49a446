"""The parts of a model as plain functions of tensors, which graph formats can hold.

Batch sizes stay free. What has no operator elsewhere is written out: group normalisation keeps all
sizes but the batch's as constants, bilinear reduction is two products with constant matrices.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.engines.sessions import FACE_OUTPUTS, FIRST_OUTPUTS, GAZE_OUTPUTS, outputs_of
from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH, FACE_CROP, FACE_SIDE
from mien.gaze.cut import EyeViews, luminance, normalised
from mien.gaze.emib import EMIB, far_off, find_around, image_of_eyes, nearest_pixel
from mien.gaze.localizer import EyeLocalizer, project_eyes
from mien.gaze.windows import cut_upright
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = [
    "AgainGraph",
    "CodeGraph",
    "CropsGraph",
    "DecoderGraph",
    "EncoderGraph",
    "EngineGraph",
    "FaceGraph",
    "Graph",
    "LocalizerGraph",
    "LookGraph",
    "plain",
    "tensors_of",
]

_BANDS = 4


@dataclass(frozen=True)
class Graph:
    """A part of a model, ready to be written."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    """Examples of a batch of two, by name."""
    outputs: tuple[str, ...]


class FaceGraph(nn.Module):
    """Face crops at the model's image size -> factors but gaze, then the encoders' maps."""

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


class _WithEyes(nn.Module):
    """Reads all factors of faces, those of their eyes by the gaze branch."""

    to_face: Tensor | None

    def __init__(self, network: LatentFace, gaze: EMIB) -> None:
        super().__init__()
        self.network, self.gaze = network, gaze
        same = network.config.image_size == FACE_SIDE
        self.register_buffer("to_face", None if same else _reduction(FACE_CROP, FACE_SIDE))

    def first(self, grey: Tensor, small: Tensor) -> _First:
        """Read the factors of faces, and locate their eyes once.

        Args:
            grey: luminance in [0, 1]. [B, 1, FACE_CROP, FACE_CROP].
            small: the same faces at LatentFace's size, RGB. [B, 3, S, S].
        """
        factors, maps = self.network.read(small)
        guess = project_eyes(self.gaze.canonical_eyes, factors.pose, self.network.config.fov_deg)
        size = grey.new_tensor([FACE_CROP, FACE_CROP])
        whole = nearest_pixel((guess * size - 0.5).mean(dim=1), size)
        eyes, logit = find_around(self.gaze, grey, whole)
        middle = nearest_pixel(eyes.mean(dim=1), size)
        return _First(_parts(factors), maps, eyes, logit, middle, far_off(whole, middle))

    def look(self, grey: Tensor, small: Tensor, eyes: Tensor, logit: Tensor) -> tuple[Tensor, ...]:
        """Return what GAZE_OUTPUTS names, of eyes in pixels [B, 2, 2] and logits [B]."""
        reduce = self.to_face
        face = luminance(small) if reduce is None else reduce @ grey @ reduce.T
        image = image_of_eyes(grey, eyes, is_face=True, face=face)
        code = self.gaze.read_code(normalised(cut_upright(image, self.gaze.config)))
        read = self.gaze.finished(code, eyes, logit, grey)
        return read.code, read.eyes_found, read.eyes, read.eye_score


class _First(NamedTuple):
    """What the first look at faces gives."""

    parts: tuple[Tensor, ...]
    """The factors but gaze."""
    maps: Tensor
    """The encoders'. [B, C, 4, 4]."""
    eyes: Tensor
    """Pixels of the crop. [B, 2, 2]."""
    logit: Tensor
    """[B]."""
    middle: Tensor
    """Where to look once more. Whole pixels [B, 2]."""
    far: Tensor
    """Whether to look there. Bool [B]."""


class EncoderGraph(nn.Module):
    """Face crops at the size that the model wants -> all factors, gaze included where there is."""

    to_small: Tensor

    def __init__(self, network: LatentFace, gaze: EMIB | None) -> None:
        super().__init__()
        self.network = network
        size = network.config.image_size
        self.with_eyes = None if gaze is None else _WithEyes(network, gaze)
        self.crop_size = size if gaze is None else FACE_CROP
        self.register_buffer("to_small", _reduction(self.crop_size, size))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what comes out."""
        embedding = self.network.face_embedding is not None
        return outputs_of(face_embedding=embedding, gaze=self.with_eyes is not None)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """RGB in [0, 1], [B, 3, crop_size, crop_size] -> outputs in their order."""
        small = self.to_small @ images @ self.to_small.T
        if self.with_eyes is None:
            return _parts(self.network.read(small)[0])
        grey = luminance(images)
        first = self.with_eyes.first(grey, small)
        # Not every format has a choice of rows: all are located once more, few are taken.
        eyes, logit = find_around(self.with_eyes.gaze, grey, first.middle)
        eyes = torch.where(first.far[:, None, None], eyes, first.eyes)
        logit = torch.where(first.far, logit, first.logit)
        return (*first.parts, *self.with_eyes.look(grey, small, eyes, logit))

    def as_graph(self) -> Graph:
        """Return what is written."""
        images = {"images": torch.rand(2, 3, self.crop_size, self.crop_size)}
        return Graph("encoder", self, images, self.outputs)


class EngineGraph(_WithEyes):
    """The first look at faces, as an engine takes it: the eyes are located once."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what comes out."""
        embedding = self.network.face_embedding is not None
        return (*outputs_of(face_embedding=embedding, gaze=False), "maps", *FIRST_OUTPUTS)

    def forward(self, grey: Tensor, small: Tensor) -> tuple[Tensor, ...]:
        """As `first` takes them -> outputs in their order."""
        parts, maps, *eyes = self.first(grey, small)
        return (*parts, maps.flatten(1), *eyes)

    def as_graph(self) -> Graph:
        """Return what is written."""
        return Graph("encoder", self, _crops_as_read(self.network), self.outputs)


class AgainGraph(nn.Module):
    """Face crops whose eyes are located once more."""

    def __init__(self, gaze: EMIB) -> None:
        super().__init__()
        self.gaze = gaze

    def forward(self, grey: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance [B, 1, 224, 224], whole pixels [B, 2] -> eyes, pixels [B, 2, 2], logit [B]."""
        return find_around(self.gaze, grey, middle)

    def as_graph(self) -> Graph:
        """Return what is written."""
        given = {"grey": torch.rand(2, 1, FACE_CROP, FACE_CROP), "middle": torch.full((2, 2), 90.0)}
        return Graph("again", self, given, FIRST_OUTPUTS[:2])


class LookGraph(_WithEyes):
    """Face crops with the eyes located in them -> gaze."""

    def forward(
        self, grey: Tensor, small: Tensor, eyes: Tensor, logit: Tensor
    ) -> tuple[Tensor, ...]:
        """As `look` takes them -> GAZE_OUTPUTS."""
        return self.look(grey, small, eyes, logit)

    def as_graph(self) -> Graph:
        """Return what is written."""
        given = _crops_as_read(self.network) | {
            "located": torch.tensor([[[70.0, 90.0], [150.0, 90.0]]]).repeat(2, 1, 1),
            "logit": torch.rand(2),
        }
        return Graph("look", self, given, GAZE_OUTPUTS)


class CropsGraph(nn.Module):
    """Face crops as they are cut out -> what the networks read.

    Each row of the reduction reads few of the crop's rows: it is done in bands.
    """

    to_small: Tensor

    def __init__(self, crop_size: int, size: int) -> None:
        super().__init__()
        self.crop_size, self.size = crop_size, size
        reduction = _reduction(crop_size, size)
        self.register_buffer("to_small", reduction.T.contiguous())
        self.spans: list[tuple[int, int]] = []
        for number, rows in enumerate((reduction / 255).chunk(_BANDS)):
            read = rows.abs().sum(dim=0).nonzero()
            start, stop = int(read[0]), int(read[-1]) + 1
            self.spans.append((start, stop))
            self.register_buffer(f"band_{number}", rows[:, start:stop].contiguous())

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """RGB uint8 [B, H, W, 3] -> luminance [B, 1, H, W], RGB [B, 3, S, S], both in [0, 1]."""
        side = self.crop_size
        floats = crops.float()
        rows = floats.reshape(-1, side, 3 * side)
        bands = [
            getattr(self, f"band_{number}") @ rows[:, start:stop]
            for number, (start, stop) in enumerate(self.spans)
        ]
        low = torch.cat(bands, dim=1).reshape(-1, self.size, side, 3).permute(0, 3, 1, 2)
        return luminance(floats.permute(0, 3, 1, 2)) * (1 / 255), low @ self.to_small

    def as_graph(self) -> Graph:
        """Return what is written."""
        crops = torch.zeros(2, self.crop_size, self.crop_size, 3, dtype=torch.uint8)
        return Graph("crops", self, {"crops": crops}, ("grey", "small"))


def _crops_as_read(network: LatentFace) -> dict[str, Tensor]:
    size = network.config.image_size
    return {"grey": torch.rand(2, 1, FACE_CROP, FACE_CROP), "small": torch.rand(2, 3, size, size)}


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
