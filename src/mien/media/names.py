r"""File names as text that any UTF-8 file or terminal takes, and back again without loss.

A name on disk is a string of bytes, and Python shows those that are not UTF-8 as lone surrogates,
which neither Parquet nor a terminal takes. `to_text` writes each such byte, and each control
character, as `\xNN` (two lower-case hexadecimal digits), and a lone surrogate that stands for no
byte (Windows) as `\uNNNN`. A backslash that would be read as the start of such a group is itself
written `\x5c`. Every other name is left as it is.
"""

from __future__ import annotations

import os
import re

__all__ = ["from_text", "is_utf8", "to_text"]

_GROUP = r"x[0-9a-f]{2}|u[0-9a-f]{4}"
_UNFIT = re.compile(rf"[\x00-\x1f\x7f\ud800-\udfff]|\\(?={_GROUP})")
_ESCAPED = re.compile(rf"\\({_GROUP})")


def to_text(name: str | os.PathLike[str]) -> str:
    """Return a file name as printable UTF-8 text; `from_text` gives the name back."""
    return _UNFIT.sub(_escape, os.fspath(name))


def from_text(text: str) -> str:
    """Return the file name that `to_text` wrote as this text."""
    return _ESCAPED.sub(_unescape, text)


def is_utf8(path: str | os.PathLike[str]) -> bool:
    """Return whether the whole path of a file can be given to libraries that take UTF-8 alone."""
    try:
        os.path.abspath(os.fspath(path)).encode()  # noqa: PTH100 - links stay
    except UnicodeEncodeError:
        return False
    return True


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _unescape(found: re.Match[str]) -> str:
    code = int(found[1][1:], 16)
    return chr(code + 0xDC00 if found[1][0] == "x" and code >= 0x80 else code)
