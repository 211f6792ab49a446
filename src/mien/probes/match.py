"""The rows of a table of faces that are labelled or whose gaze is known, and those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.columns import CODES, EYES_FOUND, FACE_FOUND, GAZE_CODE, NEED_EYES, NUMBERS, POSE
from mien.errors import MienError
from mien.probes.face_rows import KEYS, NamedFace, rows_of_faces
from mien.probes.labels import Label, Labels, Target

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CODES",
    "DEFAULT",
    "FEWEST_GAZE",
    "GAZE_COLUMNS",
    "NUMBERS",
    "MatchedLabels",
    "MatchedTargets",
    "check_columns",
    "match_labels",
    "match_targets",
]

DEFAULT = ("identity", "expression")
"""What a probe sees where nothing else is asked for: all that is known of texture and shape."""
GAZE_COLUMNS = (*KEYS, GAZE_CODE, EYES_FOUND, *POSE)
"""Columns of the table that are read."""
FEWEST_GAZE = 9
"""Samples without which no calibration is fitted: a grid of three by three targets."""


@dataclass(frozen=True, kw_only=True)
class _Matched:
    """Samples to learn from, in the order of the labels or targets."""

    codes: NDArray[np.float64]
    """[N, F]."""
    people: tuple[str, ...] | None
    """Who each sample is, if that is known. [N]."""
    names: tuple[str, ...]
    """Of the faces, for messages. [N]."""
    model_id: str
    """Of the weights that made the codes; "" if the table has none."""


@dataclass(frozen=True, kw_only=True)
class MatchedLabels(_Matched):
    """Samples to learn from, and the faces without a label."""

    label: str
    """Name of what is learned."""
    columns: tuple[tuple[str, int], ...]
    """What `codes` consists of: names of the table's columns and their lengths, side by side."""
    texts: tuple[str, ...]
    """The labels as they were written. [N]."""
    files: tuple[str, ...]
    """Path of the image or video that each is from. [N]."""
    without_codes: tuple[str, ...]
    """Names of the labelled faces that are left out because the table has no codes of them."""
    others: NDArray[np.int64]
    """Numbers of the table's rows that have codes and no label. [M]."""
    other_codes: NDArray[np.float32]
    """[M, F]."""


@dataclass(frozen=True, kw_only=True)
class MatchedTargets(_Matched):
    """Samples to fit to; fields as `mien.probes.fit.fit_calibration`'s."""

    targets: NDArray[np.float64]
    """Unit vectors, camera frame. [N, 3]."""
    head_pose: NDArray[np.float64] | None
    """Yaw, pitch, roll, rad; None if the table has none, as of eye-region crops. [N, 3]."""
    without_eyes: tuple[str, ...]
    """Names of the targets that are left out because no eyes, or no face, were found."""


def check_columns(columns: Sequence[str]) -> None:
    """Refuse columns that a probe cannot see.

    Raises:
        MienError: if one is no code and no factor, or is there twice, or there is none.
    """
    unknown = [name for name in columns if name not in (*CODES, *NUMBERS)]
    if unknown or not columns:
        what = f"no column {unknown[0]}" if unknown else "nothing"
        raise MienError(f"a probe sees {what}: choose from {', '.join((*CODES, *NUMBERS))}")
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise MienError(f"the column {twice[0]} is asked for twice")


def match_labels(
    faces: pd.DataFrame, labels: Labels, columns: Sequence[str] = DEFAULT
) -> MatchedLabels:
    """Find the face of every label.

    Args:
        faces: what `mien.embed` returns, or a table of faces with its codes: `path`, `frame`,
            `face_id` and the columns asked for; `attrs["model_id"]` names the weights.
        labels: by `mien.probes.labels.read_labels`.
        columns: codes and factors that the probe sees.

    Raises:
        MienError: if a column is missing, a label has no row or several, or no labelled face has
            codes.
    """
    check_columns(columns)
    missing = [name for name in (*KEYS, *columns) if name not in faces]
    if missing:
        raise MienError(
            f"the table has no column {missing[0]}: choose other --columns, or embed again with "
            "weights that give it"
        )
    rows = _rows(faces, labels.labels)
    values, lengths = _values(faces, columns)
    seen = np.asarray(np.isfinite(values).all(axis=1))
    kept = [i for i, row in enumerate(rows) if seen[row]]
    codeless = tuple(labels.labels[i].name for i, row in enumerate(rows) if not seen[row])
    if not kept:
        raise MienError(
            f"the table has no {' and '.join(columns)} of any of the {len(codeless)} labelled "
            f"faces, first {codeless[0]}: see its columns face_found and reason"
        )
    chosen = [labels.labels[i] for i in kept]
    open_rows = seen.copy()
    open_rows[rows] = False
    return MatchedLabels(
        label=labels.name,
        columns=tuple(zip(columns, lengths, strict=True)),
        codes=values[[rows[i] for i in kept]].astype(np.float64),
        texts=tuple(label.text for label in chosen),
        files=tuple(label.path for label in chosen),
        without_codes=codeless,
        others=np.flatnonzero(open_rows),
        other_codes=values[open_rows],
        **_who(faces, chosen),
    )


def match_targets(faces: pd.DataFrame, targets: Sequence[Target]) -> MatchedTargets:
    """Find the face of every target.

    Args:
        faces: what `mien.embed` returns, or a table of faces with its codes: at least
            `GAZE_COLUMNS`; `attrs["model_id"]` names the weights.
        targets: by `mien.probes.labels.read_targets`.

    Raises:
        MienError: if a column is missing, a target has no row or several, or too few are left
            when those without eyes are left out.
    """
    missing = [name for name in GAZE_COLUMNS if name not in faces]
    if missing:
        raise MienError(
            f"the table has no column {missing[0]}: embed again, with weights that have a gaze "
            "branch"
        )
    rows = rows_of_faces(faces, targets, "targets")
    codes, _ = _values(faces, [GAZE_CODE])
    seen = np.asarray(np.isfinite(codes).all(axis=1))
    kept = [i for i, row in enumerate(rows) if seen[row]]
    left_out = sorted(set(range(len(rows))) - set(kept))
    eyeless = tuple(targets[i].name for i in left_out)
    if len(kept) < FEWEST_GAZE:
        without = f", because {len(eyeless)} show no eyes, first {eyeless[0]}" if eyeless else ""
        raise MienError(
            f"{len(kept)} samples are too few to calibrate with{without}: give "
            f"{FEWEST_GAZE} or more"
        )
    taken = [rows[i] for i in kept]
    chosen = [targets[i] for i in kept]
    pose = faces.iloc[taken][list(POSE)].to_numpy(dtype=np.float64, na_value=np.nan)
    return MatchedTargets(
        codes=codes[taken].astype(np.float64),
        targets=np.array([target.direction for target in chosen]),
        head_pose=None if np.isnan(pose).all() else pose,
        without_eyes=eyeless,
        **_who(faces, chosen),
    )


def _who(faces: pd.DataFrame, chosen: Sequence[NamedFace]) -> dict[str, Any]:
    """Return people, names and weights of the samples."""
    people = tuple(face.person for face in chosen if face.person is not None)
    names = tuple(face.name for face in chosen)
    return {
        "people": people or None,
        "names": names,
        "model_id": str(faces.attrs.get("model_id", "")),
    }


def _values(
    faces: pd.DataFrame, columns: Sequence[str]
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return the columns side by side, NaN where there is nothing [N, F], and their lengths."""
    parts = []
    for name in columns:
        if name in NUMBERS:
            parts.append(faces[name].to_numpy(dtype=np.float32, na_value=np.nan)[:, None])
            continue
        checks = [FACE_FOUND, *([EYES_FOUND] if name in NEED_EYES else [])]
        there = [faces[check].isin([True]) for check in checks if check in faces]  # null is no
        valid = np.all([np.ones(len(faces), dtype=bool), *there], axis=0)
        # Other programs leave NaN or another nothing in place of a list.
        cells = [c if v and np.ndim(c) else None for c, v in zip(faces[name], valid, strict=True)]
        lengths = {len(cell) for cell in cells if cell is not None}
        if len(lengths) > 1:
            raise MienError(f"the column {name} holds lists of {len(lengths)} lengths")
        nothing = np.full(next(iter(lengths), 1), np.nan, np.float32)
        stacked = [nothing if cell is None else cell for cell in cells]
        parts.append(np.array(stacked, np.float32).reshape(len(cells), len(nothing)))
    return np.concatenate(parts, axis=1), tuple(part.shape[1] for part in parts)


def _rows(faces: pd.DataFrame, labels: Sequence[Label]) -> list[int]:
    """Return the number of each label's row; no face has two."""
    chosen = rows_of_faces(faces, labels, "labels")
    first: dict[int, str] = {}
    for row, label in zip(chosen, labels, strict=True):
        if first.setdefault(row, label.name) != label.name:
            raise MienError(
                f"two labels are of one face, {first[row]} and {label.name}: leave one out"
            )
    return chosen
