"""Mergeable log-bucket sketch of latencies, costs and token counts.

Bin i holds the values in (RATIO**(i-1), RATIO**i]; a bin's upper edge is at most 2 % above any value in it.
Merging adds counts, so it is associative and commutative and loses nothing (Masson, Rim, Lee, VLDB 2019).
"""

from __future__ import annotations

from math import ceil, log
from typing import Final

RATIO: Final = 1.02
_PER_LOG: Final = 1 / log(RATIO)
LAST_BIN: Final = 1400  # RATIO**1400 is 1.1e12: above a day in ms and 1,000,000 USD in micro-units
UNFINISHED_BIN: Final = LAST_BIN + 1  # a timeout is slower than every finished request
BIN_COUNT: Final = UNFINISHED_BIN + 1


def bin_of(value: float) -> int:
    """Return the bin of a value >= 0, in the unit's smallest step; everything up to 1 is bin 0."""
    if value <= 1:
        return 0
    return min(ceil(log(value) * _PER_LOG - 1e-9), LAST_BIN)


def upper_edge(index: int) -> float:
    """Return the largest value a bin holds; infinity for the unfinished ones."""
    return float("inf") if index >= UNFINISHED_BIN else RATIO**index


class Sketch:
    """Counts per bin and the exact sum of what was added, in the unit's smallest whole step."""

    __slots__ = ("bins", "total")

    def __init__(self, bins: dict[int, int] | None = None, total: int = 0) -> None:
        self.bins: dict[int, int] = {} if bins is None else bins
        self.total = total

    def add(self, value: int) -> None:
        """Add one finished request's value (a whole number >= 0)."""
        # `bin_of`, written out: this runs for every request.
        index = ceil(log(value) * _PER_LOG - 1e-9) if value > 1 else 0
        if index > LAST_BIN:
            index = LAST_BIN
        bins = self.bins
        bins[index] = bins.get(index, 0) + 1
        self.total += value

    def add_unfinished(self) -> None:
        """Add a request that never finished: slower than every finished one, outside the sum."""
        self.bins[UNFINISHED_BIN] = self.bins.get(UNFINISHED_BIN, 0) + 1

    def merge(self, other: Sketch) -> None:
        """Add all that `other` holds."""
        for index, count in other.bins.items():
            self.bins[index] = self.bins.get(index, 0) + count
        self.total += other.total

    @property
    def count(self) -> int:
        """How many requests were added."""
        return sum(self.bins.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.bins == other.bins and self.total == other.total

    __hash__ = None  # type: ignore[assignment]  # mutable: hashing one would be a mistake
