"""Mergeable log-bucket sketch of latencies, costs and token counts.

Bin i holds the values in (RATIO**(i-1), RATIO**i]; a bin's upper edge is at most 2 % above any value in it.
Merging adds counts, so it is associative and commutative and loses nothing (Masson, Rim, Lee, VLDB 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

RATIO: Final = 1.02  # a bin's edge is at most 2 % above any value in it
_PER_LOG: Final = 1 / log(RATIO)  # bins in a factor of e
LAST_BIN: Final = 1400  # RATIO**1400 is 1.1e12: above a day in ms and 1,000,000 USD in micro-units
UNFINISHED_BIN: Final = LAST_BIN + 1  # a timeout is slower than every finished request
_MANY: Final = 4_096  # values that wait for their bins at most
BIN_COUNT: Final = UNFINISHED_BIN + 1  # bin 0 is one too


def bin_of(value: float) -> int:
    """Return the bin of a value >= 0, in the unit's smallest step; everything up to 1 is bin 0."""
    return bins_of([value]).item()


def bins_of(values: Sequence[float] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bin of each value, as `bin_of`: the one place where a value meets its bin."""
    logs = np.log(np.maximum(np.asarray(values, dtype=np.float64), 1.0))
    return np.minimum(np.ceil(logs * _PER_LOG - 1e-9), LAST_BIN).astype(np.int64)


def whole_of(values: Sequence[float] | NDArray[np.float64], per_unit: int) -> NDArray[np.int64]:
    """Return values in whole smallest steps, to the nearest, a half to the even one: `round`, for many at once."""
    return np.rint(np.asarray(values, dtype=np.float64) * per_unit).astype(np.int64)


def upper_edge(index: int) -> float:
    """Return the largest value a bin holds; infinity for the unfinished ones."""
    return float("inf") if index >= UNFINISHED_BIN else RATIO**index


_Counts: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Bins, rising, and how many requests are in each."""


class Sketch:
    """Counts per bin and the exact sum of what was added, in the unit's smallest whole step.

    Values are put into their bins when somebody looks, many at once: adding one is adding to a list.
    """

    __slots__ = ("_bins", "_first", "_pending", "_total")

    def __init__(self, bins: dict[int, int] | None = None, total: int = 0) -> None:
        self._bins: dict[int, int] = {} if bins is None else bins
        self._total = total
        self._pending: list[int] = []
        self._first: _Counts | None = None  # what came at once and alone: most parts of a minute have no more

    def add(self, value: int) -> None:
        """Add one finished request's value (a whole number >= 0)."""
        self._pending.append(value)
        if len(self._pending) >= _MANY:
            self._settle()

    def add_counts(self, total: int, bins: Sequence[int], counts: Sequence[int]) -> None:
        """Add requests whose bins are known.

        Args:
            total: The sum of the finished ones' values; one that never finished is in `UNFINISHED_BIN`, and in no sum.
            bins: Different ones, rising.
        """
        self._total += total
        if self._first is not None:
            self._settle()
        mine = self._bins
        if not mine:
            self._first = bins, counts
            return
        for index, count in zip(bins, counts, strict=True):
            mine[index] = mine.get(index, 0) + count

    def add_unfinished(self) -> None:
        """Add a request that never finished: slower than every finished one, outside the sum."""
        bins = self.bins
        bins[UNFINISHED_BIN] = bins.get(UNFINISHED_BIN, 0) + 1

    def merge(self, other: Sketch) -> None:
        """Add all that `other` holds."""
        bins, others = self.bins, other.bins
        if bins:
            known = bins.get
            for index, count in others.items():
                bins[index] = known(index, 0) + count
        else:
            self._bins = dict(others)
        self._total += other.total

    @property
    def bins(self) -> dict[int, int]:
        """Requests per bin."""
        if self._pending or self._first is not None:
            self._settle()
        return self._bins

    @property
    def width(self) -> int:
        """How many bins have requests."""
        if self._pending:
            self._settle()
        first = self._first
        return len(self._bins) if first is None else len(first[0])

    def rising(self) -> _Counts:
        """Return the bins that have requests, rising, and how many each has; not to be changed."""
        if self._pending:
            self._settle()
        if self._first is not None:
            return self._first
        bins = self._bins
        found = sorted(bins)
        return found, list(map(bins.__getitem__, found))

    @property
    def total(self) -> int:
        """The exact sum of the finished requests' values."""
        if self._pending:
            self._settle()
        return self._total

    @property
    def count(self) -> int:
        """How many requests were added."""
        return sum(self.bins.values())

    def _settle(self) -> None:
        if self._first is not None:
            self._bins, self._first = dict(zip(*self._first, strict=True)), None
        pending, bins = self._pending, self._bins
        if not pending:
            return
        self._pending = []
        self._total += sum(pending)
        indices, counts = np.unique(bins_of(pending), return_counts=True)
        for index, count in zip(indices.tolist(), counts.tolist(), strict=True):
            bins[index] = bins.get(index, 0) + count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.bins == other.bins and self.total == other.total

    __hash__ = None  # type: ignore[assignment]  # mutable: hashing one would be a mistake
