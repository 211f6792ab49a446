"""How the weights hold for people drawn by another renderer than the one that they learned from.

Run: python -m benchmarks.held_out_look --head-model ict_facekit.npz --out looks [--weights W ...]

Needs `pip install mitsuba==3.9.1` (BSD-3-Clause), a ray tracer. People are ICT-FaceKit's shapes
with skin, hair, eyes and light of benchmarks/other_renderer; beside them as many of `mien synth`'s,
whose expressions, turns and framing are drawn from the same distributions. Images stay in the
folder: an interrupted run goes on, and further weights are measured without rendering again. With
several weights one table is printed for each; all go to results.json in the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.gaze import Plan
from benchmarks.look_measures import Score, gaze_scores, look_scores, see
from benchmarks.other_renderer.casting import Casting
from benchmarks.other_renderer.folder import Clip, write_people
from benchmarks.other_renderer.scene import VARIANT, Studio, open_mitsuba
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.media.image import read
from mien.model import load
from mien.synth.frame import Framing
from mien.synth.head_model import HeadModel, load_head_model
from mien.synth.stream import Stream

LOOKS = ("own", "other")
"""The package's renderer, and Mitsuba."""
TITLES = {"own": "the package's renderer", "other": "another renderer"}
SEED, GAZE_SEED = 7_300_001, 7_400_001
"""Never trained on."""
Truth = dict[tuple[str, str], pd.DataFrame]
"""By look and kind of images; a row an image."""
IMAGES_VERSION = 1
"""Raised whenever the same settings give other images than before."""


@dataclass(frozen=True)
class Series:
    """People that are rendered alike."""

    people: int
    frames: int
    size: int
    """Pixels."""
    seed: int
    samples: int
    """Rays through each pixel."""
    scale: float
    """Side of the image, in sides of the square that a detector cuts."""
    wide_gaze: bool
    off_centre: float
    """How far faces may be off the middle, in sides of the image."""
    images: int = IMAGES_VERSION

    @property
    def framing(self) -> Framing:
        """Return how far heads turn and how much surrounds them."""
        return Framing(yaw_std_deg=20.0, yaw_limit_deg=60.0, crop_scale=self.scale)


def own_clips(head: HeadModel, series: Series) -> Clip:
    """Return what renders a series with the package's renderer."""
    stream = Stream(
        head,
        seed=series.seed,
        frames_per_clip=series.frames,
        size=series.size,
        wide_gaze=series.wide_gaze,
        light="changing",
        framing=series.framing,
    )

    def clip(number: int) -> tuple[Any, Any]:
        made = stream.clip(number)
        return np.ascontiguousarray(made.images.transpose(0, 2, 3, 1)), made.labels

    return clip


def other_clips(path: Path, series: Series, variant: str) -> Clip:
    """Return what renders a series with Mitsuba; it is looked for when the first is asked for."""
    casting = Casting(
        path,
        seed=series.seed,
        frames=series.frames,
        framing=series.framing,
        wide_gaze=series.wide_gaze,
        off_centre=series.off_centre,
    )
    studios: list[Studio] = []

    def clip(number: int) -> tuple[Any, Any]:
        if not studios:
            studios.append(Studio(open_mitsuba(variant), casting, series.size, series.samples))
        cast = casting.person(number)
        return studios[0].render(cast), cast.frames

    return clip


def sheet(folder: Path, people: int, frames: int) -> NDArray[np.uint8]:
    """Return the first images of the first people, a row each, RGB. uint8 [H, W, 3]."""
    rows = [
        [read(folder / f"person_{n + 1:06d}" / f"frame_{t:03d}.jpg") for t in range(frames)]
        for n in range(people)
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def shown(scores: dict[str, dict[str, Score]]) -> str:
    """Return the scores of the looks as a table in Markdown, a row a measure."""
    lines = [
        f"| measure | {' | '.join(TITLES[look] for look in scores)} |",
        "|---" * (1 + len(scores)) + "|",
    ]
    for name in next(iter(scores.values())):
        kind = {
            "percent": "found" in name or "probe" in name,
            "digits": 3 if "AUC" in name or "correlation" in name else 1,
        }
        cells = [of[name].text(**kind) if name in of else "" for of in scores.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render(given: argparse.Namespace) -> Truth:
    """Render what is missing and return the truth about all images."""
    faces = Series(given.people, given.frames, 128, SEED, 10, 1.45, False, 0.08)
    gazes = Series(given.gaze_people, 4, 224, GAZE_SEED, 5, 1.0, True, 0.03)
    head = load_head_model(given.head_model)
    made: dict[str, Callable[[Series], Clip]] = {
        "own": lambda series: own_clips(head, series),
        "other": lambda series: other_clips(given.head_model, series, given.variant),
    }
    truth = {}
    # The other first, so that a run without Mitsuba ends at once.
    for look in reversed(LOOKS):
        for name, series in (("faces", faces), ("gaze", gazes)):
            folder = given.out / f"{look}-{name}"
            settings = {"look": look, "head_model": head.fingerprint, **asdict(series)}
            settings["variant"] = given.variant
            # More people may be added; of one renderer alone are the others.
            for key in ("people",) + ("samples", "off_centre", "variant") * (look == "own"):
                del settings[key]
            truth[look, name] = write_people(folder, series.people, made[look](series), settings)
            print(f"{folder}: {series.people} people, {series.frames} images each", flush=True)
    return truth


def measure(given: argparse.Namespace) -> None:
    """Render what is missing, then measure and print every look for each of the weights."""
    truth = render(given)
    if given.sheet:
        drawn = sheet(given.out / "other-faces", min(6, given.people), min(7, given.frames))
        Image.fromarray(drawn).save(given.sheet)
    results: dict[str, Any] = {}
    for where in given.weights:
        model = load(where)
        scores = {}
        for look in LOOKS:
            faces, gazes = (given.out / f"{look}-{name}" for name in ("faces", "gaze"))
            seen = see(model, faces, truth[look, "faces"], detector=given.detector)
            gaze = gaze_scores(model, gazes, truth[look, "gaze"], Plan())
            scores[look] = look_scores(seen) | gaze
        print(f"\nweights {where} {model.weights_id}\n\n{shown(scores)}", flush=True)
        results[model.weights_id] = {
            look: {name: asdict(score) for name, score in of.items()} for look, of in scores.items()
        }
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--head-model", type=Path, required=True, help="ICT-FaceKit's npz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the images")
    parser.add_argument("--weights", nargs="+", default=["mien"], metavar="W")
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--frames", type=int, default=8, help="images of each")
    parser.add_argument("--gaze-people", type=int, default=60, help="of the gaze images, 4 each")
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--variant", default=VARIANT, help="of Mitsuba")
    parser.add_argument("--sheet", type=Path, help="also write a sheet of faces to this file")
    given = parser.parse_args(arguments)
    if min(given.people, given.gaze_people) < 10 or given.frames < 2:
        parser.error("at least 10 people of 2 images each, and 10 people for gaze")
    try:
        measure(given)
    except MienError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
