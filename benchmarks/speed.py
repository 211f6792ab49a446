"""Speed of this build beside that of an earlier commit, measured alternately on one machine.

Run: python -m benchmarks.speed --faces fairface.zip --out speed [--commit c248a94] [--rounds 5]

The earlier commit is taken from git into a folder of its own; both builds get an environment of
their own (`python -m venv`) that sees the packages of the Python that runs this, so that they
differ in nothing but mien. Each measurement is a process of its own; rounds go build by build and
back, so that both meet the same neighbours. Of the rounds medians are taken, ratios are of medians.

Processor time is what counts: it is the process's own, user and system, without what it takes to
start, and of both builds alike. `--faces` is a zip file or folder of face images, which are brought
to 250 pixels. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import site
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
_SIDE = 250
_WORKER = """
import json, os, resource, sys, time
case, paths, cores = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
weights = sys.argv[4:]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if case in ("encode", "one"):
    os.environ["OMP_NUM_THREADS"] = "1"
import mien, numpy
from PIL import Image
try:  # as `mien embed` opens weights
    from mien.pipeline.encode import open_encoder as opened
except ImportError:
    opened = mien.load
model = mien.load(*weights) if case == "encode" else opened(*weights)
if case == "encode":
    import torch
    crops = [Image.open(p).convert("RGB").resize((224, 224)) for p in paths]
    batches = [torch.from_numpy(numpy.array(c)).permute(2, 0, 1)[None].contiguous() for c in crops]
    run, rest = (lambda each: [model.encode(x) for x in each]), batches
else:
    kind = {} if case in ("images", "video", "one") else {"detector": "none"}
    if case == "one":
        run, rest = (lambda each: [mien.embed([p], model=model) for p in each]), paths
    else:
        run, rest = (lambda each: mien.embed(each, model=model, **kind)), paths
run(rest[:1] if case == "video" else rest[:3])
cpu, wall = time.process_time(), time.perf_counter()
found = run(rest)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
items = len(found)
faces = int(found["face_found"].sum()) if case in ("images", "video", "crops") else items
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"cpu_ms": 1e3 * cpu / items, "wall_ms": 1e3 * wall / items, "items": items,
                  "faces": faces, "peak_mib": peak}))
"""


@dataclass(frozen=True)
class Build:
    """A build of mien in an environment of its own."""

    name: str
    python: Path
    entry: str
    """What its command line is, as `module:function`."""
    weights: tuple[str, ...] = ()
    """Name of its weights; none: those that it takes by itself."""


@dataclass(frozen=True)
class Inputs:
    """What both builds are given."""

    images: list[str]
    crops: list[str]
    """The same images, four files of each."""
    video: str


def make_build(folder: Path, name: str, checkout: Path) -> Build:
    """Make an environment that has a checkout's source and the packages of the present one."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = [str(checkout / "src"), *site.getsitepackages(), *_linked()]
    (packages / "build.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Build(name, folder / "bin" / "python", project["scripts"]["mien"])


def _linked() -> list[str]:
    """Return the folders that the present environment itself links to."""
    return [p for p in sys.path if p.endswith("site-packages")]


def check_out(commit: str, folder: Path) -> Path:
    """Unpack a commit of this repository and return the folder."""
    packed = subprocess.run(
        ["git", "archive", commit, "src", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def make_inputs(faces: Path, folder: Path, count: int, frames: int) -> Inputs:
    """Write face images of 250 pixels and a 1080p H.264 video of one face that moves."""
    folder.mkdir()
    images, crops = [], []
    for number, image in enumerate(_read_faces(faces, count)):
        large = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        for quality in (95, 94, 93, 92):
            path = folder / f"{number:04d}-{quality}.jpg"
            large.save(path, quality=quality)
            crops.append(str(path))
        images.append(crops[-4])
    if len(images) < 3:
        raise SystemExit(f"{faces} holds {len(images)} images; at least 3 are needed")
    video = folder / "face.mp4"
    _write_video(video, Image.open(images[0]).resize((480, 480)), frames)
    return Inputs(images, crops, str(video))


def _read_faces(faces: Path, count: int) -> list[Image.Image]:
    kinds = (".jpg", ".jpeg", ".png")
    if faces.is_dir():
        paths = sorted(p for p in faces.rglob("*") if p.suffix.lower() in kinds)
        return [Image.open(path) for path in paths[:count]]
    with zipfile.ZipFile(faces) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith(kinds))[:count]
        return [Image.open(io.BytesIO(archive.read(name))) for name in names]


def _write_video(path: Path, face: Image.Image, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(frames):
            scene = Image.new("RGB", (1920, 1080), (96, 110, 104))
            scene.paste(face, (600 + 4 * number % 400, 300))
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.asarray(scene), "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def measure(build: Build, case: str, paths: Sequence[str], cores: int = 1) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [str(build.python), "-c", _WORKER, case, json.dumps(list(paths)), str(cores)]
    command += build.weights
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env=_environment()
    )
    if run.returncode:
        raise SystemExit(f"{build.name}, {case}: {run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    """Return this process's environment less what would put another mien before a build's own."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def measure_start(build: Build, image: str, out: Path) -> dict[str, float]:
    """Time the whole process of `mien embed` on one image, seconds."""
    module, function = build.entry.split(":")
    call = f"from {module} import {function}; {function}()"
    command = [str(build.python), "-c", call, "embed", image, "--out", str(out), "--overwrite"]
    command += [word for name in build.weights for word in ("--weights", name)]
    begin = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd="/", env=_environment()) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{build.name}, start: {said.decode()[-2000:]}")
    spent = usage.ru_utime + usage.ru_stime
    return {"wall_s": time.perf_counter() - begin, "cpu_s": spent}


def measure_round(build: Build, inputs: Inputs, folder: Path) -> dict[str, float]:
    """Measure everything once."""
    images = measure(build, "images", inputs.images)
    many = measure(build, "crops", inputs.crops)
    both = measure(build, "crops", inputs.crops, cores=2)
    start = measure_start(build, inputs.images[0], folder / f"{build.name}.parquet")
    video = measure(build, "video", [inputs.video])
    return {
        "images of 250 px, default detector, CPU-ms each": images["cpu_ms"],
        "face crops, detector none, CPU-ms each": many["cpu_ms"],
        "1080p H.264, one face, CPU-ms a frame": video["cpu_ms"],
        "model.encode of one crop, one thread, CPU-ms": measure(build, "encode", inputs.images)[
            "cpu_ms"
        ],
        "mien.embed of one image, one thread, CPU-ms": measure(build, "one", inputs.images[:12])[
            "cpu_ms"
        ],
        "start of mien embed on one image, wall s": start["wall_s"],
        "start of mien embed on one image, CPU-s": start["cpu_s"],
        "peak memory, MiB": max(images["peak_mib"], many["peak_mib"], video["peak_mib"]),
        "speed on two cores against one, crops": many["wall_ms"] / both["wall_ms"],
        "faces found in the images": images["faces"],
    }


def summarise(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Return for each measure every build's median, all values, and how often it is the first's."""
    first, rows = next(iter(rounds)), []
    for name in rounds[first][0]:
        row: dict[str, Any] = {"measure": name}
        for build, each in rounds.items():
            values = [measured[name] for measured in each]
            row[build] = {"median": statistics.median(values), "all": values}
            median = row[build]["median"]
            row[build]["ratio"] = row[first]["median"] / median if median else None
        rows.append(row)
    return rows


def as_markdown(result: Mapping[str, Any]) -> str:
    """Return the table with the machine's kind above it."""
    first, *later = result["builds"]
    columns = ["measure", first, *(part for name in later for part in (name, f"{first} / {name}"))]
    lines = [
        f"{result['machine']}; {result['rounds']} rounds, medians.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
    ]
    for row in result["measures"]:
        cells = [row["measure"], f"{row[first]['median']:.4g}"]
        for name in later:
            ratio = row[name]["ratio"]
            cells += [f"{row[name]['median']:.4g}", "" if ratio is None else f"{ratio:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return the processor's name, how many of its cores are free to use, and what it can do."""
    name, flags = platform.processor() or platform.machine(), ""
    with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - no regular file
        for line in file:
            key, _, value = line.partition(":")
            name = value.strip() if key.strip() == "model name" else name
            flags = value if key.strip() == "flags" else flags
    kinds = [k for k in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if k in flags.split()]
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {' '.join(kinds)}, {platform.system()}"


def main() -> None:
    """Measure both builds in turn and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="zip file or folder of images")
    parser.add_argument("--commit", default="c248a94")
    parser.add_argument("--weights", help="name of weights that this build is measured with, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--out", type=Path, required=True, help="without ending")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = check_out(given.commit, folder / "before")
        builds = [
            make_build(folder / "old", given.commit, before),
            make_build(folder / "new", "now", ROOT),
        ]
        if given.weights:
            name = f"now, {given.weights}"
            builds.append(replace(builds[1], name=name, weights=(given.weights,)))
        inputs = make_inputs(given.faces, folder / "in", given.images, given.frames)
        rounds: dict[str, list[dict[str, float]]] = {build.name: [] for build in builds}
        for number in range(given.rounds):
            for build in builds if number % 2 == 0 else reversed(builds):
                rounds[build.name].append(measure_round(build, inputs, folder))
                print(f"round {number + 1}, {build.name}: {rounds[build.name][-1]}", flush=True)
    result = {
        "machine": machine(),
        "rounds": given.rounds,
        "builds": list(rounds),
        "images": len(inputs.images),
        "frames": given.frames,
        "measures": summarise(rounds),
    }
    write_result(given.out, result, as_markdown(result))


def write_result(out: Path, result: Mapping[str, Any], table: str) -> None:
    """Write OUT.json and OUT.md, and print the table."""
    out.with_suffix(".json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    out.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
