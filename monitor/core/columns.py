"""Columns of requests, added up by the part each request is in: exact, and for many thousand requests at a time.

A part is a small number. Nothing here is a floating-point sum: counts and sums are whole numbers, and sums that
could pass what 64 bits hold are added up in two halves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.event import UNFINISHED_US
from monitor.core.shape import Ints
from monitor.core.sketch import UNFINISHED_BIN, bins_of, whole_of

NO_BIN: Final = -1
"""The bin of a request that is not in a distribution."""

_HALF_BITS: Final = 31  # halves of 31 bits can be added up for 2**32 requests without wrapping
_SAFE_SUM: Final = 1 << 62  # half of what 64 bits hold: below it no sum can wrap
_ROOM: Final = 8  # places for each request: counted in place up to there, which is quicker than sorting
_NO_RANK: Final = np.iinfo(np.int64).max  # behind every rank that there is


class ByPart:
    """Requests in the order of their parts, those of one part together.

    Attributes:
        rows: The requests, by their place in the columns; at least one.
        starts: Where among `rows` each part begins.
        parts: Which part that is; rising.
    """

    __slots__ = ("parts", "rows", "starts")

    def __init__(self, parts: Ints) -> None:
        narrow = parts.astype(np.int16) if parts.max() < 1 << 15 else parts
        self.rows = np.argsort(narrow, kind="stable")
        ordered = narrow[self.rows]
        self.starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        self.parts: list[int] = ordered[self.starts].tolist()

    def least(self, column: Ints) -> list[int]:
        """Return the smallest value of each part."""
        found: list[int] = np.minimum.reduceat(column[self.rows], self.starts).tolist()
        return found

    def sums(self, column: Ints) -> list[int]:
        """Return the exact sum of each part."""
        ordered = column[self.rows]
        if int(ordered.max()) * len(ordered) < _SAFE_SUM:
            found: list[int] = np.add.reduceat(ordered, self.starts).tolist()
            return found
        high = np.add.reduceat(ordered >> _HALF_BITS, self.starts).tolist()
        low = np.add.reduceat(ordered & ((1 << _HALF_BITS) - 1), self.starts).tolist()
        return [(one << _HALF_BITS) + other for one, other in zip(high, low, strict=True)]

    def foremost(self, ranks: Ints, count: int) -> Ints:
        """Return the requests that may be among the `count` smallest ranks of their part, and few others."""
        ordered = ranks[self.rows]
        sizes = np.diff(np.append(self.starts, len(ordered)))
        rest = edge = ordered
        for turn in range(count):
            if turn:
                rest = np.where(ordered > edge, ordered, _NO_RANK)
            edge = np.repeat(np.minimum.reduceat(rest, self.starts), sizes)
        return self.rows[ordered <= edge]


def kinds_by_part(parts: Ints, kinds: Ints, table: Ints) -> Iterator[tuple[int, list[int]]]:
    """Yield each part with what its requests add up to: `table` has what one of each kind adds."""
    owners, found, counts = _counted(parts, kinds)
    starts = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
    added = np.add.reduceat(table[found] * counts[:, None], starts, axis=0)
    return zip(owners[starts].tolist(), added.tolist(), strict=True)


def bins_by_part(parts: Ints, bins: Ints) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield each part with its bins, rising, and how many requests are in each."""
    owners, places, counts = _counted(parts, bins)
    starts = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1]))).tolist()
    found, many = places.tolist(), counts.tolist()
    ends = [*starts[1:], len(found)]
    for part, start, end in zip(owners[starts].tolist(), starts, ends, strict=True):
        yield part, found[start:end], many[start:end]


def _counted(parts: Ints, numbers: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the different pairs of a part and a number, rising, and how often each is there; at least one."""
    low = int(numbers.min())
    width = int(numbers.max()) - low + 1
    keys = parts * width + (numbers - low)
    if (int(parts.max()) + 1) * width <= _ROOM * len(keys):
        many = np.bincount(keys)
        pairs = np.flatnonzero(many)
        counts = many[pairs]
    else:
        keys.sort()
        edges = np.flatnonzero(np.concatenate((keys[1:] != keys[:-1], [True])))
        pairs, counts = keys[edges], np.diff(edges, prepend=-1)
    return pairs // width, pairs % width + low, counts


def sized(told: Sequence[float | None], per_unit: int) -> tuple[Ints, Ints]:
    """Return values as whole smallest steps, and their bins; 0 and `NO_BIN` where there is none."""
    values = np.array(told, dtype=np.float64)  # None becomes no number
    missing = np.isnan(values)
    if not missing.any():
        whole = whole_of(values, per_unit)
        return whole, bins_of(whole)
    values[missing] = 0.0
    whole = whole_of(values, per_unit)
    bins = bins_of(whole)
    bins[missing] = NO_BIN
    return whole, bins


def sized_whole(told: Sequence[int | None]) -> tuple[Ints, Ints]:
    """Return values that are whole already, as `sized` does."""
    values = np.array([NO_BIN if value is None else value for value in told], dtype=np.int64)
    bins = bins_of(values)
    missing = values == NO_BIN
    values[missing] = 0
    bins[missing] = NO_BIN
    return values, bins


def end_unfinished(
    values: Ints, bins: Ints, failed: NDArray[np.bool_], unfinished: NDArray[np.bool_]
) -> None:
    """Set what is slower than every finished request, and take out what failed."""
    values[failed], bins[failed] = 0, NO_BIN
    values[unfinished], bins[unfinished] = UNFINISHED_US, UNFINISHED_BIN
