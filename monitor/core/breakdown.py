"""A slice of one minute broken down by the values of a dimension: which part, and which cell, a request goes to.

The parts are spread over a few cells by their value, so that a request makes one small cell a new one to write,
however many values there are. Values beyond a cap are added up in `OTHER`, in the order of the partition's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from monitor.core.aggregate import Aggregate
from monitor.core.cohort import OTHER, joint_value
from monitor.core.plan import SHARDS, View

if TYPE_CHECKING:
    from monitor.core.partition import CellKey

Place: TypeAlias = "tuple[Aggregate, Aggregate, CellKey]"
"""A part, the cell that holds it, and the cell's key."""


def shard_of(value: str) -> int:
    """Return which of a breakdown's cells holds a value's part: the same everywhere."""
    return crc32(value.encode()) % SHARDS


class Breakdown:
    """The parts of one broken-down slice of one minute, wherever their cells are.

    Args:
        key: Of its cells, but for the shard.
        cells: The fold's cells; those of this slice are found there, and made there when first needed.
    """

    __slots__ = ("_by", "_cells", "_dimension", "_key", "_places", "view")

    def __init__(self, view: View, key: CellKey, cells: dict[CellKey, Aggregate]) -> None:
        self.view = view
        self._by = view.by
        self._dimension = view.by[0] if len(view.by) == 1 else None
        self._key = key
        self._cells = cells
        self._places: dict[str, Place] = {}
        for shard in range(SHARDS):
            shard_key = key._replace(shard=shard)
            cell = cells.get(shard_key)
            if cell is not None:
                for value, part in cell.parts.items():
                    self._places[value] = part, cell, shard_key

    def place(self, cohort: Mapping[str, str]) -> Place:
        """Return the part that a request of this cohort belongs to, with the cell that holds it."""
        dimension = self._dimension  # one dimension is the usual case, and this is asked once per request
        value = joint_value(cohort, self._by) if dimension is None else cohort.get(dimension, "")
        place = self._places.get(value)
        return place if place is not None else self._new(value)

    def _new(self, value: str) -> Place:
        if len(self._places) >= self.view.parts_max:
            value = OTHER
            if value in self._places:
                return self._places[value]
        key = self._key._replace(shard=shard_of(value))
        cell = self._cells.setdefault(key, Aggregate())
        place = self._places[value] = cell.parts.setdefault(value, Aggregate()), cell, key
        return place
