"""Sketches of both arms per minute, kept so that any window costs one subtraction.

Kept are cumulative exceedances: how many requests since the first minute were above each bin edge. The
difference of two rows is a window, already summed the way the quantile evidence reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.evidence import Exceedances

_MARGIN_BINS: Final = 16  # grown at once, so that a drifting latency does not copy the matrix every minute
_MARGIN_ROWS: Final = 64  # dropped at once, for the same reason
_UINT32_MAX: Final = 2**32 - 1


class ExceedanceHistory:
    """Cumulative exceedances of candidate (row 0) and baseline (row 1), minute by minute.

    Columns are edges: the first counts every request, the last only those slower than any edge (unfinished).
    Bounded: at most `keep_min` minutes and a margin, 16 MB at every bin occupied and a day kept.
    """

    __slots__ = ("_cumulative", "_keep", "_lowest", "_rows", "dropped")

    def __init__(self, keep_min: int) -> None:
        self._keep = keep_min
        self._rows = 1  # row 0 is the sum before the first kept minute
        self._lowest = -1  # the edge of the first column: bins above it are counted
        # Half the memory of 64 bits; `append` widens before a count could wrap.
        self._cumulative: NDArray[Any] = np.zeros((_MARGIN_ROWS, 2, 0), dtype=np.uint32)
        self.dropped = 0

    @property
    def minutes(self) -> int:
        """How many minutes are kept."""
        return self._rows - 1

    @property
    def nbytes(self) -> int:
        """Memory of the matrix."""
        return int(self._cumulative.nbytes)

    def append(self, candidate: Mapping[int, int], baseline: Mapping[int, int]) -> None:
        """Add one minute: requests per sketch bin, the unfinished in `UNFINISHED_BIN`."""
        self._cover(candidate, baseline)
        self._make_room()
        added = np.zeros(self._cumulative.shape[1:], dtype=np.int64)
        self._count(added[0], candidate)
        self._count(added[1], baseline)
        above = added[:, ::-1].cumsum(axis=1)[:, ::-1]
        before = self._cumulative[self._rows - 1]
        if self._cumulative.dtype == np.uint32 and before.size:
            if int((before[:, 0] + above[:, 0]).max()) > _UINT32_MAX:
                self._cumulative = self._cumulative.astype(np.int64)
                before = self._cumulative[self._rows - 1]
        self._cumulative[self._rows] = before + above
        self._rows += 1

    def window(self, start: int, end: int, cut: tuple[int, int] | None = None) -> Exceedances:
        """Return both arms' exceedances of kept minutes [start, end), without those of [a, b), shape (2, edges)."""
        rows = self._cumulative
        found: Exceedances = rows[end] - rows[start]
        if cut is not None:
            found -= rows[cut[1]] - rows[cut[0]]
        return found

    def bin_at(self, column: int) -> int:
        """Return the bin whose upper edge a column stands for; `UNFINISHED_BIN` past the last column."""
        return self._lowest + column if column < self._cumulative.shape[2] else UNFINISHED_BIN

    def bins(self) -> NDArray[np.int64]:
        """Return the bins that lie between neighbouring columns, rising."""
        return np.arange(self._lowest + 1, self._lowest + self._cumulative.shape[2], dtype=np.int64)

    def _cover(self, *minutes: Mapping[int, int]) -> None:
        """Grow the columns until every finished bin of these minutes lies between two of them."""
        finished = [index for minute in minutes for index in minute if index <= LAST_BIN]
        columns = self._cumulative.shape[2]
        if not columns:
            if any(minutes):
                self._lowest = max(-1, min(finished, default=0) - _MARGIN_BINS)
                high = min(LAST_BIN, max(finished, default=0) + _MARGIN_BINS)
                self._cumulative = np.zeros(
                    (self._cumulative.shape[0], 2, high - self._lowest + 1), dtype=np.uint32
                )
            return
        if not finished:
            return
        low, high = self._lowest, self._lowest + columns - 1
        if min(finished) <= low:
            low = max(-1, min(finished) - _MARGIN_BINS)
        if max(finished) > high:
            high = min(LAST_BIN, max(finished) + _MARGIN_BINS)
        left, right = self._lowest - low, high - (self._lowest + columns - 1)
        if left or right:
            # Below the first edge everything is above it; beyond the last only the unfinished are.
            self._cumulative = np.pad(self._cumulative, ((0, 0), (0, 0), (left, right)), mode="edge")
            self._lowest = low

    def _make_room(self) -> None:
        """Have a free row: drop minutes that nobody may ask for any more, else double the rows."""
        capacity = self._cumulative.shape[0]
        if self._rows < capacity:
            return
        surplus = self.minutes - self._keep
        if surplus >= _MARGIN_ROWS // 2:
            self._cumulative[: self._rows - surplus] = self._cumulative[surplus : self._rows]
            self._rows -= surplus
            self.dropped += surplus
            return
        wanted = min(2 * capacity, self._keep + 1 + _MARGIN_ROWS)
        grown = np.zeros((max(wanted, capacity + 1), *self._cumulative.shape[1:]), self._cumulative.dtype)
        grown[:capacity] = self._cumulative
        self._cumulative = grown

    def _count(self, row: NDArray[np.int64], minute: Mapping[int, int]) -> None:
        last = len(row) - 1
        for index, count in minute.items():
            row[last if index > LAST_BIN else index - self._lowest - 1] += count


def quantile_column(above: Exceedances, quantile: float) -> int:
    """Return the first column whose edge is not below the quantile: rank ceil(quantile * n); past the last if none is.

    Needs at least one request.
    """
    n = int(above[0])
    beyond = n - ceil(quantile * n - 1e-9)  # 0.95 * 140 is a hair above 133 in binary
    return int(np.count_nonzero(above > beyond))
