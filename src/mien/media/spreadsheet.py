"""Text cells that no spreadsheet takes for a formula."""

from __future__ import annotations

__all__ = ["FORMULA", "plain_cell", "safe_cell"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text must not start with."""


def safe_cell(text: str) -> str:
    """Return a text with an apostrophe before it where a spreadsheet would compute it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def plain_cell(text: str) -> str:
    """Return the text that `safe_cell` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
