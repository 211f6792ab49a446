"""Is this installation sound? Versions, devices, detectors, kernels, weights: one line each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as dump_safetensors
from torch import Tensor

from mien.errors import MienError
from mien.faces.detect import open_detector
from mien.faces.yunet import find_yunet
from mien.geometry.camera import place, project, unproject
from mien.media.atomic import replacing
from mien.model import Model, load
from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize
from mien.types import Factors
from mien.views.poses import rotated_pose
from mien.weights import shipped_folder

__all__ = [
    "Check",
    "KernelError",
    "compare_golden",
    "examine",
    "golden_file",
    "kernel_error",
    "record_golden",
]

GOLDEN_TOLERANCE = 2e-3
"""Largest difference to the recorded factors that other processors and versions may make."""
KERNEL_TOLERANCE = 1e-4
"""Largest difference between a kernel and its reference, in units of the largest value."""

_PACKAGES = ("torch", "numpy", "numba", "pyarrow", "pandas", "opencv-python-headless", "av")
_OPTIONAL = {"lightning-fabric": "train", "tensorboard": "train", "huggingface-hub": "hub"}


@dataclass(frozen=True)
class Check:
    """What was looked at, and what was found."""

    name: str
    state: str
    """`ok`, `note` (absent, and not needed) or `broken`."""
    detail: str


@dataclass(frozen=True)
class KernelError:
    """How far a rasteriser's results are from the reference's."""

    pixels: float
    """Fraction of pixels that see another triangle."""
    values: float
    """Interpolated values, relative to the largest."""
    gradients: float
    """Gradients of points and attributes, relative to the largest."""

    @property
    def within_tolerance(self) -> bool:
        """Return whether the difference is rounding."""
        worst = max(self.values, self.gradients)
        return self.pixels == 0 and worst <= KERNEL_TOLERANCE


def examine() -> Iterator[Check]:
    """Look at everything, quickest first."""
    yield from _versions()
    yield from _devices()
    yield from _detectors()
    yield from _kernels()
    yield from _weights()


def golden_file() -> Path:
    """Return the file with the shipped weights' recorded output."""
    return shipped_folder().parent / "golden.safetensors"


def record_golden(model: Model, images: Tensor, path: Path | None = None) -> None:
    """Record what a model makes of some crops; replaces what was recorded.

    Args:
        model: loaded from saved weights.
        images: crops at the model's own size, uint8. [B, 3, H, W].
        path: the shipped file where not given.

    Raises:
        MienError: the model was never saved, so it has no name to record.
    """
    if not model.weights_id:
        raise MienError("save the model and load it again before its output is recorded")
    tensors = {"images": images.to("cpu", torch.uint8).contiguous()}
    tensors |= _factor_tensors(model.encode(images))
    with replacing(path or golden_file(), overwrite=True) as unfinished:
        unfinished.write_bytes(dump_safetensors(tensors, metadata={"weights_id": model.weights_id}))


def compare_golden(model: Model, path: Path | None = None) -> float:
    """Return the largest difference between a model's factors and the recorded ones.

    Each factor's difference is taken relative to its largest recorded value.

    Raises:
        MienError: nothing is recorded, or it was recorded for other weights.
    """
    path = path or golden_file()
    try:
        with safe_open(path, framework="pt") as file:
            recorded_for = (file.metadata() or {}).get("weights_id")
            recorded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise MienError(f"cannot read the recorded output {path}: {error}") from error
    if recorded_for != model.weights_id:
        raise MienError(
            f"{path} was recorded for weights {recorded_for}, not {model.weights_id}; "
            "install the package again"
        )
    factors = _factor_tensors(model.encode(recorded["images"]))
    return max(_relative(found, recorded[name]) for name, found in factors.items())


def kernel_error(backend: str, device: str = "cpu", *, seed: int = 0) -> KernelError:
    """Render and differentiate two bumpy surfaces with a backend and with the reference.

    Args:
        backend: of `mien.render.rasterize`.
        device: where it works.
        seed: of the surfaces and attributes.
    """
    generator = torch.Generator().manual_seed(seed)
    size = 24
    depth = 1 + 0.05 * torch.randn(2, 1, size, size, generator=generator)
    pose = rotated_pose([0.3, -0.6], [0.1, -0.2])
    points = project(place(unproject(depth, 10.0).reshape(2, -1, 3), pose), size, size, 10.0)
    attributes = torch.randn(2, size * size, 4, generator=generator)
    upstream = torch.randn(2, 4, size, size, generator=generator).to(device)

    def run(name: str) -> list[Tensor]:
        p = points.clone().to(device).detach().requires_grad_()
        a = attributes.clone().to(device).detach().requires_grad_()
        triangles = grid_triangles(size, size).to(device)
        fragments = rasterize(p, triangles, size, size, backend=name)
        image = interpolate(fragments, p, triangles, a, backend=name)
        (image * upstream).sum().backward()
        assert p.grad is not None
        assert a.grad is not None
        return [fragments.pix_to_face, image.detach(), p.grad, a.grad]

    found, expected = run(backend), run("reference")
    return KernelError(
        pixels=float((found[0] != expected[0]).float().mean()),
        values=_relative(found[1], expected[1]),
        gradients=max(_relative(found[i], expected[i]) for i in (2, 3)),
    )


def _relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.float().cpu(), expected.float().cpu()
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))


def _factor_tensors(factors: Factors) -> dict[str, Tensor]:
    named = {
        "identity": factors.identity,
        "expression": factors.expression,
        "rotation": factors.pose.rotation,
        "light_direction": factors.light.direction,
    }
    if factors.gaze is not None:
        named |= {"gaze_code": factors.gaze.code, "eyes": factors.gaze.eyes}
    return {name: tensor.float().cpu().contiguous() for name, tensor in named.items()}


def _versions() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "broken", f"missing; run: pip install {name}")
    for name, extra in _OPTIONAL.items():
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "note", f"absent; needed by: pip install 'mien[{extra}]'")


def _devices() -> Iterator[Check]:
    yield Check("cpu", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(i)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            yield Check(f"cuda:{i}", "ok", f"{properties.name}, {memory}")
    else:
        yield Check("cuda", "note", "none")
    mps = torch.backends.mps.is_available()
    yield Check("mps", "ok" if mps else "note", "there" if mps else "none")


def _kernels() -> Iterator[Check]:
    backends = [("numba", "cpu")]
    if torch.cuda.is_available():
        backends.append(("triton", "cuda"))
    for backend, device in backends:
        name = f"{backend} kernels"
        try:
            error = kernel_error(backend, device)
        except (RuntimeError, ImportError, MienError) as reason:
            yield Check(name, "broken", str(reason).splitlines()[0])
            continue
        detail = (
            f"against the reference: {error.pixels:.1%} of pixels, "
            f"values {error.values:.0e}, gradients {error.gradients:.0e}"
        )
        yield Check(name, "ok" if error.within_tolerance else "broken", detail)


def _weights() -> Iterator[Check]:
    try:
        model = load()
    except MienError as error:
        yield Check("shipped weights", "broken", str(error))
        return
    config = model.config
    yield Check(
        "shipped weights", "ok", f"{model.weights_id}, {config.networks}, {config.image_size} px"
    )
    try:
        difference = compare_golden(model)
    except MienError as error:
        yield Check("recorded output", "broken", str(error))
        return
    state = "ok" if difference <= GOLDEN_TOLERANCE else "broken"
    yield Check("recorded output", state, f"largest difference {difference:.1e}")


def _detectors() -> Iterator[Check]:
    try:
        open_detector("haar")
        yield Check("haar detector", "ok", "inside the OpenCV wheel")
    except MienError as error:
        yield Check("haar detector", "broken", str(error))
    try:
        found = find_yunet()
        if found is None:
            yield Check("yunet detector", "note", "absent; `mien embed` takes haar instead")
        else:
            open_detector("yunet")
            yield Check("yunet detector", "ok", str(found))
    except MienError as error:
        yield Check("yunet detector", "broken", str(error))
