"""Sketches of both arms per minute, kept so that any window costs one subtraction.

Kept are cumulative exceedances: how many requests since the first minute were above each bin edge. The
difference of two rows is a window, already summed the way the quantile evidence reads it. They are kept as
plain counts, and with Mantel-Haenszel weights (`stats.strata`): over minutes, and over the strata of minutes
from the first that has any on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import add
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.evidence import Exceedances
from monitor.core.stats.packed_minutes import BLOCK_MIN, PackedMinutes, Plane, pack, wider
from monitor.core.stats.strata import Level

_MARGIN_BINS: Final = 16  # grown at once, so that a drifting latency does not copy the matrix every minute
_FIRST_ROWS: Final = 8  # doubled as they fill: many cohorts are young, and their columns still change
_MOST_ROWS: Final = (
    96  # then the oldest are packed: the windows asked for at every tick are not longer than what is left
)
_MARGIN_ROWS: Final = 2 * BLOCK_MIN  # dropped at once
_PLANES: Final = {Level.POOLED: 0, Level.MINUTES: 1, Level.STRATA: 2}  # the order in which they are stored
_UINT32_MAX: Final = 2**32 - 1  # counts that fit take half the room
_WEIGHT_BITS: Final = 32  # of a weighted request's whole-number sums: exact under subtraction
_FEWER_BITS: Final = 8  # given up at a time where sums would leave no room
_MOST: Final = 2.0**61  # a quarter of what 64 bits with a sign hold
_ROUNDING: Final = 1e-6  # requests: far above what a weighted sum is off, far below what a request counts

Bins: TypeAlias = Mapping[int, int]
"""Requests per sketch bin, the unfinished in `UNFINISHED_BIN`."""


class ExceedanceHistory:
    """Cumulative exceedances of candidate (row 0) and baseline (row 1), minute by minute.

    Columns are edges: the first counts every request, the last only those slower than any edge (unfinished). The newest
    minutes are rows as they are, older ones are packed (`stats.packed_minutes`).
    Bounded: at most `keep_min` minutes and a margin, 25 MB where a day has requests in every bin at every minute, 60 MB
    with strata; 1 MB of a cohort with 20 requests a minute and arm.
    """

    __slots__ = ("_asked", "_keep", "_lowest", "_packed", "_planes", "_rows", "_weight_bits", "dropped")

    def __init__(self, keep_min: int) -> None:
        self._keep = keep_min
        self._packed: list[PackedMinutes] = []
        self._asked: dict[int, int] = {}  # the row of a block that was asked for first since the last minute
        self._rows = 1  # behind those that are packed; the very first is the sum before the first kept minute
        self._lowest = -1  # the edge of the first column: bins above it are counted
        # Plain counts, half the memory of 64 bits (`append` widens before one could wrap); weighted over minutes; and
        # over strata, once a minute has any.
        self._planes: list[Plane] = [
            np.zeros((_FIRST_ROWS, 2, 0), dtype=np.uint32),
            np.zeros((_FIRST_ROWS, 2, 0), dtype=np.int64),
        ]
        self._weight_bits = _WEIGHT_BITS
        self.dropped = 0

    @property
    def minutes(self) -> int:
        """How many minutes are kept."""
        return self._before + self._rows - 1

    @property
    def nbytes(self) -> int:
        """Memory of the kept minutes."""
        newest = sum(int(plane.nbytes) for plane in self._planes)
        return newest + sum(block.nbytes for block in self._packed)

    def append(self, candidate: Bins, baseline: Bins, strata: Sequence[tuple[Bins, Bins]] = ()) -> None:
        """Add one minute, and its strata where it has more than one; they add up to it."""
        self._asked.clear()
        self._cover(candidate, baseline)  # and so the strata
        self._make_room()
        if candidate or baseline:
            above = self._above(candidate, baseline)
            self._append_counts(above)
        else:  # most cohorts have many such minutes
            self._repeat(self._planes[:1])
        if candidate and baseline:
            self._append_weighted(above, strata)
        else:  # nobody has a partner
            self._repeat(self._planes[1:])
        self._rows += 1

    def window(
        self, start: int, end: int, cut: tuple[int, int] | None = None, level: Level = Level.POOLED
    ) -> Exceedances:
        """Return both arms' exceedances of kept minutes [start, end), without those of [a, b), shape (2, edges).

        Plain counts where they are pooled, else weighted ones: proportional to the shares above each edge.
        """
        plane = min(_PLANES[level], len(self._planes) - 1)
        found: Exceedances = self._row(plane, end) - self._row(plane, start)
        if cut is not None:
            found -= self._row(plane, cut[1]) - self._row(plane, cut[0])
        return found

    def baselines(self, ends: Sequence[int]) -> NDArray[np.int64]:
        """Return the baseline's exceedances of all kept minutes before each of so many, shape (ends, edges)."""
        found: NDArray[np.int64] = self._rows_at(0, np.array(ends))[:, 1] - self._row(0, 0)[1]
        return found

    def windows(self, stretches: Sequence[tuple[int, int]], levels: Sequence[Level]) -> NDArray[np.int64]:
        """Return `window` of many stretches [start, end), each at a level of its own; shape (stretches, 2, edges)."""
        starts, ends = np.array(stretches).T
        planes = np.array([min(_PLANES[level], len(self._planes) - 1) for level in levels])
        found = np.empty((len(stretches), 2, self.edges), dtype=np.int64)
        for plane in set(planes.tolist()):
            chosen = planes == plane
            found[chosen] = self._rows_at(plane, ends[chosen]) - self._rows_at(plane, starts[chosen])
        return found

    def _rows_at(self, plane: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        at = rows - self._before
        if at.min() >= 0:
            return self._planes[plane][at].astype(np.int64)
        held = {row: self._row(plane, row) for row in set(rows.tolist())}
        return np.stack([held[row] for row in rows.tolist()]).astype(np.int64)

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old minutes, or of precision."""
        return self._is_to_drop or self._held_weight > _MOST / 4

    def _row(self, plane: int, row: int) -> Plane:
        at = row - self._before
        if at >= 0:
            newest: Plane = self._planes[plane][at]
            return newest
        number, place = divmod(row, BLOCK_MIN)
        block = self._packed[number]
        is_deep = self._asked.setdefault(number, place) != place
        return wider(block.row(plane, place, is_deep=is_deep), block.lowest - self._lowest, self.edges)

    @property
    def _before(self) -> int:
        return len(self._packed) * BLOCK_MIN

    @property
    def lowest(self) -> int:
        """The bin whose upper edge the first column stands for: every request lies above it."""
        return self._lowest

    @property
    def edges(self) -> int:
        """How many columns there are."""
        return int(self._planes[0].shape[2])

    def bin_at(self, column: int) -> int:
        """Return the bin whose upper edge a column stands for; `UNFINISHED_BIN` past the last column."""
        return self._lowest + column if column < self.edges else UNFINISHED_BIN

    def bins(self) -> NDArray[np.int64]:
        """Return the bins that lie between neighbouring columns, rising."""
        return np.arange(self._lowest + 1, self._lowest + self.edges, dtype=np.int64)

    def _repeat(self, planes: Sequence[Plane]) -> None:
        """Add a row to which the minute adds nothing."""
        for plane in planes:
            plane[self._rows] = plane[self._rows - 1]

    def _append_counts(self, above: NDArray[np.int64]) -> None:
        counts = self._planes[0]
        before = counts[self._rows - 1]
        if counts.dtype == np.uint32:
            if max(map(add, before[:, 0].tolist(), above[:, 0].tolist())) > _UINT32_MAX:
                counts = self._planes[0] = counts.astype(np.int64)
                before = counts[self._rows - 1]
        counts[self._rows] = before + above

    def _append_weighted(self, above: NDArray[np.int64], strata: Sequence[tuple[Bins, Bins]]) -> None:
        self._have_bits(above)
        minutes = fine = self._weighted(above)
        if len(strata) > 1:
            if len(self._planes) == _PLANES[Level.STRATA]:
                self._planes.append(self._planes[1].copy())  # what is packed says both at once
            fine = self._in_strata([pair for pair in strata if all(pair)])  # else nobody has a partner
        for plane, added in zip(self._planes[1:], (minutes, fine), strict=False):
            plane[self._rows] = plane[self._rows - 1] + added

    def _weighted(self, above: NDArray[np.int64]) -> NDArray[np.int64]:
        """A stratum's exceedances, each arm's times the other's part of the requests, in quanta."""
        n_c, n_b = above[:, 0].tolist()
        if not n_c or not n_b:
            return np.zeros_like(above)
        quanta = 2.0**self._weight_bits
        weighted = above * np.array(((n_b / (n_c + n_b) * quanta,), (n_c / (n_c + n_b) * quanta,)))
        return np.rint(weighted, out=weighted).astype(np.int64)

    def _in_strata(self, strata: Sequence[tuple[Bins, Bins]]) -> NDArray[np.int64]:
        """The sum of `_weighted` of strata that have both arms: steps at their bins, since most have few of them."""
        added = np.zeros(self._planes[0].shape[1:], dtype=np.int64)
        if not strata:
            return added
        arms = list(chain.from_iterable(strata))
        sizes = np.array(list(map(len, arms)))
        owners = np.arange(len(arms)).repeat(sizes)
        places, counts = self._places(arms)
        order = (owners * len(added[0]) - places).argsort()  # arm by arm, the slowest requests first
        places, counts = places[order], counts[order]
        above = counts.cumsum()
        ends = sizes.cumsum()
        starts = ends - sizes
        above -= (above[starts] - counts[starts]).repeat(sizes)
        requests = above[ends - 1].reshape(-1, 2)
        parts = requests[:, ::-1] / requests.sum(axis=1, keepdims=True) * 2.0**self._weight_bits
        weighted = np.rint(above * parts.ravel().repeat(sizes)).astype(np.int64)
        steps = np.diff(weighted, prepend=0)
        steps[starts] = weighted[starts]
        np.add.at(added, (owners % 2, places), steps)
        return added[:, ::-1].cumsum(axis=1)[:, ::-1]

    def _have_bits(self, above: NDArray[np.int64]) -> None:
        """Give up precision before a weighted sum could wrap: at 10**9 requests within a day's minutes."""
        weight = float(min(above[:, 0].tolist()))  # at least n_c n_b / (n_c + n_b)
        planes, held = self._planes[1:], self._held_weight
        while held + weight * 2.0**self._weight_bits > _MOST:
            self._weight_bits -= _FEWER_BITS
            held /= 2.0**_FEWER_BITS
            for plane in planes:
                plane >>= _FEWER_BITS
            self._packed = [block.coarser(_FEWER_BITS) for block in self._packed]

    @property
    def _held_weight(self) -> float:
        """The largest weighted sum there is: alike in both arms, and strata together weigh no more."""
        return float(self._planes[1][self._rows - 1, 0, 0]) if self.edges else 0.0

    def _above(self, candidate: Bins, baseline: Bins) -> NDArray[np.int64]:
        added = np.zeros(self._planes[0].shape[1:], dtype=np.int64)
        if candidate or baseline:  # all bins at once, each in a place of its own
            places, counts = self._places((candidate, baseline))
            places[len(candidate) :] += len(added[0])
            added.ravel()[places] = counts
        return added[:, ::-1].cumsum(axis=1)[:, ::-1]

    def _places(self, arms: Sequence[Bins]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The column before which the requests of each bin are counted, bin by bin and arm by arm; and their number."""
        many = sum(map(len, arms))
        places = np.fromiter(chain.from_iterable(arms), np.int64, many)
        places -= self._lowest + 1
        # The unfinished lie in the last column, which no finished one reaches.
        np.minimum(places, self.edges - 1, out=places)
        return places, np.fromiter(chain.from_iterable([arm.values() for arm in arms]), np.int64, many)

    def _cover(self, *minutes: Bins) -> None:
        """Grow the columns until every finished bin of these minutes lies between two of them."""
        finished = _span(minutes)
        columns = self.edges
        if not columns:
            if any(minutes):
                first, last = finished or (0, 0)
                self._lowest = max(-1, first - _MARGIN_BINS)
                high = min(LAST_BIN, last + _MARGIN_BINS)
                self._resize(high - self._lowest + 1)
            return
        if finished is None:
            return
        first, last = finished
        low, high = self._lowest, self._lowest + columns - 1
        if first <= low:
            low = max(-1, first - _MARGIN_BINS)
        if last > high:
            high = min(LAST_BIN, last + _MARGIN_BINS)
        left, right = self._lowest - low, high - (self._lowest + columns - 1)
        if left or right:
            self._planes = [wider(plane, left, left + columns + right) for plane in self._planes]
            self._lowest = low

    def _resize(self, columns: int) -> None:
        """Have columns where there were none, and so nothing but empty minutes."""
        self._planes = [np.zeros((*plane.shape[:2], columns), plane.dtype) for plane in self._planes]

    @property
    def _is_to_drop(self) -> bool:
        """Tell whether there are enough minutes that nobody may ask for any more."""
        return self.minutes - self._keep >= _MARGIN_ROWS and self._before >= _MARGIN_ROWS

    def _make_room(self) -> None:
        """Have a free row: drop minutes that nobody may ask for any more, pack old ones, or double the rows."""
        if self._is_to_drop:
            self._drop()
        capacity = self._planes[0].shape[0]
        if self._rows < capacity:
            return
        if capacity >= _MOST_ROWS:
            oldest = [plane[:BLOCK_MIN] for plane in self._planes]
            self._packed.append(pack(oldest, self._lowest, self._weight_bits))
            for plane in self._planes:
                plane[: self._rows - BLOCK_MIN] = plane[BLOCK_MIN : self._rows].copy()
            self._rows -= BLOCK_MIN
            return
        self._planes = [_longer(plane, min(2 * capacity, _MOST_ROWS)) for plane in self._planes]

    def _drop(self) -> None:
        """Forget the oldest minutes: what is left counts from the row behind them on, and so never grows too large."""
        gone = _MARGIN_ROWS // BLOCK_MIN
        del self._packed[:gone]
        base = [self._row(plane, 0).copy() for plane in range(len(self._planes))]
        self._packed = [block.less(base, self._lowest) for block in self._packed]
        for plane, row in zip(self._planes, base, strict=True):
            plane[: self._rows] -= row.astype(plane.dtype)
        self.dropped += _MARGIN_ROWS


def _span(minutes: Sequence[Bins]) -> tuple[int, int] | None:
    """Return the lowest and the highest finished bin; None without any."""
    low, high = UNFINISHED_BIN, -1
    for minute in minutes:
        if minute:
            low = min(low, *minute)
            newest = max(minute)
            if newest > LAST_BIN:
                newest = max((index for index in minute if index <= LAST_BIN), default=-1)
            high = max(high, newest)
    return None if high < 0 else (low, high)


def _longer(plane: NDArray[Any], rows: int) -> NDArray[Any]:
    grown = np.zeros((rows, *plane.shape[1:]), plane.dtype)
    grown[: len(plane)] = plane
    return grown


def quantile_column(above: Exceedances, quantile: float) -> int:
    """Return the first column whose edge is not below the quantile: rank ceil(quantile * n); past the last if none is.

    Needs at least one request; weighted ones count in parts.
    """
    return int(np.count_nonzero(above > (1.0 - quantile) * float(above[0]) + _ROUNDING))


def quantile_columns(above: NDArray[Any], quantile: float) -> NDArray[np.int64]:
    """Return `quantile_column` of many arms at once, shape (arms, edges); past the last also where one is empty."""
    n = above[:, :1].astype(np.float64)
    found: NDArray[np.int64] = np.count_nonzero(above > (1.0 - quantile) * n + _ROUNDING, axis=1)
    return np.where(n[:, 0] > 0, found, above.shape[1])
