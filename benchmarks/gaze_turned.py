"""How far eyes drawn anew look to where they were asked to, as the calibration itself reads them.

Run:
    mien synth --head-model HEAD --identities 60 --frames 4 --size 224 --gaze wide --seed 771 \
        --out people
    python -m benchmarks.gaze_turned people [--weights FOLDER]

Two thirds of the people calibrate. Of the others every image with open eyes is drawn with the gaze
code that the calibration reads as looking to each of seven directions, encoded again, and read by
the same calibration. "Not turned" is the same for the image as it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from mien.geometry.angles import rotation_angles
from mien.geometry.gaze import gaze_vector
from mien.media.image import read
from mien.model import load
from mien.probes.fit import fit_calibration
from mien.probes.gaze import estimate
from mien.probes.gaze_target import code_towards

TARGETS_DEG = ((-25, 0), (-12, 0), (0, 0), (12, 0), (25, 0), (0, -15), (0, 15))
AHEAD_DEG = 20.0
"""Yaw of heads that face the camera well enough, at most."""


def main() -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    model = load(given.weights)
    table = pq.read_table(given.people / "labels.parquet").to_pydict()
    crops = [torch.from_numpy(read(given.people / path)).permute(2, 0, 1) for path in table["path"]]
    factors = model.encode(torch.stack(crops))
    assert factors.gaze is not None
    codes, seen = factors.gaze.code.numpy(), factors.gaze.eyes_found.numpy()
    pose = np.stack(rotation_angles(factors.pose.rotation.numpy()), axis=1)
    people = np.array([path.split("/")[0] for path in table["path"]])
    names = sorted(set(people))
    fitted = seen & np.isin(people, names[: 2 * len(names) // 3])
    calibration = fit_calibration(
        codes=codes[fitted],
        targets=np.stack([table[f"gaze_{axis}"] for axis in "xyz"], axis=1)[fitted],
        head_pose=pose[fitted],
        people=[str(name) for name in people[fitted]],
        model_id=model.weights_id,
        rng=np.random.default_rng(0),
    )
    print(f"{calibration.samples} samples, held out: {calibration.error.mean_deg:.1f} degrees")
    rows = np.flatnonzero(seen & ~np.isin(people, names[: 2 * len(names) // 3]))
    turned, left = [], []
    for row in rows:
        found, own = np.radians(TARGETS_DEG), estimate(calibration, factors[int(row)])
        asked = np.stack(
            [code_towards(calibration, codes[row], *two, head_pose=pose[row]) for two in found]
        )
        image = crops[row][None].float() / 255
        drawn = model.redirect_gaze(
            image.expand(len(asked), -1, -1, -1), torch.tensor(asked).float()
        )
        aims = gaze_vector(found[:, 0], found[:, 1])
        turned.append(apart(estimate(calibration, model.encode(drawn)).direction, aims))
        left.append(apart(np.repeat(own.direction, len(aims), axis=0), aims))
    ahead = np.abs(np.degrees(pose[rows, 0])) <= AHEAD_DEG
    for what, chosen in (("all heads", ahead | True), (f"yaw within {AHEAD_DEG:.0f}", ahead)):
        means = (float(np.nanmean(np.stack(each)[chosen])) for each in (turned, left))
        print(
            f"{what}: {chosen.sum()} images, off by {next(means):.1f}, not turned {next(means):.1f}"
        )


def apart(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return degrees between unit vectors. [N, 3], [N, 3] => [N]."""
    return np.degrees(np.arccos((one * other).sum(axis=1).clip(-1, 1)))


if __name__ == "__main__":
    main()
