"""Any name on disk becomes UTF-8 text and comes back."""

from __future__ import annotations

import pytest

from mien.media.names import from_text, to_text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain/name.jpg", "plain/name.jpg"),
        ("Zoë 顔.png", "Zoë 顔.png"),
        ("back\\slash", "back\\slash"),
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        ("two\nlines\t.jpg", "two\\x0alines\\x09.jpg"),
        ("looks like\\xe9", "looks like\\x5cxe9"),
        ("\ud800", "\\ud800"),
        ("looks like\\ud800", "looks like\\x5cud800"),
    ],
)
def test_written_and_read_back(name, text):
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    assert to_text(name) == text
    assert from_text(text) == name
    text.encode("utf-8")


@pytest.mark.parametrize("first", ["\\", "\\x", "\\x4", "\\u00", "\udc80", "\n"])
@pytest.mark.parametrize("second", ["\\", "x41", "\udcff", "\n", "1", "u0041"])
def test_no_two_names_share_a_text(first, second):
    assert from_text(to_text(first + second)) == first + second
