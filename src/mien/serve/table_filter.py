"""Which rows of a table are shown: conditions on columns, all of which must hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from pydantic import Field

from mien.serve.errors import ApiError
from mien.serve.schemas import Given
from mien.serve.table_rows import Kind

__all__ = ["Filter", "Filters", "FiltersBody"]

pc: Any = pyarrow.compute  # most of whose functions are made when it is imported

_MOST_FILTERS = 20
_KEPT = 8
"""Answers to filters that are kept; those of a page are asked for again with every neighbour."""

_FITTING: dict[Kind, tuple[str, ...]] = {
    "number": ("range",),
    "boolean": ("among",),
    "text": ("among", "contains"),
}

ColumnName = Annotated[str, Field(min_length=1, max_length=300)]


class _OnColumn(Given):
    column: ColumnName
    missing: bool = False
    """Rows without a value are shown, too."""


class Range(_OnColumn):
    """Numbers from `low` to `high`, both included; null: no end."""

    kind: Literal["range"]
    low: float | None = None
    high: float | None = None


class Among(_OnColumn):
    """Texts that are one of some; of yes and no: `yes`, `no`."""

    kind: Literal["among"]
    values: list[Annotated[str, Field(max_length=1000)]] = Field(min_length=1, max_length=500)


class Contains(_OnColumn):
    """Texts that hold another, in whatever case."""

    kind: Literal["contains"]
    text: str = Field(min_length=1, max_length=300)


class Missing(Given):
    """Rows without a value, only."""

    column: ColumnName
    kind: Literal["missing"]


Filter = Annotated[Range | Among | Contains | Missing, Field(discriminator="kind")]


class FiltersBody(Given):
    """Conditions, all of which must hold."""

    filters: list[Filter] = Field(default=[], max_length=_MOST_FILTERS)


class Filters:
    """Applies filters to the columns of a table; the last answers are kept."""

    def __init__(
        self, values: Callable[[str], tuple[Kind, pa.ChunkedArray | pa.Array]], count: int
    ) -> None:
        """Take what gives a column by its name, and the number of rows."""
        self._values, self._count = values, count
        self._kept: OrderedDict[str, NDArray[np.bool_]] = OrderedDict()

    def matching(self, asked: Sequence[Any]) -> NDArray[np.bool_]:
        """Return which rows match all filters. [N].

        Raises:
            ApiError: a column is not there, or holds something that the filter is not for.
        """
        key = repr(list(asked))
        found = self._kept.pop(key, None)
        if found is None:
            found = np.ones(self._count, bool)
            for one in asked:
                found &= self._one(one)
        self._kept[key] = found
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget the answers: a column is another now."""
        self._kept.clear()

    def _one(self, asked: Any) -> NDArray[np.bool_]:
        kind, values = self._values(asked.column)
        none = values.is_null(nan_is_null=True)
        if isinstance(asked, Missing):
            return np.asarray(none, dtype=bool)
        if asked.kind not in _FITTING[kind]:
            fitting = " or ".join(_FITTING[kind])
            raise ApiError(
                "invalid", f"the column {asked.column} holds {kind}: its filter is {fitting}"
            )
        holds = pc.fill_null(_holds(asked, kind, values), False)
        # NaN lies in no range, also where that has no end.
        holds = pc.or_(holds, none) if asked.missing else pc.and_not(holds, none)
        return np.asarray(holds, dtype=bool)


def _holds(asked: Any, kind: Kind, values: Any) -> Any:
    if isinstance(asked, Contains):
        return pc.match_substring(values, asked.text, ignore_case=True)
    if isinstance(asked, Among):
        if kind == "boolean":
            values = pc.if_else(values, "yes", "no")
        return pc.is_in(values, value_set=pa.array(asked.values, pa.string()))
    values = values.cast(pa.float64())
    holds = pc.is_valid(values)
    if asked.low is not None:
        holds = pc.and_(holds, pc.greater_equal(values, asked.low))
    if asked.high is not None:
        holds = pc.and_(holds, pc.less_equal(values, asked.high))
    return holds
