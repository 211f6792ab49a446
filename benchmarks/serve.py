"""How fast `mien serve` is under load, beside the library alone, and whether it keeps its memory.

    python -m benchmarks.serve --seconds 60 --clients 32

A service is started on a free port of the loopback. First the library alone reads the same images
in batches (`mien.analyze`) in a process of its own; then the clients ask for `--seconds`, each with
one request at a time over a connection that is kept. Exit code 1: an answer was neither 200 nor
429 nor 503, or a connection broke.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from mien.demo import shipped_clips
from mien.media.video import read_frames

_PATH = "/v1/analyze?fields=pose,light,gaze,face_embedding"
_ALONE = """
import sys, time
from pathlib import Path
import mien
images = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
import io
model = mien.load()
read = lambda some: mien.analyze([io.BytesIO(one) for one in some], model=model,
                                 detector=sys.argv[2], batch_size=int(sys.argv[3]))
read(images)
count, start, spent = 0, time.perf_counter(), time.process_time()
while time.perf_counter() - start < float(sys.argv[4]):
    read(images)
    count += len(images)
print(count / (time.perf_counter() - start), 1000 * (time.process_time() - spent) / count)
"""


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    """Of answers 200."""
    statuses: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark of the command line; return the exit code."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(options.images, options.side)
        for number, data in enumerate(images):
            (Path(folder) / f"{number:04}.jpg").write_bytes(data)
        alone, alone_cpu = library_alone(folder, options)
    server, url = start_server(options)
    try:
        load, memory, took, spent = ask(server.pid, url, images, options)
    finally:
        server.terminate()
        code = server.wait(60)
    served = load.statuses["200"] / took
    bad = {s: n for s, n in load.statuses.items() if s not in ("200", "429", "503")}
    report = {
        "clients": options.clients,
        "seconds": round(took, 1),
        "library_images_per_s": round(alone, 2),
        "served_images_per_s": round(served, 2),
        "of_library_percent": round(100 * served / alone, 1),
        "library_cpu_ms": round(alone_cpu, 2),
        "service_cpu_ms": round(1000 * spent[0] / max(1, load.statuses["200"]), 2),
        "clients_cpu_ms": round(1000 * spent[1] / max(1, load.statuses["200"]), 2),
        "statuses": dict(load.statuses),
        "p50_ms": _percentile(load.seconds, 50),
        "p99_ms": _percentile(load.seconds, 99),
        "memory_mib": memory,
        "server_exit": code,
    }
    print(json.dumps(report, indent=1))
    return int(bool(bad) or code != 0)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of load; up to 600")
    parser.add_argument("--clients", type=int, default=32, help="at a time; up to 256")
    parser.add_argument("--images", type=int, default=64, help="different ones")
    parser.add_argument("--side", type=int, default=224, help="of the images, pixels")
    parser.add_argument("--detector", default="none", help="none, auto, haar, yunet")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args(arguments)
    if not (0 < options.seconds <= 600 and 0 < options.clients <= 256 and options.images > 0):
        parser.error("--seconds is up to 600, --clients up to 256, --images 1 or more")
    return options


def make_images(count: int, side: int) -> list[bytes]:
    """Return JPEG files of frames of the shipped clips."""
    frames = []
    for path in sorted(shipped_clips().glob("*.mp4")):
        frames += [f.pixels for f in read_frames(path) if f.pixels is not None]
    chosen = np.linspace(0, len(frames) - 1, count).astype(int)
    found = []
    for number in chosen:
        file = io.BytesIO()
        image = Image.fromarray(frames[number]).resize((side, side), Image.Resampling.BICUBIC)
        image.save(file, format="JPEG", quality=92)
        found.append(file.getvalue())
    return found


def library_alone(folder: str, options: argparse.Namespace) -> tuple[float, float]:
    """Return the images that the library reads in a second, and the processors' time for each, ms.

    In batches.
    """
    words = [folder, options.detector, str(options.batch_size), str(options.seconds / 3)]
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, *words],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    rate, spent = done.stdout.split()
    return float(rate), float(spent)


def _environment() -> dict[str, str]:
    # As the command line sets it for itself.
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}


def start_server(options: argparse.Namespace) -> tuple[subprocess.Popen[str], str]:
    """Start a service and return it with its address."""
    words = [
        *("--port", "0", "--detector", options.detector, "--rate", "1000000"),
        *("--burst", "1000000", "--batch-size", str(options.batch_size)),
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line.startswith("http://127.0.0.1:"):
        raise SystemExit(f"the service did not start: {line}")
    return server, line.split()[0]


def ask(
    pid: int, url: str, images: list[bytes], options: argparse.Namespace
) -> tuple[Load, dict[str, float], float, tuple[float, float]]:
    """Let the clients ask; return what they saw, the service's memory, and the time it took.

    Also the processors' time that the service and the clients took. Seconds.
    """
    load = Load()
    _client(url, images[:2], time.monotonic() + 60, Load(), once=True)  # compiled loops
    service_before, clients_before = cpu_seconds(pid), time.process_time()
    start = time.monotonic()
    until = start + options.seconds
    threads = [
        threading.Thread(
            target=_client, args=(url, images[i:] + images[:i], until, load), daemon=True
        )
        for i in (n % len(images) for n in range(options.clients))
    ]
    for thread in threads:
        thread.start()
    sampled = []
    while any(thread.is_alive() for thread in threads):
        sampled.append(memory_mib(pid))
        threads[0].join(0.5)
        if time.monotonic() > until + 60:
            raise SystemExit("clients do not end")
    took = time.monotonic() - start
    early = sampled[len(sampled) // 4]
    spent = (cpu_seconds(pid) - service_before, time.process_time() - clients_before)
    memory = {"start": sampled[0], "after_a_quarter": early}
    return load, {**memory, "end": sampled[-1], "most": max(sampled)}, took, spent


def cpu_seconds(pid: int) -> float:
    """Return the processors' time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _client(url: str, images: list[bytes], until: float, load: Load, *, once: bool = False) -> None:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
    number = 0
    while time.monotonic() < until and not (once and number >= len(images)):
        start = time.perf_counter()
        try:
            body = images[number % len(images)]
            connection.request("POST", _PATH, body, {"content-type": "image/jpeg"})
            answer = connection.getresponse()
            content, status = answer.read(), str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            status, content = type(error).__name__, b""
            connection.close()
        took = time.perf_counter() - start
        number += 1
        with load.lock:
            load.statuses[status] += 1
            if status == "200":
                load.seconds.append(took)
                assert b'"faces"' in content
        if status in ("429", "503"):
            time.sleep(0.2)


def _percentile(seconds: list[float], percent: float) -> float:
    return round(float(np.percentile(seconds, percent)) * 1000, 1) if seconds else float("nan")


if __name__ == "__main__":
    sys.exit(main())
