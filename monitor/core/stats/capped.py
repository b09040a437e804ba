"""Means of heavy-tailed values: each value counts up to a cap, the baseline's p99.

The cap is learned from all the baseline minutes that are held, at the newest one, so it is the same for
every window of one tick and the same again in a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import RATIO, UNFINISHED_BIN, Sketch, upper_edge
from monitor.core.stats.evidence import Moments
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column
from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.minutes import Cut
from monitor.core.stats.strata import Level, StrataSums

_CAP_QUANTILE: Final = 0.99
_WITHIN_BIN: Final = (RATIO - 1) ** 2 / 12  # variance of a value inside its bin, relative to its square
_HALF_BIN: Final = (RATIO - 1) / (RATIO + 1)  # how far a value may lie from its bin's middle, relative to it
_COLUMNS: Final = 7
_ABOVE: Final = 4  # of them, what counts the values above the cap
_NO_MOMENTS: Final = Moments(0.0, 0.0, 0.0, 0.0)


class CappedHistory:
    """Sketches and exact sums of both arms, minute by minute; unfinished requests have no value and are left out."""

    __slots__ = ("_capped", "_sketches", "_strata")

    def __init__(self, keep_min: int) -> None:
        self._sketches = ExceedanceHistory(keep_min)
        self._strata = StrataSums()  # of the exact sums
        self._capped: NDArray[np.float64] | None = None  # per bin, what the columns of `_sums` add up

    @property
    def minutes(self) -> int:
        """How many minutes are held."""
        return self._sketches.minutes

    @property
    def nbytes(self) -> int:
        """Memory of the kept minutes."""
        return self._sketches.nbytes

    def append(
        self, candidate: Sketch, baseline: Sketch, strata: Sequence[tuple[Sketch, Sketch]] = ()
    ) -> None:
        """Add one minute, and its strata where it has more than one; they add up to it."""
        bins = _finished(candidate), _finished(baseline)
        parts = [(_finished(one), _finished(other)) for one, other in strata]
        self._sketches.append(*bins, parts)
        pairs = zip(strata, parts, strict=True)
        self._strata.append(
            (candidate.total, sum(bins[0].values())),
            (baseline.total, sum(bins[1].values())),
            [((c.total, sum(p.values())), (b.total, sum(q.values()))) for (c, b), (p, q) in pairs],
        )
        self._strata.drop(len(self._strata) - self.minutes)
        self._capped = None

    def totals(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the plain sums of values and how many there are, over rows [start, end) without the cut."""
        return self._strata.totals(start, end, cut)

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely the arms are compared over rows [start, end) without the cut."""
        return self._strata.level(start, end, cut)

    def moments(
        self, start: int, end: int, cut: Cut | None = None, level: Level | None = None
    ) -> tuple[Moments, Moments]:
        """Return the capped values' moments over rows [start, end), candidate first, in the sketch's unit.

        A mean is exact where nothing lies above the cap; otherwise within the 1 % to which a sketch knows a
        value, and nearer the smaller the part of the sum that lies above.

        Args:
            level: How finely the arms are compared; by default as finely as their strata have partners.
        """
        sums, exact = self._sums(start, end, cut, level)
        return _moments(sums[0], exact.s_c), _moments(sums[1], exact.s_b)

    def exact_means(self, start: int, end: int) -> tuple[float | None, float | None]:
        """Return the uncapped, unweighted means over rows [start, end), candidate first; None without data."""
        total_c, n_c, total_b, n_b = self._strata.totals(start, end)
        return total_c / n_c if n_c else None, total_b / n_b if n_b else None

    def above_cap(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return both arms' values above the cap, and all, over rows [start, end): a rate to be judged too."""
        sums, _ = self._sums(start, end, cut, None)
        return RateCounts(*(float(arm[column]) for arm in sums for column in (_ABOVE, 0)))

    def _sums(
        self, start: int, end: int, cut: Cut | None, level: Level | None
    ) -> tuple[NDArray[np.float64], RateCounts]:
        """The columns of `_weights` added up, and the exact sums beside them."""
        chosen = self._strata.level(start, end, cut) if level is None else level
        exact = self._strata.sums(start, end, cut, chosen)
        above = self._sketches.window(start, end, cut, chosen)
        if not above.size:
            return np.zeros((2, _COLUMNS)), exact
        if self._capped is None:
            self._capped = self._weights()
        sums: NDArray[np.float64] = (above[:, :-1] - above[:, 1:]).astype(np.float64) @ self._capped
        if chosen is not Level.POOLED:
            sums *= np.array([[exact.n_c], [exact.n_b]]) / np.maximum(sums[:, :1], 1.0)
        return sums, exact

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


def _finished(sketch: Sketch) -> dict[int, int]:
    bins = sketch.bins
    if UNFINISHED_BIN not in bins:
        return bins
    return {index: count for index, count in bins.items() if index != UNFINISHED_BIN}


def _moments(sums: NDArray[np.float64], total: float) -> Moments:
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
