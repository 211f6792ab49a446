"""The encoders of published methods, as shapes: layers and sizes without their trained weights.

For speed only: how long a face takes does not depend on what the weights have learned. Sizes are
those of the methods' released code and papers:

- unsup3d (Wu et al. 2020) and LatentFace use the same encoders of texture, shape, view and light at
  64 px; LatentFace's diffusion models, which it also needs, are left out in its favour.
- FaceCycle (Chang et al. 2021), encoder of expression, 64 px.
- PCL (Liu et al. 2023), the trunk before its two heads, 64 px: what its linear probe reads.
- ResNet-18 (He et al. 2016) without its classifier, 64 px: contrastive methods on small faces.
- ViT-B/16 (Dosovitskiy et al. 2021) without its classifier, 224 px: masked autoencoders of faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from benchmarks.peers.mae import TransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

from mien.latentface.networks import PaperEncoder

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """An encoder that is only measured."""

    name: str
    side: int
    """Of its crops. Pixels."""
    make: Callable[[], nn.Module]


class _Side(nn.Module):
    """Several encoders on the same image, their outputs side by side."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([part(images).flatten(1) for part in self.parts], dim=1)


class _ChannelAttention(nn.Module):
    """x + a mixture of its channels, by how alike they are over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).softmax(dim=2)
        alike = self.key(x).flatten(2) @ query.transpose(1, 2)
        mixed = alike @ self.value(x).flatten(2).softmax(dim=1)
        return F.leaky_relu(x + mixed.view_as(x), 0.1)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input goes on; with norms, ResNet's."""

    def __init__(self, enter: int, leave: int, stride: int = 1, *, norm: bool = False) -> None:
        super().__init__()

        def layer(a: int, b: int, kernel: int, step: int) -> nn.Sequential:
            convolution = nn.Conv2d(a, b, kernel, step, kernel // 2, bias=not norm)
            return nn.Sequential(convolution, nn.BatchNorm2d(b) if norm else nn.Identity())

        self.first, self.second = layer(enter, leave, 3, stride), layer(leave, leave, 3, 1)
        around = stride > 1 or enter != leave
        self.around = layer(enter, leave, 1, stride) if around else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.around(x))


def _conv(enter: int, leave: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(enter, leave, kernel, stride, kernel // 2)
    return nn.Sequential(convolution, nn.LeakyReLU(0.1))


def _face_cycle_stem() -> list[nn.Module]:
    """What FaceCycle's encoder and PCL's have in common; 64 px to 8 x 8 maps."""
    first = [_conv(3, 64, 2, 7), _conv(64, 64), _conv(64, 64), _ChannelAttention(64), _conv(64, 64)]
    second = [_conv(64, 128, 2), _ChannelAttention(128), _conv(128, 128)]
    blocks = [_Residual(128, 128), _Residual(128, 128), _conv(128, 128, 2), _conv(128, 128)]
    return [*first, *second, *blocks]


def _face_cycle() -> nn.Module:
    last = [_conv(128, 256, 2), _conv(256, 256), _conv(256, 256), _conv(256, 128), nn.Flatten()]
    code = [nn.Linear(2048, 512), nn.LeakyReLU(0.1), nn.Linear(512, 256), nn.Tanh()]
    return nn.Sequential(*_face_cycle_stem(), *last, *code)


def _pcl() -> nn.Module:
    return nn.Sequential(*_face_cycle_stem(), _conv(128, 256, 2), _conv(256, 128), nn.Flatten())


def _unsup3d() -> nn.Module:
    def small(leave: int) -> nn.Module:
        narrow = PaperEncoder(64, 32, 256)
        return nn.Sequential(narrow, nn.ReLU(), nn.Linear(256, leave, bias=False))

    return _Side(PaperEncoder(64, 64, 256), PaperEncoder(64, 64, 256), small(6), small(4))


def _resnet18() -> nn.Module:
    stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()
    blocks, before = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [_Residual(before, width, stride, norm=True), _Residual(width, width, norm=True)]
        before = width
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *pool)


class _VitB16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 768, 16, 16)
        self.first = nn.Parameter(torch.zeros(1, 1, 768))
        self.place = nn.Parameter(torch.zeros(1, 197, 768))
        self.blocks = nn.Sequential(*(TransformerBlock(768, 12) for _ in range(12)))
        self.norm = nn.LayerNorm(768)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.enter(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(images), -1, -1), tokens], dim=1) + self.place
        return self.norm(self.blocks(tokens))[:, 0]


SHAPES = (
    Shape("unsup3d, LatentFace: encoders", 64, _unsup3d),
    Shape("FaceCycle: encoder", 64, _face_cycle),
    Shape("PCL: trunk", 64, _pcl),
    Shape("ResNet-18", 64, _resnet18),
    Shape("ViT-B/16", 224, _VitB16),
)
"""What is measured beside the methods."""
