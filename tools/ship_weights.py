r"""Put trained weights into the package, with their card and golden output.

Run: python tools/ship_weights.py RUN/exported results.json [gaze.json] --lfw LFW/report.json \
         --real fer2013/train.zip lfw-unpaired.zip

--name fast: the narrower ones, distilled from the others.

The JSON files are what benchmarks/results.py, benchmarks/gaze.py and `mien eval lfw-people` wrote
for these weights; their numbers go into the card. --real: images of real people that were
trained on; their checksums are shipped. Rendered people are identified by their seeds instead.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mien import weights
from mien.card import GROUPS, THRESHOLDS, Card, card_text
from mien.data.provenance import image_hashes
from mien.data.sources import find_sources
from mien.demo import shipped_clips
from mien.doctor import record_golden
from mien.model import load
from mien.pipeline.portrait import read_clip

DATA = (
    "63,000 rendered images of 10,500 people who do not exist, most of them in hard light, heads "
    "turned by up to 75 degrees, their pose and expressions known (`mien synth`, ICT-FaceKit, MIT)",
    "20,000 photographs of FairFace, one a person (Karkkainen and Joo 2021, CC BY 4.0), their pose "
    "known from YuNet's landmarks, without other labels; of each two to six further views, turned "
    "on the mean head of ICT-FaceKit",
    "76 clips of GRID (Cooke et al. 2006, CC BY 4.0 by its record at Zenodo), without labels",
    "face embedding, whose network goes on from one that learned from 12,000 of the photographs "
    "with two further views each and 20,000 rendered images of 2,500 people: the 20,000 "
    "photographs with three further views each, in the last 1,126,000 of 1,587,000 views 40 to "
    "60 % of these with drawn glasses, 1,461 frames of 76 clips of GRID, 52,000 rendered images of "
    "6,500 people who do not exist; its two finest levels are the encoder's; the direction of "
    "glasses, taken out, is that of 12,000 further rendered images of 1,500 people",
)
GAZE_DATA = (
    "gaze branch: 76,000 rendered images of 9,500 people who do not exist (`mien synth`), without "
    "gaze labels",
    "eye localizer: 16,366 photographs of FairFace with YuNet's landmarks, without labels of the "
    "eyes' state, and 3,200 rendered images of 660 people who do not exist",
)
FAST_DATA = (
    "distilled from `mien small`, weights 94793a723f9d, whose outputs were the targets (`mien "
    "distill encoder`): 19,600 photographs of FairFace, one a person, with three further views "
    "each, turned on the mean head of ICT-FaceKit, 60 % with drawn glasses (CC BY 4.0), 1,400 "
    "frames of 76 clips of GRID (CC BY 4.0), 19,600 rendered images of 2,450 people who do not "
    "exist (ICT-FaceKit, MIT)",
    "decoders are those of `mien small`; neutral networks and the pose's readout were fitted anew "
    "to 10,014 of the photographs, 21,000 rendered images of 3,500 people, their pose and "
    "expressions known, and the frames of GRID; the direction of glasses, taken out of the face "
    "embedding, is that of 12,000 rendered images of 1,500 people",
)
FAST_GAZE_DATA = (
    "gaze branch: the networks that find eyes and read the code, distilled from those of `mien "
    "small`, weights 68e1f07431f3, which have not changed since (`mien distill gaze --student "
    "emib`): 8,000 photographs of FairFace, 1,148 frames of GRID and 3,200 rendered images of 800 "
    "people with wide gaze, of which 681 were held out",
)
NOTES = {
    GROUPS: "300 rendered people; photographs by age, gender and race are in docs/results.md. "
    "One threshold for all, at a false match rate of 1 %; a group's false matches are among its "
    "own people. One linear probe of expression (7 classes) for all.",
    THRESHOLDS: "`mien eval lfw-people` on LFW's people who are in none of View 2's pairs, 110 "
    "genuine pairs and as many impostor pairs, seed 0; cosine of `face_embedding`, centred. Not "
    "trained on.",
}
LIMITS = (
    "false matches are more frequent among people who look alike: see the table above and "
    "docs/results.md for groups of FairFace",
    "eyes, teeth and glasses are blurred in reconstructions; neutral faces of heads turned far or "
    "half hidden are blurred or doubled",
    "heads that are turned beyond 45 degrees are read too near to the front in photographs",
    "the gaze code was learned from rendered eyes only",
    "two in five shut or hidden eyes in small grey images (FER-2013) are taken for open ones, "
    "tinted glasses too",
    "not tested on children's faces, occluded faces, or images under 48 px",
    "the worst cases among 4,200 rendered images are shown in docs/failures.png of the project",
    "one seed",
)
LICENCE = "MIT"


def main() -> None:
    """Copy, write the card, record the golden output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exported", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--real", nargs="+", required=True)
    parser.add_argument("--name", choices=weights.SHIPPED, default="mien")
    given = parser.parse_args()
    config, tensors = weights.read(given.exported)
    found = {key: value for path in given.results for key, value in read(path).items()}
    fast = given.name == "fast"
    card = Card(
        name="mien fast" if fast else "mien small",
        licence=LICENCE,
        data=FAST_DATA + FAST_GAZE_DATA if fast else DATA + GAZE_DATA,
        results=_flat(found),
        groups=group_rows(found) if "groups" in found["rendered"] else (),
        thresholds=threshold_rows(read(given.lfw)),
        notes=NOTES,
        limits=LIMITS,
        config=config,
    )
    images = image_hashes(find_sources(given.real).pieces)
    target = weights.shipped_folder(given.name)
    shutil.rmtree(target, ignore_errors=True)
    weights.save(target, tensors, config, card_text(card), images=images, half=True)
    if fast:
        return
    model = load()
    clips = sorted(shipped_clips().glob("*.mp4"))
    size = model.config.image_size
    frames = [read_clip(clip, detector="none", size=size)[:1] for clip in clips]
    record_golden(model, torch.cat(frames))


def read(path: Path) -> dict[str, Any]:
    """Return a file of numbers."""
    return json.loads(path.read_text())


def group_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Return what benchmarks/results.py measured for each group, column names first."""
    columns = [
        *("", "people", "yaw error, degrees", "expression"),
        *("false match rate", "false non-match rate"),
    ]
    return [
        columns,
        *(
            [
                name,
                str(error["people"]),
                f"{error['yaw_deg']:.1f}",
                *(
                    f"{100 * error[what]:.1f} %"
                    for what in ("expression", "false_match_rate", "false_non_match_rate")
                ),
            ]
            for name, error in found["rendered"]["groups"].items()
        ),
    ]


def threshold_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the table of thresholds of a report of `mien eval lfw-people`, column names first."""
    (run,) = report["protocols"]
    (table,) = [table for table in run["tables"] if table["title"].startswith("Thresholds")]
    return [[str(cell) for cell in row] for row in (table["columns"], *table["rows"])]


def _flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested numbers as name -> text; tables are left to docs/results.md."""
    flat: dict[str, str] = {}
    for name, value in found.items():
        if name in ("probes", "groups", "speed", "weights", "9", "50", "200", "all"):
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}: ")
        else:
            flat[f"{prefix}{name}"] = f"{value:.3f}" if isinstance(value, float) else str(value)
    return flat


if __name__ == "__main__":
    main()
