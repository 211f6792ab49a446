"""A calibration: from gaze codes and head pose to directions, with the error to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.angles import rotation_angles
from mien.geometry.gaze import gaze_vector
from mien.probes.file import SealedFile, check_scales, check_shapes
from mien.probes.gaze_regression import Regression
from mien.types import Factors, GazeCode

__all__ = ["FILE", "Calibration", "GazeEstimate", "HeldOutGaze", "estimate"]

Array = NDArray[np.float64]


FILE = SealedFile("calibration", "mien calibrate", "calibrate again", version=1)


@dataclass(frozen=True)
class GazeEstimate:
    """Where people look; NaN in rows without a code. Camera frame: x right, y down, z away."""

    direction: Array
    """Unit vectors. [N, 3]."""
    yaw: Array
    """Radians, + towards image-left. [N]."""
    pitch: Array
    """Radians, + up. [N]."""
    std_rad: Array
    """Standard deviation of the error to be expected in one angle: root mean square of yaw's and
    pitch's. [N]."""


@dataclass(frozen=True)
class HeldOutGaze:
    """Angular error on samples that took no part, neither in the fit nor in any choice."""

    mean_deg: float
    low_deg: float
    """The 95 % interval of the mean, by bootstrap, ends here and at `high_deg`."""
    high_deg: float
    baseline_deg: float
    """The error of always predicting the mean of the other samples."""
    by: str
    """What was held out together: "people", "targets" (all samples of a place) or "samples"."""


@dataclass(frozen=True)
class Calibration:
    """Made by `mien.probes.fit.fit_calibration`; belongs to the weights that made the codes."""

    model_id: str
    """Of the weights that made the codes; "" if it is not known."""
    code_dim: int
    uses_pose: bool
    """Whether the features are the code and the head pose (yaw, pitch, roll), or the code alone."""
    pooled: Regression
    """For anybody."""
    error: HeldOutGaze
    """For people who are not among the samples, if it is known who the samples are."""
    personal: Regression | None = None
    """With offsets, for the people of the samples; None if none were asked for."""
    personal_error: HeldOutGaze | None = None
    """For new samples of these people."""

    @property
    def samples(self) -> int:
        """Return the number of samples that it was made from."""
        return self.pooled.samples

    @property
    def people(self) -> tuple[str, ...]:
        """Return the names of those who have an offset."""
        persons = None if self.personal is None else self.personal.persons
        return () if persons is None else persons.names

    @property
    def kind(self) -> str:
        """Return "linear", or "quadratic" where products of features are used."""
        return "quadratic" if self.pooled.basis.directions.shape[1] else "linear"

    def predict(
        self,
        codes: NDArray[np.floating],
        head_pose: NDArray[np.floating] | None = None,
        people: Sequence[str] | None = None,
    ) -> GazeEstimate:
        """Return where people look.

        Args:
            codes: gaze codes; rows with NaN give NaN. [N, d].
            head_pose: yaw, pitch, roll in radians; needed if `uses_pose`, else ignored. [N, 3].
            people: who each row is; the regression with offsets serves those it knows. [N].

        Raises:
            MienError: if the codes have another length, the head pose is missing, or people
                are not one a row.
        """
        inputs = self._inputs(codes, head_pose)
        angles, variance = self.pooled.predict(inputs)
        if self.personal is not None and people is not None:
            if len(people) != len(inputs):
                raise MienError(f"{len(people)} people are named for {len(inputs)} gaze codes")
            known = np.flatnonzero(np.isin(np.asarray(people, dtype=str), self.people))
            names = [people[int(row)] for row in known]
            angles[known], variance[known] = self.personal.predict(inputs[known], names)
        yaw = np.arctan2(np.sin(angles[:, 0]), np.cos(angles[:, 0]))
        pitch = np.clip(angles[:, 1], -np.pi / 2, np.pi / 2)
        std = np.sqrt(variance.mean(axis=1))
        return GazeEstimate(gaze_vector(yaw, pitch), yaw, pitch, std)

    def check_model(self, model_id: str, code_dim: int) -> None:
        """Refuse codes that other weights made.

        Args:
            model_id: of the weights that made the codes; "" if it is not known.
            code_dim: length of the codes.

        Raises:
            MienError: if weights or lengths differ.
        """
        FILE.check_weights("calibration", self.model_id, model_id)
        if code_dim != self.code_dim:
            raise MienError(
                f"the calibration is for gaze codes of length {self.code_dim}, not {code_dim}: "
                "calibrate again"
            )

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
    def load(path: str | Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            MienError: if the file is missing, damaged, or of another version.
        """
        return FILE.read_as(path, Calibration, _check)

    def _inputs(self, codes: NDArray[np.floating], head_pose: NDArray[np.floating] | None) -> Array:
        codes = np.asarray(codes, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self.code_dim:
            raise MienError(
                f"the calibration is for gaze codes [N, {self.code_dim}], not {codes.shape}"
            )
        if not self.uses_pose:
            return codes
        if head_pose is None:
            raise MienError(
                "the calibration uses the head pose, and there is none; calibrate with --no-pose"
            )
        pose = np.asarray(head_pose, dtype=np.float64)
        if pose.shape != (len(codes), 3):
            raise MienError(f"head poses must be [{len(codes)}, 3], not {pose.shape}")
        return np.hstack([codes, pose])


def estimate(calibration: Calibration, factors: Factors | GazeCode) -> GazeEstimate:
    """Return where faces look; NaN in rows where no eyes are found: there the code means nothing.

    Args:
        calibration: that fits the weights.
        factors: with a gaze code; or the gaze code alone, if the calibration uses no head pose.

    Raises:
        ValueError: if the gaze code or the head pose is not there.
    """
    factors = factors.numpy()
    code: Any = factors.gaze if isinstance(factors, Factors) else factors
    if code is None:
        raise ValueError("factors without a gaze code cannot be calibrated")
    codes = np.where(code.eyes_found[:, None], code.code, np.nan)
    pose = None
    if calibration.uses_pose:
        if not isinstance(factors, Factors):
            raise ValueError("the calibration uses a head pose, and there is none")
        pose = np.stack(rotation_angles(cast("Any", factors.pose.rotation)), axis=1)
    return calibration.predict(codes, pose)


def _check(calibration: Calibration) -> None:
    """Refuse arrays that do not fit each other, with a ValueError."""
    inputs = calibration.code_dim + 3 * calibration.uses_pose
    for found in (calibration.pooled, calibration.personal):
        if found is None:
            continue
        basis, rank = found.basis, found.values.size
        people = 0 if found.persons is None else len(found.persons.names)
        multiplied = basis.directions.size // max(inputs, 1)
        products = multiplied * (multiplied + 1) // 2
        features = inputs + products + people
        check_shapes(
            (basis.mean, (inputs,)),
            (basis.scale, (inputs,)),
            (basis.directions, (inputs, multiplied)),
            (basis.product_mean, (products,)),
            (basis.product_scale, (products,)),
            (found.weights, (features, 2)),
            *((two, (2,)) for two in (found.intercept, found.strengths, found.noise)),
            (found.right, (features, rank)),
            (found.values, (rank,)),
        )
        check_scales(basis.scale, basis.product_scale, found.strengths, np.array(found.samples))
        if found.persons is not None:
            check_shapes((found.persons.shares, (people,)))
