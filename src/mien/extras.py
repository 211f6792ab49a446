"""Packages that only some commands need, and the extra of mien that installs each."""

from __future__ import annotations

__all__ = ["EXTRAS", "missing_line"]

EXTRAS = {
    "lightning_fabric": "train",
    "tensorboard": "train",
    "matplotlib": "plot",
    "jinja2": "eval",
    "h5py": "eval",
    "skimage": "eval",
    "huggingface_hub": "hub",
    "faiss": "search",
    "onnx": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "fastapi": "serve",
    "uvicorn": "serve",
    "websockets": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
    "ray": "ray",
    "fsspec": "remote",
    "umap": "umap",
}
"""Name of the module => extra."""


def missing_line(error: ModuleNotFoundError) -> str:
    """Return what to install where a package is not there; empty where it belongs to no extra."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return ""
    return f"{name} is not installed, which this needs; run: pip install 'mien[{EXTRAS[name]}]'"
