"""Shape: the metrics' equations, rendered people, and a folder of images and depth maps."""

from __future__ import annotations

import shutil
import zipfile

import cv2
import numpy as np
import pytest

from made_clips import write_clips
from made_factors import Describing
from mien.errors import MienError
from mien.evaluate.datasets.sets import ShapeSet
from mien.evaluate.datasets.true_depth import before_model, read_synface, read_true_shape, reduced
from mien.evaluate.protocol import EvalContext
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks.shape import (
    RenderedDepth,
    normal_deviation_deg,
    normals_of,
    render_depth,
    scale_invariant_error,
    score_shape,
    shrunk,
)
from mien.geometry.camera import focal_length
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig

SYNFACE = find_protocol("synface")
RENDERED_SHAPE = find_protocol("rendered-shape")


def _nobody(*_):
    raise AssertionError("nothing is described")


nobody = Describing(_nobody)


def ball(size=32, *, radius=0.07, fov_deg=10.0):
    """Return depth [1, S, S] of a ball at distance 1, and where it is."""
    grid = (np.arange(size) - (size - 1) / 2) / focal_length(size, fov_deg)
    x, y = np.meshgrid(grid, grid)
    a, c = x**2 + y**2 + 1, 1 - radius**2
    inside = 1 - a * c > 0
    depth = np.where(inside, (1 - np.sqrt(np.maximum(1 - a * c, 0))) / a, 0.0)
    return depth[None], inside[None]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shape") / "clips"
    write_clips(toy_head(), SynthConfig(identities=3, frames=3, size=48, seed=4), folder)
    return folder


def test_the_depth_error_knows_no_scale():
    rng = np.random.default_rng(0)
    target = rng.uniform(0.9, 1.1, (3, 8, 8))
    mask = rng.random((3, 8, 8)) > 0.3
    kept = np.where(mask, target, 0)
    assert scale_invariant_error(prediction=7 * kept, target=kept, mask=mask) == pytest.approx(
        np.zeros(3), abs=1e-12
    )
    prediction = rng.uniform(0.9, 1.1, (3, 8, 8))
    found = scale_invariant_error(prediction=prediction, target=target, mask=mask)
    for row in range(3):
        apart = np.log(prediction[row][mask[row]]) - np.log(target[row][mask[row]])
        wanted = np.sqrt((apart**2).mean() - apart.mean() ** 2)
        assert found[row] == pytest.approx(wanted)
    nothing = np.zeros_like(mask)
    assert np.isnan(scale_invariant_error(prediction=kept, target=kept, mask=nothing)).all()


def test_normals_of_a_plane_and_of_a_ball():
    flat = normals_of(np.ones((1, 16, 16)), 10)
    assert flat[0, :, 5, 5] == pytest.approx([0, 0, -1])
    depth, inside = ball()
    normals = normals_of(np.where(inside, depth, 1), 10)
    core = shrunk(shrunk(shrunk(inside)))
    grid = (np.arange(32) - 15.5) / focal_length(32, 10)
    x, y = np.meshgrid(grid, grid)
    points = np.stack([x * depth[0], y * depth[0], depth[0] - 1])
    true = (points / np.linalg.norm(points, axis=0))[None]
    assert normal_deviation_deg(prediction=normals, target=true, mask=core)[0] < 1
    rotated = np.radians(30)
    tilted = np.zeros((1, 3, 4, 4))
    tilted[:, 0], tilted[:, 2] = np.sin(rotated), -np.cos(rotated)
    straight = np.zeros((1, 3, 4, 4))
    straight[:, 2] = -1
    whole = np.ones((1, 4, 4), bool)
    found = normal_deviation_deg(prediction=tilted, target=straight, mask=whole)
    assert found == pytest.approx([30], abs=1e-5)
    assert np.isnan(normal_deviation_deg(prediction=tilted, target=straight, mask=~whole)).all()


def test_masks_lose_their_rim_and_maps_keep_the_background_out():
    mask = np.zeros((1, 7, 7), bool)
    mask[:, 1:6, 1:6] = True
    assert shrunk(mask).sum() == 9
    assert shrunk(np.ones((1, 4, 4), bool)).sum() == 4
    depth = np.where(mask[0], 80.0, 0.0).repeat(4, axis=0).repeat(4, axis=1)
    small, inside = reduced(depth, depth > 0, 14)
    assert inside.any()
    assert small[inside] == pytest.approx(80)
    assert (small[~inside] == 0).all()
    ramp = np.tile(np.linspace(100, 101, 60), (60, 1))
    half, whole = reduced(ramp, np.ones((60, 60), bool), 30)
    assert whole.all()
    assert half[0, 1:-1] == pytest.approx(ramp[0].reshape(30, 2).mean(axis=1)[1:-1], abs=1e-4)


def perfect(depth, mask, **changes):
    count = len(depth)
    given = {
        "names": tuple(f"{i}.png" for i in range(count)),
        "read": lambda _: np.zeros((20, 20, 3), np.uint8),
        "depth": depth,
        "mask": mask,
        "group": np.arange(count),
        "yaw": np.zeros(count),
        "data": "0",
    }
    return ShapeSet(**(given | changes))


def test_scores_of_a_perfect_and_of_a_flat_rendering():
    balls = [ball(radius=radius) for radius in (0.06, 0.07, 0.08, 0.065)]
    depth, mask = (np.concatenate(part) for part in zip(*balls, strict=True))
    truth = perfect(depth, mask, yaw=np.array([0.1, -0.4, 0.6, 1.0]))
    rendered = RenderedDepth((1.2 * depth).astype(np.float32), mask, np.zeros(4))
    result = score_shape(truth, rendered, 10.0, EvalContext(nobody, gallery=2))
    found = {score.name: score.value for score in result.scores}
    assert found["SIDE, predicted"] == pytest.approx(0, abs=1e-4)
    assert found["depth correlation, predicted"] == pytest.approx(1)
    core = shrunk(mask)
    logs = [np.log(depth[i][core[i]]).std() for i in range(4)]
    assert found["SIDE, flat"] == pytest.approx(100 * np.mean(logs), rel=1e-4)
    assert 0 < found["SIDE, cross-subject mean"] < found["SIDE, flat"]
    assert found["MAD, predicted"] < 1e-2 < found["MAD, cross-subject mean"]
    assert found["MAD, flat"] > 20
    assert [s.name for s in result.scores if s.main] == ["SIDE, predicted", "MAD, predicted"]
    assert [row[1] for row in result.tables[0].rows] == [1, 1, 1, 1]
    assert [image.shape for image in result.failures[0].images] == [
        (20, 20, 3),
        (128, 128, 3),
        (128, 128, 3),
    ]
    # The nearest point is bright, nothing is black.
    assert result.failures[0].images[1][64, 64, 0] > 240
    assert result.failures[0].images[1][0, 0, 0] == 0


def test_the_mean_of_others_is_without_oneself():
    depth, mask = ball()
    twice = np.concatenate([depth, depth, depth + 0.01])
    masks = np.concatenate([mask] * 3)
    rendered = RenderedDepth(twice.astype(np.float32), masks, np.zeros(3))
    alone = score_shape(
        perfect(twice, masks, group=np.array([0, 0, 0])), rendered, 10.0, EvalContext(nobody)
    )
    values = {score.name: score.value for score in alone.scores}
    assert values["SIDE, cross-subject mean"] == pytest.approx(values["SIDE, flat"])
    apart = score_shape(
        perfect(twice, masks, group=np.array([4, 2, 2])), rendered, 10.0, EvalContext(nobody)
    )
    assert {s.name: s.value for s in apart.scores}["SIDE, cross-subject mean"] < 0.2
    missed = RenderedDepth(
        twice.astype(np.float32), np.array([1, 1, 0], bool)[:, None, None] & masks, np.zeros(3)
    )
    some = score_shape(perfect(twice, masks), missed, 10.0, EvalContext(Describing(nobody)))
    assert some.scores[0].count == 2
    assert any("in 1 of 3 images the rendered face does not overlap" in note for note in some.notes)
    none = RenderedDepth(twice.astype(np.float32), masks & False, np.zeros(3))
    with pytest.raises(MienError, match="render no face where one is"):
        score_shape(perfect(twice, masks), none, 10.0, EvalContext(nobody))


def test_depth_is_brought_before_the_models_camera():
    # A ball seen from twice as near by a camera that sees the same square: the same shape.
    depth = np.full((5, 5), 60.0)
    depth[2, 2] = 55.0
    near = before_model(depth, centre=60, focal=4 * 60 / 20, fov_deg=10)
    far = before_model(depth + 60, centre=120, focal=4 * 120 / 20, fov_deg=10)
    assert near == pytest.approx(far)
    assert near[0, 0] == pytest.approx(1)
    # The square is 20 cm wide; before the model's camera it is 2 tan 5 degrees.
    assert 1 - near[2, 2] == pytest.approx(5 / 20 * 2 * np.tan(np.radians(5)))


def test_rendered_people_are_read_and_rendered(clips, tiny_model, tmp_path):
    truth = read_true_shape(clips, size=32, fov_deg=10)
    assert truth.depth.shape == (9, 32, 32)
    assert truth.group.tolist() == [1] * 3 + [2] * 3 + [3] * 3
    assert truth.mask.mean(axis=(1, 2)).min() > 0.2
    assert not truth.mask[:, 0, 0].any()
    inside = truth.depth[truth.mask]
    # The face is nearer than the middle of the head, by less than its width.
    assert 0.85 < inside.min() < inside.max() < 1.1
    assert np.median(inside) < 1
    result = RENDERED_SHAPE.run(clips, EvalContext(Describing(nobody), tiny_model, gallery=1))
    assert result.scores[0].count == 9
    assert result.data == truth.data
    assert RENDERED_SHAPE.renders
    assert RENDERED_SHAPE.matches(clips)
    assert not RENDERED_SHAPE.matches(tmp_path)
    zipped = tmp_path / "clips.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in clips.rglob("*.*"):
            archive.write(path, path.relative_to(clips).as_posix())
    again = read_true_shape(zipped, size=32, fov_deg=10)
    assert np.array_equal(again.depth, truth.depth)
    assert RENDERED_SHAPE.matches(zipped)
    with pytest.raises(MienError, match="rendered-shape renders faces"):
        RENDERED_SHAPE.run(clips, EvalContext(nobody))


def test_rendered_people_without_their_truth_are_refused(clips, tmp_path):
    folder = shutil.copytree(clips, tmp_path / "clips")
    (folder / "person_000002/truth.zip").write_bytes(b"no zip")
    with pytest.raises(MienError, match=r"person_000002/truth.zip is damaged"):
        read_true_shape(folder, size=32, fov_deg=10)
    (folder / "person_000002/truth.zip").unlink()
    with pytest.raises(MienError, match=r"person_000002/truth.zip is missing"):
        read_true_shape(folder, size=32, fov_deg=10)


def test_what_is_rendered_is_in_the_images_order(tiny_model, monkeypatch):
    monkeypatch.setattr("mien.evaluate.tasks.shape.BATCH", 2)
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) for _ in range(5)]
    rendered = render_depth(tiny_model, 5, lambda row: images[row])
    assert rendered.depth.shape == (5, 32, 32)
    last = render_depth(tiny_model, 2, lambda row: images[3 + row])
    assert last.depth == pytest.approx(rendered.depth[3:], abs=1e-4)
    assert last.yaw == pytest.approx(rendered.yaw[3:], abs=1e-4)
    assert np.ptp(rendered.yaw) > 0
    assert (rendered.depth[~rendered.mask] == 0).all()


def synface(root, *, count=4, size=200):
    for part in ("image", "depth"):
        (root / "test" / part).mkdir(parents=True)
    grey = np.zeros((size, size), np.uint8)
    y, x = np.mgrid[:size, :size]
    round_ = np.maximum(0, 1 - ((x - size / 2) ** 2 + (y - size / 2) ** 2) / 80**2)
    grey[round_ > 0] = (55 + 200 * round_)[round_ > 0]
    for number in range(count):
        colour = np.full((size, size, 3), 40 + number, np.uint8)
        cv2.imwrite(str(root / f"test/image/{number:06}_image_1_1.png"), colour)
        cv2.imwrite(str(root / f"test/depth/{number:06}_depth_1_1.png"), grey)
    return root


def test_synface_is_read_as_its_authors_do(tmp_path, tiny_model):
    root = synface(tmp_path / "synface")
    truth = read_synface(root, size=32)
    assert truth.names[1] == "image/000001_image_1_1.png"
    assert truth.read(1).shape == (170, 170, 3)
    assert truth.depth.shape == (4, 32, 32)
    # The brightest is the nearest, 0.9; the rim has grey 55.
    assert truth.depth[0][truth.mask[0]].min() == pytest.approx(0.9, abs=2e-3)
    assert truth.depth[0][truth.mask[0]].max() == pytest.approx(1.1 - 0.2 * 55 / 255, abs=0.025)
    assert not truth.mask[0, 0, 0]
    result = SYNFACE.run(
        tmp_path / "synface", EvalContext(Describing(nobody), tiny_model, gallery=1)
    )
    assert result.scores[0].count == 4
    assert "by predicted head yaw" in result.tables[0].title
    for place in (tmp_path, root, root / "test"):
        assert SYNFACE.matches(place)
        assert len(read_synface(place, size=32)) == 4


def test_synface_counts_what_it_leaves_out_and_says_what_is_missing(tmp_path):
    root = synface(tmp_path)
    (root / "test/depth/000001_depth_1_1.png").unlink()
    (root / "test/depth/000002_depth_1_1.png").write_bytes(b"broken")
    truth = read_synface(root, size=32)
    assert truth.names == ("image/000000_image_1_1.png", "image/000003_image_1_1.png")
    assert truth.notes[0].startswith("1 images without depth and 1 that cannot be read")
    shutil.rmtree(root / "test/depth")
    (root / "test/depth").mkdir()
    (root / "test/depth/other.png").write_bytes(b"")
    with pytest.raises(MienError, match=r"no image of .* has its depth"):
        read_synface(root, size=32)
    shutil.rmtree(root / "test")
    with pytest.raises(MienError, match=r"test/image is missing; synface wants .*Oxford"):
        read_synface(root, size=32)
    assert not SYNFACE.matches(root)
