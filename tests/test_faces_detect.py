"""Finding faces: all detectors, every kind of image, the same answer every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mien.errors import MienError
from mien.faces.crop import crop_face, crop_square
from mien.faces.detect import DETECTORS, find_faces, open_detector, single_threaded_opencv
from mien.faces.face import Detector, Face, overlap
from mien.faces.yunet import YUNET_SHA256, find_yunet

SHARED = Path(__file__).parents[2] / "shared"
MODEL = SHARED / "models" / "face_detection_yunet.onnx"
needs_yunet = pytest.mark.skipif(not MODEL.is_file(), reason="the YuNet file is not here")
GREY_BLUE = (90, 110, 130)


def drawn_face(size: int) -> np.ndarray:
    """A face of ellipses that fills a square; plain enough to draw, enough for a detector."""
    image = Image.new("RGB", (size, size), GREY_BLUE)
    draw, unit = ImageDraw.Draw(image), size / 160

    def oval(x: float, y: float, wide: float, high: float, colour: tuple[int, int, int]) -> None:
        sides = ((x - wide) * unit, (y - high) * unit, (x + wide) * unit, (y + high) * unit)
        draw.ellipse(sides, fill=colour)

    oval(80, 74, 58, 68, (60, 40, 30))
    oval(80, 88, 46, 60, (214, 170, 145))
    oval(80, 52, 44, 26, (216, 174, 150))
    for x in (60, 100):
        oval(x, 72, 14, 7, (170, 120, 100))
        oval(x, 66, 14, 3.2, (60, 40, 30))
        oval(x, 74, 9, 4.5, (245, 240, 235))
        oval(x, 74, 4.5, 4.5, (40, 30, 25))
    oval(80, 92, 7, 16, (232, 190, 165))
    oval(74, 106, 4, 3, (130, 85, 70))
    oval(86, 106, 4, 3, (130, 85, 70))
    oval(80, 104, 6, 4, (225, 180, 155))
    oval(80, 124, 19, 6, (150, 60, 60))
    oval(80, 123, 16, 1.6, (90, 30, 35))
    oval(80, 140, 14, 4, (190, 145, 120))
    return np.array(image.filter(ImageFilter.GaussianBlur(1.6 * unit)))


def scene(*places: tuple[int, int, int], height: int = 480, width: int = 640) -> np.ndarray:
    """A plain image with drawn faces at (left, top, size)."""
    image = np.full((height, width, 3), GREY_BLUE, np.uint8)
    for left, top, size in places:
        image[top : top + size, left : left + size] = drawn_face(size)
    return image


@pytest.fixture(scope="module", params=["haar", "mien", pytest.param("yunet", marks=needs_yunet)])
def detector(request) -> Iterator[Detector]:
    found = open_detector(request.param, yunet=MODEL if request.param == "yunet" else None)
    with single_threaded_opencv(found):
        yield found


def same(first: list[Face], second: list[Face]) -> bool:
    return [(face.box, face.score) for face in first] == [(face.box, face.score) for face in second]


def test_one_face_and_where_it_is(detector):
    (face,) = find_faces(scene((200, 100, 160)), detector)
    x, y, side = crop_square(face)
    assert abs(x - 280) < 8
    assert abs(y - 188) < 14
    assert 110 < side < 150
    assert 0.5 < face.score <= 1
    assert face.framing == ("haar" if detector.name == "haar" else "yunet")


def test_several_faces_from_left_to_right(detector):
    places = (400, 50, 120), (30, 200, 160), (220, 20, 140)
    faces = find_faces(scene(*places), detector)
    assert len(faces) == 3
    assert [round((face.box[0] + face.box[2]) / 200) for face in faces] == [1, 3, 5]


def test_the_same_answer_every_time_and_from_every_thread(detector):
    image = scene((400, 50, 120), (30, 200, 160))
    once = find_faces(image, detector)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(lambda _: find_faces(image, detector), range(6)):
            assert same(once, again)


def test_the_same_answer_however_many_threads_opencv_has(detector):
    import cv2

    image = scene((400, 50, 120), (30, 200, 160))
    once = find_faces(image, detector)
    try:
        cv2.setNumThreads(3)
        assert same(once, find_faces(image, detector))
    finally:
        cv2.setNumThreads(1)


def test_no_face(detector):
    assert find_faces(scene(), detector) == []
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert find_faces(noise, detector) == []


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 500), (500, 1), (7, 7), (8, 8), (9, 2000), (3000, 8), (12, 640)]
)
@pytest.mark.parametrize("level", [0, 255])
def test_tiny_and_thin_images(detector, shape, level):
    assert find_faces(np.full((*shape, 3), level, np.uint8), detector) == []


def test_a_huge_image(detector):
    image = np.asarray(Image.fromarray(scene((200, 100, 240))).resize((4096, 3072)))
    (face,) = find_faces(image, detector)
    assert abs((face.box[0] + face.box[2]) / 2 - 320 * 6.4) < 80
    assert abs((face.box[2] - face.box[0]) - 6.4 * 180) < 6.4 * 40


def test_a_small_image_filled_by_a_face(detector):
    (face,) = find_faces(drawn_face(48), detector)
    assert abs((face.box[0] + face.box[2]) / 2 - 24) < 4


def test_grey_readonly_and_strided_images(detector):
    image = scene((200, 100, 160))
    grey = image.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert len(find_faces(grey, detector)) == 1
    mirrored = image[:, ::-1]
    mirrored.flags.writeable = False
    assert len(find_faces(mirrored, detector)) == 1


def test_the_crop_shows_the_face(detector):
    image = scene((200, 100, 160))
    crop = crop_face(image, find_faces(image, detector)[0], 64)
    assert crop.shape == (64, 64, 3)
    skin = (np.abs(crop.astype(int) - [214, 170, 145]).sum(axis=2) < 40).mean()
    assert 0.3 < skin < 0.8


@needs_yunet
@pytest.mark.parametrize("name", ["haar", "mien"])
def test_detectors_cut_out_the_same_square(name):
    image = scene((200, 100, 160))
    squares = [
        crop_square(find_faces(image, open_detector(each, yunet=MODEL))[0])
        for each in (name, "yunet")
    ]
    assert np.abs(np.subtract(squares[0], squares[1])).max() < 0.12 * squares[0][2]


@pytest.mark.parametrize("name", ["mien", pytest.param("yunet", marks=needs_yunet)])
def test_landmarks_are_in_order(name):
    given = MODEL if name == "yunet" else None
    (face,) = find_faces(scene((200, 100, 160)), open_detector(name, yunet=given))
    expected = [[260, 174], [300, 174], [280, 204], [262, 224], [298, 224]]
    assert face.landmarks is not None
    assert face.landmarks.dtype == np.float32
    assert np.abs(face.landmarks - expected).max() < 12


def test_none_takes_the_image_for_the_face():
    detector = open_detector("none")
    assert detector.name == "none"
    for shape in ((1, 1), (48, 48), (30, 50)):
        (face,) = find_faces(np.zeros((*shape, 3), np.uint8), detector)
        assert face.box == (0, 0, shape[1], shape[0])
        assert face.score == 1
        assert crop_face(np.zeros((*shape, 3), np.uint8), face, 16).shape == (16, 16, 3)


def test_a_detector_of_ones_own():
    class Two:
        name = "two"

        def __call__(self, image):
            return [Face((5, 9, 6, 10), 1.0), Face((5, 2, 6, 3), 1.0), Face((1, 8, 2, 9), 1.0)]

    faces = find_faces(np.zeros((10, 10, 3), np.uint8), Two())
    assert [face.box[:2] for face in faces] == [(1, 8), (5, 2), (5, 9)]


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32)])
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="uint8 RGB"):
        find_faces(image, open_detector("none"))


@pytest.fixture
def no_yunet(tmp_path, monkeypatch) -> Path:
    """A place where there is no YuNet file; the cache folder."""
    monkeypatch.delenv("MIEN_YUNET", raising=False)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def refused(*arguments, **options) -> str:
    with pytest.raises(MienError) as caught:
        open_detector(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_auto_without_yunet_is_the_packages_own(no_yunet):
    assert find_yunet() is None
    assert open_detector("auto").name == "mien"


def test_yunet_that_is_missing_says_how_to_get_it(no_yunet, monkeypatch):
    message = refused("yunet")
    for part in ("mien download yunet", "MIEN_YUNET", "--detector mien"):
        assert part in message
    assert "elsewhere.onnx" in refused("yunet", yunet=no_yunet / "elsewhere.onnx")
    monkeypatch.setenv("MIEN_YUNET", str(no_yunet / "given.onnx"))
    assert "given.onnx (from MIEN_YUNET)" in refused("auto")


def test_another_file_is_not_loaded(no_yunet, monkeypatch):
    wrong = no_yunet / "face_detection_yunet_2026may.onnx"
    wrong.write_bytes(b"something else")
    assert "damaged" in refused("auto")
    assert "damaged" in refused("yunet")
    assert open_detector("haar").name == "haar"
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_yunet.parent))
    monkeypatch.delenv("MIEN_CACHE")
    assert find_yunet() is None


@needs_yunet
def test_yunet_is_found_in_each_place(no_yunet, monkeypatch):
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == YUNET_SHA256
    assert open_detector("auto", yunet=MODEL).name == "yunet"
    monkeypatch.setenv("MIEN_YUNET", str(MODEL))
    assert open_detector("auto").name == "yunet"
    monkeypatch.delenv("MIEN_YUNET")
    (no_yunet / "face_detection_yunet.onnx").write_bytes(MODEL.read_bytes())
    assert open_detector("auto").name == "yunet"


def test_unknown_names():
    assert "there is no detector dlib" in refused("dlib")
    assert set(DETECTORS) == {"auto", "mien", "haar", "yunet", "none"}


def test_opencv_without_cascades(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "CascadeClassifier")
    message = refused("haar")
    assert "opencv-python-headless<5" in message
    assert cv2.__version__ in message


def test_opencv_without_the_cascades_files(monkeypatch, tmp_path):
    import cv2

    monkeypatch.setattr(cv2, "__file__", str(tmp_path / "__init__.py"))
    assert "no Haar cascades" in refused("haar")


@needs_yunet
@pytest.mark.data
def test_yunet_is_that_of_opencv():
    """The reference: the same file run and decoded by OpenCV gives the same boxes and landmarks."""
    import cv2

    image = scene((400, 50, 120), (30, 200, 160), height=384)
    reference = cv2.FaceDetectorYN.create(str(MODEL), "", (640, 384), 0.6, 0.3, 500)
    rows = reference.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
    rows = rows[np.argsort(rows[:, 0])]
    faces = find_faces(image, open_detector("yunet", yunet=MODEL))
    assert len(faces) == len(rows) == 2
    for face, row in zip(faces, rows, strict=True):
        corners = (*row[:2], *(row[:2] + row[2:4]))
        assert np.abs(np.subtract(face.box, corners)).max() < 1e-3
        assert np.abs(face.landmarks - row[4:14].reshape(5, 2)).max() < 1e-3
        assert face.score == pytest.approx(row[14], abs=1e-5)


def test_opencv_keeps_its_threads():
    import cv2

    before = cv2.getNumThreads()
    detector = open_detector("haar")
    assert cv2.getNumThreads() == before
    with single_threaded_opencv(detector):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


@needs_yunet
@pytest.mark.data
@pytest.mark.parametrize("name", ["haar", "mien"])
def test_detectors_agree_on_real_faces(name):
    """Same faces, same framing: the median square differs by less than 3 % of its side."""
    import io
    import zipfile

    archive = SHARED / "data" / "lfw-unpaired" / "images.zip"
    if not archive.is_file():
        pytest.skip("lfw-unpaired is not here")
    other, yunet = open_detector(name), open_detector("yunet", yunet=MODEL)
    pairs = []
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".jpg"))[::90]
        for name in names:
            image = np.array(Image.open(io.BytesIO(files.read(name))).convert("RGB"))
            first, second = find_faces(image, other), find_faces(image, yunet)
            if len(first) == len(second) == 1 and overlap(first[0].box, second[0].box) > 0.2:
                pairs.append((crop_square(first[0]), crop_square(second[0])))
    squares = np.array(pairs)
    assert len(pairs) > 0.9 * len(names)
    assert abs(np.median(squares[:, 0, 2] / squares[:, 1, 2]) - 1) < 0.03
    shift = (squares[:, 0, :2] - squares[:, 1, :2]) / squares[:, 1, 2:]
    assert np.abs(np.median(shift, axis=0)).max() < 0.02
