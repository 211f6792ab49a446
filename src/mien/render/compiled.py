"""numba's compiler, with its cache where one can be kept and without it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function when it is first called.

    The machine code is kept beside the module or in the user's cache folder, so that it is compiled
    once; where neither can be written (a container without a home) it is compiled in every process.
    Division by zero gives infinity, as in NumPy.

    Args:
        options: of numba.njit.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(function, cache=True, error_model="numpy", **options)
        except RuntimeError:  # numba finds no folder that it may write to
            return njit(function, error_model="numpy", **options)

    return decorate
