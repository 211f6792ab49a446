"""Glasses that heads wear in views of photographs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mien.data import people_cache
from mien.data.options import PeopleDataOptions
from mien.data.people_cache import build_photograph_cache
from mien.data.turned import Turned
from mien.synth import photo_views
from mien.synth.accessories import (
    RIM_STEPS,
    glasses_points,
    glasses_triangles,
    lens_triangles,
    with_accessories,
)
from mien.synth.head_model import Part
from mien.synth.photo_views import PhotoViews, Turn
from mien.synth.toy import toy_head
from mien.synth.view_glasses import sample_worn_glasses, tint

# Where the toy head's landmarks stand in a photograph of 96 px that it is framed for.
MARKS = np.array([[36, 40], [60, 40], [48, 54], [40, 66], [56, 66]], np.float32)
GREY = [np.full((96, 96, 3), 90, np.uint8)]
NEVER = 1e-12
"""So small a chance that only its random numbers are drawn."""
AHEAD = Turn((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def photograph() -> np.ndarray:
    return np.random.default_rng(3).integers(150, 256, (96, 96, 3), dtype=np.uint8)


def forced(monkeypatch: pytest.MonkeyPatch, seed: int, *, opacity: float | None = None) -> None:
    """Draw glasses from a generator of their own: all else is as without them."""

    def sample(marks, _):
        worn = sample_worn_glasses(marks, np.random.default_rng(seed))
        if opacity is None:
            return worn
        return replace(worn, lens_opacity=np.full(len(worn.points), opacity))

    monkeypatch.setattr(photo_views, "sample_worn_glasses", sample)


def pair(monkeypatch: pytest.MonkeyPatch, seed: int, **given) -> list[np.ndarray]:
    """One view without and with glasses, alike in all else. Each float32 [96, 96, 3]."""
    forced(monkeypatch, seed, **given)
    found = []
    for chance in (NEVER, 1.0):
        draw = PhotoViews(toy_head(), AHEAD, glasses=chance)
        views = draw(photograph(), MARKS, 1, np.random.default_rng(seed), GREY)
        found.append(views.pixels[0].astype(np.float32))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_glasses_change_the_eyes_and_nothing_else(monkeypatch, seed):
    bare, worn = pair(monkeypatch, seed, opacity=1.0)
    changed = np.abs(bare - worn).max(axis=2) > 4
    band = slice(26, 56)
    assert changed[band, 22:74].mean() > 0.25
    assert changed[band].sum() == changed.sum()
    assert not changed[53:, 44:53].any()  # the tip of the nose


def test_glasses_stand_before_the_eyes_of_the_bent_head(monkeypatch):
    seen = []

    def sample(marks, rng):
        seen.append(marks)
        return sample_worn_glasses(marks, rng)

    monkeypatch.setattr(photo_views, "sample_worn_glasses", sample)
    views = PhotoViews(toy_head(), glasses=1.0)
    for apart in (0.0, 4.0):
        marks = MARKS.copy()
        marks[:2, 0] += [-apart, apart]
        views(photograph(), marks, 1, np.random.default_rng(0), GREY)
    eyes = [np.abs(marks[36:48, 0]).mean() for marks in seen]
    assert eyes[1] > 1.1 * eyes[0]


def test_a_clear_lens_shows_the_eyes_and_a_frame_does_not(monkeypatch):
    bare, clear = pair(monkeypatch, 0, opacity=0.0)
    _, dark = pair(monkeypatch, 0, opacity=1.0)
    frame = np.abs(bare - clear).max(axis=2) > 4
    both = np.abs(bare - dark).max(axis=2) > 4
    assert 40 < frame.sum() < 0.6 * both.sum()
    assert (both & frame).sum() > 0.95 * frame.sum()


def test_without_glasses_nothing_is_drawn_for_them(monkeypatch):
    def never(*_):
        raise AssertionError("glasses are drawn")

    monkeypatch.setattr(photo_views, "sample_worn_glasses", never)
    head, shown = toy_head(), []
    for views in (PhotoViews(head), PhotoViews(head, glasses=0.0), PhotoViews(head, glasses=NEVER)):
        rng = np.random.default_rng(5)
        shown.append((views(photograph(), MARKS, 2, rng, GREY).pixels, rng.random()))
    assert np.array_equal(shown[0][0], shown[1][0])
    assert shown[0][1] == shown[1][1]
    # Where they may be worn, a number is drawn in each view.
    assert shown[0][1] != shown[2][1]


def test_they_are_drawn_afresh_in_each_view_and_given_by_the_generator(monkeypatch):
    seen = []
    sample = photo_views.sample_worn_glasses
    monkeypatch.setattr(
        photo_views, "sample_worn_glasses", lambda *a: seen.append(sample(*a)) or seen[-1]
    )
    views = PhotoViews(toy_head(), glasses=0.5)
    made = [views(photograph(), MARKS, 40, np.random.default_rng(2), GREY).pixels for _ in range(2)]
    assert np.array_equal(made[0], made[1])
    assert 2 * 10 < len(seen) < 2 * 30
    colours = {tuple(worn.colour) for worn in seen}
    assert len(colours) == len(seen) / 2


def test_glasses_are_of_all_kinds():
    head = toy_head()
    rng = np.random.default_rng(0)
    all_worn = [sample_worn_glasses(head.neutral[head.landmarks], rng) for _ in range(300)]
    rims = [worn.points[RIM_STEPS, 0] - worn.points[0, 0] for worn in all_worn]
    assert min(rims) < 0.15
    assert max(rims) > 0.5
    dark = [worn.lens_opacity.max() > 0.4 for worn in all_worn]
    assert 0.1 < np.mean(dark) < 0.3
    assert all(0 <= worn.lens_opacity.min() <= worn.lens_opacity.max() <= 1 for worn in all_worn)


def test_lenses_fill_the_rims():
    head = toy_head()
    points = glasses_points(head.neutral[head.landmarks], np.array([2.5, 2.0, 0.0, 0.2]))
    corners = points[lens_triangles()]
    sides = corners[:, 1:, :2] - corners[:, :1, :2]
    area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum() / 2
    polygon = RIM_STEPS / 2 * np.sin(2 * np.pi / RIM_STEPS) * 2.5 * 2.0
    assert area == pytest.approx(2 * polygon, rel=1e-4)


def test_rendered_people_wear_the_same_mesh():
    head = with_accessories(toy_head())
    glasses = np.flatnonzero(head.part == Part.GLASSES)
    shown = head.triangles[head.triangle_part == Part.GLASSES] - glasses[0]
    assert np.array_equal(shown, glasses_triangles())
    assert glasses_triangles().max() == len(glasses) - 1


def test_a_lens_behind_something_is_hidden():
    head = toy_head()
    worn = sample_worn_glasses(head.neutral[head.landmarks], np.random.default_rng(0))
    worn = replace(worn, lens_opacity=np.ones(len(worn.points)), lens_colour=np.zeros(3))
    points = (worn.points * [4, 4, 1] + [48, 48, 0]).astype(np.float32)
    depth = np.full((96, 96), np.inf, np.float32)
    depth[:, 48:] = -99
    image = np.full((96, 96, 3), 200, np.float32)
    tint(image, points, depth, worn)
    assert (image[:, :48] == 0).any()
    assert (image[:, 48:] == 200).all()


def test_the_chance_goes_from_the_options_into_the_cache(tmp_path, monkeypatch):
    given, keys = [], set()

    class Spied(Turned):
        def __init__(self, *words, glasses=0.0):
            given.append(glasses)
            super().__init__(*words, glasses=glasses)

    monkeypatch.setattr(people_cache, "Turned", Spied)
    monkeypatch.setattr(people_cache, "open_detector", lambda _: SimpleNamespace(name="yunet"))
    monkeypatch.setattr(people_cache, "wanted", lambda *_: iter(()))
    monkeypatch.setattr(people_cache, "write_rows", lambda *_, **__: ({"count": 0}, None))
    monkeypatch.setattr(people_cache, "fill_folder", lambda at, fill: fill(at) or at)
    for chance in (0.0, 0.2, 0.35):
        options = PeopleDataOptions(views=1, glasses=chance)
        keys.add(
            build_photograph_cache([], toy_head(), tmp_path, image_size=64, options=options, seed=0)
        )
    assert given == [0.0, 0.2, 0.35]
    assert len(keys) == 3
    assert PeopleDataOptions().glasses > 0
