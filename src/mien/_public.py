"""What `import mien` offers; imported when the first of these names is asked for."""

from mien.embedding.run import embed, embed_to_parquet
from mien.errors import MienError
from mien.model import load
from mien.pipeline.analyze import analyze
from mien.pipeline.detect import crop, detect
from mien.types import Factors

__all__ = [
    "Factors",
    "MienError",
    "analyze",
    "crop",
    "detect",
    "embed",
    "embed_to_parquet",
    "load",
]
