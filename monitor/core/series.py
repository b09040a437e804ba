"""What one objective has seen in one view, minute by minute and in both arms, so that a window is a subtraction.

Minutes are consecutive whole numbers (minutes of event time); the first one appended is the candidate's first
live request, and no window reaches before it. A stretch is the minutes [start, end), optionally without a cut
[a, b) inside it. Every answer depends on sums only: never on the order in which requests, partitions or
merges contributed to a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from monitor.core.budget import Objective, Unit
from monitor.core.errors import UnknownIndicator
from monitor.core.indicator import IndicatorKind
from monitor.core.sketch_series import MeanSeries, QuantileSeries
from monitor.core.stats.contrast import Contrast, Noise, Stretch, rate_contrast, rate_noise
from monitor.core.stats.harm import rate_beyond, rate_within
from monitor.core.stats.intervals import CONFIDENCE, Interval, RateCounts, rate_interval, rate_mde
from monitor.core.stats.limit import Limit, limit_of
from monitor.core.stats.minutes import (
    EQUAL,
    Counts,
    Cut,
    Held,
    MinuteNotKept,
    MinuteOutOfOrder,
    Observed,
    Series,
    length_min,
    observe,
)
from monitor.core.stats.strata import Arm, Level, Pair, StrataSums
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


class RateSeries(Held):
    """A share of requests with a label true; minutes are (hits, requests with the label at all) per arm.

    Judged are Mantel-Haenszel sums over minutes and their strata (`stats.strata`); `counts` are plain.
    """

    __slots__ = ("_harm", "_keep", "_newest", "_strata", "_within", "limit")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        super().__init__()
        self.limit = limit
        self._keep = keep_min
        self._strata = StrataSums()
        self._harm = rate_beyond(limit, limit.kappa)
        self._within = rate_within(limit, 1.0)
        # The stretch asked for last: the rule asks whether it is beyond the limit, and then how evidently.
        self._newest: tuple[tuple[int, int, Cut | None], RateCounts] | None = None

    def append(self, minute: int, candidate: Arm, baseline: Arm, strata: Sequence[Pair] = ()) -> None:
        """Add a minute's (hits, requests) of both arms, and those of its strata, which add up to them.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        self._newest = None
        self._strata.append(candidate, baseline, strata)
        surplus = len(self._strata) - self._keep
        if surplus >= _SURPLUS_MIN:
            self._strata.drop(surplus)
            self._minutes.kept += surplus

    def sums(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return what the requests of both arms count as: weighted hits, and how many requests know as much.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        asked = (start, end, cut)
        if self._newest is None or self._newest[0] != asked:
            self._newest = asked, self._strata.sums(*self._minutes.rows(start, end, cut))
        return self._newest[1]

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the rate is beyond `scale` times the limit; None without data in either arm."""
        return rate_is_beyond(self.limit, scale, self.sums(start, end, cut))

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""
        return self._harm(*self.sums(start, end, cut))

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit."""
        return self._within(*self.sums(start, end))

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have data."""
        return self._strata.has_both(*self._minutes.rows(start, end, cut))

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the requests with the label, per arm."""
        totals = self.totals(start, end, cut)
        return Counts(baseline=int(totals.n_b), candidate=int(totals.n_c))

    def totals(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the plain hits and requests of both arms."""
        return self._strata.totals(*self._minutes.rows(start, end, cut))

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely the arms are compared here."""
        return self._strata.level(*self._minutes.rows(start, end, cut))

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

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old ones."""
        return len(self._strata) + 1 - self._keep >= _SURPLUS_MIN

    def contrasts(self, pairs: Sequence[tuple[Stretch, Stretch]]) -> list[Contrast | None]:
        """Return how far the difference of the rates moved, both compared as finely as both together can be."""
        found = self._strata.paired([self._minutes.pair_rows(*pair) for pair in pairs])
        return [rate_contrast(before, after) for _, before, after in found]

    def noise(self, start: int, end: int, cut: Cut | None = None) -> Noise | None:
        """Return how much independent requests vary here."""
        return rate_noise(self.sums(start, end, cut), length_min(start, end, cut))


def rate_is_beyond(limit: Limit, scale: float, counts: RateCounts) -> bool | None:
    """Tell whether a rate is beyond `scale` times the limit; None without data in either arm."""
    s_c, n_c, s_b, n_b = counts
    if not n_c or not n_b:
        return None
    if limit.unit is Unit.POINTS:
        pairs = n_c * n_b
        excess, rounding = s_c * n_b - s_b * n_c - limit.shift(scale) * pairs, EQUAL * pairs
    else:
        candidate, bound = s_c * n_b, limit.ratio(scale) * s_b * n_c
        excess, rounding = candidate - bound, EQUAL * (candidate + bound)
    return (excess if limit.higher_is_worse else -excess) > rounding


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
