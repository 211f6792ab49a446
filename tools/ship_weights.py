"""Put trained weights into the package, with their card and the output that they must give.

Run: python tools/ship_weights.py RUN/exported results.json [gaze.json]

The JSON files are what benchmarks/results.py and benchmarks/gaze.py wrote for these weights; their
numbers go into the card.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from mien import weights
from mien.card import Card, card_text
from mien.demo import shipped_clips
from mien.doctor import record_golden
from mien.model import load
from mien.views.portrait import read_clip

DATA = (
    "55,488 rendered pictures of 6,186 people who do not exist (`mien synth`, ICT-FaceKit, MIT)",
    "28,709 pictures of FER-2013's training set, without labels (Goodfellow et al. 2013, "
    "research use)",
    "1,505 pictures of Labeled Faces in the Wild, of people in none of View 2's test pairs "
    "(Huang et al. 2007, research use)",
)
GAZE_DATA = (
    "gaze branch: 76,000 rendered pictures of 9,500 people who do not exist (`mien synth`), gaze "
    "not told",
)
LIMITS = (
    "head turns beyond about 30 degrees are underestimated",
    "eyes, teeth and glasses are blurred in reconstructions",
    "the gaze branch has seen rendered eyes alone; narrow eyes and glare on glasses are often "
    "taken for hidden ones",
    "not tested on children's faces, occluded faces, or pictures under 48 px",
)


def main() -> None:
    """Copy, write the card, record the golden output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exported", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    target = weights.shipped_folder()
    shutil.rmtree(target, ignore_errors=True)
    config, tensors = weights.read(given.exported)
    found = {key: value for path in given.results for key, value in read(path).items()}
    card = Card(
        name="mien small",
        licence="mit",
        data=DATA + (GAZE_DATA if config.get("gaze") else ()),
        results=_flat(found),
        limits=LIMITS,
        config=config,
    )
    weights.save(target, tensors, config, card_text(card), half=True)
    model = load()
    clips = sorted(shipped_clips().glob("*.mp4"))
    size = model.config.image_size
    frames = [read_clip(clip, detector="none", size=size)[:1] for clip in clips]
    record_golden(model, torch.cat(frames))


def read(path: Path) -> dict[str, object]:
    """Return a file of numbers."""
    return json.loads(path.read_text())


def _flat(found: dict[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested numbers as name -> text; tables are left to docs/results.md."""
    flat: dict[str, str] = {}
    for name, value in found.items():
        if name in ("probes", "speed", "weights", "9", "50", "200", "all"):
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}: ")
        else:
            flat[f"{prefix}{name}"] = f"{value:.3f}" if isinstance(value, float) else str(value)
    return flat


if __name__ == "__main__":
    main()
