"""From factors to what probes say of them, by probes that fit the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probes.probe import Probe
from mien.table.rows import factor_columns
from mien.table.schema import COLUMNS, FEATURES, Column
from mien.types import Factors, GazeCode

__all__ = ["ProbeFile", "open_probes", "probe_columns", "probe_values", "sees_features"]


@dataclass(frozen=True)
class ProbeFile:
    """A probe and what names it."""

    probe: Probe
    digest: str
    """16 hex digits that are the same for the same file."""


def open_probes(
    paths: Sequence[str | Path], *, weights_id: str, lengths: Mapping[str, int]
) -> tuple[ProbeFile, ...]:
    """Read probes and refuse those that cannot be applied.

    Args:
        paths: files that `mien probe` wrote.
        weights_id: the weights that give the codes; "" if they were never saved.
        lengths: of the columns that the weights give here; 1 of numbers.

    Raises:
        MienError: if a file is missing or damaged, belongs to other weights, sees a column that
            is not known, or adds a column that is there already.
    """
    taken = {column.name: "the table" for column in COLUMNS}
    found = []
    for path in paths:
        probe = Probe.load(path)
        probe.check_model(weights_id, lengths)
        for name in probe.added:
            if name in taken:
                raise MienError(
                    f"{path} adds the column {name}, which {taken[name]} has already: leave one "
                    "out, or probe again with a label of another name"
                )
            taken[name] = str(path)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
        found.append(ProbeFile(probe, digest))
    return tuple(found)


def sees_features(probes: Sequence[ProbeFile]) -> bool:
    """Return whether a probe sees the encoder's features, which are read only when asked for."""
    return any(name == FEATURES for file in probes for name, _ in file.probe.columns)


def probe_columns(probes: Sequence[ProbeFile]) -> tuple[Column, ...]:
    """Return the columns that probes add to a table, two for each."""
    columns = []
    for probe in (file.probe for file in probes):
        name, second = probe.added
        sees = " and ".join(column for column, _ in probe.columns)
        says = f"What a probe of {sees} says; null: it sees nothing."
        if probe.numbers:
            unit = f"as {name}"
            columns.append(Column(name, "float32", unit, "", "", says))
            error = "Standard deviation of the error to be expected; null as the number."
            columns.append(Column(second, "float32", unit, "", ">= 0", error))
        else:
            columns.append(Column(name, "string", "", "", " | ".join(probe.classes), says))
            chance = "Probability of that class by the probe; null as the class."
            columns.append(Column(second, "float32", "", "", "[0, 1]", chance))
    return tuple(columns)


def probe_values(
    probes: Sequence[ProbeFile], factors: Factors | GazeCode
) -> dict[str, NDArray[np.object_] | NDArray[np.float32]]:
    """Return what probes say, column by column; None or NaN where they see nothing. Each [B].

    Args:
        probes: that fit the weights.
        factors: of faces; or the gaze code alone.

    Raises:
        MienError: if a probe says what is no number, though it sees something.
    """
    columns = factor_columns(factors)
    if "gaze_code" in columns:
        # Where no eyes are found the code means nothing.
        seen = columns.pop("eyes_found").astype(bool)
        columns["gaze_code"] = np.where(seen[:, None], columns["gaze_code"], np.nan)
    values = {}
    for probe in (file.probe for file in probes):
        said = probe.predict(columns)
        sees = np.ones(len(factors), dtype=bool)
        for name, _ in probe.columns:
            sees &= np.isfinite(columns[name].reshape(len(factors), -1)).all(axis=1)
        numbers = [said.certainty, said.values] if probe.numbers else [said.certainty]
        if not np.isfinite(np.array(numbers, dtype=np.float32)[:, sees]).all():
            raise MienError(
                f"the probe of {probe.label} says what is not finite: it is broken; probe again"
            )
        first, second = probe.added
        values[first] = said.values.astype(np.float32) if probe.numbers else said.values
        values[second] = said.certainty.astype(np.float32)
    return values
