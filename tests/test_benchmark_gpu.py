"""What is measured on a GPU runs on the CPU, too, in small; without a GPU the script says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from benchmarks import gpu
from benchmarks.gpu import agreement, embedding_rate, memory_bound, speed, training_rate
from benchmarks.renderer import meshes


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


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "gpu.json")])
    with pytest.raises(SystemExit, match=r"^no GPU here: --device cuda.*$") as end:
        gpu.main()
    assert isinstance(end.value.code, str)  # printed; the exit code is 1
    assert not (tmp_path / "gpu.json").exists()
