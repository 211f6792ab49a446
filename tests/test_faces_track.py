"""A face keeps its number while it is there, and only then."""

from __future__ import annotations

import tracemalloc

import numpy as np

from mien.faces.track import Tracker


def box(x: float, y: float = 0, side: float = 10) -> tuple[float, float, float, float]:
    return (x, y, x + side, y + side)


def test_two_faces_that_move():
    tracker = Tracker()
    assert tracker.update([box(0), box(50)], time_s=0.0) == [0, 1]
    assert tracker.update([box(2), box(48)], time_s=0.04) == [0, 1]
    assert tracker.update([box(46), box(4)], time_s=0.08) == [1, 0]


def test_the_larger_overlap_goes_first():
    tracker = Tracker()
    tracker.update([box(0)], time_s=0.0)
    assert tracker.update([box(4), box(1)], time_s=0.04) == [1, 0]


def test_equal_overlaps_go_to_the_earlier():
    tracker = Tracker()
    tracker.update([box(0), box(0)], time_s=0.0)
    assert tracker.update([box(0), box(0)], time_s=0.04) == [0, 1]


def test_a_new_face_gets_a_new_number():
    tracker = Tracker()
    assert tracker.update([box(0)], time_s=0.0) == [0]
    assert tracker.update([box(0), box(30)], time_s=0.04) == [0, 1]
    assert tracker.update([], time_s=0.08) == []
    assert tracker.update([box(30), box(0), box(90)], time_s=0.12) == [1, 0, 2]


def test_a_face_is_remembered_for_a_while():
    tracker = Tracker(patience_s=1.0, patience_frames=2)
    tracker.update([box(0)], time_s=0.0)
    for frame in range(1, 25):
        tracker.update([], time_s=frame * 0.04)
    assert tracker.update([box(0)], time_s=1.0) == [0]
    for frame in range(1, 30):
        tracker.update([], time_s=1 + frame * 0.04)
    assert tracker.update([box(0)], time_s=2.2) == [1]


def test_frames_far_apart_still_make_tracks():
    tracker = Tracker(patience_s=1.0, patience_frames=2)
    assert [tracker.update([box(0)], time_s=10.0 * n) for n in range(4)] == [[0]] * 4


def test_memory_does_not_grow_and_numbers_repeat():
    def run(frames: int) -> list[int]:
        generator = np.random.default_rng(0)
        tracker = Tracker(patience_frames=3)
        return [
            number
            for frame in range(frames)
            for number in tracker.update(
                [box(float(x)) for x in generator.uniform(0, 1000, 3)], time_s=frame * 0.5
            )
        ]

    assert run(200) == run(200)
    tracker = Tracker(patience_frames=3)
    tracemalloc.start()
    try:
        for frame in range(3000):
            tracker.update([box(100.0 * frame)], time_s=frame * 0.5)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 20_000
