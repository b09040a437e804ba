"""What one objective has seen in one view, minute by minute and in both arms, so that a window is a subtraction.

Minutes are consecutive whole numbers (minutes of event time); the first one appended is the candidate's first
live request, and no window reaches before it. A stretch is the minutes [start, end), optionally without a cut
[a, b) inside it. Every answer depends on sums only: never on the order in which requests, partitions or
merges contributed to a minute.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from monitor.core.budget import Objective, Unit
from monitor.core.errors import UnknownIndicator
from monitor.core.indicator import IndicatorKind
from monitor.core.sketch import UNFINISHED_BIN, Sketch, upper_edge
from monitor.core.stats.capped import CappedHistory
from monitor.core.stats.evidence import Exceedances, Moments, quantile_above, quantile_below
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column
from monitor.core.stats.harm import mean_beyond, mean_within, rate_beyond, rate_within
from monitor.core.stats.intervals import (
    CONFIDENCE,
    Interval,
    RateCounts,
    mean_interval,
    mean_mde,
    quantile_interval,
    quantile_mde,
    rate_interval,
    rate_mde,
)
from monitor.core.stats.limit import Limit, limit_of
from monitor.core.stats.minutes import (
    Counts,
    Cut,
    MinuteNotKept,
    MinuteOutOfOrder,
    Minutes,
    Observed,
    Series,
    observe,
)
from monitor.core.stats.thresholds import MAX_WINDOW_MIN

__all__ = [
    "AnySeries",
    "Counts",
    "Cut",
    "MeanSeries",
    "MinuteNotKept",
    "MinuteOutOfOrder",
    "Observed",
    "QuantileSeries",
    "RateSeries",
    "Series",
    "series_for",
]

_SURPLUS_MIN: Final = 512  # minutes dropped at once: rare copies of a short list
_EQUAL: Final = 1e-12  # differences of shares below this are rounding: equality is not a breach


class RateSeries:
    """A share of requests with a label true; minutes are (hits, requests with the label at all) per arm."""

    __slots__ = ("_harm", "_keep", "_minutes", "_rows", "_within", "limit")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        self.limit = limit
        self._keep = keep_min
        self._minutes = Minutes()
        self._rows: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]  # sums before each minute
        self._harm = rate_beyond(limit, limit.kappa)
        self._within = rate_within(limit, 1.0)

    @property
    def first_minute(self) -> int:
        """The first minute ever appended."""
        return self._minutes.first

    @property
    def kept_minute(self) -> int:
        """The oldest minute still held."""
        return self._minutes.kept

    @property
    def end_minute(self) -> int:
        """The minute after the newest one."""
        return self._minutes.end

    def append(self, minute: int, candidate: tuple[int, int], baseline: tuple[int, int]) -> None:
        """Add a minute's (hits, requests) of both arms.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        s_c, n_c, s_b, n_b = self._rows[-1]
        self._rows.append((s_c + candidate[0], n_c + candidate[1], s_b + baseline[0], n_b + baseline[1]))
        surplus = len(self._rows) - 1 - self._keep
        if surplus >= _SURPLUS_MIN:
            del self._rows[:surplus]
            self._minutes.kept += surplus

    def sums(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return hits and requests of both arms.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        at = self._minutes.origin(start, end)
        s_c, n_c, s_b, n_b = self._rows[end - at]
        a, b, c, d = self._rows[start - at]
        if cut is None:
            return RateCounts(s_c - a, n_c - b, s_b - c, n_b - d)
        e, f, g, h = self._rows[cut[1] - at]
        i, j, k, m = self._rows[cut[0] - at]
        return RateCounts(s_c - a - e + i, n_c - b - f + j, s_b - c - g + k, n_b - d - h + m)

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the rate is beyond `scale` times the limit; None without data in either arm."""
        s_c, n_c, s_b, n_b = self.sums(start, end, cut)
        if not n_c or not n_b:
            return None
        limit = self.limit
        pairs = n_c * n_b  # multiplied out: whole numbers stay exact, and so does equality
        if limit.unit is Unit.POINTS:
            excess = s_c * n_b - s_b * n_c - limit.shift(scale) * pairs
        else:
            excess = s_c * n_b - limit.ratio(scale) * s_b * n_c
        return (excess if limit.higher_is_worse else -excess) > _EQUAL * pairs

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""
        return self._harm(*self.sums(start, end, cut))

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit."""
        return self._within(*self.sums(start, end))

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the requests with the label, per arm."""
        sums = self.sums(start, end, cut)
        return Counts(baseline=int(sums.n_b), candidate=int(sums.n_c))

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return both rates (0 to 1) and their delta."""
        s_c, n_c, s_b, n_b = self.sums(start, end, cut)
        return observe(self.limit, s_c / n_c if n_c else None, s_b / n_b if n_b else None)

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the delta."""
        return rate_interval(self.sums(start, end), self.limit.unit, phi=phi, confidence=confidence)

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest harmful delta that would have reached `x_star` here; None if none."""
        return rate_mde(self.sums(start, end), self.limit, x_star * phi)


class QuantileSeries:
    """A quantile of a sketched distribution; unfinished requests are slower than every finished one."""

    __slots__ = ("_history", "_minutes", "_quantile", "_shift_in", "_shift_out", "limit")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        assert limit.quantile is not None
        assert limit.higher_is_worse
        self.limit = limit
        self._quantile = limit.quantile
        self._shift_in, self._shift_out = limit.bins_beyond(limit.kappa), limit.bins_within(1.0)
        self._minutes = Minutes()
        self._history = ExceedanceHistory(keep_min)

    @property
    def first_minute(self) -> int:
        """The first minute ever appended."""
        return self._minutes.first

    @property
    def kept_minute(self) -> int:
        """The oldest minute still held."""
        return self._minutes.kept

    @property
    def end_minute(self) -> int:
        """The minute after the newest one."""
        return self._minutes.end

    @property
    def nbytes(self) -> int:
        """Memory of the kept minutes."""
        return self._history.nbytes

    def append(self, minute: int, candidate: Sketch, baseline: Sketch) -> None:
        """Add a minute's sketches of both arms.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        self._history.append(candidate.bins, baseline.bins)
        self._minutes.kept = self._minutes.end - self._history.minutes

    def exceedances(self, start: int, end: int, cut: Cut | None = None) -> Exceedances:
        """Return both arms' counts above each edge, candidate first.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        return self._history.window(*self._minutes.rows(start, end, cut))

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the quantile is beyond `scale` times the limit; None without data in either arm."""
        candidate, baseline = self._bins(self.exceedances(start, end, cut))
        if candidate is None or baseline is None:
            return None
        if UNFINISHED_BIN in (candidate, baseline):
            return candidate > baseline  # infinitely slower; two infinities are equal
        return candidate - baseline >= self.limit.bins_reached(scale)

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""
        above = self.exceedances(start, end, cut)
        if not above.size:
            return 0.0
        return quantile_above(above[0], above[1], 1.0 - self._quantile, self._shift_in)

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit."""
        above = self.exceedances(start, end)
        if not above.size:
            return 0.0
        return quantile_below(above[0], above[1], 1.0 - self._quantile, self._shift_out)

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the requests of both arms, the unfinished among them."""
        above = self.exceedances(start, end, cut)
        if not above.size:
            return Counts(baseline=0, candidate=0)
        return Counts(baseline=int(above[1][0]), candidate=int(above[0][0]))

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return both quantiles, as upper edges of their bins, and their delta."""
        candidate, baseline = self._bins(self.exceedances(start, end, cut))
        return observe(
            self.limit,
            None if candidate is None else upper_edge(candidate),
            None if baseline is None else upper_edge(baseline),
        )

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the delta."""
        above = self.exceedances(start, end)
        if not above.size:
            return Interval(None, None, confidence)
        return quantile_interval(above, self._quantile, phi=phi, confidence=confidence)

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest slowdown that would have reached `x_star` here; None if none."""
        above = self.exceedances(start, end)
        return quantile_mde(above, self.limit, x_star * phi) if above.size else None

    def _bins(self, above: Exceedances) -> tuple[int | None, int | None]:
        """The quantile's bin in each arm; None without data."""
        return self._bin(above[0]), self._bin(above[1])

    def _bin(self, above: Exceedances) -> int | None:
        if not above.size or not above[0]:
            return None
        return self._history.bin_at(quantile_column(above, self._quantile))


class MeanSeries:
    """The mean of a sketched distribution, judged on values up to the baseline's p99 (see `stats.capped`).

    `above_cap` gives the share of values beyond it, to be judged as a rate: the tail cannot hide there.
    """

    __slots__ = ("_harm", "_history", "_minutes", "_within", "limit")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        self.limit = limit
        self._harm, self._within = mean_beyond(limit, limit.kappa), mean_within(limit, 1.0)
        self._minutes = Minutes()
        self._history = CappedHistory(keep_min)

    @property
    def first_minute(self) -> int:
        """The first minute ever appended."""
        return self._minutes.first

    @property
    def kept_minute(self) -> int:
        """The oldest minute still held."""
        return self._minutes.kept

    @property
    def end_minute(self) -> int:
        """The minute after the newest one."""
        return self._minutes.end

    def append(self, minute: int, candidate: Sketch, baseline: Sketch) -> None:
        """Add a minute's sketches and exact sums of both arms.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        self._history.append(candidate, baseline)
        self._minutes.kept = self._minutes.end - self._history.minutes

    def moments(self, start: int, end: int, cut: Cut | None = None) -> tuple[Moments, Moments]:
        """Return the moments of the capped values, candidate first.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        return self._history.moments(*self._minutes.rows(start, end, cut))

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the capped mean is beyond `scale` times the limit; None without data in either arm."""
        candidate, baseline = self.moments(start, end, cut)
        if not candidate.n or not baseline.n:
            return None
        bound = self.limit.ratio(scale) * baseline.mean
        excess = candidate.mean - bound if self.limit.higher_is_worse else bound - candidate.mean
        return excess > _EQUAL * bound

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit; 0 below the floor of `mean_above`."""
        return self._harm(*self.moments(start, end, cut))

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit; 0 below the floor of `mean_above`."""
        return self._within(*self.moments(start, end))

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the finished requests of both arms."""
        candidate, baseline = self.moments(start, end, cut)
        return Counts(baseline=int(baseline.n), candidate=int(candidate.n))

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return the capped means, the values that are judged, and their delta."""
        candidate, baseline = self.moments(start, end, cut)
        return observe(
            self.limit,
            candidate.mean if candidate.n else None,
            baseline.mean if baseline.n else None,
        )

    def exact_means(self, start: int, end: int) -> tuple[float | None, float | None]:
        """Return the uncapped means, candidate first, for a report; None without data."""
        return self._history.exact_means(*self._minutes.rows(start, end)[:2])

    def above_cap(self, start: int, end: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (values above the cap, values) of each arm, candidate first."""
        return self._history.above_cap(*self._minutes.rows(start, end)[:2])

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the capped mean's delta."""
        return mean_interval(*self.moments(start, end), phi=phi, confidence=confidence)

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest growth that would have reached `x_star` here; None if none."""
        return mean_mde(*self.moments(start, end), self.limit, x_star * phi)


AnySeries: TypeAlias = RateSeries | QuantileSeries | MeanSeries


def series_for(objective: Objective, *, keep_min: int = MAX_WINDOW_MIN) -> AnySeries:
    """Return the empty series of an objective that the sustained rule judges.

    Raises:
        UnknownIndicator: Incidents have no series (`core.incidents` judges them).
    """
    limit = limit_of(objective)
    if objective.indicator.kind is IndicatorKind.RATE:
        return RateSeries(limit, keep_min=keep_min)
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        return QuantileSeries(limit, keep_min=keep_min)
    if objective.indicator.kind is IndicatorKind.MEAN:
        return MeanSeries(limit, keep_min=keep_min)
    raise UnknownIndicator(objective.indicator.name)
