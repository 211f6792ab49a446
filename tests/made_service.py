"""A service around a small model whose detector goes by an image's first pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from mien.faces.face import Face
from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from mien.serve.service import Service
from mien.serve.tokens import Tokens
from mien.verification import Reference, Threshold

WEIGHTS = "0123456789ab"
MANY = 300
GAZE_DIM, WIDTH = 4, 16
THRESHOLDS = (Threshold(0.2, 0.1, 0.9), Threshold(0.5, 0.01, 0.7))


class Detector:
    """No face where the first pixel is black, 300 where it is white, else the whole image."""

    name = "made up"

    def __call__(self, image):
        level, (height, width) = int(image[0, 0].max()), image.shape[:2]
        count = {0: 0, 255: MANY}.get(level, 1)
        return [Face((0, 0, width, height), 0.5, framing="image") for _ in range(count)]


def small_model(*, gaze=True, eyes=True, weights_id=WEIGHTS) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        sizes = ModelConfig(image_size=32, texture_dim=8, shape_dim=8, width=8, feature_dim=16)
        branch = None
        if gaze:
            branch = EMIB(GazeConfig(code_dim=GAZE_DIM, dim=16, heads=2, stem_width=4))
            with torch.no_grad():  # whether eyes are found hangs on this alone
                branch.get_parameter("localizer.score.2.bias").fill_(5.0 if eyes else -5.0)
        return Model(LatentFace(sizes), gaze=branch, weights_id=weights_id)


def reference() -> Reference:
    return Reference(WEIGHTS, "identity", np.zeros(WIDTH, "f4"), THRESHOLDS, "nobody")


def open_service(monkeypatch, *, model=None, tokens=None, thresholds=True, **options) -> Service:
    monkeypatch.setattr("mien.pipeline.crops.open_detector", lambda _: Detector())
    return Service.around(
        model or small_model(),
        ServeOptions(**{"batch_wait_ms": 0.0, "rate": 1e6, "burst": 10**6, **options}),
        tokens=tokens or Tokens(),
        reference=reference() if thresholds else None,
    )


def client_of(service: Service) -> TestClient:
    return TestClient(create_app(service), base_url="http://127.0.0.1:8321")


def picture(seed=0, *, first=128, size=(32, 32), form="PNG") -> bytes:
    """An image file whose first pixel is as grey as asked for."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 220, (4, 4, 3), dtype=np.uint8))
    image = coarse.resize(size, Image.Resampling.BICUBIC)
    image.paste((first, first, first), (0, 0, 8, 8))
    file = io.BytesIO()
    image.save(file, format=form, quality=95)
    return file.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def targets(count=12, *, width=GAZE_DIM):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(count, width))
    angles = np.tanh(codes[:, :2]) * 0.5
    for code, (yaw, pitch) in zip(codes.tolist(), angles, strict=True):
        direction = (-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw) * np.cos(pitch))
        x, y, z = (float(part) for part in direction)
        yield {"gaze_code": code, "target": {"x": x, "y": y, "z": z}}


def labelled(count=16, *, width=WIDTH):
    rng = np.random.default_rng(1)
    for i in range(count):
        code = rng.normal(size=width)
        code[0] += 3 * (i % 2)
        yield {"columns": {"expression": code.tolist()}, "label": "smiles" if i % 2 else "rests"}
