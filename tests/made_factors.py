"""Factors made to order, and what tests of expression data sets do with them."""

import io
import zlib
from typing import Any

import numpy as np
from PIL import Image

from mien.columns import CODES, EYES_FOUND, NUMBERS
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.tasks.labelled import COLUMNS

ALL = frozenset((*CODES, *NUMBERS, EYES_FOUND))


class Made:
    """Gives factors that say, without an error, what a function says of an image's name."""

    columns, reads_pixels = frozenset(COLUMNS), True

    def __init__(self, say):
        self.say = say
        self.asked: Any = None

    def __call__(self, images, columns, /):
        self.asked = images
        said = np.array([np.atleast_1d(self.say(name)) for name in images.names], np.float64)
        if said.shape[1] == 1:  # a class
            said = 4 * np.eye(9)[said[:, 0].astype(int)]
        noise = 0.05 * np.random.default_rng(0).standard_normal(said.shape)
        count = len(images)
        values = {
            name: (said + noise).astype(np.float32)
            if name in COLUMNS[:4]
            else np.full(count, 0.1, np.float32)
            for name in columns
        }
        return FactorColumns(np.ones(count, bool), np.ones(count, bool), values)


class Describing:
    """Makes what gives factors of a function of images and columns."""

    reads_pixels = True

    def __init__(self, function, columns=("identity", "texture_code", "shape_code", "yaw_rad")):
        self.function, self.columns = function, frozenset(columns)

    def __call__(self, images, columns, /):
        return self.function(images, columns)


def run(protocol, path, say):
    made = Made(say)
    result = protocol.run(path, EvalContext(made, trials=1, gallery=2))
    return result, made.asked


def value_of(result, name):
    (found,) = [score for score in result.scores if score.name == name]
    return found.value


def png(shade, kind="png", size=(48, 48)):
    buffer = io.BytesIO()
    Image.fromarray(np.full(size, shade, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def own(name, kind="png", size=(48, 48)):
    """An image that no other name has."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, size, np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def put(place, name, data):
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(data if isinstance(data, bytes) else data.encode())
