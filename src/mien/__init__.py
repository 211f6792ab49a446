"""mien: what a face is made of, learned from unlabelled images and video.

`load` gives a model, `analyze` the faces in some images with their factors, `embed` a table of the
faces in many images and videos, `embed_to_parquet` the same as a file by a job that can be
resumed, `verify` whether two images show one person; `detect` finds faces alone and `crop` cuts
them out. `Factors` is what a model reads off faces, `MienError` is what goes wrong by the user's
doing. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mien.errors import MienError
from mien.version import VERSION

if TYPE_CHECKING:
    from mien.embedding.run import embed, embed_to_parquet
    from mien.model import load
    from mien.pipeline.analyze import analyze
    from mien.pipeline.detect import crop, detect
    from mien.types import Factors
    from mien.verification import verify

__all__ = [
    "Factors",
    "MienError",
    "__version__",
    "analyze",
    "crop",
    "detect",
    "embed",
    "embed_to_parquet",
    "load",
    "verify",
]

__version__ = VERSION
_HOMES = {
    "Factors": "mien.types",
    "analyze": "mien.pipeline.analyze",
    "crop": "mien.pipeline.detect",
    "detect": "mien.pipeline.detect",
    "embed": "mien.embedding.run",
    "embed_to_parquet": "mien.embedding.run",
    "load": "mien.model",
    "verify": "mien.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
