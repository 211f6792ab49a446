r"""Make folders of face crops, as tools/verification.py takes them, of an archive and its index.

Run: python tools/people_folders.py CROPS.zip INDEX.csv.gz --source NAME --out people
     python tools/people_folders.py CROPS.zip INDEX.csv.gz --source NAME --out faces --draw 2000

The index has the columns source, name (in the archive) and person. Crops have a border around the
model's square, --border of their side on each side, which is cut off. Without --draw every person
gets a folder; with it so many images, drawn by --seed, stand side by side.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> int:
    """Return 0 where the folder was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--source", required=True, help="the rows of the index to take")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--border", type=float, default=1 / 6)
    parser.add_argument("--draw", type=int, help="so many images, in one folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"{given.out} exists; give another folder or remove it")
    with gzip.open(given.index, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == given.source]
    if not rows:
        parser.error(f"{given.index} has no row whose source is {given.source}")
    if given.draw:
        chosen = np.random.default_rng(given.seed).permutation(len(rows))[: given.draw]
        rows = [rows[i] for i in chosen]
    with zipfile.ZipFile(given.archive) as archive:
        for row in rows:
            name = f"{Path(row['name']).stem}.png"
            target = given.out / name if given.draw else given.out / row["person"] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            inside(archive.read(row["name"]), given.border).save(target)
    sys.stdout.write(f"{len(rows):,} crops in {given.out}\n")
    return 0


def inside(data: bytes, border: float) -> Image.Image:
    """Return a crop without its border."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    low = round(border * image.width)
    return image.crop((low, low, image.width - low, image.height - low))


if __name__ == "__main__":
    sys.exit(main())
