"""Outputs that would destroy something are refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.outputs import check_outputs, same_file, written_together


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "in.png").write_text("mine")
    return tmp_path / "in.png"


def another_name(given: Path, kind: str) -> Path:
    name = given.with_name("other.png")
    if kind == "link":
        name.symlink_to(given)
    elif kind == "hard link":
        os.link(given, name)
    elif kind == "dots":
        return given.parent / ".." / given.parent.name / given.name
    else:
        return given
    return name


@pytest.mark.parametrize("kind", ["itself", "link", "hard link", "dots"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_written(given: Path, kind: str, overwrite: bool) -> None:
    output = another_name(given, kind)
    assert same_file(output, given)
    with pytest.raises(MienError, match="is read and would be overwritten"):
        check_outputs([given.with_name("new"), output], inputs=[given], overwrite=overwrite)
    assert given.read_text() == "mine"


def test_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "m.png")
    for other in (tmp_path / "m.png", tmp_path / "." / "m.png", tmp_path / "link"):
        with pytest.raises(MienError, match="would be written twice"):
            check_outputs([tmp_path / "m.png", other])
    assert not same_file(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("name", ["/dev/null", "pipe"])
def test_devices_and_pipes_are_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for overwrite in (False, True):
        with pytest.raises(MienError, match="no ordinary file"):
            check_outputs([tmp_path / name], overwrite=overwrite)
    with (
        pytest.raises(MienError, match="no ordinary file"),
        replacing(tmp_path / "pipe", overwrite=True),
    ):
        pass


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    real.write_text("before")
    link.symlink_to(real)
    with replacing(link, overwrite=True) as unfinished:
        unfinished.write_text("after")
    assert link.is_symlink()
    assert real.read_text() == "after"
    with written_together([link], overwrite=True) as (place,):
        place.write_text("again")
    assert link.is_symlink()
    assert real.read_text() == "again"


def write(outputs: list[Path], error: Exception | None = None) -> None:
    with written_together(outputs, overwrite=True) as places:
        for place in places:
            place.write_text("after")
        if error is not None:
            raise error


def test_all_are_written_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.obj"
    first.write_text("before")
    with pytest.raises(MienError, match=r"a\.png exists"), written_together([second, first]):
        pass
    with (
        pytest.raises(MienError, match="cannot write"),
        written_together([first, second], overwrite=True) as places,
    ):
        places[0].write_text("only this one")
    with pytest.raises(KeyError):
        write([first, second], KeyError())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert first.read_text() == "before"
    with written_together([first, second], overwrite=True) as places:
        assert [place.name for place in places] == ["a.png", "b.obj"]
        for place in places:
            place.write_text("after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.png": "after",
        "b.obj": "after",
    }


def test_what_was_there_comes_back_when_a_move_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = [tmp_path / name for name in ("a", "b", "c")]
    outputs[0].write_text("before")
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if target.name == "c":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(MienError, match="no space left"):
        write(outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert outputs[0].read_text() == "before"
