"""Make the clips that the package ships: people who do not exist, each with several expressions.

Run: python tools/make_clips.py HEAD_MODEL src/mien/shipped/clips
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mien.media.video import write_mp4
from mien.synth.head_model import load_head_model
from mien.synth.stream import Stream

SEED, FRAMES, SIZE, FPS = 20_240_501, 14, 128, 4.0
PEOPLE = (0, 1, 2, 3, 4, 5, 6, 7)


def main() -> None:
    """Render and write one mp4 a person."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("head_model", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    stream = Stream(
        load_head_model(given.head_model),
        seed=SEED,
        frames_per_clip=FRAMES,
        size=SIZE,
        balanced=True,
    )
    for index in PEOPLE:
        frames = stream.clip(index).images.transpose(0, 2, 3, 1)
        write_mp4(given.out / f"person_{index + 1}.mp4", frames, fps=FPS)


if __name__ == "__main__":
    main()
