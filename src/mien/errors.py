"""The one exception that a user is meant to read."""

__all__ = ["MienError"]


class MienError(Exception):
    """Says in one line what was wrong with which file, and what to do about it."""
