"""Rendered people not seen in training, whose every factor is known: the quality of the factors.

A folder of `mien synth` and the table that `mien embed FOLDER --detector none` makes of it go in;
named numbers come out. Nothing is trained but linear probes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from benchmarks.cross_validate import cross_validate
from benchmarks.same_person import verification_auc
from numpy.typing import NDArray
from PIL import Image

from mien.columns import FACE_CODES, POSE
from mien.errors import MienError
from mien.evaluate.datasets.synthetic import inner_face
from mien.linear.metrics import correlation

__all__ = [
    "FACE_CODES",
    "Truth",
    "direct_scores",
    "factor_matrix",
    "frontal_depth",
    "masked_depth_correlation",
    "read_truth",
]

LIGHTS = ("light_x", "light_y", "light_ambient", "light_diffuse")

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Truth:
    """The labels of a rendered folder, in the order of a table."""

    labels: pd.DataFrame
    """One row an image: person, expression, angles, light."""
    codes: dict[str, Array]
    """The table's factor columns, face embedding and features where it has them, same rows. Each
    [N, D]."""
    predicted: pd.DataFrame
    """The table's angles and light, same rows."""

    @property
    def person(self) -> NDArray[np.int64]:
        """Who it is. [N]."""
        return self.labels["person"].to_numpy(np.int64)


def read_truth(folder: Path, table: pd.DataFrame) -> Truth:
    """Join a table of `mien embed` with the truth about its images.

    Args:
        folder: written by `mien synth`.
        table: made of that folder.

    Raises:
        MienError: the folder has no labels, or images are missing in the table.
    """
    path = folder / "labels.parquet"
    if not path.is_file():
        raise MienError(f"{path} does not exist; give a folder written by `mien synth`")
    labels = pq.read_table(path).to_pandas()
    rows = table.set_index("path").reindex(labels["path"])
    missing = int(np.count_nonzero(pd.isna(rows["face_found"].to_numpy())))
    if missing:
        raise MienError(
            f"{missing} images of {folder} are not in the table; embed the whole folder"
        )
    given = (*FACE_CODES, *(name for name in ("face_embedding", "features") if name in rows))
    codes = {name: np.asarray(list(rows[name]), dtype=np.float32) for name in given}
    predicted = pd.DataFrame(rows.loc[:, [*POSE, *LIGHTS]]).reset_index(drop=True)
    return Truth(labels.reset_index(drop=True), codes, predicted)


def direct_scores(truth: Truth, rng: np.random.Generator) -> dict[str, float]:
    """Return the scores of the factors as they are, without a probe.

    Correlations of angles and light with the truth; same-person AUC of each code by cosine.
    """
    scores = {
        f"{name} correlation": correlation(
            prediction=truth.predicted[name].to_numpy(), target=truth.labels[name].to_numpy()
        )
        for name in (*POSE, *LIGHTS)
    }
    raw = np.concatenate([truth.codes["texture_code"], truth.codes["shape_code"]], axis=1)
    half = truth.codes["identity"].shape[1] // 2
    compared = {
        **truth.codes,
        "both codes": raw,
        "identity, texture part": truth.codes["identity"][:, :half],
        "identity, shape part": truth.codes["identity"][:, half:],
    }
    for name, codes in compared.items():
        scores[f"same person AUC from {name}"] = verification_auc(
            codes=codes, person=truth.person, rng=rng
        )
    return scores


def factor_matrix(truth: Truth) -> pd.DataFrame:
    """Return every label probed from every code: rows codes, columns labels.

    Expression by logistic regression (accuracy), angles and light by ridge regression
    (correlation), each cross-validated over five groups of people.
    """
    classes = np.unique(truth.labels["expression"], return_inverse=True)[1].astype(np.int64)
    targets: dict[str, NDArray[Any]] = {"expression": classes}
    for name in (*POSE, "light_x", "light_y"):
        targets[name] = truth.labels[name].to_numpy(np.float64)
    raw = np.concatenate([truth.codes["texture_code"], truth.codes["shape_code"]], axis=1)
    table = {
        name: {
            label: float(cross_validate(codes=codes, labels=y, person=truth.person).mean())
            for label, y in targets.items()
        }
        for name, codes in {**truth.codes, "both codes": raw}.items()
    }
    return pd.DataFrame(table).T


def frontal_depth(
    folder: Path,
    truth: Truth,
    predicted: Array,
    *,
    rendered: NDArray[np.bool_] | None = None,
    max_angle_rad: float = 0.15,
) -> Array:
    """Return the depth correlation inside the face of each nearly frontal image. [K].

    Args:
        folder: written by `mien synth`.
        truth: of that folder.
        predicted: depth of every image. [N, H, W].
        rendered: where it is known; everywhere if not given. [N, H, W].
        max_angle_rad: yaw and pitch up to this count as frontal.
    """
    angle = truth.labels[["yaw_rad", "pitch_rad"]].abs().max(axis=1).to_numpy()
    rows = np.flatnonzero(angle < max_angle_rad)
    size = predicted.shape[-1]
    depths, masks = zip(*_true_depths(folder, truth, rows, size), strict=True)
    inside = np.stack(masks) if rendered is None else np.stack(masks) & rendered[rows]
    return masked_depth_correlation(
        prediction=predicted[rows], target=np.stack(depths), mask=inside
    )


def _true_depths(
    folder: Path, truth: Truth, rows: NDArray[np.int64], size: int
) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
    """Yield true depth and face mask at `size`; the face is an ellipse inside the head's mask."""
    ellipse = inner_face(size)
    for row in rows:
        image = Path(str(truth.labels["path"].iloc[row]))
        with zipfile.ZipFile(folder / image.parent / "truth.zip") as archive:
            depth = _read(archive, f"{image.stem}_depth.png")
            mask = _read(archive, f"{image.stem}_mask.png") > 0
        small = Image.fromarray(depth.astype(np.float32)).resize(
            (size, size), Image.Resampling.NEAREST
        )
        inside = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
        yield np.asarray(small), np.asarray(inside) & ellipse


def _read(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(archive.read(name))))


def masked_depth_correlation(*, prediction: Array, target: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the correlation of two depth maps inside each image's mask. [N].

    Args:
        prediction: canonical depth. [N, H, W].
        target: true depth, any unit and offset. [N, H, W].
        mask: pixels of the face. [N, H, W].
    """
    return np.array(
        [
            correlation(prediction=p[m], target=t[m])
            for p, t, m in zip(prediction, target, mask, strict=True)
        ]
    )
