"""Is this installation sound? Versions, devices, detectors, kernels, weights: one line each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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
from mien.media.bounded import read_bytes
from mien.model import Model, load
from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize
from mien.types import Factors
from mien.views.poses import rotated_pose
from mien.weights import shipped_folder

__all__ = ["Check", "KernelError", "compare_golden", "examine", "kernel_error", "record_golden"]

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
    yield _look("mien's detector", _own)
    yield _look("yunet detector", _yunet)
    yield _look("numba kernels", partial(_kernel, "numba", "cpu"))
    if torch.cuda.is_available():
        yield _look("triton kernels", partial(_kernel, "triton", "cuda"))
    yield (weights := _look("shipped weights", _weights))
    if weights.state == "ok":
        yield _look("recorded output", _recorded)


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
    with replacing(path or _golden_file(), overwrite=True) as unfinished:
        unfinished.write_bytes(dump_safetensors(tensors, metadata={"weights_id": model.weights_id}))


def compare_golden(model: Model, path: Path | None = None) -> float:
    """Return the largest difference between a model's factors and the recorded ones.

    Each factor's difference is taken relative to its largest recorded value.

    Raises:
        MienError: nothing is recorded, it was recorded for other weights, or it is damaged.
    """
    path = path or _golden_file()
    try:
        read_bytes(path)  # refuses pipes, devices and what is far too large
        with safe_open(path, framework="pt") as file:
            recorded_for = (file.metadata() or {}).get("weights_id")
            recorded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, MienError) as error:
        raise MienError(f"cannot read the recorded output {path}: {error}") from error
    if recorded_for != model.weights_id:
        raise MienError(
            f"{path} was recorded for weights {recorded_for}, not {model.weights_id}; "
            "install the package again"
        )
    images = recorded.pop("images", torch.zeros(0))
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise MienError(f"{path} holds no images; install the package again")
    factors = _factor_tensors(model.encode(images))
    if missing := sorted(factors.keys() ^ recorded.keys()):
        raise MienError(f"{path} differs from the weights in {missing[0]}; install it again")
    return max(_relative(found, recorded[name]) for name, found in factors.items())


def kernel_error(backend: str, device: str = "cpu", *, seed: int = 0) -> KernelError:
    """Compare a backend of `mien.render.rasterize`, on its device, with the reference there.

    Both render and differentiate two bumpy surfaces of random depths.
    """
    generator = torch.Generator().manual_seed(seed)
    size = 24
    depth = 1 + 0.05 * torch.randn(2, 1, size, size, generator=generator)
    pose = rotated_pose([0.3, -0.6], [0.1, -0.2])
    points = project(place(unproject(depth, 10.0).reshape(2, -1, 3), pose), size, size, 10.0)
    attributes = torch.randn(2, size * size, 4, generator=generator)
    upstream = torch.randn(2, 4, size, size, generator=generator).to(device)

    def run(name: str) -> list[Tensor]:
        p, a = (x.detach().clone().to(device).requires_grad_() for x in (points, attributes))
        triangles = grid_triangles(size, size).to(device)
        fragments = rasterize(p, triangles, size, size, backend=name)
        image = interpolate(fragments, p, triangles, a, backend=name)
        gradients = torch.autograd.grad((image * upstream).sum(), (p, a))
        return [fragments.pix_to_face, image.detach(), *gradients]

    found, expected = run(backend), run("reference")
    return KernelError(
        pixels=float((found[0] != expected[0]).float().mean()),
        values=_relative(found[1], expected[1]),
        gradients=max(_relative(found[i], expected[i]) for i in (2, 3)),
    )


def _relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.float().cpu(), expected.float().cpu()
    if found.shape != expected.shape or not (found - expected).isfinite().all():
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))


def _golden_file() -> Path:
    return shipped_folder().parent / "golden.safetensors"


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
    for name, extra in (dict.fromkeys(_PACKAGES, "") | _OPTIONAL).items():
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            if extra:
                yield Check(name, "note", f"absent; needed by: pip install 'mien[{extra}]'")
            else:
                yield Check(name, "broken", f"missing; run: pip install {name}")


def _devices() -> Iterator[Check]:
    yield Check("cpu", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}")
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Check(f"cuda:{i}", "ok", f"{properties.name}, {memory}")
    if not torch.cuda.is_available():
        yield Check("cuda", "note", "none")
    mps = torch.backends.mps.is_available()
    yield Check("mps", "ok" if mps else "note", "there" if mps else "none")


def _look(name: str, check: Callable[[], tuple[str, str]]) -> Check:
    """Return the state and detail that a check gives; broken where it raises."""
    try:
        return Check(name, *check())
    except (RuntimeError, ImportError, MienError) as error:
        return Check(name, "broken", str(error).splitlines()[0])


def _kernel(backend: str, device: str) -> tuple[str, str]:
    error = kernel_error(backend, device)
    detail = (
        f"against the reference: {error.pixels:.1%} of pixels, "
        f"values {error.values:.0e}, gradients {error.gradients:.0e}"
    )
    return "ok" if error.within_tolerance else "broken", detail


def _weights() -> tuple[str, str]:
    model = load()
    return "ok", f"{model.weights_id}, {model.config.networks}, {model.config.image_size} px"


def _recorded() -> tuple[str, str]:
    difference = compare_golden(load())
    state = "ok" if difference <= GOLDEN_TOLERANCE else "broken"
    return state, f"largest difference {difference:.1e}"


def _own() -> tuple[str, str]:
    open_detector("mien")
    return "ok", "inside the package"


def _yunet() -> tuple[str, str]:
    found = find_yunet()
    if found is None:
        return "note", "absent; mien's own is taken instead (mien download yunet)"
    open_detector("yunet")
    return "ok", str(found)
