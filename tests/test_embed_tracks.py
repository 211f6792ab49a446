"""Tracks that follow a person, not a place."""

from __future__ import annotations

import numpy as np

from mien.embedding.tracks import TrackLinker
from mien.table.rows import FaceRow

ANN, BOB = np.eye(2, 8, dtype=np.float32)


def row(frame, track, *, path="v.mp4", face=True, rate=25.0):
    return FaceRow(path, frame=frame, time_s=frame / rate, face_found=face, track_id=track)


def numbers(seen, linker=None):
    """Tracks of (frame, track by place, look) as they come, one batch a row."""
    linker = linker or TrackLinker()
    return [linker([row(frame, track)], look[None])[0].track_id for frame, track, look in seen]


def test_a_face_keeps_its_number():
    assert numbers([(0, 0, ANN), (0, 1, BOB), (1, 0, ANN), (1, 1, BOB)]) == [0, 1, 0, 1]


def test_a_person_who_was_away_for_a_moment_is_known_again():
    assert numbers([(0, 0, ANN), (1, 0, ANN), (20, 1, ANN), (21, 1, ANN)]) == [0, 0, 0, 0]


def test_not_after_a_second():
    assert numbers([(0, 0, ANN), (26, 1, ANN)]) == [0, 1]


def test_somebody_else_is_not_that_person():
    assert numbers([(0, 0, ANN), (10, 1, BOB)]) == [0, 1]


def test_nobody_is_there_twice():
    assert numbers([(0, 0, ANN), (1, 0, ANN), (1, 1, ANN)]) == [0, 0, 1]


def test_a_cut_to_somebody_else_at_the_same_place():
    assert numbers([(0, 0, ANN), (1, 0, ANN), (2, 0, BOB), (3, 0, BOB), (9, 0, ANN)]) == [
        0,
        0,
        1,
        1,
        0,
    ]


def test_places_that_were_exchanged():
    seen = [(0, 0, ANN), (0, 1, BOB), (1, 0, BOB), (1, 1, ANN)]
    assert numbers(seen) == [0, 1, 1, 0]


def test_a_blurred_frame_does_not_end_a_track():
    blurred = 0.3 * ANN + np.float32(0.6) * np.eye(8, dtype=np.float32)[5]
    assert numbers([(0, 0, ANN), (1, 0, blurred), (2, 0, ANN)]) == [0, 0, 0]


def test_each_video_begins_anew_and_stills_have_no_tracks():
    linker = TrackLinker()
    first = linker([row(0, 0), row(1, None, face=False)], ANN[None])
    assert [r.track_id for r in first] == [0, None]
    other = linker(
        [row(0, 0, path="w.mp4"), FaceRow("a.png", face_found=True)], np.stack([BOB, ANN])
    )
    assert [r.track_id for r in other] == [0, None]


def test_without_embeddings_nothing_changes():
    rows = [row(0, 3), row(1, 5)]
    assert TrackLinker()(rows, None) == rows
