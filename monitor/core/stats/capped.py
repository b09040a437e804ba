"""Means of heavy-tailed values, measured twice: each value up to a cap, the baseline's p99, and as it is.

The cap is learned from all the baseline minutes that are held, at the newest one, so it is the same for
every window of one tick and the same again in a replay. Values up to a cap tell of most harm soonest; what
lies above the cap is in the plain mean alone, which takes more requests (`core.measure`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from math import nan
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import RATIO, UNFINISHED_BIN, Sketch, upper_edge
from monitor.core.stats.evidence import Moments
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column, quantile_columns
from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.minutes import Cut
from monitor.core.stats.strata import Level, Rows, StrataSums

_CAP_QUANTILE: Final = 0.99  # up to it most harm shows; what lies above takes more requests to tell
_WITHIN_BIN: Final = (RATIO - 1) ** 2 / 12  # variance of a value inside its bin, relative to its square
_HALF_BIN: Final = (RATIO - 1) / (RATIO + 1)  # how far a value may lie from its bin's middle, relative to it
_NO_COLUMNS: Final = (0.0,) * 9  # a window without values above the cap
_ABOVE: Final = 4  # of them, what counts the values above the cap
_REMEMBERED: Final = 64  # windows of one tick: both measures ask for the same ones, those of the grid first
_WEIGHTS_KEPT: Final = 256  # 20 KB each
_NO_MOMENTS: Final = Moments(0.0, 0.0, 0.0, 0.0)  # an arm without values

_Added: TypeAlias = tuple[tuple[Sequence[float], Sequence[float]], RateCounts]
"""The columns of `CappedHistory`'s weights, added up in each arm, and the exact sums beside them."""


class Measure(Enum):
    """What a mean is taken of."""

    CAPPED = "capped"  # the smaller of each value and the cap
    PLAIN = "plain"  # each value as it is


class CappedHistory:
    """Sketches and exact sums of both arms, minute by minute; unfinished requests have no value and are left out."""

    __slots__ = ("_cap", "_capped", "_remembered", "_sketches", "_strata")

    def __init__(self, keep_min: int) -> None:
        self._sketches = ExceedanceHistory(keep_min)
        self._strata = StrataSums()  # of the exact sums
        self._capped: NDArray[np.float64] | None = None  # per bin, what the columns of `_sums` add up
        self._cap: float | None = None
        self._remembered: dict[tuple[int, int, Level | None], _Added] = {}

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
        before = self._held
        self._sketches.append(*bins, parts)
        # Else the baseline's values and the minutes and bins that are held, and so the cap, are as they were.
        if bins[1] or self._held != before:
            self._capped = None
        pairs = zip(strata, parts, strict=True)
        self._strata.append(
            (candidate.total, sum(bins[0].values())),
            (baseline.total, sum(bins[1].values())),
            [((c.total, sum(p.values())), (b.total, sum(q.values()))) for (c, b), (p, q) in pairs],
        )
        self._strata.drop(len(self._strata) - self.minutes)
        self._remembered.clear()

    @property
    def _held(self) -> tuple[int, int, int]:
        """Which minutes and bins: what was dropped, and the columns."""
        return self._sketches.dropped, self._sketches.lowest, self._sketches.edges

    @property
    def cap(self) -> float | None:
        """The baseline's p99, as the upper edge of its bin in the sketch's unit; None without a baseline's value."""
        if self._capped is None and self._sketches.edges:
            self._capped = self._weights()
        return self._cap

    def totals(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the plain sums of values and how many there are, over rows [start, end) without the cut."""
        return self._strata.totals(start, end, cut)

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have values in rows [start, end) without the cut."""
        return self._strata.has_both(start, end, cut)

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely the arms are compared over rows [start, end) without the cut."""
        return self._strata.level(start, end, cut)

    def moments(
        self,
        start: int,
        end: int,
        cut: Cut | None = None,
        level: Level | None = None,
        measure: Measure = Measure.CAPPED,
    ) -> tuple[Moments, Moments]:
        """Return the values' moments over rows [start, end), candidate first, in the sketch's unit.

        A plain mean is exact. A capped one is where nothing lies above the cap; otherwise within the 1 % to
        which a sketch knows a value, and nearer the smaller the part of the sum that lies above.

        Args:
            level: How finely the arms are compared; by default as finely as their strata have partners.
        """
        sums, exact = self._sums(start, end, cut, level)
        moments = _plain_moments if measure is Measure.PLAIN else _capped_moments
        return moments(sums[0], exact.s_c), moments(sums[1], exact.s_b)

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old ones, or of precision."""
        return self._sketches.forgets_next

    def paired_moments(
        self, pairs: Sequence[tuple[Rows, Rows]], measure: Measure
    ) -> list[tuple[tuple[Moments, Moments], tuple[Moments, Moments]] | None]:
        """Return the moments of pairs of stretches of rows, but for their skewness; each as finely as both can be.

        Each pair's values are capped as they were when the later stretch's last minute was the newest.
        """
        if not pairs or not self._sketches.edges:
            return [None] * len(pairs)
        levels, *sizes = zip(*self._strata.paired(pairs), strict=True)
        caps = self._caps([after[1] for _, after in pairs])
        before, after = (
            self._capped_at(self._sketches.windows(stretches, levels), exact, caps, measure)
            for stretches, exact in zip(zip(*pairs, strict=True), sizes, strict=True)
        )
        return list(zip(before, after, strict=True))

    def above_cap(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return both arms' values above the cap, and all, over rows [start, end), weighted as the moments are."""
        sums, _ = self._sums(start, end, cut, None)
        return RateCounts(*(arm[column] for arm in sums for column in (_ABOVE, 0)))

    def _sums(self, start: int, end: int, cut: Cut | None, level: Level | None) -> _Added:
        """The columns of `_weights` added up, and the exact sums beside them; not to be changed."""
        if cut is not None:
            return self._added_up(start, end, cut, level)
        key = start, end, level
        found = self._remembered.get(key)
        if found is None:
            found = self._added_up(start, end, None, level)
            if len(self._remembered) < _REMEMBERED:
                self._remembered[key] = found
        return found

    def _added_up(self, start: int, end: int, cut: Cut | None, level: Level | None) -> _Added:
        if level is None:
            chosen, exact = self._strata.compared(start, end, cut)
        else:
            chosen, exact = level, self._strata.sums(start, end, cut, level)
        above = self._sketches.window(start, end, cut, chosen)
        if not above.size:
            return (_NO_COLUMNS, _NO_COLUMNS), exact
        if self._capped is None:
            self._capped = self._weights()
        sums: NDArray[np.float64] = (above[:, :-1] - above[:, 1:]).astype(np.float64) @ self._capped
        mine, theirs = sums.tolist()
        if chosen is not Level.POOLED:
            mine, theirs = _scaled(mine, exact.n_c), _scaled(theirs, exact.n_b)
        return (mine, theirs), exact

    def _caps(self, ends: Sequence[int]) -> NDArray[np.int64]:
        """The caps' bins as they were at the end of so many rows."""
        return self._sketches.lowest + quantile_columns(self._sketches.baselines(ends), _CAP_QUANTILE)

    def _capped_at(
        self, above: NDArray[np.int64], exact: Sequence[RateCounts], caps: NDArray[np.int64], measure: Measure
    ) -> list[tuple[Moments, Moments]]:
        """The moments of stretches, each under a cap of its own, without skewness.

        The columns of a history grow as it goes on, and those without values must change nothing: so only bins that
        have any are added up, one after the other.
        """
        counts = (above[..., :-1] - above[..., 1:]).reshape(2 * len(above), -1)
        arms, bins = np.nonzero(counts)
        many = counts[arms, bins].astype(np.float64)
        value = _values_of(self._sketches.lowest + 1, counts.shape[1])[bins]
        is_above = self._sketches.bins()[bins] > np.repeat(caps, 2)[arms]
        weight = np.bincount(arms, many, minlength=len(counts))
        total, size = (
            np.array([(one[at], one[at + 2]) for one in exact], np.float64).ravel() for at in (0, 1)
        )
        scale = size / np.maximum(weight, 1.0)  # 1 where counts are plain

        def added(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.multiply(np.bincount(arms, weights, minlength=len(counts)), scale, dtype=np.float64)

        n, held = weight * scale, many * value
        below, over = added(np.where(is_above, 0.0, held)), added(np.where(is_above, held, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):  # nobody has a partner: there is nothing to say
            if measure is Measure.PLAIN:
                mean, first = total / n, below + over
            else:
                value = np.minimum(value, np.repeat([upper_edge(one) for one in caps.tolist()], 2)[arms])
                room, first = _HALF_BIN * below + n, added(many * value)
                correction = np.minimum(np.maximum(total - over - below, -room), room)
                mean = (first + correction * (below / (below + over))) / n
            second = added(many * value**2)
            variance = np.maximum(0.0, second / n - (first / n) ** 2) + _WITHIN_BIN * second / n
        told = zip(n.tolist(), mean.tolist(), variance.tolist(), strict=True)
        moments = [Moments(*one, nan) if one[0] > 0 else _NO_MOMENTS for one in told]
        return list(zip(moments[::2], moments[1::2], strict=True))

    def _weights(self) -> NDArray[np.float64]:
        """Per bin what one value there adds to each column.

        1, its capped value, square and cube; 1 above the cap; its value below the cap, and above it; its square
        and cube as it is.
        """
        baseline = self._sketches.baselines([self.minutes])[0]
        bins = self._sketches.edges - 1
        column = quantile_column(baseline, _CAP_QUANTILE) if baseline[0] else bins
        cap_bin = self._sketches.bin_at(column)
        self._cap = upper_edge(cap_bin) if baseline[0] else None
        return _weights_of(self._sketches.lowest + 1, bins, cap_bin)


@lru_cache(maxsize=_WEIGHTS_KEPT)
def _weights_of(first: int, count: int, cap_bin: int) -> NDArray[np.float64]:
    """Return the weights of so many bins under a cap; cohorts share them, since few are different."""
    bins = np.arange(first, first + count, dtype=np.int64)
    value = _values_of(first, count)
    capped = np.minimum(value, upper_edge(cap_bin))
    is_above = bins > cap_bin
    below, above = np.where(is_above, 0.0, value), np.where(is_above, value, 0.0)
    capped_powers = [np.ones_like(capped), capped, capped**2, capped**3]
    weights = np.stack([*capped_powers, is_above, below, above, value**2, value**3], axis=1)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=_WEIGHTS_KEPT)
def _values_of(first: int, count: int) -> NDArray[np.float64]:
    """Return the value that stands for each of so many bins: its middle."""
    values = RATIO ** np.arange(first, first + count, dtype=np.float64) * (0.5 + 0.5 / RATIO)
    values.setflags(write=False)
    return values


def _finished(sketch: Sketch) -> dict[int, int]:
    bins = sketch.bins
    if UNFINISHED_BIN not in bins:
        return bins
    return {index: count for index, count in bins.items() if index != UNFINISHED_BIN}


def _scaled(sums: Sequence[float], n: float) -> list[float]:
    """The columns of an arm's weighted values, of as many as they know as much as."""
    scale = n / max(sums[0], 1.0)
    return [one * scale for one in sums]


def _capped_moments(sums: Sequence[float], total: float) -> Moments:
    n, first, second, third, _, below, above, _, _ = sums
    if n <= 0:
        return _NO_MOMENTS
    variance, skew = _spread(n, first, second, third)
    # The exact sum corrects the bins' middles, as far as what lies above the cap does not blur it.
    room = _HALF_BIN * below + n
    correction = min(max(total - above - below, -room), room) * (below / (below + above))
    return Moments(n, (first + correction) / n, variance, skew)


def _plain_moments(sums: Sequence[float], total: float) -> Moments:
    n, _, _, _, _, below, above, second, third = sums
    if n <= 0:
        return _NO_MOMENTS
    variance, skew = _spread(n, below + above, second, third)
    return Moments(n, total / n, variance, skew)


def _spread(n: float, first: float, second: float, third: float) -> tuple[float, float]:
    """The variance of the values, with what their bins hide of it, and their skewness."""
    mean = first / n
    variance = max(0.0, second / n - mean * mean) + _WITHIN_BIN * second / n
    return variance, (third / n - 3 * mean * second / n + 2 * mean**3) / variance**1.5
