"""What several test files need: a tiny model with random weights, and the real data if there."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

# Threads that wait for work spin by default: on busy cores they steal the time of those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests run on all cores at once already.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch
from filelock import FileLock

from mien.cli.main import run
from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model, load

# Tests compute little: starting and joining threads takes longer than the work.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests first: one that began last would keep a single core busy for long."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A saved model of the smallest size; its weights are random, its faces are not flat."""
    config = ModelConfig(
        image_size=32,
        texture_dim=16,
        shape_dim=16,
        width=32,
        feature_dim=32,
        neutral_width=16,
        neutral_blocks=1,
    )
    generator = torch.Generator().manual_seed(1)
    network = LatentFace(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                std = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            elif name.endswith("bias"):
                parameter.zero_()
        # Gentle shapes: white noise for a depth map is no face.
        network.get_parameter("autoencoder.decode_depth.head.weight").mul_(0.1)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    Model(network, card="# tiny\n").save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder) -> Model:
    return load(tiny_folder)


@pytest.fixture
def crops() -> torch.Tensor:
    """Three coarse made-up images, not faces. float [3, 3, 32, 32]."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(3, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear", align_corners=True)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a function of a name and of what fills a new folder: the folder of that name.

    It is filled once in a run of the tests, by whichever process comes first; others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        place, unfinished = shared / name, tmp_path_factory.mktemp(name)
        with FileLock(f"{place}.lock"):
            if not place.exists():
                fill(unfinished)
                unfinished.rename(place)
        return place

    return made


@pytest.fixture(scope="session")
def exported_model(once) -> Path:
    """A small model with a gaze branch, `weights`; `out` by `mien export`, which `printed` that."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)

    def fill(folder: Path) -> None:
        sizes = ModelConfig(
            image_size=32, texture_dim=8, shape_dim=8, width=8, feature_dim=16, neutral="regression"
        )
        branch = GazeConfig(code_dim=4, dim=16, heads=2, stem_width=4, bottleneck_depth=1)
        Model(LatentFace(sizes), gaze=EMIB(branch)).save(folder / "weights")
        printed = io.StringIO()
        words = ["export", "--weights", str(folder / "weights"), "--out", str(folder / "out")]
        with contextlib.redirect_stdout(printed):
            assert run(words) == 0
        (folder / "printed").write_text(printed.getvalue())

    return once("exported", fill)
