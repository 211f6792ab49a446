"""Shape: errors of depth maps, as Wu et al. (2020) measure them, beside two that know no image.

    flat                a plane: one depth everywhere
    cross-subject mean  the mean true depth of other people's images at each pixel

With d the predicted and d* the true depth of the W x H pixels of a mask, and n, n* the normals:

    D    = log d - log d*
    SIDE = sqrt( mean(D²) - mean(D)² )
    MAD  = mean( acos(n . n*) )

SIDE knows no scale, as multiplying a depth shifts D. Both are taken where the true and the
predicted face are, each less a border of one pixel, where depth ends and normals are of no surface.
Their tables give SIDE in hundredths, for depth maps of 64 x 64 pixels whose face lies between 0.9
and 1.1 before a camera that sees 10 degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from mien.errors import MienError
from mien.evaluate.datasets.sets import ShapeSet
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table
from mien.evaluate.scores import INTERVAL, mean_score, shown, worst, yaw_table
from mien.faces.crop import crop_face
from mien.faces.face import Face
from mien.geometry.camera import surface_normals, unproject
from mien.geometry.rotation import rotation_to_angles
from mien.linear.metrics import correlation
from mien.model import Model

__all__ = ["render_and_score", "shrunk"]

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

PREDICTED, FLAT, MEAN = "predicted", "flat", "cross-subject mean"
MIN_PIXELS = 20
"""With fewer, the true and the rendered face do not overlap."""
SHOWN_SIDE = 128
AT_ONCE = 256
"""So many normal maps are held at a time: a set may have 20,000 images."""


BATCH = 32


@dataclass(frozen=True)
class RenderedDepth:
    """The depth of images as the weights render it; S is the side of the model's images."""

    depth: NDArray[np.float32]
    """z in face units in the images' own view; 0 where nothing is rendered. [N, S, S]."""
    mask: NDArray[np.bool_]
    """Where the face's surface is. [N, S, S]."""
    yaw: NDArray[np.float64]
    """Predicted head yaw, radians. [N]."""
    unread: int = 0
    """Images that cannot be read."""


def render_and_score(truth: ShapeSet, context: EvalContext) -> Result:
    """Render the depth of the images by the weights, and score it; raises as `score_shape`."""
    model = context.rendering_model("shape")
    rendered = render_depth(model, len(truth), truth.read, say=context.say)
    return score_shape(truth, rendered, model.config.fov_deg, context)


def score_shape(
    truth: ShapeSet, rendered: RenderedDepth, fov_deg: float, context: EvalContext
) -> Result:
    """Return SIDE, MAD and the correlation of depth, by pose bins.

    Args:
        truth: of the images.
        rendered: depth of the same images by the weights.
        fov_deg: of the model's camera.
        context: seed and size of the gallery.

    Raises:
        MienError: in no image the rendered face overlaps the true one.
    """
    mask = shrunk(truth.mask) & shrunk(rendered.mask)
    seen = mask.sum(axis=(1, 2)) >= MIN_PIXELS
    if not seen.any():
        raise MienError("the weights render no face where one is; give others with --weights")
    errors = _errors(truth, rendered, mask, fov_deg)
    found = np.flatnonzero(seen)
    scores = [
        mean_score(
            f"{metric}, {name}",
            values[found],
            truth.group[found],
            context.rng(INTERVAL),
            unit=unit,
            main=name == PREDICTED,
        )
        for name, each in errors.items()
        for metric, unit, values in zip(("SIDE", "MAD"), ("x 0.01", "degrees"), each, strict=True)
    ]
    scores.append(_correlation(truth, rendered, mask, found, context))
    lost = len(truth) - len(found)
    unread = f"; {rendered.unread} of them cannot be read" if rendered.unread else ""
    return Result(
        scores=tuple(scores),
        data=truth.data,
        tables=(_by_yaw(truth, rendered, errors, seen),),
        failures=_failures(truth, rendered, errors[PREDICTED], found, context),
        notes=(
            *truth.notes,
            f"in {lost} of {len(truth)} images the rendered face does not overlap the true one; "
            f"they are left out{unread}",
        ),
    )


def _errors(
    truth: ShapeSet, rendered: RenderedDepth, mask: Mask, fov_deg: float
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return SIDE in hundredths and MAD in degrees of each prediction, part by part. [N], [N]."""
    errors = {
        name: (np.zeros(len(truth)), np.zeros(len(truth))) for name in (PREDICTED, FLAT, MEAN)
    }
    total = (truth.depth * truth.mask).sum(axis=0, dtype=np.float64)
    sums = {"depth": total, "count": truth.mask.sum(axis=0).astype(np.float64)}
    for rows in _parts(truth.group):
        inside, surface = mask[rows], np.where(truth.mask[rows], truth.depth[rows], 1.0)
        true_normals = normals_of(surface, fov_deg)
        for name, depth in (
            (PREDICTED, np.where(rendered.mask[rows], rendered.depth[rows], 1.0)),
            (FLAT, np.ones_like(surface)),
            (MEAN, _mean_of_others(truth, rows, sums)),
        ):
            side = scale_invariant_error(prediction=depth, target=surface, mask=inside)
            angle = normal_deviation_deg(
                prediction=normals_of(depth, fov_deg), target=true_normals, mask=inside
            )
            errors[name][0][rows], errors[name][1][rows] = 100 * side, angle
    return errors


def _parts(group: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield rows, some hundred at a time; all of one group together."""
    order = np.argsort(group, kind="stable")
    part: list[NDArray[np.int64]] = []
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        part.append(rows)
        if sum(map(len, part)) >= AT_ONCE:
            yield np.concatenate(part)
            part = []
    if part:
        yield np.concatenate(part)


def _mean_of_others(
    truth: ShapeSet, rows: NDArray[np.int64], sums: dict[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the mean true depth over images of others; 1 where nobody's is known. [R, S, S].

    Args:
        truth: all images.
        rows: some, with all of their groups.
        sums: of depth, and of how often it is known, over all images. Each [S, S].
    """
    _, place = np.unique(truth.group[rows], return_inverse=True)
    known = truth.mask[rows].astype(np.float64)
    shape = (int(place.max()) + 1, *known.shape[1:])
    own, count = np.zeros(shape), np.zeros(shape)
    np.add.at(own, place, truth.depth[rows] * known)
    np.add.at(count, place, known)
    others = sums["count"] - count
    mean = np.where(others > 0.5, (sums["depth"] - own) / others.clip(1), 1.0)
    return mean[place]


def _correlation(
    truth: ShapeSet,
    rendered: RenderedDepth,
    mask: Mask,
    rows: NDArray[np.int64],
    context: EvalContext,
) -> Score:
    """Return the mean over images of the correlation of depth inside the face."""
    found = np.array(
        [
            correlation(
                prediction=rendered.depth[row][mask[row]], target=truth.depth[row][mask[row]]
            )
            if min(np.ptp(rendered.depth[row][mask[row]]), np.ptp(truth.depth[row][mask[row]])) > 0
            else 0.0
            for row in rows
        ]
    )
    return mean_score(
        "depth correlation, predicted",
        found,
        truth.group[rows],
        context.rng(INTERVAL),
        unit="correlation",
        higher_is_better=True,
    )


def _by_yaw(
    truth: ShapeSet,
    rendered: RenderedDepth,
    errors: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    seen: NDArray[np.bool_],
) -> Table:
    whose = "true head yaw" if truth.yaw is not None else "predicted head yaw"
    values = {
        f"{metric}, {name}": np.where(seen, each[place], np.nan)
        for place, metric in enumerate(("SIDE", "MAD"))
        for name, each in errors.items()
    }
    return yaw_table(
        title=f"SIDE in hundredths and MAD in degrees by {whose}",
        yaw_rad=rendered.yaw if truth.yaw is None else truth.yaw,
        values=values,
    )


def _failures(
    truth: ShapeSet,
    rendered: RenderedDepth,
    errors: tuple[NDArray[np.float64], NDArray[np.float64]],
    rows: NDArray[np.int64],
    context: EvalContext,
) -> tuple[Failure, ...]:
    side, angle = errors
    failures = []
    for row in rows[worst(side[rows], context.gallery)]:
        maps = (
            _grey(truth.depth[row], truth.mask[row]),
            _grey(rendered.depth[row], rendered.mask[row]),
        )
        failures.append(
            Failure(
                (shown(truth, int(row)), *maps),
                f"{truth.names[row]}: SIDE {side[row]:.1f}, MAD {angle[row]:.0f} degrees; the "
                "image, its true depth, the rendered one",
            )
        )
    return tuple(failures)


def _grey(depth: Array, mask: Mask) -> NDArray[np.uint8]:
    """Show depth: the nearest point white, the farthest dark, nothing black. [S, S, 3]."""
    shown = np.zeros(depth.shape)
    if mask.any():
        near, far = depth[mask].min(), depth[mask].max()
        shown = np.where(mask, 1 - 0.8 * (depth - near) / max(far - near, 1e-9), 0.0)
    grey = (255 * shown.clip(0, 1)).astype(np.uint8)
    times = max(1, SHOWN_SIDE // len(grey))
    return np.repeat(grey.repeat(times, axis=0).repeat(times, axis=1)[..., None], 3, axis=2)


def scale_invariant_error(*, prediction: Array, target: Array, mask: Mask) -> NDArray[np.float64]:
    """Return SIDE of each image; NaN where the mask is empty. [N].

    Args:
        prediction: depth, > 0 inside the mask. [N, H, W].
        target: true depth, > 0 inside the mask. [N, H, W].
        mask: the pixels that count. [N, H, W].
    """
    one = np.ones((), dtype=np.float64)
    apart = np.log(np.where(mask, prediction, one)) - np.log(np.where(mask, target, one))
    count = mask.sum(axis=(1, 2))
    mean = apart.sum(axis=(1, 2)) / count.clip(1)
    square = (((apart - mean[:, None, None]) ** 2) * mask).sum(axis=(1, 2)) / count.clip(1)
    return np.where(count > 0, np.sqrt(square), np.nan)


def normal_deviation_deg(*, prediction: Array, target: Array, mask: Mask) -> NDArray[np.float64]:
    """Return MAD of each image in degrees; NaN where the mask is empty. [N].

    Args:
        prediction: unit normals. [N, 3, H, W].
        target: true unit normals, same frame. [N, 3, H, W].
        mask: the pixels that count. [N, H, W].
    """
    cosine = (prediction.astype(np.float64) * target).sum(axis=1).clip(-1, 1)
    angle = np.degrees(np.arccos(np.where(mask, cosine, 1.0)))
    count = mask.sum(axis=(1, 2))
    return np.where(count > 0, angle.sum(axis=(1, 2)) / count.clip(1), np.nan)


def normals_of(depth: Array, fov_deg: float) -> NDArray[np.float64]:
    """Return outward unit normals of depth maps, camera frame. [N, H, W] -> [N, 3, H, W].

    Args:
        depth: z, > 0 where there is a surface; any other value where not.
        fov_deg: field of view across the image, degrees.
    """
    points = unproject(torch.from_numpy(np.array(depth, dtype=np.float64))[:, None], fov_deg)
    return surface_normals(points).numpy()


def shrunk(mask: Mask) -> Mask:
    """Return masks less every pixel that has one outside among its eight neighbours. [N, H, W]."""
    return np.asarray(binary_erosion(mask, np.ones((1, 3, 3))), dtype=bool)


def render_depth(
    model: Model,
    count: int,
    read: Callable[[int], NDArray[np.uint8]],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> RenderedDepth:
    """Encode images that are face crops, and render their depth in the same view.

    Args:
        model: encodes and renders.
        count: of images.
        read: number of an image => RGB [H, W, 3], square; of one that cannot be read (MienError)
            nothing is rendered.
        say: called with lines of progress.
    """
    # Encoding the eyes takes time, and the shape is the same without.
    model = model.of_faces_alone()
    size = model.config.image_size
    depth = np.zeros((count, size, size), dtype=np.float32)
    mask, yaw, unread = np.zeros(depth.shape, dtype=bool), np.zeros(count), 0
    for start in range(0, count, BATCH):
        images = {}
        for row in range(start, min(start + BATCH, count)):
            try:
                images[row] = read(row)
            except MienError:
                unread += 1
        if images:
            rows = list(images)
            factors = model.encode(_batch(list(images.values()), model.crop_size))
            found = model.render(factors)
            mask[rows] = found.mask[:, 0].cpu().numpy() > 0
            depth[rows] = found.depth[:, 0].float().cpu().numpy() * mask[rows]
            yaw[rows] = rotation_to_angles(factors.pose.rotation.float())[0].cpu().numpy()
        say(f"{min(start + BATCH, count)} of {count} faces rendered")
    return RenderedDepth(depth, mask, yaw, unread)


def _batch(images: Sequence[NDArray[np.uint8]], size: int) -> torch.Tensor:
    """Return whole images as the model wants crops. uint8 [B, 3, size, size]."""
    crops = []
    for pixels in images:
        height, width = pixels.shape[:2]
        whole = Face((0.0, 0.0, float(width), float(height)), 1.0, framing="image")
        crops.append(crop_face(pixels, whole, size))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
