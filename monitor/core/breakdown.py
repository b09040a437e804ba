"""A slice of one minute: which cell a request goes to, and which part of it where the slice is broken down.

Parts are values of a dimension (or of several together), spread over a few cells by their value, so that a request
makes one small cell a new one to write, however many values there are. Values beyond a cap are added up in `OTHER`,
in the order of the partition's log. Parts are numbered, so that those of many requests are one column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OTHER, joint_value, matches
from monitor.core.plan import SHARDS, View
from monitor.core.shape import Ints

Place: TypeAlias = "tuple[Aggregate, Aggregate, CellKey]"
"""A part, the cell that holds it, and the cell's key. What is not broken down is a part of its own."""

Mark: TypeAlias = "Callable[[Aggregate, CellKey], None]"
"""Told that a cell is to be written anew."""

OUTSIDE: Final = -1
"""The part of a request that is not in the slice."""


def shard_of(value: str) -> int:
    """Return which of a breakdown's cells holds a value's part: the same everywhere."""
    return crc32(value.encode()) % SHARDS


class Slice:
    """A slice that is not broken down.

    Attributes:
        places: By a part's number, where its requests go.
    """

    __slots__ = ("places", "view")

    names_bytes: Final = 0  # it has none

    def __init__(self, view: View, key: CellKey, cells: dict[CellKey, Aggregate]) -> None:
        self.view = view
        cell = cells.setdefault(key, Aggregate())
        self.places: list[Place] = [(cell, cell, key)]

    def place(self, _cohort: Mapping[str, str]) -> Place:
        """Return where a request of this cohort goes, which lies in the slice."""
        return self.places[0]

    def parts(self, cohorts: Sequence[Mapping[str, str]], mark: Mark) -> Ints:
        """Return the number of each request's part, or `OUTSIDE`; their cells are to be written."""
        numbers = np.zeros(len(cohorts), dtype=np.int64)
        if self.view.within:
            numbers[~_within(self.view, cohorts)] = OUTSIDE
            if not (numbers != OUTSIDE).any():
                return numbers
        _, cell, key = self.places[0]
        if not cell.is_changed:
            mark(cell, key)
        return numbers


class Breakdown(dict[str, int]):
    """The parts of one broken-down slice of one minute, wherever their cells are: the number of each value.

    Args:
        key: Of its cells, but for the shard.
        cells: The fold's cells; those of this slice are found there, and made there when first needed.

    Attributes:
        names_bytes: What the names of the parts that were made here take.
    """

    __slots__ = (
        "_by",
        "_cells",
        "_dimension",
        "_held",
        "_keys",
        "_parts_max",
        "names_bytes",
        "places",
        "view",
    )

    def __init__(self, view: View, key: CellKey, cells: dict[CellKey, Aggregate]) -> None:
        self.view = view
        self._by = view.by
        self._dimension = view.by[0] if len(view.by) == 1 else None
        self._parts_max = view.parts_max
        self._keys = [key._replace(shard=shard) for shard in range(SHARDS)]
        self._cells = cells
        self.places: list[Place] = []
        self.names_bytes = 0
        self._held: list[Aggregate] = []  # the cells that parts are in, a few
        for shard_key in self._keys:
            cell = cells.get(shard_key)
            if cell is not None:
                self._held.append(cell)
                for value, part in cell.parts.items():
                    self[value] = len(self.places)
                    self.places.append((part, cell, shard_key))

    def place(self, cohort: Mapping[str, str]) -> Place:
        """Return the part that a request of this cohort belongs to, with the cell that holds it."""
        return self.places[self[joint_value(cohort, self._by)]]

    def parts(self, cohorts: Sequence[Mapping[str, str]], mark: Mark) -> Ints:
        """Return the number of each request's part, or `OUTSIDE`; new values get theirs in this order."""
        within = self.view.within
        if within:
            is_in = _within(self.view, cohorts)
            cohorts = [cohort for cohort, here in zip(cohorts, is_in.tolist(), strict=True) if here]
        found = np.fromiter(map(self.__getitem__, self._values(cohorts)), np.int64, len(cohorts))
        self._mark(found, mark)
        if not within:
            return found
        numbers = np.full(len(is_in), OUTSIDE, dtype=np.int64)
        numbers[is_in] = found
        return numbers

    def _values(self, cohorts: Sequence[Mapping[str, str]]) -> list[str]:
        dimension = self._dimension  # one dimension is the usual case, and this is asked once per request
        if dimension is None:
            return [joint_value(cohort, self._by) for cohort in cohorts]
        try:
            return [cohort[dimension] for cohort in cohorts]
        except KeyError:
            return [cohort.get(dimension, "") for cohort in cohorts]

    def _mark(self, numbers: Ints, mark: Mark) -> None:
        places = self.places
        if all(cell.is_changed for cell in self._held):
            return
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            _, cell, key = places[number]
            if not cell.is_changed:
                mark(cell, key)

    def __missing__(self, value: str) -> int:
        """Return the number of a value that has no part yet: a new one, or beyond the cap that of all others."""
        if len(self) >= self._parts_max:
            if OTHER in self:
                return self[OTHER]
            value = OTHER
        self.names_bytes += len(value.encode())
        key = self._keys[shard_of(value)]
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Aggregate()
            self._held.append(cell)
        self.places.append((cell.parts.setdefault(value, Aggregate()), cell, key))
        number = self[value] = len(self.places) - 1
        return number


def _within(view: View, cohorts: Sequence[Mapping[str, str]]) -> NDArray[np.bool_]:
    """Return which requests lie in a slice."""
    key = view.within
    if len(key) == 1:  # the usual case, written out
        ((dimension, value),) = key
        return np.array([cohort.get(dimension) == value for cohort in cohorts], dtype=bool)
    return np.array([matches(key, cohort) for cohort in cohorts], dtype=bool)
