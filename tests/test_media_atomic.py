"""A file is written whole or not at all."""

from __future__ import annotations

import errno

import pytest

from mien.errors import MienError
from mien.media.atomic import replacing


def broken_off(path, error):
    with replacing(path, overwrite=True) as unfinished:
        unfinished.write_text("half")
        raise error


def test_moves_what_was_written(tmp_path):
    with replacing(tmp_path / "out.txt") as unfinished:
        assert unfinished.parent == tmp_path
        unfinished.write_text("whole")
        assert not (tmp_path / "out.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt()])
def test_leaves_nothing_when_broken_off(tmp_path, error):
    (tmp_path / "out.txt").write_text("before")
    with pytest.raises(type(error)):
        broken_off(tmp_path / "out.txt", error)
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "before"


def test_does_not_overwrite_unless_told(tmp_path):
    (tmp_path / "out.txt").write_text("before")
    with pytest.raises(MienError, match="exists"), replacing(tmp_path / "out.txt"):
        pass
    with replacing(tmp_path / "out.txt", overwrite=True) as unfinished:
        unfinished.write_text("after")
    assert (tmp_path / "out.txt").read_text() == "after"


def test_a_link_is_not_overwritten_either(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(MienError, match="exists"), replacing(tmp_path / "link"):
        pass


def test_full_disk_and_missing_folder_are_one_line(tmp_path):
    with pytest.raises(MienError, match=r"cannot write .*out\.txt: no space left"):
        broken_off(tmp_path / "out.txt", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(MienError, match="cannot write") as caught,
        replacing(tmp_path / "missing" / "out.txt") as unfinished,
    ):
        unfinished.write_text("x")
    assert "\n" not in str(caught.value)
    with pytest.raises(MienError, match="is a folder"), replacing(tmp_path):
        pass
