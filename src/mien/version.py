"""The package's version, kept where every floor can read it."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
