"""What detectors share: sessions that are opened once, images brought to their size."""

from __future__ import annotations

import os
import threading

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from mien.faces.detect import open_detector
from mien.faces.grid_detector import at_work_size
from mien.faces.own import _shipped  # pyright: ignore[reportPrivateUsage]
from mien.faces.session import open_session


def test_a_detector_is_opened_once() -> None:
    model, _ = _shipped()
    open_session.cache_clear()
    for _ in range(3):
        open_detector("mien")
    assert open_session.cache_info().misses == 1
    assert open_session(model, "mien's detector.onnx") is open_session(
        model, "mien's detector.onnx"
    )


def test_a_damaged_one_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(MienError, match="cannot load the file"):
            open_session(b"no model", "the file")


def test_threads_and_forked_processes_share_one() -> None:
    images = [np.full((96, 96 + 32 * k, 3), 100 + k, np.uint8) for k in range(4)]
    wanted = [open_detector("mien").answer(image)[0][0] for image in images]  # type: ignore[attr-defined]
    found: dict[int, bool] = {}

    def look(number: int) -> None:
        again = open_detector("mien").answer(images[number])[0][0]  # type: ignore[attr-defined]
        found[number] = np.array_equal(again, wanted[number])

    threads = [threading.Thread(target=look, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            look(0)
            os._exit(0 if found[0] else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("height", [1080, 1920, 900])
def test_a_third_is_what_opencv_makes_of_areas(height: int) -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (height, 3000 - height, 3), np.uint8)
    work, to_image = at_work_size(image)
    width, low = round(image.shape[1] / to_image[0]), round(height / to_image[1])
    wanted = cv2.resize(image, (width, low), interpolation=cv2.INTER_AREA)
    assert max(width, low) == 640
    assert np.array_equal(work[:low, :width], wanted)
    assert not work[low:].any()


def test_a_narrow_image_is_reduced_along_one_side_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (700, 8, 3), np.uint8)
    work, _ = at_work_size(image)
    wanted = cv2.resize(image, (7, 640), interpolation=cv2.INTER_AREA)
    assert np.array_equal(work[:640, :7], wanted)
