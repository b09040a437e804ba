"""Means of heavy-tailed values: each value counts up to a cap, the baseline's p99.

The cap is learned from all the baseline minutes that are held, at the newest one, so it is the same for
every window of one tick and the same again in a replay.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import RATIO, Sketch, upper_edge
from monitor.core.stats.evidence import Moments
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column
from monitor.core.stats.minutes import Cut

_CAP_QUANTILE: Final = 0.99
_WITHIN_BIN: Final = (RATIO - 1) ** 2 / 12  # variance of a value inside its bin, relative to its square
_HALF_BIN: Final = (RATIO - 1) / (RATIO + 1)  # how far a value may lie from its bin's middle, relative to it
_COLUMNS: Final = 7
_NO_MOMENTS: Final = Moments(0.0, 0.0, 0.0, 0.0)


class CappedHistory:
    """Sketches and exact sums of both arms, minute by minute; unfinished requests have no value and are left out."""

    __slots__ = ("_capped", "_sketches", "_totals")

    def __init__(self, keep_min: int) -> None:
        self._sketches = ExceedanceHistory(keep_min)
        self._totals: list[tuple[int, int]] = [(0, 0)]  # sums before each minute
        self._capped: NDArray[np.float64] | None = None  # per bin, what the columns of `_sums` add up

    @property
    def minutes(self) -> int:
        """How many minutes are held."""
        return self._sketches.minutes

    def append(self, candidate: Sketch, baseline: Sketch) -> None:
        """Add one minute."""
        self._sketches.append(candidate.bins, baseline.bins)
        total_c, total_b = self._totals[-1]
        self._totals.append((total_c + candidate.total, total_b + baseline.total))
        del self._totals[: len(self._totals) - self.minutes - 1]
        self._capped = None

    def moments(self, start: int, end: int, cut: Cut | None = None) -> tuple[Moments, Moments]:
        """Return the capped values' moments over rows [start, end), candidate first, in the sketch's unit.

        A mean is exact where nothing lies above the cap; otherwise within the 1 % to which a sketch knows a
        value, and nearer the smaller the part of the sum that lies above.
        """
        sums = self._sums(start, end, cut)
        total_c, total_b = self._exact(start, end, cut)
        return _moments(sums[0], total_c), _moments(sums[1], total_b)

    def exact_means(self, start: int, end: int) -> tuple[float | None, float | None]:
        """Return the uncapped means over rows [start, end), candidate first; None without data."""
        sums, (total_c, total_b) = self._sums(start, end, None), self._exact(start, end, None)
        n_c, n_b = float(sums[0][0]), float(sums[1][0])
        return total_c / n_c if n_c else None, total_b / n_b if n_b else None

    def above_cap(self, start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (values above the cap, values) over rows [start, end), candidate first: a rate to be judged too."""
        sums = self._sums(start, end, None)
        return (int(sums[0][4]), int(sums[0][0])), (int(sums[1][4]), int(sums[1][0]))

    def _sums(self, start: int, end: int, cut: Cut | None) -> NDArray[np.float64]:
        above = self._sketches.window(start, end, cut)
        if not above.size:
            return np.zeros((2, _COLUMNS))
        if self._capped is None:
            self._capped = self._weights()
        sums: NDArray[np.float64] = (above[:, :-1] - above[:, 1:]).astype(np.float64) @ self._capped
        return sums

    def _exact(self, start: int, end: int, cut: Cut | None) -> tuple[int, int]:
        (c1, b1), (c0, b0) = self._totals[end], self._totals[start]
        if cut is None:
            return c1 - c0, b1 - b0
        (c3, b3), (c2, b2) = self._totals[cut[1]], self._totals[cut[0]]
        return c1 - c0 - c3 + c2, b1 - b0 - b3 + b2

    def _weights(self) -> NDArray[np.float64]:
        """Per bin: 1, capped value, its square and cube, whether it lies above the cap, and its value either way."""
        bins = self._sketches.bins()
        middle = RATIO ** bins.astype(np.float64) * (0.5 + 0.5 / RATIO)
        baseline = self._sketches.window(0, self.minutes)[1]
        finished = baseline - baseline[-1]
        column = quantile_column(finished, _CAP_QUANTILE) if finished[0] else len(bins)
        cap_bin = self._sketches.bin_at(column)
        capped = np.minimum(middle, upper_edge(cap_bin))
        is_above = bins > cap_bin
        below_value, above_value = np.where(is_above, 0.0, middle), np.where(is_above, middle, 0.0)
        powers = [np.ones_like(capped), capped, capped**2, capped**3]
        return np.stack([*powers, is_above, below_value, above_value], axis=1)


def _moments(sums: NDArray[np.float64], total: int) -> Moments:
    n, first, second, third, _, below, above = (float(value) for value in sums)
    if n <= 0:
        return _NO_MOMENTS
    mean = first / n
    variance = max(0.0, second / n - mean * mean) + _WITHIN_BIN * second / n
    skew = (third / n - 3 * mean * second / n + 2 * mean**3) / variance**1.5
    # The exact sum corrects the bins' middles, as far as what lies above the cap does not blur it.
    room = _HALF_BIN * below + n
    correction = min(max(total - above - below, -room), room) * (below / (below + above))
    return Moments(n, mean + correction / n, variance, skew)
