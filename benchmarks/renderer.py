"""Time the renderer's backends against its plain torch reference, all in one run.

    python -m benchmarks.renderer [--batch 64] [--size 64] [--rounds 7]

Renders a batch of grid meshes (size x size vertices, size x size pixels), wavy and rotated by
up to 30 degrees, and carries two attributes to the pixels, with and without the backward pass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize


def meshes(batch: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    """Return wavy grids, each rotated about the vertical axis by its own angle."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, size)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    phase = torch.rand(batch, 2, 1, 1, generator=generator) * 6
    z = 0.3 * (u.square() + v.square()) + 0.02 * (9 * u + phase[:, 0]).sin() * (9 * v).cos()
    yaw = (torch.rand(batch, 1, 1, generator=generator) - 0.5) * (torch.pi / 3)
    rotated = torch.stack([u * yaw.cos() + z * yaw.sin(), v.expand_as(z)], dim=-1)
    pixels = (rotated + 1) * (size - 1) / 2
    depth = z * yaw.cos() - u * yaw.sin() + 3
    points = torch.cat([pixels, depth.unsqueeze(-1)], dim=-1).reshape(batch, -1, 3)
    return points.to(device), grid_triangles(size, size).to(device)


def milliseconds(work: Callable[[], object], rounds: int, device: str) -> float:
    """Return the shortest time of a call, which other programs disturb least; two warm up."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times[2:])


def tasks(points: Tensor, triangles: Tensor, size: int, backend: str) -> dict[str, Callable]:
    """Return the parts of one rendering that are timed."""
    attributes = torch.rand(points.shape[1], 2, device=points.device).requires_grad_()
    fragments = rasterize(points, triangles, size, size, backend=backend)
    moved = points.clone().requires_grad_()

    def render() -> object:
        return rasterize(points, triangles, size, size, backend=backend)

    def carry() -> Tensor:
        return interpolate(fragments, moved, triangles, attributes, backend=backend)

    return {
        "rasterize": render,
        "interpolate": lambda: carry(),
        "interpolate and backward": lambda: carry().sum().backward(),
    }


def compare(device: str, backend: str, arguments: argparse.Namespace) -> None:
    """Print one table: milliseconds of the reference and of a backend, and their ratio."""
    points, triangles = meshes(arguments.batch, arguments.size, device)
    print(
        f"{arguments.batch} grids of {arguments.size} x {arguments.size} vertices, "
        f"{len(triangles)} triangles, {device}, {torch.get_num_threads()} threads"
    )
    print(f"{'':26}{'reference':>12}{backend:>12}{'ratio':>9}")
    fast = tasks(points, triangles, arguments.size, backend)
    for name, slow in tasks(points, triangles, arguments.size, "reference").items():
        reference = milliseconds(slow, arguments.rounds, device)
        compiled = milliseconds(fast[name], arguments.rounds, device)
        ratio = reference / compiled
        print(f"{name:26}{reference:9.2f} ms{compiled:9.2f} ms{ratio:8.1f}x")


def main() -> None:
    """Read the arguments and compare on the CPU and, where there is one, on the GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    compare("cpu", "numba", arguments)
    if torch.cuda.is_available():
        compare("cuda", "triton", arguments)


if __name__ == "__main__":
    main()
