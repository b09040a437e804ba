"""One objective on one slice: its series, its rule, its trigger, what it spent, and its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Accounting, BaselineMode, Objective
from monitor.core.cohort import CohortKey
from monitor.core.exemplar import EXEMPLARS_PER_CELL, ExemplarHistory
from monitor.core.indicator import IndicatorKind
from monitor.core.measure import Gauge, gauges_of, judge_all, known_noise, observe_all
from monitor.core.proof import evidence_of
from monitor.core.record import Finding, Observed
from monitor.core.series import AnySeries, RateSeries, series_for
from monitor.core.spend import Spend
from monitor.core.stats.dispersion import DispersionEstimate, Known
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.rule import Rule
from monitor.core.stats.thresholds import MAX_WINDOW_MIN
from monitor.core.sustained import Answer, Judgement
from monitor.core.trigger import Phase, TriggerState, step
from monitor.core.window import DAY_MIN, tick_ms

HEALTHY_NATS: Final = evidence_for(0.05)  # what being within the limit must show before it is called healthy
HEALTHY_RECENT_MIN: Final = 240  # and still show over the last four hours
_MICRO: Final = 1e-6  # costs are kept in millionths of a USD
_MILLI: Final = 1e-3  # latencies are kept in microseconds, and told in ms


@dataclass(frozen=True, slots=True)
class Change:
    """What one tick changed: the trigger before and after, and the rule's judgement."""

    before: TriggerState
    after: TriggerState
    judgement: Judgement

    @property
    def started(self) -> bool:
        """Tell whether an episode began."""
        return self.before.phase is Phase.INACTIVE and self.after.phase is not Phase.INACTIVE

    @property
    def cleared(self) -> bool:
        """Tell whether an episode ended."""
        return self.before.phase is not Phase.INACTIVE and self.after.phase is Phase.INACTIVE


class Watch:
    """The state of one objective on one slice since the candidate's first live request.

    Attributes:
        factor: What turns a stored value into the unit people read.
        frozen_minute: The newest minute whose baseline is a frozen reference; None without any.
        gauges: What it judges: of a mean the capped one, which comes first, and the plain one.
        judgement: The last one, of the gauge that said most; `led` is which.
        judged: The minute of the last judgement, and what was known of each gauge's noise then.
        acted: Whether this episode already led to a page or a rollback.
        fired: Whether any episode ever did: then the release's verdict here is `breach`.
    """

    def __init__(self, objective: Objective, view: CohortKey, rule: Rule, first_minute: int) -> None:
        self.objective = objective
        self.view = view
        self.rule = rule
        self.first_minute = first_minute
        self.gauges = gauges_of(series_for(objective))
        self.led = 0
        self.trigger = TriggerState(Phase.INACTIVE, tick_ms(first_minute), tick_ms(first_minute))
        self.spend = Spend(rule)
        self.factor = factor_of(objective)
        self.judgement: Judgement | None = None
        self.judged: tuple[int, tuple[Known, ...]] | None = None
        self.acted = False
        self.fired = False
        self.spent_paged = False
        self.frozen_minute: int | None = None
        self.empty_minutes = 0
        self._exemplars = ExemplarHistory(EXEMPLARS_PER_CELL * 4, DAY_MIN)

    @property
    def series(self) -> AnySeries:
        """What every minute is appended to: the series of the first gauge, on which the others look."""
        return self.gauges[0].series

    @property
    def dispersion(self) -> DispersionEstimate:
        """What is known of the noise of `series`."""
        return self.gauges[0].dispersion

    def append(
        self,
        minute: int,
        candidate: Aggregate,
        baseline: Aggregate,
        strata: Sequence[tuple[Aggregate, Aggregate]] = (),
    ) -> None:
        """Take in one closed minute of both arms, empty or not; minutes come in order.

        Args:
            strata: The parts (candidate, baseline) within which the arms are compared, adding up to the totals;
                none: the minute is one.
        """
        self._take_in(minute, candidate, baseline, strata)
        self.empty_minutes = 0 if candidate.requests else self.empty_minutes + 1
        kept = candidate.exemplars.get(self.objective.indicator.name)
        if kept:
            self._exemplars.append(minute, kept)

    def _take_in(
        self,
        minute: int,
        candidate: Aggregate,
        baseline: Aggregate,
        strata: Sequence[tuple[Aggregate, Aggregate]],
    ) -> None:
        source, series = self.objective.indicator.source, self.series
        if isinstance(series, RateSeries):
            rates = [(one.rate(source), other.rate(source)) for one, other in strata]
            series.append(minute, candidate.rate(source), baseline.rate(source), rates)
        else:
            parts = [(one.distribution(source), other.distribution(source)) for one, other in strata]
            series.append(minute, candidate.distribution(source), baseline.distribution(source), parts)
        for gauge in self.gauges:
            gauge.dispersion.take(gauge.series)

    def compare_anew(self) -> None:
        """Leave the minutes so far out of every window to come: they were compared with another baseline."""
        old, empty = self.series, Aggregate()
        self.gauges = gauges_of(series_for(self.objective))
        for minute in range(max(old.kept_minute, old.end_minute - MAX_WINDOW_MIN), old.end_minute):
            self._take_in(minute, empty, empty, ())

    def judge(self, now: int) -> Change:
        """Judge the minutes before `now` and step the trigger."""
        self.judged = now, known_noise(self.gauges)
        self.led, judgement = judge_all(self.gauges, now, self.rule)
        self.judgement = judgement
        before = self.trigger
        answer = judgement.answer
        others = ((gauge.series, gauge.dispersion.known) for gauge in self.gauges[1:])
        self.spend.advance(self.series, now, self.dispersion.known, *others)
        if self.is_cumulative:
            answer = self._cumulative(answer)
        self.trigger = step(before, answer, at_ms=tick_ms(now))
        if self.trigger.phase is Phase.INACTIVE:
            self.acted = False
        return Change(before, self.trigger, judgement)

    @property
    def is_cumulative(self) -> bool:
        """Tell whether bad minutes add up over the window instead of lasting at a stretch.

        A hold of 0 has nothing to add up: it acts at once.
        """
        return self.objective.accounting is Accounting.CUMULATIVE and self.objective.hold_min > 0

    @property
    def is_overspent(self) -> bool:
        """Tell whether more minutes were bad, in all, than the budget grants, and that on enough samples."""
        return self.spend.is_overspent and self.objective.hold_min > 0 and self.has_samples

    @property
    def has_samples(self) -> bool:
        """Tell whether each arm has had the requests that the budget asks for before the objective is judged."""
        least = self.rule.min_samples
        if not least:
            return True
        start, end = self._newest(self.series.end_minute, min(self.rule.window_min, MAX_WINDOW_MIN))
        return start < end and min(self.series.counts(start, end)) >= least

    @property
    def is_unknown(self) -> bool:
        """Tell whether the newest minutes cannot be judged."""
        return self.judgement is None or self.judgement.answer is Answer.UNKNOWN

    def fires(self, change: Change) -> bool:
        """Tell whether this tick's evidence asks for an act, whether this episode had one already or not."""
        if self.is_cumulative:
            return self.is_overspent and self.trigger.phase is Phase.FIRING
        return change.judgement.answer is Answer.FIRES

    def _cumulative(self, answer: Answer) -> Answer:
        if self.is_overspent:
            return Answer.FIRES
        return Answer.SUSPECT if answer is Answer.FIRES else answer

    def finding(self, now: int, size: int, judgement: Judgement | None) -> Finding:
        """Return what this watch shows: the judged window where there is one, else the newest stretch."""
        if judgement is not None and judgement.answer is Answer.FIRES and judgement.window is not None:
            start, end = judgement.window
        else:
            start, end = self._newest(now, self.rule.recent_min)
        return Finding(
            objective=self.objective,
            view=self.view,
            seen=self.observe(start, end),
            started_ms=tick_ms(start),
            held_min=end - start,
            exemplars=tuple(self._exemplars.best(start, size)),
            baseline_mode=self.baseline_mode(start),
            evidence=partial(evidence_of, self, (start, end)),
        )

    def baseline_mode(self, start: int) -> BaselineMode:
        """Return what the minutes from `start` on are compared with; frozen where any of them is."""
        is_frozen = self.frozen_minute is not None and self.frozen_minute >= start
        return BaselineMode.FROZEN if is_frozen else BaselineMode.CONCURRENT

    def observe(self, start: int, end: int) -> Observed:
        """Return point estimates, interval and MDE over [start, end), in the units people read."""
        if start == end:
            return Observed()
        return observe_all(self.gauges, start, end, x_star=self.rule.x_star, factor=self.factor)

    def observe_all(self, now: int) -> Observed:
        """Return what the whole watch showed, as far back as minutes are kept."""
        return self.observe(*self._newest(now, MAX_WINDOW_MIN))

    def phi_all(self, now: int) -> float | None:
        """Return the over-dispersion that `observe_all` counts with; None where nothing was taken in."""
        start, end = self._newest(now, MAX_WINDOW_MIN)
        return None if start == end else self.gauges[-1].phi(start, end)

    def _newest(self, now: int, length_min: int) -> tuple[int, int]:
        """Return the newest minutes before `now` that were taken in: with labels to wait for, perhaps none."""
        end = max(self.first_minute, min(now, self.series.end_minute))
        return max(self.first_minute, end - length_min), end

    def verdict(self, now: int) -> str:
        """Return what the watch came to: `breach`, `no_data`, `healthy`, or `inconclusive`.

        Healthy has to be shown, by every gauge: over the whole watch and over its last four hours. More bad minutes
        in all than the budget grants are no breach by themselves, and no health either; nor are too few requests.
        """
        if self.has_fired:
            return "breach"
        shown = self.shown_within(now)
        if shown is None:
            return "no_data"
        is_shown = min(shown) >= HEALTHY_NATS and self.has_samples and not self.is_overspent
        return "healthy" if is_shown else "inconclusive"

    @property
    def has_fired(self) -> bool:
        """Tell whether an episode was acted upon, or would be now."""
        return self.fired or self.trigger.phase is Phase.FIRING

    def shown_within(self, now: int) -> tuple[float, float] | None:
        """Return the evidence of being within the limit over the whole watch and over its last four hours.

        The least of all gauges'. None without data in an arm.
        """
        each = [self.gauge_within(gauge, now) for gauge in self.gauges]
        known = [shown for shown in each if shown is not None]
        return (min(one for one, _ in known), min(two for _, two in known)) if known else None

    def gauge_within(self, gauge: Gauge, now: int) -> tuple[float, float] | None:
        """Return what one gauge shows of `shown_within`."""
        start, end = self._newest(now, MAX_WINDOW_MIN)
        if start == end or not all(gauge.series.counts(start, end)):
            return None
        return gauge.within(start, end), gauge.within(max(start, end - HEALTHY_RECENT_MIN), end)


def factor_of(objective: Objective) -> float:
    """Return what turns a stored value into what people read: microseconds to ms, micro-dollars to USD."""
    source = objective.indicator.source
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        return _MILLI
    return _MICRO if source == "cost" else 1.0
