"""What is measured on a GPU runs on the CPU, too, in small; without a GPU the script says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.gpu import agreement, embedding_rate, memory_bound, speed, training_rate
from benchmarks.renderer import meshes

ROOT = Path(__file__).resolve().parents[1]


def test_backends_are_held_against_the_reference() -> None:
    found = agreement("cpu", "numba", batch=2, size=12)
    assert found["pixels"] == 2 * 12 * 12
    assert found["pixels of other triangles"] == 0
    assert 0 < max(found["interpolated"], found["gradient of points"]) < 1e-3
    assert agreement("cpu", "reference", batch=1, size=12)["gradient of points"] == 0
    times = speed("cpu", "numba", batch=2, size=12)
    assert set(times) == {"rasterize", "interpolate", "interpolate and backward"}
    assert all(each["ratio"] > 0 for each in times.values())


def test_the_bound_counts_every_byte_once() -> None:
    found = memory_bound("cpu", "numba", batch=2, size=12, copied=1 << 20)
    points, triangles = meshes(2, 12, "cpu")
    assert found["bytes"] == 4 * points.numel() + 8 * triangles.numel() + 288 * (8 + 12 + 4)
    assert found["bound_ms"] == pytest.approx(1e3 * found["bytes"] / found["bytes_per_s"])


@pytest.mark.slow
def test_rates() -> None:
    assert embedding_rate("cpu", 8)["faces"] == 8
    assert training_rate("cpu", batch_size=4, steps=1)["bfloat16"] > 0


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("no GPU here: --device cuda")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "gpu.json").exists()
