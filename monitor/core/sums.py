"""What a stretch of minutes adds up to, as the evidence takes it: JSON-ready and back.

A decision keeps these sums, so that it can be computed again alone, without the minutes they came from. The
questions are answered by the same functions that decided: nothing of the formulas is written here again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from monitor.core.series import (
    Counts,
    Cut,
    MeanSeries,
    Observed,
    QuantileSeries,
    RateSeries,
    Series,
    rate_is_beyond,
)
from monitor.core.sketch import UNFINISHED_BIN
from monitor.core.sketch_series import mean_is_beyond
from monitor.core.stats.capped import Measure
from monitor.core.stats.contrast import Noise, mean_noise, rate_noise
from monitor.core.stats.evidence import Moments
from monitor.core.stats.harm import mean_beyond, mean_within, rate_beyond, rate_within
from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import observe
from monitor.core.stats.quantile_stretch import QuantileStretch

Arm: TypeAlias = dict[str, Any]
"""One arm's sums, by the name of each."""

_CORRECTION: Final = 2  # requests: the formulas move a count by one, this is more than that
_DECIMALS: Final = 6  # of a weighted request


class Sums(Protocol):
    """One stretch's sums. The answers are those of the series that they were taken from."""

    def beyond(self, limit: Limit, scale: float) -> bool | None:
        """Tell whether the point estimate is beyond `scale` times the limit; None without data in either arm."""

    def evidence_in(self, limit: Limit) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""

    def evidence_out(self, limit: Limit) -> float:
        """Return the evidence (nats) of being within the limit."""

    def counts(self) -> Counts:
        """Return the requests of both arms."""

    def observed(self, limit: Limit) -> Observed:
        """Return the point estimates that are judged."""

    def noise(self, limit: Limit, minutes: int) -> Noise | None:
        """Return how much independent requests vary at this traffic, spread over `minutes`."""

    def as_json(self) -> dict[str, Arm]:
        """Return both arms, for a record."""


@dataclass(frozen=True, slots=True)
class RateSums:
    """Hits and requests of both arms.

    Attributes:
        found: As they are judged: weighted over minutes and strata (`stats.strata`).
        totals: As they were counted.
    """

    found: RateCounts
    totals: RateCounts

    def beyond(self, limit: Limit, scale: float) -> bool | None:
        """Tell whether the rate is beyond `scale` times the limit."""
        return rate_is_beyond(limit, scale, self.found)

    def evidence_in(self, limit: Limit) -> float:
        """Return the evidence of being beyond kappa times the limit."""
        return rate_beyond(limit, limit.kappa)(*self.found)

    def evidence_out(self, limit: Limit) -> float:
        """Return the evidence of being within the limit."""
        return rate_within(limit, 1.0)(*self.found)

    def counts(self) -> Counts:
        """Return the requests with the label, per arm."""
        _, n_c, _, n_b = self.totals
        return Counts(baseline=int(n_b), candidate=int(n_c))

    def observed(self, limit: Limit) -> Observed:
        """Return both rates (0 to 1) and their delta."""
        s_c, n_c, s_b, n_b = self.found
        return observe(limit, s_c / n_c if n_c else None, s_b / n_b if n_b else None)

    def noise(self, limit: Limit, minutes: int) -> Noise | None:
        """Return how much independent requests vary here."""
        return rate_noise(self.found, minutes)

    def as_json(self) -> dict[str, Arm]:
        """Return both arms: hits and requests as counted, and as weighted."""
        (s_c, n_c, s_b, n_b), (a, b, c, d) = self.found, self.totals
        names = ("hits", "requests", "weighted_hits", "weighted_requests")
        arms = {"candidate": (a, b, s_c, n_c), "baseline": (c, d, s_b, n_b)}
        return {arm: dict(zip(names, numbers, strict=True)) for arm, numbers in arms.items()}


@dataclass(frozen=True, slots=True)
class QuantileSums:
    """Requests per sketch bin of both arms, weighted, and joined where no formula looks (`tail_bins`)."""

    candidate: Mapping[int, float]
    baseline: Mapping[int, float]
    requests: Counts  # as counted

    def beyond(self, limit: Limit, scale: float) -> bool | None:
        """Tell whether the quantile is beyond `scale` times the limit."""
        return self._stretch(limit).beyond(scale)

    def evidence_in(self, limit: Limit) -> float:
        """Return the evidence of being beyond kappa times the limit."""
        return self._stretch(limit).evidence_in()

    def evidence_out(self, limit: Limit) -> float:
        """Return the evidence of being within the limit."""
        return self._stretch(limit).evidence_out()

    def counts(self) -> Counts:
        """Return the requests of both arms, the unfinished among them."""
        return self.requests

    def observed(self, limit: Limit) -> Observed:
        """Return both quantiles, as upper edges of their bins, and their delta."""
        return self._stretch(limit).observed()

    def noise(self, limit: Limit, minutes: int) -> Noise | None:
        """Return how much independent requests vary here, spread over `minutes`."""
        return self._stretch(limit).noise(minutes)

    def as_json(self) -> dict[str, Arm]:
        """Return both arms: requests as counted, and weighted per bin, bins rising."""
        counts = self.counts()
        arms = (
            ("candidate", self.candidate, counts.candidate),
            ("baseline", self.baseline, counts.baseline),
        )
        return {
            name: {"requests": requests, "bins": [[index, arm[index]] for index in sorted(arm)]}
            for name, arm, requests in arms
        }

    def _stretch(self, limit: Limit) -> QuantileStretch:
        return QuantileStretch.of_bins(limit, self.candidate, self.baseline)


@dataclass(frozen=True, slots=True)
class MeanSums:
    """Moments of both arms' values, capped or plain, in the sketch's unit.

    Attributes:
        above: Of capped ones: the candidate's and the baseline's values above the cap, of the moments' `n`.
    """

    candidate: Moments
    baseline: Moments
    requests: Counts  # as counted
    above: tuple[float, float] | None = None

    def beyond(self, limit: Limit, scale: float) -> bool | None:
        """Tell whether the mean is beyond `scale` times the limit."""
        return mean_is_beyond(limit, scale, self.candidate, self.baseline)

    def evidence_in(self, limit: Limit) -> float:
        """Return the evidence of being beyond kappa times the limit."""
        return mean_beyond(limit, limit.kappa)(self.candidate, self.baseline)

    def evidence_out(self, limit: Limit) -> float:
        """Return the evidence of being within the limit."""
        return mean_within(limit, 1.0)(self.candidate, self.baseline)

    def counts(self) -> Counts:
        """Return the finished requests of both arms."""
        return self.requests

    def observed(self, limit: Limit) -> Observed:
        """Return the means and their delta."""
        c, b = self.candidate, self.baseline
        return observe(limit, c.mean if c.n else None, b.mean if b.n else None)

    def noise(self, limit: Limit, minutes: int) -> Noise | None:
        """Return how much independent requests vary here."""
        return mean_noise(self.candidate, self.baseline, minutes)

    def as_json(self) -> dict[str, Arm]:
        """Return both arms: requests as counted, and the moments of as many as they know as much as."""
        counts = self.counts()
        arms = (
            ("candidate", self.candidate, counts.candidate),
            ("baseline", self.baseline, counts.baseline),
        )
        data: dict[str, Arm] = {name: {"requests": requests, **arm._asdict()} for name, arm, requests in arms}
        if self.above is not None:
            data["candidate"]["above"], data["baseline"]["above"] = self.above
        return data


def sums_of(series: Series, start: int, end: int, cut: Cut | None = None) -> Sums:
    """Return the sums of the minutes [start, end) without the cut.

    Raises:
        MinuteNotKept: The stretch reaches outside the minutes held.
    """
    if isinstance(series, RateSeries):
        return RateSums(series.sums(start, end, cut), series.totals(start, end, cut))
    if isinstance(series, QuantileSeries):
        bins = tail_bins(*series.bins(start, end, cut), series.limit)
        return QuantileSums(*bins, series.counts(start, end, cut))
    assert isinstance(series, MeanSeries), "there are three kinds"
    moments, counts = series.moments(start, end, cut), series.counts(start, end, cut)
    if series.measure is Measure.PLAIN:
        return MeanSums(*moments, counts)
    above = series.above_cap(start, end, cut)
    return MeanSums(*moments, counts, (above.s_c, above.s_b))


def sums_from(kind: str, arms: Mapping[str, Mapping[str, Any]]) -> Sums:
    """Return the sums that a record holds.

    Args:
        kind: Of the indicator: `rate`, `quantile` or `mean`.

    Raises:
        ValueError, TypeError, KeyError: The record holds none of this kind.
    """
    c, b = arms["candidate"], arms["baseline"]
    requests = Counts(baseline=b["requests"], candidate=c["requests"])
    if kind == "rate":
        found = (c["weighted_hits"], c["weighted_requests"], b["weighted_hits"], b["weighted_requests"])
        totals = RateCounts(c["hits"], c["requests"], b["hits"], b["requests"])
        return RateSums(RateCounts(*found), totals)
    if kind == "quantile":
        return QuantileSums(_bins_from(c["bins"]), _bins_from(b["bins"]), requests)
    if kind == "mean":
        moments = [Moments(*(arm[name] for name in Moments._fields)) for arm in (c, b)]
        above = (c["above"], b["above"]) if "above" in c else None
        return MeanSums(moments[0], moments[1], requests, above)
    raise ValueError(f"{kind!r} is no kind of indicator that has sums")


def _bins_from(pairs: Sequence[Sequence[float]]) -> dict[int, float]:
    found = {int(index): float(count) for index, count in pairs}
    if not all(0 <= index <= UNFINISHED_BIN and count >= 0 for index, count in found.items()):
        raise ValueError("a sketch's bins go from 0 to the unfinished, each with a number of requests")
    return found


def tail_bins(
    candidate: Mapping[int, float], baseline: Mapping[int, float], limit: Limit
) -> tuple[dict[int, float], dict[int, float]]:
    """Return both arms with only the bins that the quantile's formulas look at; the rest is joined at the ends.

    They look where an arm's share above an edge is within a request or two of the tail, and as far from there
    as the limit spans. Below, all bins are one; above, all finished ones are; no count is lost.
    """
    assert limit.quantile is not None
    reach = limit.bins_reached(1.0) + _CORRECTION
    ends = [_tail_ends(arm, 1.0 - limit.quantile) for arm in (candidate, baseline) if arm]
    if not ends:
        return {}, {}
    low, high = min(first for first, _ in ends) - reach, max(last for _, last in ends) + reach
    return _joined(candidate, low, high), _joined(baseline, low, high)


def _tail_ends(arm: Mapping[int, float], tail: float) -> tuple[int, int]:
    """The first bins above whose upper edge lie no more, and clearly fewer, requests than the tail has."""
    n = above = sum(arm.values())
    first, last = None, max(arm)
    for index in sorted(arm):
        above -= arm[index]
        if first is None and above <= tail * n + _CORRECTION:
            first = index
        if above < tail * n - _CORRECTION:
            last = index
            break
    return (last if first is None else first), last


def _joined(arm: Mapping[int, float], low: int, high: int) -> dict[int, float]:
    found: dict[int, float] = {}
    for index, count in sorted(arm.items()):
        place = index if index == UNFINISHED_BIN else min(max(index, low), high + 1)
        found[place] = found.get(place, 0) + count
    return {place: round(count, _DECIMALS) for place, count in found.items()}
