"""mien: what a face is made of, learned from unlabelled images and video.

`load` gives a model, `embed` a table of the faces in images and video, `Factors` is what a model
reads off faces, `MienError` is what goes wrong by the user's doing. Nothing heavy is imported
before it is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mien.version import VERSION

if TYPE_CHECKING:
    from mien.embed import embed
    from mien.errors import MienError
    from mien.model import load
    from mien.types import Factors

__all__ = ["Factors", "MienError", "__version__", "embed", "load"]

__version__ = VERSION

_HOMES = {
    "Factors": "mien.types",
    "MienError": "mien.errors",
    "embed": "mien.embed",
    "load": "mien.model",
}


class _Face(ModuleType):
    """This module: its public names are found when asked for and stay what they are."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing the module mien.embed would put it in the place of the function mien.embed.
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Face
