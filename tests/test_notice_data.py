"""Where a detector's box puts the crop, and how sure a detector must be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.faces.crop import crop_square
from mien.faces.face import Face
from mien.faces.haar import HaarDetector


def test_the_square_lies_a_little_off_the_middle_of_a_detectors_box() -> None:
    """Centre and side as measured: Haar's boxes are too high, YuNet's too low and to the left."""
    haar = crop_square(Face((100, 200, 300, 400), 1.0, framing="haar"))
    yunet = crop_square(Face((100, 200, 300, 400), 1.0, framing="yunet"))
    assert haar == pytest.approx((199.4, 301.2, 210.0))
    assert yunet == pytest.approx((201.5, 296.4, 222.0))


class Cascade:
    """Stands for OpenCV's: the frontal one is sure of one place and doubts another."""

    def __init__(self, path: str) -> None:
        self.frontal = "frontal" in path

    def empty(self) -> bool:
        return False

    def detectMultiScale3(self, *_: object, **__: object) -> tuple[object, object, object]:
        boxes = [(150, 60, 40, 40), (60, 60, 40, 40)] if self.frontal else []
        return boxes, [], np.array([20.0, 90.0])[: len(boxes)]


def test_places_that_the_detector_doubts_are_no_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "CascadeClassifier", Cascade)
    (face,) = HaarDetector()(np.zeros((200, 200, 3), np.uint8))
    assert face.score > 0.9
    assert face.box[0] < 60
