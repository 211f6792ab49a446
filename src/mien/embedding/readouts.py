"""A calibration and probes: opened, checked against the weights, and applied to factors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.columns import EYES_FOUND, FEATURES, GAZE_CODE, NUMBERS
from mien.embedding.options import EmbedOptions
from mien.errors import MienError
from mien.pipeline.encode import AnyEncoder, lengths_of
from mien.probes.gaze import Calibration, estimate
from mien.probes.probe import Probe
from mien.table.rows import factor_columns
from mien.table.schema import COLUMNS, GAZE, Column
from mien.types import Factors, GazeCode

__all__ = [
    "CalibrationFile",
    "ProbeFile",
    "gaze_columns",
    "open_calibration",
    "open_probes",
    "probe_columns",
    "probe_values",
    "sees_features",
]

Content = TypeVar("Content", Calibration, Probe)


@dataclass(frozen=True)
class Readout(Generic[Content]):
    """A calibration or a probe, and what identifies its file."""

    content: Content
    checksum: str
    """First 16 hex digits of the file's SHA-256."""


CalibrationFile: TypeAlias = Readout[Calibration]
ProbeFile: TypeAlias = Readout[Probe]


def open_calibration(model: AnyEncoder, options: EmbedOptions) -> CalibrationFile | None:
    """Read the calibration that is asked for and refuse one that cannot be applied; None of none.

    Raises:
        MienError: the file is missing or damaged, belongs to other weights, or asks for a head
            pose that is not known; the weights have no gaze branch, which the options ask for.
    """
    path, gaze = options.calibration, model.config.gaze
    if gaze is None and (options.eyes_only or path is not None):
        asked = "--crop eyes" if options.eyes_only else "--calibration"
        raise MienError(
            f"the weights {model.weights_id} have no gaze branch, which {asked} asks for: "
            "give others with --weights"
        )
    if gaze is None or path is None:
        return None
    calibration = Calibration.load(path)
    calibration.check_model(model.weights_id, gaze.code_dim)
    if calibration.uses_pose and options.eyes_only:
        raise MienError(
            f"{path} uses the head pose, which eye-region crops do not show: "
            "calibrate with --no-pose"
        )
    return Readout(calibration, _checksum(path))


def open_probes(model: AnyEncoder, options: EmbedOptions) -> tuple[ProbeFile, ...]:
    """Read the probes that are asked for and refuse those that cannot be applied.

    Raises:
        MienError: if a file is missing or damaged, belongs to other weights, sees a column that
            is not known, or adds a column that is there already.
    """
    lengths: Mapping[str, int] = lengths_of(model, features=True)
    if options.eyes_only:
        lengths = {name: dim for name, dim in lengths.items() if name == GAZE_CODE}
    else:
        lengths = {**lengths, **dict.fromkeys(NUMBERS, 1)}
    taken = {column.name: "the table" for column in COLUMNS}
    found = []
    for path in options.probes:
        probe = Probe.load(path)
        probe.check_model(model.weights_id, lengths)
        for name in probe.added:
            if name in taken:
                raise MienError(
                    f"{path} adds the column {name}, which {taken[name]} has already: leave one "
                    "out, or probe again with a label of another name"
                )
            taken[name] = str(path)
        found.append(Readout(probe, _checksum(path)))
    return tuple(found)


def gaze_columns(
    calibration: Calibration, factors: Factors | GazeCode
) -> dict[str, NDArray[np.float32]]:
    """Return the calibrated gaze, column by column, NaN where no eyes are found. Each [B].

    Args:
        calibration: that fits the weights.
        factors: with a gaze code; or the gaze code alone, if the calibration uses no head pose.

    Raises:
        ValueError: if the gaze code or the head pose is not there.
    """
    gaze = estimate(calibration, factors)
    values = (*gaze.direction.T, gaze.yaw, gaze.pitch, gaze.std_rad)
    return {name: value.astype(np.float32) for name, value in zip(GAZE, values, strict=True)}


def sees_features(probes: Sequence[ProbeFile]) -> bool:
    """Return whether a probe sees the encoders' features, which are read only when asked for."""
    return any(name == FEATURES for file in probes for name, _ in file.content.columns)


def probe_columns(probes: Sequence[ProbeFile]) -> tuple[Column, ...]:
    """Return the columns that probes add to a table, two for each."""
    columns = []
    for probe in (file.content for file in probes):
        name, second = probe.added
        sees = " and ".join(column for column, _ in probe.columns)
        meaning = f"What a probe of {sees} predicts; null: it sees nothing."
        if probe.numbers:
            unit = f"as {name}"
            columns.append(Column(name, "float32", unit, "", "", meaning))
            error = "Standard deviation of the error to be expected; null as the number."
            columns.append(Column(second, "float32", unit, "", ">= 0", error))
        else:
            columns.append(Column(name, "string", "", "", " | ".join(probe.classes), meaning))
            chance = "Probability of that class by the probe; null as the class."
            columns.append(Column(second, "float32", "", "", "[0, 1]", chance))
    return tuple(columns)


def probe_values(
    probes: Sequence[ProbeFile], factors: Factors | GazeCode
) -> dict[str, NDArray[np.object_] | NDArray[np.float32]]:
    """Return what probes predict, column by column; None or NaN where they see nothing. Each [B].

    Args:
        probes: that fit the weights.
        factors: of faces; or the gaze code alone.

    Raises:
        MienError: if a probe predicts what is no number, though it sees something.
    """
    columns = factor_columns(factors)
    if GAZE_CODE in columns:
        # Where no eyes are found the code means nothing.
        seen = columns.pop(EYES_FOUND).astype(bool)
        columns[GAZE_CODE] = np.where(seen[:, None], columns[GAZE_CODE], np.nan)
    values = {}
    for probe in (file.content for file in probes):
        predicted = probe.predict(columns)
        sees = np.ones(len(factors), dtype=bool)
        for name, _ in probe.columns:
            sees &= np.isfinite(columns[name].reshape(len(factors), -1)).all(axis=1)
        first, second = probe.added
        values[first] = predicted.values.astype(np.float32 if probe.numbers else object)
        values[second] = predicted.certainty.astype(np.float32)
        numbers = [values[name] for name in (first, second)[not probe.numbers :]]
        if not np.isfinite(np.array(numbers)[:, sees]).all():
            raise MienError(
                f"the probe of {probe.label} predicts what is not finite: it is broken; probe again"
            )
    return values


def _checksum(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
