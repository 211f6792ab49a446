"""mien: what a face is made of, learned from unlabelled images and video.

`load` gives a model, `analyze` the faces in some images with their factors, `embed` a table of the
faces in many images and videos, `embed_to_parquet` the same as a file by a job that can be
resumed; `detect` finds faces alone and `crop` cuts them out. `Factors` is what a model reads off
faces, `MienError` is what goes wrong by the user's doing. Nothing heavy is imported before it is
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.version import VERSION

if TYPE_CHECKING:
    from mien._public import (
        Factors,
        MienError,
        analyze,
        crop,
        detect,
        embed,
        embed_to_parquet,
        load,
    )

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
]

__version__ = VERSION


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mien import _public

    return getattr(_public, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
