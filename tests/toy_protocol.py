"""A protocol with a known answer, for the tests of what runs and shows protocols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.tree import open_tree
from mien.evaluate.protocol import (
    EvalContext,
    Failure,
    Images,
    Plot,
    Protocol,
    Result,
    Score,
    Table,
)

__all__ = ["BRIGHTNESS", "RENDERING", "make_set", "result"]


def make_set(folder: Path) -> Path:
    """Write a data set: two images and their labels."""
    from mien.media.image import write_png

    folder.mkdir(parents=True)
    for name, colour in (("dark", 30), ("light", 220)):
        write_png(folder / f"{name}.png", np.full((20, 30, 3), colour, np.uint8))
    (folder / "brightness.txt").write_text("dark.png 30\nlight.png 220\n")
    return folder


def result(value: float = 75.0) -> Result:
    """Return one of everything that a protocol can give."""
    wide = np.zeros((200, 400, 3), np.uint8)
    wide[:, :200] = (200, 10, 10)
    return Result(
        scores=(
            Score("accuracy, <b>", value, "%", 1234, low=70.5, high=np.float64(80.25), main=True),
            Score("error", float("nan"), "degrees", np.int64(3), higher_is_better=False),  # type: ignore[arg-type]
        ),
        data="0123456789ab",
        tables=(Table("by yaw", ("head yaw", "n", "x"), (("0-15 deg", 3, None),)),),
        plots=(Plot("curve & co", "labels", "accuracy, %", {"a": ([1, 4], [2.0, 3.0])}, True),),
        failures=(Failure((wide, wide[:50]), "said <cat>"),),
        notes=("1 of 2 images shows no face",),
    )


def _run(data: Path, context: EvalContext) -> Result:
    tree = open_tree(data)
    if not tree.has("brightness.txt"):
        raise MienError("brightness: brightness.txt is missing")
    names = tuple(line.split()[0] for line in tree.read_text("brightness.txt").splitlines())
    images = Images(names, lambda row: tree.image(names[row]), crop="face")
    described = context.describe(images, ["light_ambient"])
    context.say("scoring")
    return result(float(described["light_ambient"].sum()))


BRIGHTNESS = Protocol(
    name="brightness",
    factor="light",
    title="how bright <it> is",
    layout="brightness.txt, NAME.png",
    source="the makers of the toy",
    matches=lambda path: holds(path, "brightness.txt"),
    run=_run,
)
RENDERING = replace(BRIGHTNESS, name="rendering", renders=True)
