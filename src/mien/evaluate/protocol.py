"""What a protocol is: data, a split and a metric; it asks for factors and gives named numbers.

A protocol reads a data set in its official layout, asks for the factors of its images, and scores
them. It knows neither where the factors come from (weights, a table, another method) nor how its
result is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

if TYPE_CHECKING:
    from mien.model import Model

__all__ = [
    "MIRRORED",
    "Crop",
    "EvalContext",
    "FactorColumns",
    "Failure",
    "GetFactors",
    "Images",
    "Plot",
    "Protocol",
    "Result",
    "Score",
    "Table",
    "checksum",
]

Array = NDArray[np.floating]
MIRRORED = " (mirrored)"
"""Ends the name of an image that a task asks for as in a mirror."""
Crop = Literal["detect", "box", "face", "eyes"]
"""How faces stand in a data set's images. detect: anywhere, the one nearest to the middle is
meant; box: where the data set says; face: the image is a face crop already; eyes: it is a wide
eye-region crop."""


@dataclass(frozen=True)
class Images:
    """Images whose factors a protocol asks for; read one at a time: there may be a million."""

    names: tuple[str, ...]
    """One an image, all different: the path below the data set's folder, with `/`; a table of
    `mien embed FOLDER` calls them the same."""
    read: Callable[[int], NDArray[np.uint8]]
    """Number of an image => RGB uint8 [H, W, 3]. Raises MienError where it cannot be read. Called
    from several threads."""
    crop: Crop = "detect"
    boxes: Array | None = None
    """With crop "box": x1, y1, x2, y2 of a square from hairline to chin, pixels; it may reach over
    the image's edge. [N, 4]."""
    fallback: tuple[float, float, float, float] | None = None
    """With crop "detect": the square that is taken where no face is found, x1, y1, x2, y2 as
    fractions of width and height; for sets whose faces stand in the middle by construction. None:
    such an image has no factors."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if len(set(self.names)) != len(self.names):
            raise ValueError("two images have one name")
        if (self.crop == "box") != (self.boxes is not None):
            raise ValueError('crop "box" goes with boxes, and only with them')
        if self.boxes is not None and self.boxes.shape != (len(self.names), 4):
            raise ValueError(f"boxes are [{len(self.names)}, 4], not {self.boxes.shape}")
        if self.fallback is not None and self.crop != "detect":
            raise ValueError('a fallback goes with crop "detect"')

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class FactorColumns:
    """The factors of images, in their order."""

    found: NDArray[np.bool_]
    """Whether an image has factors. [N]."""
    detected: NDArray[np.bool_]
    """The same, less those where the fallback square was taken. [N]."""
    columns: Mapping[str, Array]
    """What was asked for, by the names of the table's columns; NaN where there is nothing (no face;
    of gaze, no eyes). Codes float32 [N, D], numbers float32 [N]."""

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def joined(self, *names: str) -> Array:
        """Return columns side by side. [N, D]."""
        parts = [self.columns[name].reshape(len(self), -1) for name in names]
        return np.concatenate(parts, axis=1)


class GetFactors(Interface):
    """Gives the factors of images: by weights, from a table, or by another method."""

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that can be had of whole images."""
        ...

    @property
    def reads_pixels(self) -> bool:
        """Whether any image will do; False where a table knows its own images only."""
        ...

    def __call__(self, images: Images, columns: Sequence[str], /) -> FactorColumns:
        """Return the named columns of all images.

        Raises:
            MienError: a column cannot be had (a table without gaze, say).
        """
        ...


@dataclass(frozen=True)
class EvalContext:
    """With what a protocol is run."""

    describe: GetFactors
    model: Model | None = None
    """For what is rendered: depth, frontal views. None where the factors come from elsewhere."""
    seed: int = 0
    """Decides all sampling; a protocol makes its own generators of it."""
    trials: int = 10
    """Repetitions where a protocol samples training rows."""
    gallery: int = 12
    """How many of the worst cases are shown."""
    say: Callable[[str], None] = lambda _: None
    """Called with a line of progress."""

    def describe_faces(self, images: Images, columns: Sequence[str]) -> FactorColumns:
        """Return the named columns of all images, and say how many there are.

        Raises:
            MienError: as `describe`; or no image has a face.
        """
        self.say(f"{len(images)} images")
        described = self.describe(images, columns)
        if not described.found.any():
            raise MienError("faces are found in no image; are these the right images?")
        return described

    def rng(self, *stream: int) -> np.random.Generator:
        """Return a generator; another for every stream of numbers."""
        return np.random.default_rng([self.seed, *stream])

    def rendering_model(self, protocol: str) -> Model:
        """Return the model. MienError: there is none, because the factors come from a table."""
        if self.model is None:
            raise MienError(f"{protocol} renders faces, which a table cannot: leave --table out")
        return self.model


@dataclass(frozen=True)
class Score:
    """One number that a protocol gives."""

    name: str
    """The same on every run, as "accuracy, cosine": reports are compared by it."""
    value: float
    unit: str
    """%, degrees, AUC, correlation, dB, ...; "" where there is none."""
    count: int
    """Of images, pairs or frames that it was measured on."""
    low: float | None = None
    """The 95 % interval ends here and at `high`; None where none was made."""
    high: float | None = None
    higher_is_better: bool = True
    main: bool = False
    """Whether it is one of the few that the data set is known for."""


@dataclass(frozen=True)
class Table:
    """Numbers that belong together."""

    title: str
    columns: tuple[str, ...]
    """Names; the first column holds the rows' names."""
    rows: tuple[tuple[str | float | int | None, ...], ...]


@dataclass(frozen=True)
class Plot:
    """Lines in one frame."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    """Name => x and y."""
    log_x: bool = False


@dataclass(frozen=True)
class Failure:
    """One of the worst cases."""

    images: tuple[NDArray[np.uint8], ...]
    """What is to be seen: one image, a pair, an image and what was made of it. RGB [H, W, 3]."""
    caption: str
    """What was wrong with it, in few words."""


@dataclass(frozen=True)
class Result:
    """What a protocol gives."""

    scores: tuple[Score, ...]
    data: str
    """12 hex digits of the labels and the names of images: the same for the same data."""
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    failures: tuple[Failure, ...] = ()
    """The worst first."""
    notes: tuple[str, ...] = ()
    """What a reader must know: images without a face, files left out."""


@dataclass(frozen=True)
class Protocol:
    """A data set with its split and its metric."""

    name: str
    """As `mien eval` takes it: lfw."""
    factor: str
    """identity, expression, gaze, pose, light, shape or factors."""
    title: str
    """What is measured, in a line."""
    layout: str
    """The files that are wanted, below the data set's folder."""
    source: str
    """Where a person obtains them."""
    matches: Callable[[Path], bool]
    """Whether a folder is this data set; cheap, never raises."""
    run: Callable[[Path, EvalContext], Result]
    """Raises MienError that names exactly what is missing."""
    renders: bool = False
    """Whether it needs the model, to render with, and not only factors."""


def checksum(lines: Iterable[object]) -> str:
    """Return 12 hex digits of lines, as names of images with their labels.

    The same labels and images have the same, changed ones another.
    """
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(f"{line}\n".encode())
    return hashed.hexdigest()[:12]
