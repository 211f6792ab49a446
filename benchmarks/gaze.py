"""Gaze from few labels, beside HOG, head pose alone and the mean: as in docs/results.md.

Run:
    mien synth --head-model HEAD --identities 400 --frames 8 --size 224 --seed 910001 --out people
    python -m benchmarks.gaze --weights FOLDER --rendered people --eye-crops c.zip --out out.json
    python -m benchmarks.gaze --eye-crops images.zip --folds-to FOLDS
    python -m benchmarks.gaze --weights W1 W2 W3 W4 --eye-crops images.zip --out out.json

Protocol: samples come from other people than those tested; ridge regression to yaw and pitch;
10 trials. Rendered: half of the people give samples, the others are tested. Eye-region crops: four
folds of people, the mean over folds of each trial. Weights that were themselves pre-trained on
eye-region crops must be given as four, the i-th trained without the people of fold i; `--folds-to`
writes each fold's training eye-region crops into a folder for that.

Every image counts, whether the model finds eyes or not; "where eyes are found" is a line of its
own. Labels are used here and nowhere in pre-training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from benchmarks.columbia import Columbia, read_columbia
from benchmarks.gaze_few_shot import (
    FewShot,
    few_shot,
    halves,
    leakage_auc,
    mean_over_folds,
    mean_predictor_deg,
)
from benchmarks.hog import hog_features
from benchmarks.student_model import StudentModel
from numpy.typing import NDArray
from torch import Tensor

import mien
from mien.errors import MienError
from mien.evaluate.tasks.gaze_few_shot import COUNTS
from mien.gaze.student import load_student
from mien.geometry.rotation import rotation_to_angles
from mien.media.image import read
from mien.types import Factors, GazeCode

FACE_HOG, EYE_CROP_HOG = (128, 128), (48, 96)
FOLDS = 4

Array = NDArray[Any]
Splits = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


class Encoder(Protocol):
    """What is asked of a model; `mien.model.Model` is one."""

    weights_id: str

    @property
    def crop_size(self) -> int: ...
    @property
    def eye_crop_size(self) -> tuple[int, int]: ...
    def encode(self, images: Tensor, /) -> Factors: ...
    def encode_eyes(self, eye_crops: Tensor, /) -> GazeCode: ...


@dataclass(frozen=True)
class Plan:
    """How many trials, and how many images are encoded at a time."""

    trials: int = 10
    seed: int = 0
    batch_size: int = 32


@dataclass(frozen=True)
class Task:
    """Images with known gaze and who gives samples and who is tested in each fold."""

    gaze: Array
    """Unit vectors, camera frame. [N, 3]."""
    splits: Splits
    plan: Plan

    def score(self, codes: Array | Sequence[Array], pose: Array | None = None) -> dict[str, Any]:
        """Return the errors by number of samples; codes are one array, or one for each fold."""
        by_fold = codes if isinstance(codes, Sequence) else [codes] * len(self.splits)
        fewest = min(len(train) for train, _ in self.splits)
        counts = [count for count in COUNTS if count is None or count <= fewest]
        folds = [
            few_shot(
                train_codes=rows[train],
                train_gaze=self.gaze[train],
                test_codes=rows[test],
                test_gaze=self.gaze[test],
                pose=None if pose is None else (pose[train], pose[test]),
                counts=counts,
                trials=self.plan.trials,
                rng=np.random.default_rng(self.plan.seed),
            )
            for rows, (train, test) in zip(by_fold, self.splits, strict=True)
        ]
        return {named(result): shown(result) for result in mean_over_folds(folds)}

    def mean_predictor(self) -> float:
        """Return the error of the mean gaze of all training rows. Degrees."""
        errors = [
            mean_predictor_deg(train_gaze=self.gaze[train], test_gaze=self.gaze[test])
            for train, test in self.splits
        ]
        return round(float(np.mean(errors)), 3)

    def where(self, found: Array | Sequence[Array]) -> Task | None:
        """Return the task on some rows only, one mask or one for each fold; None if too few."""
        masks = found if isinstance(found, Sequence) else [found] * len(self.splits)
        splits = [
            (train[mask[train]], test[mask[test]])
            for mask, (train, test) in zip(masks, self.splits, strict=True)
        ]
        if min(min(len(train), len(test)) for train, test in splits) < 2:
            return None
        return Task(self.gaze, splits, self.plan)


def named(result: FewShot) -> str:
    """Return the number of samples as a key of JSON."""
    return "all" if result.count is None else str(result.count)


def shown(result: FewShot) -> dict[str, float]:
    """Return what is written of a result."""
    return {"mean_deg": round(result.mean_deg, 3), "std_deg": round(result.std_deg, 3)}


def batches(paths: Sequence[Path], size: int, count: int) -> Iterator[Tensor]:
    """Yield images at `size`. Each uint8 [B, 3, size, size], B <= count."""
    for start in range(0, len(paths), count):
        pixels = [
            cv2.resize(read(path), (size, size), interpolation=cv2.INTER_AREA)
            for path in paths[start : start + count]
        ]
        yield torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def codes_of(gaze: GazeCode | None) -> tuple[Array, Array]:
    """Return codes and whether eyes are found; where none are found the mean code stands in."""
    if gaze is None:
        raise MienError("the weights have no gaze branch; give some of `mien pretrain gaze`")
    code, found = gaze.code.float().cpu().numpy(), gaze.eyes_found.cpu().numpy().astype(bool)
    missing: Array = np.logical_not(np.isfinite(code).all(axis=1))
    if missing.all():
        raise MienError("eyes are found in no image; are these faces or eye-region crops?")
    return np.where(missing[:, None], code[~missing].mean(axis=0), code), found


def see_faces(model: Encoder, paths: Sequence[Path], plan: Plan) -> tuple[Factors, Array]:
    """Return the factors of face images and their HOG features. [N, D]."""
    parts, gradients = [], []
    for images in batches(paths, model.crop_size, plan.batch_size):
        parts.append(model.encode(images).to("cpu"))
        grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in images.permute(0, 2, 3, 1).numpy()]
        gradients.append(hog_features(images=grey, size=FACE_HOG))
    return Factors.cat(parts), np.concatenate(gradients)


def rendered(model: Encoder, folder: Path, plan: Plan) -> dict[str, Any]:
    """Return every number on rendered people."""
    labels = labels_of(folder)
    factors, gradients = see_faces(model, [folder / path for path in labels["path"]], plan)
    code, found = codes_of(factors.gaze)
    predicted = torch.stack(rotation_to_angles(factors.pose.rotation), dim=1).numpy()
    true = labels[["yaw_rad", "pitch_rad", "roll_rad"]].to_numpy(np.float64)
    nothing = np.empty((len(labels), 0))
    latent = torch.cat([factors.texture_code, factors.shape_code], dim=1).numpy()
    person = labels["person"].to_numpy(np.int64)
    gaze = labels[["gaze_x", "gaze_y", "gaze_z"]].to_numpy(np.float64)
    task = Task(gaze, [halves(person)], plan)
    seen = task.where(found)
    codes = {
        "gaze_code": code,
        "identity": factors.identity.numpy(),
        "expression": factors.expression.numpy(),
        "texture_code": factors.texture_code.numpy(),
        "shape_code": factors.shape_code.numpy(),
    }
    leaks = leakage_auc(codes=codes, person=person, rng=np.random.default_rng(plan.seed))
    return {
        "images": len(labels),
        "people": len(np.unique(person)),
        "eyes found": round(float(found.mean()), 4),
        "mean predictor": task.mean_predictor(),
        "gaze code": task.score(code),
        "gaze code, predicted pose": task.score(code, predicted),
        "gaze code, true pose": task.score(code, true),
        "where eyes are found: gaze code, predicted pose": seen.score(code, predicted)
        if seen
        else None,
        "predicted pose alone": task.score(nothing, predicted),
        "true pose alone": task.score(nothing, true),
        "texture and shape code, predicted pose": task.score(latent, predicted),
        "HOG": task.score(gradients),
        "HOG, true pose": task.score(gradients, true),
        "same person AUC": {name: round(value, 4) for name, value in leaks.items()},
    }


def labels_of(folder: Path) -> pd.DataFrame:
    """Return the truth about a folder of `mien synth`, one row an image."""
    path = folder / "labels.parquet"
    if not path.is_file():
        raise MienError(f"{path} does not exist; give a folder written by `mien synth`")
    return pq.read_table(path).to_pandas()


def see_eye_crops(model: Encoder, images: Sequence[Array], plan: Plan) -> tuple[Array, Array]:
    """Return gaze codes of grey eye-region crops and whether eyes are found. [N, d] and [N]."""
    parts = []
    for start in range(0, len(images), plan.batch_size):
        grey = torch.from_numpy(np.stack(images[start : start + plan.batch_size]))
        parts.append(model.encode_eyes(grey[:, None].repeat(1, 3, 1, 1)).to("cpu"))
    return codes_of(GazeCode.cat(parts))


def eye_crops(models: Sequence[Encoder], data: Columbia, plan: Plan) -> dict[str, Any]:
    """Return every number on eye-region crops; one model for all folds, or one for each."""
    if len(models) not in (1, FOLDS):
        raise MienError(f"{len(models)} weights are given; give one, or one for each fold: {FOLDS}")
    splits = data.folds(FOLDS)
    images = list(data.eye_crops(models[0].eye_crop_size))
    each = [see_eye_crops(model, images, plan) for model in models] * (FOLDS // len(models))
    codes, found = [code for code, _ in each], [mask for _, mask in each]
    gradients = hog_features(images=images, size=EYE_CROP_HOG)
    yaw = data.head_yaw_rad[:, None]
    task = Task(data.gaze, splits, plan)
    seen = task.where(found)
    leaks = [
        leakage_auc(
            codes={"gaze_code": code[test]},
            person=data.person[test],
            rng=np.random.default_rng(plan.seed),
        )["gaze_code"]
        for code, (_, test) in zip(codes, splits, strict=True)
    ]
    fractions = [mask[test].mean() for mask, (_, test) in zip(found, splits, strict=True)]
    return {
        "images": len(data),
        "people": len(np.unique(data.person)),
        "weights for each fold": len(models) > 1,
        "eyes found": round(float(np.mean(fractions)), 4),
        "mean predictor": task.mean_predictor(),
        "gaze code": task.score(codes),
        "gaze code, true pose": task.score(codes, yaw),
        "where eyes are found: gaze code": seen.score(codes) if seen else None,
        "true pose alone": task.score(np.empty((len(data), 0)), yaw),
        "HOG": task.score(gradients),
        "HOG, true pose": task.score(gradients, yaw),
        "same person AUC": {"gaze_code": round(float(np.mean(leaks)), 4)},
    }


def milliseconds_a_face(model: Encoder, images: Tensor, *, repeats: int = 10) -> float:
    """Return the median time of encoding a batch, all factors together, for each face of it."""
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        model.encode(images)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[2:])) / len(images)


def speed(model: Encoder, folder: Path | None, batch_size: int, threads: int) -> dict[str, Any]:
    """Return the time a face takes on the CPU; of rendered faces where a folder is given."""
    size, before = model.crop_size, torch.get_num_threads()
    images = torch.rand(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0))
    if folder is not None:
        paths = [folder / path for path in labels_of(folder)["path"][:batch_size]]
        images = next(batches(paths, size, batch_size))
    torch.set_num_threads(threads)
    try:
        time_ms = milliseconds_a_face(model, images)
    finally:
        torch.set_num_threads(before)
    return {"ms a face": round(time_ms, 2), "batch": len(images), "threads": threads}


def write_folds(data: Columbia, folder: Path) -> None:
    """Write the training eye-region crops of fold i into `folder`/fold_i, i from 1."""
    if folder.exists() and any(folder.iterdir()):
        raise MienError(f"{folder} is not empty; give a new folder")
    for number, (train, _) in enumerate(data.folds(FOLDS), start=1):
        place = folder / f"fold_{number}"
        place.mkdir(parents=True)
        for name, content in data.take(train).files():
            (place / Path(name).name).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is given, print it and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", nargs="+", default=[None], metavar="W")
    parser.add_argument("--student", type=Path, help="folder of `mien distill gaze`, in W's place")
    parser.add_argument("--rendered", type=Path, help="folder of `mien synth`, 224 px")
    parser.add_argument(
        "--eye-crops", type=Path, help="folder or zip of Columbia Gaze eye-region crops"
    )
    parser.add_argument(
        "--folds-to", type=Path, help="write training eye-region crops here, measure nothing"
    )
    parser.add_argument("--trials", "--draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="of the speed test")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args(arguments)
    if given.folds_to and not given.eye_crops:
        parser.error("--folds-to needs --eye-crops")
    try:
        if given.folds_to:
            write_folds(read_columbia(given.eye_crops), given.folds_to)
        else:
            measure(given)
    except MienError as error:
        parser.exit(2, f"error: {error}\n")


def load(where: str | None, student: Path | None) -> Encoder:
    """Return a model, or its student in its place."""
    model = mien.load(where)
    return StudentModel(model, load_student(student)) if student else model


def measure(given: argparse.Namespace) -> None:
    """Measure, print and write what the command line asks for."""
    plan = Plan(given.trials, given.seed, given.batch_size)
    models: list[Encoder] = [load(where, given.student) for where in given.weights]
    results: dict[str, Any] = {
        "weights": [model.weights_id for model in models],
        "trials": plan.trials,
        "seed": plan.seed,
        "speed": speed(models[0], given.rendered, given.batch_size, given.threads),
    }
    if given.rendered:
        results["rendered"] = rendered(models[0], given.rendered, plan)
    if given.eye_crops:
        results["eye_crops"] = eye_crops(models, read_columbia(given.eye_crops), plan)
    text = json.dumps(results, indent=1)
    given.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
