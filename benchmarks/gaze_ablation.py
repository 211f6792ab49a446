"""EM-IB without each of its parts, and its controls: the ablation tables of docs/results.md.

Run:
    mien pretrain gaze --data people --out run
    python -m benchmarks.gaze_ablation --weights run/exported --cache run/cache/KEY --train people \
        --rendered others --eye-crops images.zip --steps 300 --out ablation.json

Every variant is trained from scratch on the images that a run has cached, with the same number
of images, seed and schedule; the eye localizer is that of the weights. The last step is judged
from 100 labelled samples of other people (10 trials): on rendered people, and across domains on
Columbia's eye-region crops, which nothing here was trained on. `--only` takes some of the
variants; what OUT already holds is not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from benchmarks.columbia import Columbia, read_columbia
from benchmarks.gaze_few_shot import few_shot, halves, leakage_auc, mean_over_folds
from benchmarks.hog import hog_features
from numpy.typing import NDArray
from torch import Tensor

import mien
from mien.data.eye_cache import EyeCache, open_eye_caches
from mien.errors import MienError
from mien.gaze.config import GazeConfig
from mien.gaze.cut import EyeImage, EyeViews, cut_views, normalised
from mien.gaze.emib import EMIB
from mien.gaze.objective import GazeWeights, contrast, emib_loss
from mien.gaze.variation import image_of, jitter, relit, sample_affine
from mien.geometry.gaze import gaze_angles
from mien.latentface.neutral import CodeScale, NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import leave_one_out, neutral_error
from mien.media.image import read
from mien.model import Model

Array = NDArray[Any]
Loss = Callable[[EMIB, dict[str, Tensor], int, torch.Generator], Tensor]
SAMPLES, TRIALS, CLIPS, FRAMES, RATE = 100, 10, 16, 4, 6e-4


@dataclass(frozen=True)
class Variant:
    """What is trained, and what differs from EM-IB as it is shipped."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    kind: str = "emib"
    """emib, simclr, mae (features of the auto-encoder's encoder), or labels."""


VARIANTS = (
    Variant("EM-IB as shipped"),
    Variant("without alternation", weights={"unattended_weight": 0.0}),
    Variant("with eye-swap contrast 0.02", weights={"contrastive_weight": 0.02}),
    Variant("with eye-swap contrast 0.1", weights={"contrastive_weight": 0.1}),
    Variant("without bottleneck: d = 128", {"code_dim": 128}),
    Variant("without injection: contrast alone", {"injected": False}, {"contrast": 0.3}),
    Variant("variational, rate weight 0.001", {"variational": True}, {"rate": 0.001}),
    Variant("d = 2", {"code_dim": 2}),
    Variant("d = 4", {"code_dim": 4}),
    Variant("d = 8", {"code_dim": 8}),
    Variant("d = 32", {"code_dim": 32}),
    Variant(
        "auto-encoder: no surroundings", weights={"visible_fraction": 0.0, "unattended_weight": 0.0}
    ),
    Variant("masked auto-encoder", {"injected": False}, {"unattended_every": 2}, "mae"),
    Variant("SimCLR, d = 128", {"code_dim": 128}, kind="simclr"),
    Variant("all labels (ceiling)", {"code_dim": 2}, kind="labels"),
)


@dataclass(frozen=True)
class Faces:
    """Rendered people to be judged on."""

    images: Tensor
    """Luminance in [0, 1]. [N, 1, 224, 224]."""
    guess: Tensor
    """Where LatentFace's pose carries the eyes. [N, 2, 2]."""
    pose: Array
    """LatentFace's yaw, pitch, roll. [N, 3]."""
    gaze: Array
    person: NDArray[np.int64]
    hog: Array


@dataclass(frozen=True)
class Bench:
    """Everything that the variants share."""

    cache: EyeCache
    labels: Array
    """Yaw and pitch of the cached images' gaze, for the ceiling alone. [N, 2]."""
    base: EMIB
    faces: Faces
    eye_crops: Columbia
    eye_crop_images: Tensor
    eye_crop_hog: Array
    steps: int
    width: dict[str, int]


def main() -> None:
    """Train and judge the variants, writing after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="whose eye localizer is used")
    parser.add_argument("--cache", type=Path, required=True, help="cached images of a run")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="what was cached")
    parser.add_argument("--rendered", type=Path, required=True, help="other people, 224 px")
    parser.add_argument("--eye-crops", type=Path, required=True, help="Columbia's eye-region crops")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--dim", type=int, default=128, help="width of the networks")
    parser.add_argument("--only", nargs="*", help="names of variants")
    parser.add_argument("--out", type=Path, default=Path("ablation.json"))
    given = parser.parse_args()
    bench = prepare(given)
    done = json.loads(given.out.read_text()) if given.out.is_file() else {}
    if "HOG" not in done:
        done["HOG"] = judge(bench, bench.faces.hog, bench.eye_crop_hog)
    for variant in VARIANTS:
        if variant.name in done or (given.only and variant.name not in given.only):
            continue
        started = time.monotonic()
        model = train(bench, variant)
        found = judge(bench, *codes(bench, model, variant))
        done[variant.name] = found | {"images": bench.steps * CLIPS * FRAMES}
        if variant.name == "EM-IB as shipped":
            done |= split(bench, model)
        given.out.write_text(json.dumps(done, indent=1) + "\n")
        print(f"{variant.name}: {found} in {time.monotonic() - started:.0f} s", flush=True)


def prepare(given: argparse.Namespace) -> Bench:
    """Read everything once."""
    model = mien.load(given.weights)
    if model.gaze is None:
        raise MienError(f"{given.weights} has no gaze branch")
    cache = open_eye_caches([given.cache])
    tables = [pq.read_table(folder / "labels.parquet").to_pandas() for folder in given.train]
    labels = pd.concat([table.sort_values("path") for table in tables])
    if len(labels) != len(cache):
        raise MienError(f"{given.cache} does not hold the images of --train, all of them")
    yaw, pitch = gaze_angles(labels[["gaze_x", "gaze_y", "gaze_z"]].to_numpy(np.float64))
    eye_crops = read_columbia(given.eye_crops)
    images = list(eye_crops.eye_crops(model.eye_crop_size))
    return Bench(
        cache,
        np.stack([yaw, pitch], axis=1),
        model.gaze,
        see(model, given.rendered),
        eye_crops,
        torch.from_numpy(np.stack(images))[:, None].float() / 255,
        hog_features(images=images, size=(48, 96)),
        given.steps,
        {"dim": given.dim, "stem_width": given.dim // 4},
    )


def see(model: Model, folder: Path) -> Faces:
    """Read rendered people and what LatentFace says of their pose."""
    from mien.gaze.localizer import project_eyes
    from mien.geometry.rotation import rotation_to_angles
    from mien.model import prepare as crops

    labels = pq.read_table(folder / "labels.parquet").to_pandas()
    rgb = torch.from_numpy(np.stack([read(folder / path) for path in labels["path"]]))
    rgb, size = rgb.permute(0, 3, 1, 2), model.config.image_size
    with torch.no_grad():
        small = torch.cat([crops(part, (size, size)) for part in rgb.split(100)])
        pose = model.network(small).pose
    assert model.gaze is not None
    guess = project_eyes(model.gaze.canonical_eyes, pose, model.config.fov_deg)
    grey = np.stack([cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in rgb.permute(0, 2, 3, 1).numpy()])
    return Faces(
        torch.from_numpy(grey)[:, None].float() / 255,
        guess,
        torch.stack(rotation_to_angles(pose.rotation), dim=1).numpy(),
        labels[["gaze_x", "gaze_y", "gaze_z"]].to_numpy(np.float64),
        labels["person"].to_numpy(np.int64),
        hog_features(images=list(grey), size=(128, 128)),
    )


def train(bench: Bench, variant: Variant) -> EMIB:
    """Train one variant from scratch and return its averaged weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = EMIB(GazeConfig(**{**bench.width, **variant.config}))
    model.localizer.load_state_dict(bench.base.localizer.state_dict())
    model.canonical_eyes.copy_(bench.base.canonical_eyes)
    model.localizer.requires_grad_(requires_grad=False)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=RATE, betas=(0.9, 0.99), weight_decay=0.02)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    members = np.argsort(bench.cache.clip, kind="stable").reshape(
        -1, int(np.sum(bench.cache.clip == 0))
    )
    loss = losses(bench, variant)
    for step in range(bench.steps):
        chosen = members[rng.integers(len(members), size=CLIPS)]
        rows = np.concatenate([rng.permutation(row)[:FRAMES] for row in chosen])
        for group in optimizer.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / bench.steps)
            group["lr"] = RATE * min(1, (step + 1) / 50) * (0.02 + 0.98 * cosine)
        with torch.autocast("cpu", torch.bfloat16):
            total = loss(model, gather(bench.cache, rows), step, generator)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        average.update_parameters(model)
    model.load_state_dict(average.module.state_dict())
    return model.eval()


def gather(cache: EyeCache, rows: Array) -> dict[str, Tensor]:
    """Return rows of the cache as a batch."""
    canvas, face = cache.gather(rows)
    named = {
        "canvas": canvas[:, None],
        "face": face[:, None],
        "eyes": cache.eyes[rows].astype(np.float32),
        "face_eyes": cache.face_eyes[rows].astype(np.float32),
        "has_face": cache.has_face[rows],
        "clip": cache.clip[rows],
        "row": rows,
    }
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in named.items()}


def losses(bench: Bench, variant: Variant) -> Loss:
    """Return the loss of a variant's kind."""
    weights = GazeWeights(**variant.weights)

    def emib(
        model: EMIB, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> Tensor:
        return emib_loss(model, batch, weights, step=step, generator=generator).total

    def simclr(
        model: EMIB,
        batch: dict[str, Tensor],
        step: int,  # noqa: ARG001 - all losses are called alike
        generator: torch.Generator,
    ) -> Tensor:
        image = image_of(batch, mirror=True, no_face=weights.no_face_prob, generator=generator)
        affine = sample_affine(image, generator)
        one, other = (
            model.projector(model.bottleneck(_again(model, image, affine, generator)).mean)
            for _ in range(2)
        )
        return contrast(one, other, torch.zeros(len(one)), 0.1)[0]

    def labels(
        model: EMIB,
        batch: dict[str, Tensor],
        step: int,  # noqa: ARG001 - all losses are called alike
        generator: torch.Generator,
    ) -> Tensor:
        image = image_of(batch, no_face=weights.no_face_prob, generator=generator)
        predicted = model.bottleneck(_again(model, image, None, generator)).mean
        truth = torch.from_numpy(bench.labels[batch["row"].numpy()]).float()
        return (predicted - truth).abs().mean()

    return {"emib": emib, "mae": emib, "simclr": simclr, "labels": labels}[variant.kind]


def _again(
    model: EMIB, image: EyeImage, affine: Tensor | None, generator: torch.Generator
) -> EyeViews:
    """Cut and light an image once more."""
    shift = jitter(image, 1.0, generator)
    return normalised(relit(cut_views(image, model.config, affine=affine, jitter=shift), generator))


@torch.no_grad()
def codes(bench: Bench, model: EMIB, variant: Variant) -> tuple[Array, Array]:
    """Return the features of all faces and eye-region crops."""

    def read_off(images: Tensor, guess: Tensor | None) -> Tensor:
        image, _ = model.locate_eyes(images, guess, is_face=guess is not None)
        views = normalised(cut_views(image, model.config))
        if variant.kind != "mae":
            return model.bottleneck(views).mean
        # The eyes are in the band: the encoder sees them when nothing is masked.
        seen = model.autoencoder.encode(views, keep=1.0, generator=None, masked=False)
        return seen.tokens.flatten(1)[:, : model.config.band_tokens * model.config.dim]

    faces = zip(bench.faces.images.split(100), bench.faces.guess.split(100), strict=True)
    return (
        torch.cat([read_off(images, guess) for images, guess in faces]).float().numpy(),
        torch.cat([read_off(images, None) for images in bench.eye_crop_images.split(100)]).numpy(),
    )


def judge(bench: Bench, faces: Array, eye_crops: Array) -> dict[str, float]:
    """Return the errors from 100 samples on both sets, and how well codes separate people."""
    yaw = bench.eye_crops.head_yaw_rad[:, None]
    one = [halves(bench.faces.person)]
    folds = bench.eye_crops.folds(4)
    leak = leakage_auc(
        codes={"code": faces}, person=bench.faces.person, rng=np.random.default_rng(0)
    )
    return {
        "rendered": _score(faces, bench.faces.gaze, one, None),
        "rendered, predicted pose": _score(faces, bench.faces.gaze, one, bench.faces.pose),
        "eye-region crops": _score(eye_crops, bench.eye_crops.gaze, folds, None),
        "eye-region crops, pose": _score(eye_crops, bench.eye_crops.gaze, folds, yaw),
        "same person AUC": round(leak["code"], 3),
    }


def _score(features: Array, gaze: Array, splits: Any, pose: Array | None) -> float:
    parts = [
        few_shot(
            train_codes=features[train],
            train_gaze=gaze[train],
            test_codes=features[test],
            test_gaze=gaze[test],
            pose=None if pose is None else (pose[train], pose[test]),
            counts=(SAMPLES,),
            trials=TRIALS,
            rng=np.random.default_rng(0),
        )
        for train, test in splits
    ]
    return round(mean_over_folds(parts)[0].mean_deg, 2)


def split(bench: Bench, model: EMIB) -> dict[str, dict[str, float]]:
    """Split the code into a static and a dynamic part as LatentFace does; judge the dynamic one."""
    shipped = Variant("")
    with torch.no_grad():
        rows = np.argsort(bench.cache.clip, kind="stable")[:8000]
        parts = [
            model.bottleneck(
                normalised(cut_views(image_of(gather(bench.cache, part)), model.config))
            )
            for part in np.split(rows, 40)
        ]
    raw = torch.cat([part.mean for part in parts])
    scale = CodeScale(raw.shape[1])
    scale.fit(raw)
    clips = scale(raw).unflatten(0, (-1, int(np.sum(bench.cache.clip == 0))))
    code, target = clips.flatten(0, 1), leave_one_out(clips).flatten(0, 1)
    faces, eye_crops = (torch.from_numpy(each) for each in codes(bench, model, shipped))
    found = {}
    for name, network in (
        ("regressed", NeutralRegressor(raw.shape[1], 128, 2)),
        ("RDM", NeutralDiffusion(raw.shape[1], 128, 2, 5)),
    ):
        generator = torch.Generator().manual_seed(0)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(1500):
            chosen = torch.randint(len(code), (256,), generator=generator)
            loss = neutral_error(
                network, code[chosen], target[chosen], weighting="constant", generator=generator
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            dynamic = [(scale(each) - network(scale(each))).numpy() for each in (faces, eye_crops)]
        found[f"dynamic part, static {name}"] = judge(bench, dynamic[0], dynamic[1])
    return found


if __name__ == "__main__":
    main()
