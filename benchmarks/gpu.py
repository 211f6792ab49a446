"""All that is to be measured on a GPU, in one run of under five minutes; writes JSON.

Run: python -m benchmarks.gpu --out gpu.json [--faces 5000] [--seconds 300]

Triton's kernels against the plain torch reference on the same device (largest differences, times);
the rasteriser against the time in which the device's memory could bring its input and take its
output once; `mien embed --device cuda` on made-up face crops; stage-1 training in bfloat16 and
float32. What is done is written at once; what would begin after --seconds is left out and named.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.embedding import measure, write_crops
from benchmarks.renderer import meshes, milliseconds, tasks
from benchmarks.training_step import images_per_second

from mien.errors import MienError
from mien.model import resolve_device
from mien.render.interpolate import interpolate
from mien.render.rasterize import Fragments, rasterize

__all__ = ["agreement", "bandwidth", "embedding_rate", "memory_bound", "speed", "training_rate"]

_COPIED = 1 << 30


def agreement(device: str, backend: str, *, batch: int = 16, size: int = 64) -> dict[str, float]:
    """Return how far a backend is from the reference: pixels that differ, largest differences."""
    points, triangles = meshes(batch, size, device)
    one, other = (
        rasterize(points, triangles, size, size, backend=each) for each in (backend, "reference")
    )
    same = one.pix_to_face == other.pix_to_face
    both = same & (one.pix_to_face >= 0)
    found = {
        "pixels": float(same.numel()),
        "pixels of other triangles": float((~same).sum()),
        "depth": _largest(one.depth[both], other.depth[both]),
        "barycentric": _largest(one.barycentric[both], other.barycentric[both]),
    }
    values = [_carried(points, triangles, other, each) for each in (backend, "reference")]
    names = ("interpolated", "gradient of points", "gradient of attributes")
    return found | {k: _largest(a, b) for k, a, b in zip(names, *values, strict=True)}


def _carried(
    points: torch.Tensor, triangles: torch.Tensor, fragments: Fragments, backend: str
) -> list[torch.Tensor]:
    """Return interpolated attributes and their gradients."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(points.shape[1], 2, generator=generator).to(points.device)
    moved, given = points.clone().requires_grad_(), values.requires_grad_()
    image = interpolate(fragments, moved, triangles, given, backend=backend)
    image.square().sum().backward()
    assert moved.grad is not None
    assert given.grad is not None
    return [image.detach(), moved.grad, given.grad]


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max()) if one.numel() else 0.0


def speed(device: str, backend: str, *, batch: int = 64, size: int = 64) -> dict[str, Any]:
    """Return milliseconds of the reference and of a backend, and their ratio."""
    points, triangles = meshes(batch, size, device)
    fast = tasks(points, triangles, size, backend)
    found = {}
    for name, slow in tasks(points, triangles, size, "reference").items():
        times = [milliseconds(work, 7, device) for work in (slow, fast[name])]
        found[name] = {"reference_ms": times[0], f"{backend}_ms": times[1]}
        found[name]["ratio"] = times[0] / times[1]
    return found


def bandwidth(device: str, copied: int = _COPIED) -> float:
    """Return bytes a second that memory reads and writes in a plain copy."""
    given = torch.zeros(copied, dtype=torch.uint8, device=device)
    taken = torch.empty_like(given)
    return 2 * copied / (1e-3 * milliseconds(lambda: taken.copy_(given), 20, device))


def memory_bound(
    device: str, backend: str, *, batch: int = 256, size: int = 64, copied: int = _COPIED
) -> dict[str, float]:
    """Return the rasteriser's time beside that of moving its input and output once."""
    points, triangles = meshes(batch, size, device)
    seen = rasterize(points, triangles, size, size, backend=backend)
    tensors = (points, triangles, seen.pix_to_face, seen.barycentric, seen.depth)
    moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    rate = bandwidth(device, copied)
    work = tasks(points, triangles, size, backend)["rasterize"]
    taken, bound = milliseconds(work, 20, device), 1e3 * moved / rate
    return {
        "bytes": float(moved),
        "bytes_per_s": rate,
        "bound_ms": bound,
        "measured_ms": taken,
        "measured / bound": taken / bound,
    }


def embedding_rate(device: str, faces: int) -> dict[str, Any]:
    """Return faces a second of `mien embed` on crops of 64 px, reading and writing included."""
    given = argparse.Namespace(weights=None, device=device, batch_size=256)
    with tempfile.TemporaryDirectory() as name:
        write_crops(Path(name) / "warm", min(256, faces))
        write_crops(Path(name) / "crops", faces)
        measure("none", str(Path(name) / "warm"), given)
        return measure("none", str(Path(name) / "crops"), given)


def training_rate(device: str, *, batch_size: int = 256, steps: int = 20) -> dict[str, float]:
    """Return images a second of stage-1 training steps, everything in."""
    half, full = (images_per_second(batch_size, steps, device, bf16=half) for half in (True, False))
    return {"batch": batch_size, "bfloat16": half, "float32": full, "ratio": half / full}


def main() -> None:
    """Measure all on the first GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=300.0)
    given = parser.parse_args()
    try:
        resolve_device("cuda")
    except MienError as error:
        raise SystemExit(f"no GPU here: {error}") from error
    parts: dict[str, Callable[[], object]] = {
        "kernels against the reference": lambda: agreement("cuda", "triton"),
        "kernels' speed": lambda: speed("cuda", "triton"),
        "rasteriser against memory": lambda: memory_bound("cuda", "triton"),
        "embed --device cuda": lambda: embedding_rate("cuda", given.faces),
        "stage-1 training, images a second": lambda: training_rate("cuda"),
    }
    device = torch.cuda.get_device_properties(0)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "host": platform.machine()}
    result: dict[str, Any] = {"device": device.name, **versions}
    begin = time.monotonic()
    for name, part in parts.items():
        late = time.monotonic() - begin > given.seconds
        result[name] = "left out: no time" if late else part()
        result["seconds"] = time.monotonic() - begin
        given.out.write_text(json.dumps(result, indent=2), encoding="utf-8")
        print(f"{name}: {json.dumps(result[name])}", flush=True)


if __name__ == "__main__":
    main()
