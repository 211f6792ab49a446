import os

import pytest

from mien.errors import MienError
from mien.media.bounded import MIB, read_bytes, read_json, read_text


def test_ordinary_files_are_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, -2.5, "\xc3\xbc", null]}')
    assert read_json(path) == {"a": [1, -2.5, "ü", None]}
    assert read_text(path).startswith("{")
    assert read_bytes(path, limit=path.stat().st_size)[:3] == b"\xef\xbb\xbf"


def test_more_than_the_limit_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(MIB + 1))
    with pytest.raises(MienError, match="larger than 1 MiB"):
        read_bytes(path, limit=MIB)


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "pipe or a device"),
        ("/dev/zero", "pipe or a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "no file"),
        (tmp_path / ("n" * 5000), "cannot read"),
        ("a\0b", "cannot read"),
    ):
        with pytest.raises(MienError, match=message):
            read_bytes(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "too deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too deep"),
        (b"1e999", "beyond all bounds"),
        (b"[-1e999]", "beyond all bounds"),
        (b"NaN", "NaN is no number"),
        (b"[Infinity]", "Infinity is no number"),
        (b"1" * 400, "beyond all bounds"),
        (b"1" * 5000, "limit"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
    ],
)
def test_json_that_no_number_should_come_from_is_refused(content, message, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(MienError, match=message):
        read_json(tmp_path / "a")
