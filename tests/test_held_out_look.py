"""The look that weights never learned from: its textures, its folder, its measures, two images."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import held_out_look
from benchmarks.look_measures import Score, Seen, auc_interval, look_scores
from benchmarks.other_renderer.casting import Casting
from benchmarks.other_renderer.eyes import eye_globe, paint_eye
from benchmarks.other_renderer.folder import labels_of_frames, write_people
from benchmarks.other_renderer.hair import grow_hair
from benchmarks.other_renderer.looks import pigmented, sample_looks
from benchmarks.other_renderer.photograph import photographed, smoothed
from benchmarks.other_renderer.scene import Studio, open_mitsuba
from benchmarks.other_renderer.skin import hairline, paint_skin
from benchmarks.other_renderer.surface import find_surface, texel_triangles
from benchmarks.same_person import verification_auc

from mien.errors import MienError
from mien.synth.expression import EXPRESSIONS
from mien.synth.frame import Framing, sample_frames
from mien.synth.kernels import smooth_normals
from mien.synth.toy import toy_head

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict-facekit" / "ict_facekit.npz"
has_ict = pytest.mark.skipif(not ICT.is_file(), reason="ICT-FaceKit is not in shared/data")
HEAD = toy_head()
MARKS = HEAD.neutral[HEAD.landmarks]


def looks_of(seed=0, **changes):
    return replace(sample_looks(np.random.default_rng(seed)), **changes)


def texels():
    """A small texture that lies on a plane before the face."""
    y, x = np.meshgrid(np.linspace(-9, 9, 72), np.linspace(-7, 7, 56), indexing="ij")
    place = np.stack([x, y, np.full_like(x, -9.0)], axis=-1).astype(np.float32)
    return place, np.ones(place.shape[:2], np.float32)


def test_skin_is_a_function_of_the_looks_and_differs_between_people() -> None:
    place, facing = texels()
    first, again = (paint_skin(looks_of(3), place, facing, MARKS) for _ in range(2))
    assert (first.albedo == again.albedo).all()
    assert (first.roughness == again.roughness).all()
    assert first.albedo.shape == (*place.shape[:2], 3)
    assert 0 < first.albedo.min() <= first.albedo.max() < 1
    other = paint_skin(looks_of(4), place, facing, MARKS)
    assert np.abs(first.albedo - other.albedo).mean() > 0.02


def test_marks_are_where_they_belong() -> None:
    place, facing = texels()
    bare = {"moles": 0, "freckles": 0, "stubble": 0.0, "age": 0.0, "patches": 0.0, "flush": 0.0}
    hair = replace(looks_of().hair, length=0.0)
    looks = looks_of(melanin=0.2, lip_opacity=0.0, brow_density=1.0, hair=hair, **bare)
    albedo = paint_skin(looks, place, facing, MARKS).albedo

    def around(x: float, y: float) -> np.ndarray:
        near = np.hypot(place[..., 0] - x, place[..., 1] - y) < 0.5
        return albedo[near].mean(axis=0)

    cheek = around(5.5, 2.0)
    lips = around(*MARKS[48:60, :2].mean(axis=0))
    brow = around(MARKS[19, 0], MARKS[19, 1] + 0.3)
    assert lips[1] / lips[0] < 0.85 * cheek[1] / cheek[0]
    assert brow.mean() < 0.8 * cheek.mean()


def test_pigments_darken_and_redden() -> None:
    fair, dark = pigmented(np.array(0.1), np.array(0.5)), pigmented(np.array(2.5), np.array(0.5))
    flushed = pigmented(np.array(0.1), np.array(1.2))
    assert (dark < fair).all()
    assert flushed[1] / flushed[0] < fair[1] / fair[0]


def test_hairline_runs_over_the_forehead_and_down_to_the_nape() -> None:
    brow = float(MARKS[17:27, 1].mean())
    points = np.array([[0, brow + 1, -9], [0, brow - 8, -5], [0, brow + 4, 12]], np.float32)
    assert (np.sign(hairline(points, MARKS, 0.0)) == [-1, 1, 1]).all()
    assert hairline(points, MARKS, 0.3)[1] < hairline(points, MARKS, 0.0)[1]


def test_hair_grows_from_the_scalp_alone() -> None:
    skin = np.flatnonzero(HEAD.part == 0)
    normals = np.empty_like(HEAD.neutral)
    smooth_normals(HEAD.neutral, HEAD.triangles, normals)
    points, out = HEAD.neutral[skin], normals[skin]
    triangles = HEAD.triangles[(HEAD.triangles < len(skin)).all(axis=1)]
    mean = np.concatenate([points, MARKS])
    style = replace(looks_of().hair, length=3.0)
    hair = grow_hair(style, points, out, triangles, mean, 5)
    assert hair is not None
    assert np.isfinite(hair.vertices).all()
    assert hair.triangles.max() < len(hair.vertices) == len(hair.uv)
    again = grow_hair(style, points, out, triangles, mean, 5)
    assert again is not None
    assert (hair.vertices == again.vertices).all()
    assert grow_hair(replace(style, length=0.0), points, out, triangles, mean, 5) is None


def test_an_eye_looks_along_minus_z_with_a_dark_pupil() -> None:
    points, uv, triangles = eye_globe()
    a, b, c = (points[triangles[:, k]] for k in range(3))
    outward = np.einsum("fc,fc->f", np.cross(b - a, c - a), a + b + c)
    assert (outward >= -1e-6).all()
    assert points[np.argmin(uv[:, 1]), 2] < -1.5
    painted = paint_eye(looks_of())
    assert painted[:4].max() < 0.02 < painted[-20:].min()


def test_every_texel_has_a_triangle() -> None:
    uv = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]], np.float32)
    found = texel_triangles(uv, np.array([[0, 1, 2], [1, 3, 2]], np.int32), (20, 20))
    assert found[4, 4] == 0
    assert found[15, 15] == 1
    assert set(np.unique(found)) == {0, 1}


def test_smoothing_takes_noise_away_and_leaves_texture_and_edges() -> None:
    rng = np.random.default_rng(0)
    albedo = np.full((64, 64, 3), 0.5, np.float32)
    albedo[:, ::8] = 0.1
    normals = np.zeros((64, 64, 3), np.float32)
    normals[:, :32, 2], normals[:, 32:, 0] = -1, 1
    falling = np.where(np.arange(64) < 32, 1.0, 0.2).astype(np.float32)[None, :, None]
    truth = albedo * falling
    noisy = truth * rng.uniform(0.5, 1.5, truth.shape).astype(np.float32)
    smooth = smoothed(noisy, albedo, normals)
    assert np.abs(smooth - truth).mean() < 0.35 * np.abs(noisy - truth).mean()
    image = photographed(rng, smooth, np.ones((64, 64, 1), np.float32))
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8


def made_clip(calls):
    def clip(number):
        calls.append(number)
        rng = np.random.default_rng(number)
        frames = sample_frames(rng, HEAD, np.array([0, 3]))
        return np.full((2, 16, 16, 3), 40 * number, np.uint8), frames

    return clip


def test_a_folder_goes_on_where_it_stopped_and_refuses_other_settings(tmp_path) -> None:
    calls: list[int] = []
    first = write_people(tmp_path / "a", 2, made_clip(calls), {"seed": 1})
    more = write_people(tmp_path / "a", 3, made_clip(calls), {"seed": 1})
    assert calls == [0, 1, 2]
    pd.testing.assert_frame_equal(more.head(4), first)
    assert list(more["person"]) == [1, 1, 2, 2, 3, 3]
    assert list(more["expression"][:2]) == ["neutral", "surprise"]
    assert all((tmp_path / "a" / path).is_file() for path in more["path"])
    with pytest.raises(MienError, match="other settings"):
        write_people(tmp_path / "a", 3, made_clip(calls), {"seed": 2})
    with pytest.raises(MienError, match="not empty"):
        write_people(tmp_path, 3, made_clip(calls), {"seed": 1})


def made_seen(noise: float, people: int = 12, frames: int = 6) -> Seen:
    """Codes of whom they show and of the expression, to both of which noise is added."""
    rng = np.random.default_rng(7)
    clips = []
    for person in range(people):
        expression = rng.integers(len(EXPRESSIONS), size=frames)
        clips.append(labels_of_frames(person, sample_frames(rng, HEAD, expression)))
    labels = pd.concat(clips, ignore_index=True)
    person = labels["person"].to_numpy(np.int64)
    shown = np.array([EXPRESSIONS.index(e) for e in labels["expression"]])

    def code(of: np.ndarray) -> np.ndarray:
        vectors = np.random.default_rng(1).standard_normal((of.max() + 1, 16))
        return vectors[of] + noise * rng.standard_normal((len(of), 16))

    angles = labels[["yaw_rad", "pitch_rad", "roll_rad"]].to_numpy()
    angles = angles + np.deg2rad([2.0, 0.0, 0.0])
    light = labels[["light_x", "light_y", "light_z"]].to_numpy()
    codes = {"identity": code(person), "expression": code(shown), "features": code(shown)}
    codes["HOG"] = code(person)
    return Seen(labels, codes, angles, light, images=len(labels) + 3)


def test_scores_of_made_up_codes() -> None:
    scores = look_scores(made_seen(0.05))
    assert scores["same person AUC, identity"].value == pytest.approx(1.0)
    assert scores["expression by linear probe, expression"].value > 0.95
    assert scores["yaw error, degrees"].value == pytest.approx(2.0, abs=1e-4)
    assert scores["light x, correlation"].value == pytest.approx(1.0)
    assert scores["face found"].value == pytest.approx(72 / 75)
    assert "same person AUC, face_embedding" not in scores
    low, high = scores["face found"].low, scores["face found"].high
    assert low is not None
    assert high is not None
    assert low < 72 / 75 < high


def test_the_interval_of_the_area_holds_the_area() -> None:
    seen = made_seen(1.5)
    codes, rng = seen.codes["identity"], np.random.default_rng(0)
    area = verification_auc(codes=codes, person=seen.person, rng=rng)
    low, high = auc_interval(codes=codes, person=seen.person, rng=rng)
    assert 0.5 < low < area < high < 1


def test_a_score_as_a_table_shows_it() -> None:
    assert Score(0.7912, 0.77, 0.812).text(percent=True, digits=1) == "79.1 % (77.0 to 81.2)"
    assert Score(0.97649).text(percent=False, digits=3) == "0.976"


def test_without_mitsuba_there_is_one_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(MienError, match="pip install mitsuba"):
        open_mitsuba()
    (tmp_path / "head.npz").write_bytes(b"no archive")
    words = ["--head-model", str(tmp_path / "head.npz"), "--out", str(tmp_path / "looks")]
    with pytest.raises(SystemExit) as stopped:
        held_out_look.main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@has_ict
def test_the_texture_lies_on_the_face() -> None:
    casting = Casting(ICT, seed=1, frames=1, framing=Framing())
    surface = find_surface(ICT, casting.head)
    tip = casting.head.neutral[casting.head.landmarks[30]]
    nearest = np.linalg.norm(surface.place - tip, axis=-1)
    assert nearest.min() < 0.1
    row, column = np.unravel_index(nearest.argmin(), nearest.shape)
    assert surface.facing[row, column] > 0.8
    at = surface.uv[surface.vertex == casting.head.landmarks[30]][0]
    rows, columns = nearest.shape
    assert np.abs(at * [columns, rows] - [column, row]).max() < 2


@has_ict
def test_two_images_are_rendered_and_repeat() -> None:
    pytest.importorskip("mitsuba", reason="mitsuba is not installed")
    casting = Casting(ICT, seed=5, frames=2, framing=Framing(crop_scale=1.4))
    studio = Studio(open_mitsuba(), casting, 48, 4)
    cast = casting.person(0)
    images = studio.render(cast)
    assert images.shape == (2, 48, 48, 3)
    assert (images == studio.render(casting.person(0))).all()
    middle = images[:, 16:32, 16:32].astype(float)
    # A face is in the middle: neither black nor burnt out, and redder than green.
    assert 25 < middle.mean() < 235
    assert (middle[..., 0].mean(axis=(1, 2)) > middle[..., 1].mean(axis=(1, 2))).all()
