"""Where a detector's box puts the crop."""

from __future__ import annotations

import pytest

from mien.faces.crop import crop_square
from mien.faces.face import Face


def test_the_square_lies_a_little_off_the_middle_of_a_detectors_box() -> None:
    """Centre and side as measured: Haar's boxes are too high, YuNet's too low and to the left."""
    haar = crop_square(Face((100, 200, 300, 400), 1.0, framing="haar"))
    yunet = crop_square(Face((100, 200, 300, 400), 1.0, framing="yunet"))
    assert haar == pytest.approx((199.4, 301.2, 210.0))
    assert yunet == pytest.approx((201.5, 296.4, 222.0))
