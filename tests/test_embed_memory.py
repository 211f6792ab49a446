import numpy as np
import pytest
from PIL import Image

import mien


def test_images_in_memory_are_embedded_as_those_on_disk(tiny_model, tmp_path):
    rng = np.random.default_rng(5)
    pixels = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    expected = mien.embed(paths, model=tiny_model, detector="none")
    with paths[2].open("rb") as file:
        given = [pixels[0], Image.fromarray(pixels[1]), file]
        found = mien.embed(given, model=tiny_model, detector="none")
    assert found["path"].tolist() == ["image 0", "image 1", "image 2"]
    codes = np.array(expected["identity"].tolist())
    np.testing.assert_array_equal(np.array(found["identity"].tolist()), codes)
    one = mien.embed(pixels[0], model=tiny_model, detector="none")
    np.testing.assert_allclose(one["identity"].tolist(), codes[:1], atol=1e-4)
    wrong = mien.embed([np.zeros((2, 2), np.uint8)], model=tiny_model, detector="none")
    assert wrong["face_found"].tolist() == [False]
    with pytest.raises(mien.MienError, match="not both at once"):
        mien.embed([pixels[0], paths[0]], model=tiny_model, detector="none")
