"""What a watch judges: its indicator's series, and of a mean both measures, so that no tail hides above the cap.

A mean of heavy-tailed values is judged twice, by the same rule and the same limit: of values up to the
baseline's p99, and of values as they are. An objective is beyond its limit when either fires, back when both
are, and healthy when both are shown within; the error rate is split between the two
(`stats.rule.MEAN_MEASURES`). Each measure errs on its own side: the capped mean knows a moderate harm from
few requests and cannot see the tail; the plain mean is the number that is paid, says nothing below 355
skewness**2 requests of an arm (`stats.evidence.mean_above`), and so leaves a tail that is too heavy for its
traffic `inconclusive` instead of healthy.

Why the tail is judged by its sum and not by its share of requests: a share says how many cost more than the
cap M, and not how much more. With mean m of the baseline, the share s above M is bound by Markov's s <= (1 +
X) m/M wherever the mean grows by no more than X, and nothing tighter holds for every distribution. A limit on
s that no harmless release can pass is therefore (1 + X/2) m/M; and what passes it costs at least M in each of
those requests, so the capped mean, which counts them at M, is beyond X/2 too: such a limit never finds what
the capped mean misses. A tighter one fires on harmless releases. Say X m/(M - m) points, since each request
above M costs M - m more than the mean: where one request in twenty costs nine to ten times the others, and
just those grow by a tenth, four points more lie above M, a limit of +20 % is 3.4 points, and the mean grows
by 3 %. And no limit on s sees one request in 200 that costs a hundred times as much: s goes from 1 to 1.5 %,
and the mean up by half. The shares are reported (`record.Capped`).

Error rate: simulated at the boundary, lognormal values of sigma 0.6 to 2, 500 to 8000 requests of the
candidate beside 1 to 9 times as many: the plain mean is 3.09 sigma too high in 0 to 1.2e-3 of the runs
(nominal 1e-3, run error 3e-4), because the skewness of the values at hand refuses whenever an outlier makes
the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.core.record import Capped, Observed
from monitor.core.series import AnySeries, MeanSeries
from monitor.core.stats.capped import Measure
from monitor.core.stats.dispersion import DispersionEstimate, Known
from monitor.core.stats.rule import Rule
from monitor.core.sustained import Answer, Judgement, judge

# Recovery is the least: both measures must see it.
_LOUDER: Final = {Answer.RECOVERED: 0, Answer.UNKNOWN: 1, Answer.SUSPECT: 2, Answer.FIRES: 3}


@dataclass(slots=True)
class Gauge:
    """One measure of an indicator: its series, and what is known of its noise."""

    series: AnySeries
    dispersion: DispersionEstimate = field(default_factory=DispersionEstimate)

    @property
    def measure(self) -> Measure | None:
        """Which mean it is; None for a rate or a quantile, which has one measure."""
        return self.series.measure if isinstance(self.series, MeanSeries) else None

    def judge(self, now: int, rule: Rule) -> Judgement:
        """Return the rule's answer about the minutes before `now`."""
        return judge(self.series, now, rule, self.dispersion.known)

    def phi(self, start: int, end: int) -> float:
        """Return the over-dispersion of the minutes [start, end)."""
        return self.dispersion.now.over(self.series, start, end)

    def within(self, start: int, end: int) -> float:
        """Return the evidence (nats, over phi) of being within the limit."""
        return self.series.evidence_out(start, end) / self.phi(start, end)

    def observe(self, start: int, end: int, x_star: float, factor: float) -> Observed:
        """Return point estimates, interval and MDE over [start, end).

        Args:
            factor: From the series' unit to the one people read.
        """
        seen, phi, counts = (
            self.series.observed(start, end),
            self.phi(start, end),
            self.series.counts(start, end),
        )
        span = self.series.interval(start, end, phi=phi)
        return Observed(
            baseline=None if seen.baseline is None else seen.baseline * factor,
            candidate=None if seen.candidate is None else seen.candidate * factor,
            delta=seen.delta,
            lower=span.lower,
            upper=span.upper,
            mde=self.series.mde(start, end, x_star, phi=phi),
            samples=(counts.baseline, counts.candidate),
        )


def gauges_of(series: AnySeries) -> tuple[Gauge, ...]:
    """Return the gauges of a series: the first is the series, the last measures what people are told."""
    if isinstance(series, MeanSeries):
        return Gauge(series), Gauge(series.plain())
    return (Gauge(series),)


def judge_all(gauges: Sequence[Gauge], now: int, rule: Rule) -> tuple[int, Judgement]:
    """Return the objective's judgement about the minutes before `now`, and which gauge it is of."""
    judged: list[Judgement] = []
    for gauge in gauges:
        judged.append(gauge.judge(now, rule))
        if judged[-1].answer is Answer.FIRES:
            break  # nothing is louder
    led = loudest(judged)
    return led, judged[led]


def loudest(judged: Sequence[Judgement]) -> int:
    """Return which judgement is the objective's: the one that says most, and of equals the first.

    One that fires comes before first evidence, that before not knowing, and a recovery is only one where all see it.
    """
    return max(range(len(judged)), key=lambda index: (_LOUDER[judged[index].answer], -index))


def observe_all(gauges: Sequence[Gauge], start: int, end: int, *, x_star: float, factor: float) -> Observed:
    """Return what the gauges show over [start, end), in the units people read.

    Of a mean that is the plain one, with the capped one beside it; what could be shown is what either could.
    """
    seen = gauges[-1].observe(start, end, x_star, factor)
    series = gauges[0].series
    if not isinstance(series, MeanSeries):
        return seen
    capped, above = gauges[0].observe(start, end, x_star, factor), series.above_cap(start, end)
    least = min((one.mde for one in (seen, capped) if one.mde is not None), key=abs, default=None)
    return replace(
        seen,
        mde=least,
        capped=Capped(
            cap=None if series.cap is None else series.cap * factor,
            baseline=capped.baseline,
            candidate=capped.candidate,
            delta=capped.delta,
            lower=capped.lower,
            upper=capped.upper,
            above_baseline=above.s_b / above.n_b if above.n_b else None,
            above_candidate=above.s_c / above.n_c if above.n_c else None,
        ),
    )


def known_noise(gauges: Sequence[Gauge]) -> tuple[Known, ...]:
    """Return what is known of each gauge's noise now."""
    return tuple(gauge.dispersion.known for gauge in gauges)
