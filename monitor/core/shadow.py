"""What shadow traffic shows of a candidate: the same requests, answered by both arms, nobody exposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.budget import Unit
from monitor.core.indicator import (
    INDICATOR_NAMES,
    QUANTILES,
    Direction,
    Indicator,
    IndicatorKind,
    indicator,
)
from monitor.core.shadow_tally import FIXED_RATES, FIXED_SIZES, SizeTally, Tally
from monitor.core.stats.intervals import Interval
from monitor.core.stats.limit import Limit
from monitor.core.stats.paired import (
    MedianRatio,
    PairCounts,
    mcnemar_p,
    mean_pairs_interval,
    median_ratio,
    rate_pairs_interval,
)

_SHOWN_QUANTILES: Final = ("p50", "p95")


@dataclass(frozen=True, slots=True)
class RateShown:
    """One rate over the pairs that know it in both arms.

    Attributes:
        is_assumed: Nobody said which direction is worse (a named outcome without a budget): true is taken as good.
        both_good, only_candidate_bad, only_baseline_bad, both_bad: Pairs; together all of them.
        candidate, baseline: The rates, 0 to 1, of the label being true.
        points, percent: Intervals of candidate minus baseline, in percentage points and in percent of the baseline's.
        p: Of "both rates are equal", exact and two-sided.
    """

    name: str
    worse: Direction
    is_assumed: bool
    both_good: int
    only_candidate_bad: int
    only_baseline_bad: int
    both_bad: int
    candidate: float
    baseline: float
    points: Interval
    percent: Interval
    p: float

    @property
    def pairs(self) -> int:
        """Pairs that know the label in both arms."""
        return self.both_good + self.only_candidate_bad + self.only_baseline_bad + self.both_bad

    @property
    def delta_points(self) -> float:
        """Candidate minus baseline in percentage points."""
        return 100.0 * (self.candidate - self.baseline)

    @property
    def delta_percent(self) -> float | None:
        """Candidate minus baseline in percent of the baseline's rate; None where that is 0."""
        return 100.0 * (self.candidate / self.baseline - 1.0) if self.baseline else None


@dataclass(frozen=True, slots=True)
class QuantileShown:
    """A quantile of both arms, in the sketch's unit, infinite among unfinished requests; the delta in percent."""

    name: str
    candidate: float
    baseline: float
    delta: float | None
    interval: Interval


@dataclass(frozen=True, slots=True)
class MeanShown:
    """A mean of both arms in the sketch's unit; the delta in percent of the baseline's, None where that is 0."""

    candidate: float
    baseline: float
    delta: float | None
    interval: Interval


@dataclass(frozen=True, slots=True)
class SizeShown:
    """One distribution over the pairs that have it in both arms."""

    source: str
    pairs: int
    unfinished: int
    quantiles: tuple[QuantileShown, ...]
    mean: MeanShown | None
    ratio: MedianRatio


@dataclass(frozen=True, slots=True)
class Shown:
    """What a slice's pairs show."""

    pairs: int
    rates: tuple[RateShown, ...]
    sizes: tuple[SizeShown, ...]
    incidents: Mapping[str, tuple[int, int]]


def show(tally: Tally, directions: Mapping[str, Direction]) -> Shown:
    """Return what a tally says.

    Args:
        directions: Of named outcomes, by source, which way is worse, as a budget's sign says it.
    """
    order = {name: number for number, name in enumerate((*FIXED_RATES, *FIXED_SIZES))}
    rates = sorted(tally.rates, key=lambda source: (order.get(source, len(order)), source))
    sizes = sorted(tally.sizes, key=lambda source: (order.get(source, len(order)), source))
    return Shown(
        tally.pairs,
        tuple(_rate(source, tally.counts(source), directions) for source in rates),
        tuple(_size(source, tally.sizes[source]) for source in sizes),
        {severity: (c, b) for severity, (c, b) in sorted(tally.incidents.items())},
    )


def _rate(source: str, counts: PairCounts, directions: Mapping[str, Direction]) -> RateShown:
    found = rate_indicator(source)
    worse = found.worse or directions.get(source)
    direction = worse or Direction.LOWER_IS_WORSE
    both, only_c, only_b, neither = map(int, counts)
    if direction is Direction.HIGHER_IS_WORSE:
        good, c_bad, b_bad, bad = neither, only_c, only_b, both
    else:
        good, c_bad, b_bad, bad = both, only_b, only_c, neither
    return RateShown(
        name=found.name,
        worse=direction,
        is_assumed=worse is None,
        both_good=good,
        only_candidate_bad=c_bad,
        only_baseline_bad=b_bad,
        both_bad=bad,
        candidate=counts.candidate / counts.n,
        baseline=counts.baseline / counts.n,
        points=rate_pairs_interval(counts, Unit.POINTS),
        percent=rate_pairs_interval(counts, Unit.PERCENT),
        p=mcnemar_p(only_c, only_b),
    )


def rate_indicator(source: str) -> Indicator:
    """Return the rate with this source, by the name that budgets call it."""
    known = {one.source: one for one in map(indicator, INDICATOR_NAMES)}
    return known.get(source) or Indicator(source, IndicatorKind.RATE, source, None)


def _size(source: str, tally: SizeTally) -> SizeShown:
    quantiles = []
    for name in _SHOWN_QUANTILES:
        limit = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 0.0, quantile=QUANTILES[name])
        stretch = tally.stretch(limit)
        seen = stretch.observed()
        if seen.candidate is not None and seen.baseline is not None:
            quantiles.append(
                QuantileShown(name, seen.candidate, seen.baseline, seen.delta, stretch.interval())
            )
    means, mean = tally.sums.means, None
    if means is not None:
        delta = 100.0 * (means[0] / means[1] - 1.0) if means[1] else None
        mean = MeanShown(*means, delta, mean_pairs_interval(tally.sums))
    ratio = median_ratio(tally.ratios)
    return SizeShown(source, tally.candidate.count, tally.unfinished, tuple(quantiles), mean, ratio)
