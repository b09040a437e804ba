"""A slice of one minute broken down by the values of a dimension: which part, and which cell, a request goes to.

The parts are spread over a few cells by their value, so that a request makes one small cell a new one to write,
however many values there are. Values beyond a cap are added up in `OTHER`, in the order of the partition's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OTHER, joint_value, matches
from monitor.core.plan import SHARDS, View

if TYPE_CHECKING:
    from monitor.core.row import Fact, Mark

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

    __slots__ = ("_by", "_cells", "_dimension", "_key", "_lines", "_places", "view")

    def __init__(self, view: View, key: CellKey, cells: dict[CellKey, Aggregate]) -> None:
        self.view = view
        self._by = view.by
        self._dimension = view.by[0] if len(view.by) == 1 else None
        self._key = key
        self._cells = cells
        self._places: dict[str, Place] = {}
        self._lines: dict[str, list[Fact]] = {}  # what waits to be added to a part
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

    def wait(self, facts: Sequence[Fact], cohorts: Sequence[Mapping[str, str]], mark: Mark) -> None:
        """Let facts about requests wait for the parts of their cohorts, in the order of the log."""
        within, dimension, lines = self.view.within, self._dimension, self._lines
        if within:
            pairs = [(fact, of) for fact, of in zip(facts, cohorts, strict=True) if matches(within, of)]
            facts, cohorts = [fact for fact, _ in pairs], [of for _, of in pairs]
        if dimension is None:
            values = [joint_value(of, self._by) for of in cohorts]
        else:
            try:
                values = [of[dimension] for of in cohorts]
            except KeyError:
                values = [of.get(dimension, "") for of in cohorts]
        for value, fact in zip(values, facts, strict=True):
            try:
                lines[value].append(fact)
            except KeyError:
                self._line(value).append(fact)
        places = self._places
        for value in set(values):
            _, cell, key = places.get(value) or places[OTHER]
            if not cell.is_changed:
                mark(cell, key)

    def waited(self) -> Iterator[tuple[list[Fact], Place]]:
        """Yield what waits with the place it waits for; it waits no longer."""
        lines, self._lines = self._lines, {}
        for value, line in lines.items():
            yield line, self._places[value]

    def _line(self, value: str) -> list[Fact]:
        if value not in self._places:
            value = self._named(value)
            if value not in self._places:
                self._new(value)
        return self._lines.setdefault(value, [])

    def _named(self, value: str) -> str:
        """The value as a part's name: beyond the cap it is one of many others."""
        return value if len(self._places) < self.view.parts_max else OTHER

    def _new(self, value: str) -> Place:
        value = self._named(value)
        if value in self._places:
            return self._places[value]
        key = self._key._replace(shard=shard_of(value))
        cell = self._cells.setdefault(key, Aggregate())
        place = self._places[value] = cell.parts.setdefault(value, Aggregate()), cell, key
        return place
