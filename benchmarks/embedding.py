"""Throughput of `mien embed` against the number of faces, and the memory it takes.

    python -m benchmarks.embedding
    python -m benchmarks.embedding --faces 100 1000 10000 --images FOLDER --device cuda

Each line is a process of its own: made-up crops with the detector `none`, then images with
`mien` (those of FOLDER, else the clips that the package ships). Ratios are to the first line, all
measured in one run. If throughput keeps level and memory too, the time is linear and the memory
constant. Seconds include finding inputs, decoding, encoding and writing, and not loading the model.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure and print the table; with --measure, do one line's work and print it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--images", type=Path, default=ROOT / "src/mien/shipped/clips")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--measure", nargs=2, metavar=("DETECTOR", "INPUT"), help="internal")
    given = parser.parse_args()
    if given.measure:
        detector, inputs = given.measure
        print(json.dumps(measure(detector, inputs, given)))
        return
    print(f"{'input':<24} {'faces':>7} {'faces/s':>9} {'ratio':>6} {'peak MB':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as name:
        first: dict[str, Any] | None = None
        for count in given.faces:
            write_crops(Path(name) / str(count), count)
            found = run_alone("none", Path(name) / str(count))
            first = first or found
            show(f"{count:,} crops, none", found, first)
        if given.images.is_dir() and any(given.images.iterdir()):
            show("images, mien", run_alone("mien", given.images), first or {})
        else:
            print(f"images, mien: nothing in {given.images}; give --images FOLDER")


def write_crops(folder: Path, count: int) -> None:
    """Write smooth random images of 64 x 64, a thousand to a folder."""
    from PIL import Image

    numbers = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(numbers.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(path)


def run_alone(detector: str, inputs: Path) -> dict[str, Any]:
    """Measure in a process of its own, so that its peak memory is its own too."""
    options = [word for word in sys.argv[1:] if word != "--measure"]
    line = [sys.executable, __file__, *options, "--measure", detector, str(inputs)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(detector: str, inputs: str, given: argparse.Namespace) -> dict[str, Any]:
    """Embed once and return faces, faces a second and peak memory in MB."""
    from mien.embedding.options import EmbedOptions
    from mien.embedding.run import embed_to_parquet
    from mien.pipeline.encode import open_encoder

    model = open_encoder(given.weights, device=given.device)
    options = EmbedOptions(detector, batch_size=given.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        out = Path(folder) / "faces.parquet"
        summary = embed_to_parquet(inputs, out, model=model, options=options)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"faces": summary.faces, "rate": summary.faces / seconds, "megabytes": peak}


def show(name: str, found: dict[str, Any], first: dict[str, Any]) -> None:
    """Print one line of the table."""
    rate = found["rate"] / first.get("rate", found["rate"])
    memory = found["megabytes"] / first.get("megabytes", found["megabytes"])
    print(
        f"{name:<24} {found['faces']:>7,} {found['rate']:>9,.1f} {rate:>6.2f} "
        f"{found['megabytes']:>8,.0f} {memory:>6.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
