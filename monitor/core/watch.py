"""One objective on one slice: its series, its rule, its trigger, what it spent, and its evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Accounting, BaselineMode, Objective
from monitor.core.cohort import CohortKey
from monitor.core.exemplar import EXEMPLARS_PER_CELL, Exemplar, smallest
from monitor.core.indicator import IndicatorKind
from monitor.core.proof import evidence_of
from monitor.core.record import Finding, Observed
from monitor.core.series import MeanSeries, QuantileSeries, RateSeries
from monitor.core.spend import Spend
from monitor.core.stats.dispersion import Dispersion, DispersionEstimate
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.limit import limit_of
from monitor.core.stats.rule import Rule
from monitor.core.stats.thresholds import MAX_WINDOW_MIN
from monitor.core.sustained import Answer, Judgement, judge
from monitor.core.trigger import Phase, TriggerState, step
from monitor.core.window import DAY_MIN, tick_ms

HEALTHY_NATS: Final = evidence_for(0.05)  # what being within the limit must show before it is called healthy
HEALTHY_RECENT_MIN: Final = 240  # and still show over the last four hours
_MICRO: Final = 1e-6
_MILLI: Final = 1e-3


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
        judged: The minute of the last judgement, and what was known of noise then.
        acted: Whether this episode already led to a page or a rollback.
        fired: Whether any episode ever did: then the release's verdict here is `breach`.
    """

    def __init__(self, objective: Objective, view: CohortKey, rule: Rule, first_minute: int) -> None:
        self.objective = objective
        self.view = view
        self.rule = rule
        self.first_minute = first_minute
        self.series = _series(objective)
        self.trigger = TriggerState(Phase.INACTIVE, tick_ms(first_minute), tick_ms(first_minute))
        self.spend = Spend(rule)
        self.dispersion = DispersionEstimate()
        self.factor = _factor(objective)
        self.judgement: Judgement | None = None
        self.judged: tuple[int, Dispersion] | None = None
        self.acted = False
        self.fired = False
        self.spent_paged = False
        self.frozen_minute: int | None = None
        self.empty_minutes = 0
        self._exemplars: deque[tuple[int, list[Exemplar]]] = deque(maxlen=DAY_MIN)

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
            self._exemplars.append((minute, kept))

    def _take_in(
        self,
        minute: int,
        candidate: Aggregate,
        baseline: Aggregate,
        strata: Sequence[tuple[Aggregate, Aggregate]],
    ) -> None:
        source = self.objective.indicator.source
        if isinstance(self.series, RateSeries):
            rates = [(one.rate(source), other.rate(source)) for one, other in strata]
            self.series.append(minute, candidate.rate(source), baseline.rate(source), rates)
        else:
            parts = [(one.distribution(source), other.distribution(source)) for one, other in strata]
            self.series.append(minute, candidate.distribution(source), baseline.distribution(source), parts)
        self.dispersion.take(self.series)

    def compare_anew(self) -> None:
        """Leave the minutes so far out of every window to come: they were compared with another baseline."""
        old, empty = self.series, Aggregate()
        self.series, self.dispersion = _series(self.objective), DispersionEstimate()
        for minute in range(max(old.kept_minute, old.end_minute - MAX_WINDOW_MIN), old.end_minute):
            self._take_in(minute, empty, empty, ())

    def judge(self, now: int) -> Change:
        """Judge the minutes before `now` and step the trigger."""
        self.judged = now, self.dispersion.now
        judgement = self.judgement = judge(self.series, now, self.rule, self.dispersion.now)
        before = self.trigger
        answer = judgement.answer
        self.spend.advance(self.series, now, self.dispersion.now)
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
        """Tell whether more minutes were bad, in all, than the budget grants."""
        return self.spend.is_overspent and self.objective.hold_min > 0

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
            exemplars=self.exemplars(start, end, size),
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
        value = self.series.observed(start, end)
        phi = self._phi(start, end)
        span = self.series.interval(start, end, phi=phi)
        counts = self.series.counts(start, end)
        factor = self.factor
        return Observed(
            baseline=None if value.baseline is None else value.baseline * factor,
            candidate=None if value.candidate is None else value.candidate * factor,
            delta=value.delta,
            lower=span.lower,
            upper=span.upper,
            mde=self.series.mde(start, end, self.rule.x_star, phi=phi),
            samples=(counts.baseline, counts.candidate),
        )

    def observe_all(self, now: int) -> Observed:
        """Return what the whole watch showed, as far back as minutes are kept."""
        return self.observe(*self._newest(now, MAX_WINDOW_MIN))

    def phi_all(self, now: int) -> float | None:
        """Return the over-dispersion that `observe_all` counts with; None where nothing was taken in."""
        start, end = self._newest(now, MAX_WINDOW_MIN)
        return None if start == end else self._phi(start, end)

    def _phi(self, start: int, end: int) -> float:
        return self.dispersion.now.over(self.series, start, end)

    def _within(self, start: int, end: int) -> float:
        """The evidence of being within the limit, over phi."""
        return self.series.evidence_out(start, end) / self._phi(start, end)

    def _newest(self, now: int, length_min: int) -> tuple[int, int]:
        """Return the newest minutes before `now` that were taken in: with labels to wait for, perhaps none."""
        end = max(self.first_minute, min(now, self.series.end_minute))
        return max(self.first_minute, end - length_min), end

    def verdict(self, now: int) -> str:
        """Return what the watch came to: `breach`, `no_data`, `healthy`, or `inconclusive`.

        Healthy has to be shown: over the whole watch and over its last four hours.
        """
        if self.has_fired:
            return "breach"
        shown = self.shown_within(now)
        if shown is None:
            return "no_data"
        return "healthy" if min(shown) >= HEALTHY_NATS else "inconclusive"

    @property
    def has_fired(self) -> bool:
        """Tell whether an episode was acted upon, or would be now."""
        return self.fired or self.trigger.phase is Phase.FIRING

    def shown_within(self, now: int) -> tuple[float, float] | None:
        """Return the evidence of being within the limit over the whole watch and over its last four hours.

        None without data in an arm.
        """
        start, end = self._newest(now, MAX_WINDOW_MIN)
        if start == end or not all(self.series.counts(start, end)):
            return None
        return self._within(start, end), self._within(max(start, end - HEALTHY_RECENT_MIN), end)

    def exemplars(self, start: int, end: int, size: int) -> tuple[Exemplar, ...]:
        """Return the best exemplars of the candidate over [start, end)."""
        groups = (kept for minute, kept in self._exemplars if start <= minute < end)
        return tuple(smallest(groups, min(size, EXEMPLARS_PER_CELL * 4)))


def _series(objective: Objective) -> RateSeries | QuantileSeries | MeanSeries:
    limit = limit_of(objective)
    if objective.indicator.kind is IndicatorKind.RATE:
        return RateSeries(limit)
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        return QuantileSeries(limit)
    return MeanSeries(limit)


def _factor(objective: Objective) -> float:
    """Return what turns a stored value into what people read: microseconds to ms, micro-dollars to USD."""
    source = objective.indicator.source
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        return _MILLI
    return _MICRO if source == "cost" else 1.0
