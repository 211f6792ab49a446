"""INPUT... becomes sources: complete, in order, distinct, whatever lies on the disk."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from PIL import Image

from mien.errors import MienError
from mien.media.inputs import Source, count, expand
from mien.media.kinds import kind_of, may_be_media
from mien.media.names import from_text

MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(32)


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A folder of images and a video among other things; the current folder is above it."""
    folder = tmp_path / "data"
    for name in ("b.jpg", "a/2.PNG", "a/10.png", "a/deep/er/x.webp", "c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {".jpg": "JPEG"}.get(Path(name).suffix, Path(name).suffix[1:])
        Image.new("RGB", (2, 2)).save(folder / name, format=kind)
    (folder / "clip.mp4").write_bytes(MP4)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.png").write_bytes(b"\x89PNG")
    (folder / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    return folder


def labels(*inputs) -> list[str]:
    return [source.path_label for source in expand(inputs)]


def refused(*inputs) -> str:
    with pytest.raises(MienError) as caught:
        expand(inputs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_to_the_bottom_in_order(tree):
    assert labels("data") == [
        "a/10.png",
        "a/2.PNG",
        "a/deep/er/x.webp",
        "b.jpg",
        "c.png",
        "clip.mp4",
    ]
    assert labels(tree) == labels("data") == labels("data/") == labels("./data")
    assert count(["data"]) == 6


def test_sources_say_where_and_what(tree):
    sources = {source.path_label: source for source in expand("data")}
    assert sources["clip.mp4"] == Source("clip.mp4", str(Path("data") / "clip.mp4"), "video")
    assert sources["a/2.PNG"].kind == "image"
    assert all(Path(source.full_path).is_file() for source in sources.values())


def test_files_are_called_as_given(tree):
    assert labels("./data/c.png", "data/clip.mp4") == ["./data/c.png", "data/clip.mp4"]
    assert labels(tree / "c.png") == [str(tree / "c.png")]
    assert labels("data/.hidden.jpg") == ["data/.hidden.jpg"]


def test_globs(tree):
    assert labels("data/*.png") == ["data/c.png"]
    assert labels("data/[bc].*") == ["data/b.jpg", "data/c.png"]
    assert labels("data/*") == [f"data/{name}" for name in labels("data")]
    assert labels("data/**") == labels("data/*")
    assert labels("data/**/*.png") == ["data/a/10.png", "data/c.png"]
    assert "no image or video matches" in refused("data/*.txt")
    assert "no image or video matches" in refused("data/*.bmp")


def test_a_file_whose_name_looks_like_a_glob(tree):
    Image.new("RGB", (1, 1)).save(tree / "[c].png")
    assert labels("data/[c].png") == ["data/[c].png"]


def test_nothing_to_be_had(tree):
    assert "no input" in refused()
    assert "does not exist" in refused("missing.jpg")
    assert "does not exist" in refused("")
    assert "no image or video in data/nothing" in refused("data/nothing")
    assert "no image or video in data/nothing" in refused("data", "data/nothing")
    assert "neither" in refused("data/notes.txt")


def test_two_folders_with_other_names_in_them(tree):
    other = tree.parent / "other"
    other.mkdir()
    Image.new("RGB", (1, 1)).save(other / "z.png")
    assert labels("other", "data") == ["z.png", *labels("data")]


def test_same_names_are_refused(tree):
    other = tree.parent / "other"
    (other / "a").mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(other / "a" / "10.png")
    message = refused("data", "other")
    assert "data/a/10.png" in message
    assert "other/a/10.png" in message
    assert "folder above" in message
    assert labels("data", "other/*") == [*labels("data"), "other/a/10.png"]
    assert "given twice" in refused("data", "data")
    assert "given twice" in refused("data/c.png", "data/c.png")
    os.chdir(other)
    assert "would both be called a/10.png" in refused("../data", "a/10.png")
    assert "would both be called a/10.png" in refused("a/10.png", "../data")


def test_content_goes_before_the_name(tree):
    (tree / "video.jpg").write_bytes(MP4)
    (tree / "still").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    (tree / "sound").write_bytes(MP4.replace(b"isom", b"M4A "))
    (tree / "code.ts").write_text("const x = 1;")
    (tree / "stream.ts").write_bytes((b"G" + bytes(187)) * 2)
    (tree / "empty.jpg").touch()
    kinds = {source.path_label: source.kind for source in expand("data")}
    assert kinds["video.jpg"] == "video"
    assert kinds["still"] == "image"
    assert kinds["stream.ts"] == "video"
    assert kinds["empty.jpg"] == "image"  # and is refused where it is read
    assert not {"sound", "code.ts", "notes.txt"} & set(kinds)
    assert count("data") == len(kinds)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image"),
        (b"GIF89a", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\0\0\0\x20ftypavif", "image"),
        (b"\0\0\0\x20ftypheic", "image"),
        (b"\0\0\0\x20ftypqt  ", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (bytes(4) + b"G" + bytes(191) + b"G" + bytes(50), "video"),
        (b"", None),
        (b"%PDF-1.7", None),
    ],
)
def test_kinds_by_content(tmp_path, head, kind):
    (tmp_path / "unnamed").write_bytes(head)
    assert kind_of(tmp_path / "unnamed") == kind


def test_kinds_by_name(tmp_path):
    assert kind_of(tmp_path / "missing.JPG") == "image"
    assert kind_of(tmp_path / "missing.Mkv") == "video"
    assert kind_of(tmp_path / "missing.ts") is None
    assert may_be_media("x.HEIC")
    assert not may_be_media("x.ts")
    assert not may_be_media("jpg")


def test_links(tree):
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "a" / "self").symlink_to(tree / "a")
    (tree / "again.png").symlink_to(tree / "c.png")
    (tree / "gone.png").symlink_to(tree / "nowhere")
    (tree / "round.png").symlink_to(tree / "round.png")
    found = labels("data")
    assert not [label for label in found if "loop" in label or "self" in label]
    assert {"again.png", "gone.png", "round.png"} <= set(found)  # broken ones fail where read
    assert "link" in refused("data/gone.png")
    elsewhere = tree.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in").symlink_to(tree / "a")
    assert labels("elsewhere")[0] == "in/10.png"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_not_opened(tree):
    os.mkfifo(tree / "pipe.jpg")
    os.mkfifo(tree / "pipe")
    assert "pipe.jpg" not in labels("data")
    assert "ordinary" in refused("data/pipe.jpg")
    assert "no image" in refused("data/pip*")


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_names_that_are_not_utf8(tree):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        Image.new("RGB", (1, 1)).save(tree / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = [source for source in expand("data") if "caf" in source.path_label]
    assert [source.path_label for source in found] == ["caf\\xe9.png"]
    assert Path(found[0].full_path).is_file()
    assert from_text(found[0].path_label) == name
    assert labels(os.fsencode(tree / name)) == [f"{tree}/caf\\xe9.png"]


def test_a_folder_that_may_not_be_listed(tree, monkeypatch):
    real = os.scandir

    def guarded(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(MienError, match="cannot list data/a/deep: permission denied"):
        list(expand("data"))
    assert "permission denied" in refused("data/a/deep")


def test_deep_trees_do_not_exhaust_the_stack(tmp_path):
    here = tmp_path
    for _ in range(150):
        here /= "d"
    here.mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(here / "x.png")
    assert labels(tmp_path) == ["d/" * 150 + "x.png"]


def test_sources_come_one_at_a_time(tree, monkeypatch):
    seen = []
    monkeypatch.setattr("mien.media.inputs.kind_of", lambda path: seen.append(path) or "image")
    sources = expand("data")
    del seen[:]
    list(itertools.islice(sources, 2))
    assert len(seen) == 2
