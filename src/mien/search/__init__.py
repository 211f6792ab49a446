"""Who looks like this face? Exact search among a million of them, and who is who in an album.

`build` makes an index of tables of faces, `open` reads one; an `Index` is asked by vectors, or by
`query_images` and `query_table`. `cluster` names the people of a table. Nothing heavy is imported
before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.search.clusters import Clustered, cluster
    from mien.search.index import Index, build, open_index as open
    from mien.search.query import Answer, query_images, query_table
    from mien.search.results import Added, Hit, IndexInfo

__all__ = [
    "Added",
    "Answer",
    "Clustered",
    "Hit",
    "Index",
    "IndexInfo",
    "build",
    "cluster",
    "open",
    "query_images",
    "query_table",
]

_HOMES = {
    **dict.fromkeys(("Clustered", "cluster"), "clusters"),
    **dict.fromkeys(("Index", "build", "open"), "index"),
    **dict.fromkeys(("Added", "Hit", "IndexInfo"), "results"),
    **dict.fromkeys(("Answer", "query_images", "query_table"), "query"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    found = getattr(module, "open_index" if name == "open" else name)
    # Importing a module of the same name would have put the module in this place.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
