"""A probe: from codes to a class or a number, with the score to be expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.model import Linear
from mien.probes.file import SealedFile, check_scales, check_shapes

__all__ = ["FILE", "CurvePoint", "HeldOut", "Prediction", "Probe"]

Array = NDArray[np.float64]


FILE = SealedFile("probe", "mien probe", "probe again", version=1)


@dataclass(frozen=True)
class Prediction:
    """What a probe predicts of faces; nothing in rows without codes."""

    values: NDArray[np.object_] | Array
    """Names of classes, None where there are no codes; or numbers, NaN there. [N]."""
    certainty: Array
    """Probability of the class named, in [0, 1]; or the standard deviation of the error to be
    expected of the number, in its unit. NaN without codes. [N]."""
    probabilities: Array | None
    """Of all classes; None of numbers. [N, K]."""


@dataclass(frozen=True)
class HeldOut:
    """Score on labels that took no part, neither in the fit nor in any choice.

    Of classes: the fraction of right answers in %, and the more the better. Of numbers: the mean
    absolute error in the label's unit.
    """

    score: float
    low: float
    """The 95 % interval of the score, by bootstrap, ends here and at `high`."""
    high: float
    baseline: float
    """The score of always predicting the labels' most frequent class, or their median."""
    by: str
    """What was held out together: "people", "files" (all faces of a file) or "faces"."""
    recall: tuple[float, ...]
    """Recall of each class, %; () of numbers."""
    correlation: float | None
    """Of prediction and label; None of classes, or where one does not vary."""


@dataclass(frozen=True)
class CurvePoint:
    """The score that fewer labels give, on the same held-out faces."""

    labels: int
    """Number of labels learned from."""
    score: float
    """As in `HeldOut`."""
    low: float
    """The 95 % interval ends here and at `high`."""
    high: float


@dataclass(frozen=True)
class Probe:
    """Made by `mien.probes.fit.fit_probe`; belongs to the weights that made the codes."""

    label: str
    """What it predicts: the name of the column of labels."""
    columns: tuple[tuple[str, int], ...]
    """What it sees: names and lengths of columns of the table, in order."""
    classes: tuple[str, ...]
    """What it can predict; () if it predicts numbers."""
    model_id: str
    """Of the weights that made the codes; "" if it is not known."""
    samples: int
    """Number of labels that it was made from."""
    function: Linear
    held_out: HeldOut
    curve: tuple[CurvePoint, ...]
    """With few labels first; the last has all that are not held out."""

    @property
    def numbers(self) -> bool:
        """Return whether it predicts numbers, and not classes."""
        return not self.classes

    @property
    def added(self) -> tuple[str, str]:
        """Return the names of the two columns that it adds to a table."""
        return self.label, f"{self.label}_{'std' if self.numbers else 'prob'}"

    @property
    def balanced(self) -> float | None:
        """Return the mean of the classes' recall, %; None of numbers."""
        return None if self.numbers else float(np.mean(self.held_out.recall))

    def predict(self, columns: Mapping[str, NDArray[np.floating]]) -> Prediction:
        """Return what faces show.

        Args:
            columns: at least those of `columns`; codes [N, D], numbers [N]; rows with NaN in one
                of them give nothing.

        Raises:
            MienError: if a column is missing or has another length.
        """
        parts = []
        for name, length in self.columns:
            if name not in columns:
                raise MienError(f"the probe of {self.label} sees {name}, and there is none")
            part = np.asarray(columns[name], dtype=np.float64)
            part = part[:, None] if part.ndim == 1 else part
            if part.shape[1] != length:
                raise MienError(_other_length(self.label, name, length, part.shape[1]))
            parts.append(part)
        return self.predict_codes(np.concatenate(parts, axis=1))

    def predict_codes(self, codes: NDArray[np.floating]) -> Prediction:
        """Return what faces show whose columns stand side by side already. [N, F].

        Raises:
            MienError: if they are not as many as the probe sees.
        """
        codes = np.asarray(codes, dtype=np.float64)
        width = sum(length for _, length in self.columns)
        if codes.ndim != 2 or codes.shape[1] != width:
            raise MienError(f"the probe of {self.label} sees [N, {width}], not {codes.shape}")
        there = np.isfinite(codes).all(axis=1)
        certainty = np.full(len(codes), np.nan)
        if self.numbers:
            values = np.full(len(codes), np.nan)
            values[there] = self.function.outputs(codes[there])[:, 0]
            certainty[there] = np.sqrt(self.function.variance(codes[there]))
            return Prediction(values, certainty, None)
        chances = np.full((len(codes), len(self.classes)), np.nan)
        chances[there] = self.function.probabilities(codes[there])
        names = np.full(len(codes), None, dtype=object)
        names[there] = np.array(self.classes, dtype=object)[chances[there].argmax(axis=1)]
        certainty[there] = chances[there].max(axis=1)
        return Prediction(names, certainty, chances)

    def check_model(self, model_id: str, lengths: Mapping[str, int]) -> None:
        """Refuse codes that other weights made.

        Args:
            model_id: of the weights that made the codes; "" if it is not known.
            lengths: of the columns that there are.

        Raises:
            MienError: if weights or lengths differ, or a column is not there.
        """
        FILE.check_weights(f"probe of {self.label}", self.model_id, model_id)
        for name, length in self.columns:
            if name not in lengths:
                raise MienError(
                    f"the probe of {self.label} sees {name}, which is not known here: probe again "
                    "with other --columns"
                )
            if lengths[name] != length:
                raise MienError(_other_length(self.label, name, length, lengths[name]))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            MienError: if the file exists and may not be overwritten, or cannot be written.
        """
        FILE.write(asdict(self), path, overwrite=overwrite)

    def text(self) -> str:
        """Return what `save` writes. JSON."""
        return FILE.text(asdict(self))

    @staticmethod
    def load(path: str | Path) -> Probe:
        """Read what `save` wrote.

        Raises:
            MienError: if the file is missing, damaged, or of another version.
        """
        return FILE.read_as(path, Probe, _check)


def _other_length(label: str, name: str, length: int, found: int) -> str:
    return f"the probe of {label} is for {name} of length {length}, not {found}: probe again"


def _check(probe: Probe) -> None:
    """Refuse arrays that do not fit each other, with a ValueError."""
    function, spread = probe.function, probe.function.spread
    inputs, outputs = sum(length for _, length in probe.columns), len(probe.classes) or 1
    check_shapes(
        (function.mean, (inputs,)),
        (function.scale, (inputs,)),
        (function.weights, (inputs, outputs)),
        (function.intercept, (outputs,)),
    )
    check_scales(function.scale, np.array(function.strength))
    if (spread is None) == probe.numbers:
        raise ValueError("numbers have an error's variance, classes have none")
    if spread is not None:
        rank = spread.values.size
        check_shapes((spread.right, (inputs, rank)), (spread.values, (rank,)))
