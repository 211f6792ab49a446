"""Shape of rendered people: the depth that the weights draw against that of the rendered head.

Beside the images of a folder of `mien synth`, truth.zip holds depth z in centimetres before its
own camera, whose field of view differs from image to image. It is brought before the model's
camera, which sees the same square at distance 1: with the head's centre at z0, focal length f and S
pixels a side, the square is w = (S - 1) z0 / f wide there, and

    z = 1 + (z_cm - z0) 2 tan(fov / 2) / w

so that depth is measured in widths of the image; what an image cannot tell, how near the camera
was, does not count. The face is what lies inside an ellipse about the middle of the crop and on the
head: no ears, no hair, no neck.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.synthetic import INNER_FACE, LABELS_FILE, Clips, read_clips
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.depth_metrics import reduced
from mien.evaluate.tasks.rendered_depth import draw_depth
from mien.evaluate.tasks.shape import TrueShape, score_shape
from mien.model import Model

__all__ = ["RENDERED_SHAPE", "before_model", "read_true_shape"]

TRUTH = "truth.zip"
UNITS_PER_CM = 100
"""Depth is stored in whole hundredths of a centimetre."""


def read_true_shape(path: Path, *, size: int, fov_deg: float) -> TrueShape:
    """Read the depth of all images, at the size and before the camera of a model.

    Args:
        path: a folder of `mien synth`, or a zip of one.
        size: side of the depth maps, pixels.
        fov_deg: field of view of the model's camera.

    Raises:
        MienError: it is no such folder, or an image's truth is missing or damaged.
    """
    clips = read_clips(path, "rendered-shape")
    names = tuple(str(name) for name in clips.table["path"])
    missing = [name for name in ("focal_px", "translation_z") if name not in clips.table]
    if missing:
        raise MienError(
            f"rendered-shape: {clips.tree}/{LABELS_FILE} has no {', '.join(missing)}; render the "
            "folder again"
        )
    depth = np.zeros((len(names), size, size), dtype=np.float32)
    mask = np.zeros(depth.shape, dtype=bool)
    for row, z, inside in _true_depths(clips, names):
        scaled = before_model(
            z,
            centre=float(clips.column("translation_z")[row]),
            focal=float(clips.column("focal_px")[row]),
            fov_deg=fov_deg,
        )
        depth[row], head = reduced(scaled, inside, size)
        mask[row] = head & _ellipse(size)
    return TrueShape(
        names=names,
        read=clips.images().read,
        depth=depth,
        mask=mask,
        group=clips.person,
        yaw=clips.column("yaw_rad"),
        data=clips.digest(),
        notes=("the face inside an ellipse, before the model's camera",),
    )


def before_model(
    depth: NDArray[np.floating], *, centre: float, focal: float, fov_deg: float
) -> NDArray[np.float64]:
    """Return depth before the model's camera, the head's centre 1 away. [H, W].

    Args:
        depth: z in any unit. [H, W].
        centre: z of the head's centre, same unit.
        focal: focal length of the camera that saw it, pixels.
        fov_deg: field of view of the model's camera, degrees.
    """
    width = (depth.shape[1] - 1) * centre / focal
    scale = 2 * math.tan(math.radians(fov_deg) / 2) / width
    return 1 + (np.asarray(depth, dtype=np.float64) - centre) * scale


def _true_depths(clips: Clips, names: tuple[str, ...]) -> Any:
    """Yield row, depth in cm [H, W] and the head's mask [H, W]; each archive is opened once."""
    folders: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        folders.setdefault(name.rpartition("/")[0], []).append(row)
    for folder, rows in folders.items():
        file = f"{folder}/{TRUTH}" if folder else TRUTH
        try:
            with zipfile.ZipFile(io.BytesIO(clips.tree.read_bytes(file))) as archive:
                for row in rows:
                    stem = Path(names[row]).stem
                    units = _image(archive, f"{stem}_depth.png").astype(np.float64)
                    head = (_image(archive, f"{stem}_mask.png") > 0) & (units > 0)
                    yield row, units / UNITS_PER_CM, head
        except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
            raise MienError(
                f"rendered-shape: {clips.tree}/{file} is damaged; render the folder again"
            ) from error


def _image(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(archive.read(name))))


def _ellipse(size: int) -> NDArray[np.bool_]:
    down, across = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.asarray((across / INNER_FACE[0]) ** 2 + (down / INNER_FACE[1]) ** 2 < 1)


def _run(path: Path, context: EvalContext) -> Result:
    model: Model = context.drawing_model("rendered-shape")
    fov = model.config.fov_deg
    truth = read_true_shape(path, size=model.config.image_size, fov_deg=fov)
    drawn = draw_depth(model, len(truth), truth.read, say=context.say)
    return score_shape(truth, drawn, fov, context)


RENDERED_SHAPE = Protocol(
    name="rendered-shape",
    factor="shape",
    title="Depth and normals of rendered people: SIDE and MAD as Wu et al. (2020)",
    layout=f"a folder of `mien synth`: {LABELS_FILE}, person_000001/frame_000.png, "
    f"person_000001/{TRUTH}",
    source="render it: mien synth",
    matches=lambda path: holds(path, LABELS_FILE, f"person_000001/{TRUTH}"),
    run=_run,
    draws=True,
)
