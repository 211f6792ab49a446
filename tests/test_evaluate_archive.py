from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.tree import Tree, image_of, open_tree
from mien.media.image import read

FILES = ("faces/b/2.png", "faces/a/1.jpg", "labels.txt", ".hidden/x.txt", "__MACOSX/faces/1.jpg")


def image(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format=kind)
    return data.getvalue()


CONTENT = {
    name: image("JPEG" if name.endswith("jpg") else "PNG") if "faces" in name else b"1\r\n2\r\n"
    for name in FILES
}


@pytest.fixture(params=["folder", "zip"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    folder = tmp_path / "set"
    for name, data in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    if request.param == "folder":
        return open_tree(folder)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("faces/", b"")
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    return open_tree(tmp_path / "set.zip")


def test_a_folder_and_its_zip_are_the_same(tree: Tree, tmp_path: Path) -> None:
    assert tree.names == ("faces/a/1.jpg", "faces/b/2.png", "labels.txt")
    assert tree.has("labels.txt")
    assert tree.exists("faces/b/2.png")
    assert not tree.has("faces")
    assert not tree.has("faces/3.png")
    assert tree.read_bytes("faces/a/1.jpg") == CONTENT["faces/a/1.jpg"]
    assert tree.read_text("labels.txt") == "1\n2\n"
    for name in ("faces/a/1.jpg", "faces/b/2.png"):
        np.testing.assert_array_equal(tree.image(name), read(tmp_path / "set" / name))


def test_a_tree_below_a_folder(tree: Tree) -> None:
    below = tree.under("faces")
    assert below.names == ("a/1.jpg", "b/2.png")
    assert below.under("b/").names == ("2.png",)
    assert below.under("b").read_bytes("2.png") == CONTENT["faces/b/2.png"]
    assert below.under("b").image("2.png").shape == (9, 7, 3)
    assert below.under("") is below
    assert tree.under("fac").names == ()
    assert not tree.under("none").has("labels.txt")


def test_what_is_missing_or_broken_is_named(tree: Tree) -> None:
    with pytest.raises(MienError, match=r"set(\.zip)?/faces/9\.jpg is missing; copy"):
        tree.under("faces").read_bytes("9.jpg")
    with pytest.raises(MienError, match=r"labels\.txt is not an image that can be read"):
        tree.image("labels.txt")


def test_images_are_read_from_threads(tree: Tree) -> None:
    wanted = tree.image("faces/a/1.jpg")
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(tree.image, ["faces/a/1.jpg"] * 64):
            np.testing.assert_array_equal(got, wanted)


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfJos\xc3\xa9")
    (tmp_path / "b.txt").write_bytes(b"Jos\xe9")
    assert open_tree(tmp_path).read_text("a.txt") == "José"
    assert open_tree(tmp_path).read_text("b.txt") == "José"


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", b"abcdefgh" * 500)
    data = bytearray(path.read_bytes())
    data[45:55] = b"\xff" * 10
    path.write_bytes(bytes(data))
    with pytest.raises(MienError, match=r"set\.zip/labels\.txt (is damaged|cannot be read)"):
        open_tree(path).read_bytes("labels.txt")
    path.write_bytes(b"no zip")
    with pytest.raises(MienError, match="neither a folder nor a zip"):
        open_tree(path)
    with pytest.raises(MienError, match="does not exist"):
        open_tree(tmp_path / "none")


def test_a_zip_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    for text in (b"1", b"22"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", text)
        assert open_tree(path).read_bytes("a.txt") == text
    assert open_tree(path) is open_tree(path)
    path.unlink()
    with pytest.raises(MienError, match="does not exist"):
        open_tree(path)


def test_holds_looks_for_files_and_folders(tree: Tree, tmp_path: Path) -> None:
    assert holds(tree.source, "labels.txt", "faces", "faces/a")
    assert not holds(tree.source, "labels.txt", "faces/c")
    assert not holds(tmp_path / "none", "labels.txt")
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    assert not holds(tmp_path / "bad.zip", "labels.txt")


def test_bytes_have_the_pixels_of_the_file_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = CONTENT["faces/a/1.jpg"]
    wanted = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(image_of(data, "1.jpg"), wanted)
    with pytest.raises(MienError, match=r"^7 of x\.bin is empty"):
        image_of(b"", "7 of x.bin")
    assert list(tmp_path.iterdir()) == []
