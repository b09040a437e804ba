"""Series of sketched distributions: a quantile of latencies, a mean of costs or tokens (see `core.series`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.sketch import Sketch
from monitor.core.stats.capped import CappedHistory, Measure
from monitor.core.stats.contrast import Contrast, Noise, Stretch, mean_contrast, mean_noise, rate_contrast
from monitor.core.stats.evidence import Moments
from monitor.core.stats.exceedance import Bins, ExceedanceHistory, quantile_columns
from monitor.core.stats.harm import mean_beyond, mean_within
from monitor.core.stats.intervals import CONFIDENCE, Interval, RateCounts, mean_interval, mean_mde
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import EQUAL, Counts, Cut, Held, Observed, length_min, observe
from monitor.core.stats.quantile_stretch import QuantileStretch
from monitor.core.stats.strata import Arm, Level, StrataSums
from monitor.core.stats.thresholds import MAX_WINDOW_MIN

SketchPair: TypeAlias = tuple[Sketch, Sketch]
"""A stratum's sketches, candidate and baseline."""


class QuantileSeries(Held):
    """A quantile of a sketched distribution; unfinished requests are slower than every finished one.

    Judged are Mantel-Haenszel sums over minutes and their strata (`stats.strata`); `counts` are plain.
    """

    __slots__ = ("_history", "_newest", "_strata", "limit")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        assert limit.quantile is not None
        assert limit.higher_is_worse
        super().__init__()
        self.limit = limit
        self._history = ExceedanceHistory(keep_min)
        self._strata = StrataSums()
        # The stretch asked for last: the rule asks whether it is beyond the limit, and then how evidently.
        self._newest: tuple[tuple[int, int, Cut | None], QuantileStretch] | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the kept minutes."""
        return self._history.nbytes

    def append(
        self, minute: int, candidate: Sketch, baseline: Sketch, strata: Sequence[SketchPair] = ()
    ) -> None:
        """Add a minute's sketches of both arms, and those of its strata, which add up to them.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        self._newest = None
        mine, theirs = candidate.bins, baseline.bins
        parts = [(one.bins, other.bins) for one, other in strata]
        self._history.append(mine, theirs, parts)
        counted = [(_requests(one), _requests(other)) for one, other in parts]
        self._strata.append(_requests(mine), _requests(theirs), counted)
        self._strata.drop(len(self._strata) - self._history.minutes)
        self._minutes.kept = self._minutes.end - self._history.minutes

    def stretch(
        self, start: int, end: int, cut: Cut | None = None, level: Level | None = None
    ) -> QuantileStretch:
        """Return what the requests of both arms count as, above each edge.

        Args:
            level: How finely the arms are compared; by default as finely as their strata have partners.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        if level is not None:
            rows = self._minutes.rows(start, end, cut)
            return self._stretch(rows, level, self._strata.sums(*rows, level))
        asked = (start, end, cut)
        if self._newest is None or self._newest[0] != asked:
            rows = self._minutes.rows(start, end, cut)
            self._newest = asked, self._stretch(rows, *self._strata.compared(*rows))
        return self._newest[1]

    def _stretch(self, rows: tuple[int, int, Cut | None], level: Level, sizes: RateCounts) -> QuantileStretch:
        above = self._history.window(*rows, level)
        if level is not Level.POOLED and above.size:
            above = _counted(above[None], (sizes,))[0]
        return QuantileStretch(self.limit, above, self._history.lowest)

    def bins(self, start: int, end: int, cut: Cut | None = None) -> tuple[dict[int, float], dict[int, float]]:
        """Return what both arms count as, per sketch bin, candidate first; the unfinished in `UNFINISHED_BIN`."""
        return self.stretch(start, end, cut).bins()

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely the arms are compared here."""
        return self._strata.level(*self._minutes.rows(start, end, cut))

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the quantile is beyond `scale` times the limit; None without data in either arm."""
        return self.stretch(start, end, cut).beyond(scale) if self.has_both(start, end, cut) else None

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""
        return self.stretch(start, end, cut).evidence_in()

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit."""
        return self.stretch(start, end).evidence_out()

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have data."""
        return self._strata.has_both(*self._minutes.rows(start, end, cut))

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the requests of both arms, the unfinished among them."""
        totals = self._strata.totals(*self._minutes.rows(start, end, cut))
        return Counts(baseline=int(totals.n_b), candidate=int(totals.n_c))

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return both quantiles, as upper edges of their bins, and their delta."""
        return self.stretch(start, end, cut).observed()

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the delta."""
        return self.stretch(start, end).interval(phi=phi, confidence=confidence)

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest slowdown that would have reached `x_star` here; None if none."""
        return self.stretch(start, end).mde(x_star * phi)

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old ones, or of precision."""
        return self._history.forgets_next

    def contrasts(self, pairs: Sequence[tuple[Stretch, Stretch]]) -> list[Contrast | None]:
        """Return how far the difference of the shares moved that lie above the baseline's own quantile.

        The quantile of both stretches together: the past's own, so that a drift of both arms is none. Both are
        compared as finely as both together can be.
        """
        if not pairs or not self._history.edges:
            return [None] * len(pairs)
        rows = [self._minutes.pair_rows(*pair) for pair in pairs]
        levels, *sizes = zip(*self._strata.paired(rows), strict=True)
        before, after = (
            _counted(self._history.windows(stretches, levels), counts)
            for stretches, counts in zip(zip(*rows, strict=True), sizes, strict=True)
        )
        return list(self._contrasts(before, after))

    def _contrasts(
        self, before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> Iterator[Contrast | None]:
        """The contrasts of pairs of stretches, of which there is what they count as above each edge."""
        assert self.limit.quantile is not None
        edges = before.shape[2]
        columns = quantile_columns(before[:, 1] + after[:, 1], self.limit.quantile)
        at = np.arange(len(columns)), slice(None), np.minimum(columns, edges - 1)
        hits = before[at].tolist(), after[at].tolist()
        sizes = before[..., 0].tolist(), after[..., 0].tolist()
        for column, *one in zip(columns.tolist(), *hits, *sizes, strict=True):
            if column == edges:
                yield None  # the quantile lies among the unfinished: no edge to count above
                continue
            (a, b), (c, d), (n_a, n_b), (n_c, n_d) = one
            yield rate_contrast(RateCounts(a, n_a, b, n_b), RateCounts(c, n_c, d, n_d))

    def noise(self, start: int, end: int, cut: Cut | None = None) -> Noise | None:
        """Return how much independent requests vary here, as shares above the quantile."""
        return self.stretch(start, end, cut).noise(length_min(start, end, cut))


class MeanSeries(Held):
    """The mean of a sketched distribution, of values up to the baseline's p99 (see `stats.capped`), or as they are.

    Both measures are judged (`core.measure`): the tail cannot hide above the cap.
    """

    __slots__ = ("_harm", "_history", "_newest", "_within", "limit", "measure")

    def __init__(self, limit: Limit, *, keep_min: int = MAX_WINDOW_MIN) -> None:
        super().__init__()
        self.limit = limit
        self.measure = Measure.CAPPED
        self._harm, self._within = mean_beyond(limit, limit.kappa), mean_within(limit, 1.0)
        # The stretch asked for last, by the minute up to which the cap was learned: see `QuantileSeries`.
        self._newest: tuple[tuple[int, int, Cut | None, int], tuple[Moments, Moments]] | None = None
        self._history = CappedHistory(keep_min)

    def plain(self) -> MeanSeries:
        """Return the plain mean of the same values: a view of the same minutes, which goes on with them."""
        view = MeanSeries(self.limit)
        view.measure, view._minutes, view._history = Measure.PLAIN, self._minutes, self._history
        return view

    def append(
        self, minute: int, candidate: Sketch, baseline: Sketch, strata: Sequence[SketchPair] = ()
    ) -> None:
        """Add a minute's sketches and exact sums of both arms, and those of its strata, which add up to them.

        Raises:
            MinuteOutOfOrder: `minute` does not follow the newest one.
        """
        self._minutes.advance(minute)
        self._history.append(candidate, baseline, strata)
        self._minutes.kept = self._minutes.end - self._history.minutes

    def moments(self, start: int, end: int, cut: Cut | None = None) -> tuple[Moments, Moments]:
        """Return the moments of the measured values, candidate first, of as many values as they know as much as.

        Raises:
            MinuteNotKept: The stretch reaches outside the minutes held.
        """
        asked = (start, end, cut, self._minutes.end)
        if self._newest is None or self._newest[0] != asked:
            rows = self._minutes.rows(start, end, cut)
            self._newest = asked, self._history.moments(*rows, measure=self.measure)
        return self._newest[1]

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the mean is beyond `scale` times the limit; None without data in either arm."""
        if not self.has_both(start, end, cut):
            return None  # most cohorts have many such stretches
        return mean_is_beyond(self.limit, scale, *self.moments(start, end, cut))

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit; 0 below the floor of `mean_above`."""
        return self._harm(*self.moments(start, end, cut))

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence (nats) of being within the limit; 0 below the floor of `mean_above`."""
        return self._within(*self.moments(start, end))

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have data."""
        return self._history.has_both(*self._minutes.rows(start, end, cut))

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the finished requests of both arms."""
        totals = self._history.totals(*self._minutes.rows(start, end, cut))
        return Counts(baseline=int(totals.n_b), candidate=int(totals.n_c))

    def level(self, start: int, end: int, cut: Cut | None = None) -> Level:
        """Return how finely the arms are compared here."""
        return self._history.level(*self._minutes.rows(start, end, cut))

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return the means that are judged, and their delta."""
        candidate, baseline = self.moments(start, end, cut)
        return observe(
            self.limit,
            candidate.mean if candidate.n else None,
            baseline.mean if baseline.n else None,
        )

    @property
    def cap(self) -> float | None:
        """The baseline's p99 over all minutes held, in the sketch's unit; None before the baseline has a value."""
        return self._history.cap

    def above_cap(self, start: int, end: int, cut: Cut | None = None) -> RateCounts:
        """Return the values above the cap, and all, of both arms, weighted as the moments are."""
        return self._history.above_cap(*self._minutes.rows(start, end, cut))

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the mean's delta."""
        return mean_interval(*self.moments(start, end), phi=phi, confidence=confidence)

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest growth that would have reached `x_star` here; None if none."""
        return mean_mde(*self.moments(start, end), self.limit, x_star * phi)

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old ones, or of precision."""
        return self._history.forgets_next

    def contrasts(self, pairs: Sequence[tuple[Stretch, Stretch]]) -> list[Contrast | None]:
        """Return how far the difference of the means moved, compared as finely as both together can be.

        Values are capped as they were at the end of the later stretch.
        """
        rows = [self._minutes.pair_rows(*pair) for pair in pairs]
        return [
            None if moments is None else mean_contrast(*moments)
            for moments in self._history.paired_moments(rows, self.measure)
        ]

    def noise(self, start: int, end: int, cut: Cut | None = None) -> Noise | None:
        """Return how much independent requests vary here."""
        return mean_noise(*self.moments(start, end, cut), length_min(start, end, cut))


def mean_is_beyond(limit: Limit, scale: float, candidate: Moments, baseline: Moments) -> bool | None:
    """Tell whether a mean is beyond `scale` times the limit; None without data in either arm."""
    if not candidate.n or not baseline.n:
        return None
    bound = limit.ratio(scale) * baseline.mean
    excess = candidate.mean - bound if limit.higher_is_worse else bound - candidate.mean
    return excess > EQUAL * bound


def _counted(above: NDArray[np.int64], sizes: Sequence[RateCounts]) -> NDArray[np.float64]:
    """What stretches count as above each edge, of as many requests as they know as much as: plain counts stay."""
    n = np.array([(one.n_c, one.n_b) for one in sizes])  # none where nobody has a partner
    return above * (n / np.maximum(above[..., 0], 1))[..., None]


def _requests(bins: Bins) -> Arm:
    """A minute's requests; what counts as a hit is another one for each edge."""
    return 0, sum(bins.values())
