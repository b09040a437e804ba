"""The outlook of a rollout: what a budget can decide at a given traffic, before there is any.

Per objective and slice: how long harms of several sizes take, the smallest one that is decided in time, and what is
likely not meant as written. `outlook_words` says it in sentences; the formulas are in `stats.planning`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Final

from monitor.core.assumptions import Base, Fact
from monitor.core.budget import Budget, EvidenceMode, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.forecast import (
    MULTIPLES,
    PLANNED_MULTIPLE,
    Forecast,
    Harm,
    Remark,
    SafetyForecast,
    SafetyStep,
    Swap,
    Traffic,
)
from monitor.core.rules import rules_for
from monitor.core.safety import alpha_of
from monitor.core.stats.limit import limit_of
from monitor.core.stats.planning import (
    Need,
    RateShape,
    Split,
    expectation,
    harmed_rate,
    horizon_min,
    largest_multiple,
    need,
    smallest_multiple,
)
from monitor.core.stats.rule import Rule
from monitor.core.stats.safety import tolerated_expectation

_EVEN_SHARE: Final = 0.5  # where two arms of one traffic tell apart soonest
_SAFETY_STEPS: Final = 6  # a table that a person reads: the first incidents decide
_FEW_SAMPLES: Final = 1_000  # fewer do not show the shape of a tail, nor a rate of a few percent
_SMALL_BASE: Final = 0.2  # below it percent and points differ fivefold and more
_SMALL_CHANGE: Final = 0.01  # an implied change below a point is rarely what "+8" was meant to say
_POINTS_MEANT: Final = 25.0  # nobody tolerates more points than this
_TIMES_BASE: Final = 10.0  # points that let a rate grow elevenfold are rarely meant


@dataclass(frozen=True, slots=True)
class Outlook:
    """A budget's forecasts at a traffic, in the order of its objectives."""

    budget: Budget
    traffic: Traffic
    phi: Fact
    forecasts: tuple[Forecast, ...]
    safety: tuple[SafetyForecast, ...]


def outlook(
    budget: Budget, traffic: Traffic, base: Callable[[Objective, CohortKey], Base], phi: Fact
) -> Outlook:
    """Return what a budget can decide.

    Args:
        base: Gives the baseline of an objective in a slice.
    """
    rules = rules_for(budget)
    views = [(objective, view) for objective in budget.objectives for view in objective.views()]
    return Outlook(
        budget,
        traffic,
        phi,
        tuple(
            _Planner(
                objective, view, base(objective, view), rules[objective.objective_id, view], traffic, phi
            ).plan()
            for objective, view in views
            if objective.is_guarded
        ),
        tuple(_safety(one, view, base(one, view), traffic) for one, view in views if not one.is_guarded),
    )


def value_at(objective: Objective, base: Base, multiple: float) -> float | None:
    """Return the candidate's value at `multiple` times the limit, as `Base.value`; None where it is not known."""
    if base.value is None or base.value == inf:
        return None
    if isinstance(base.shape, RateShape):
        return harmed_rate(objective, base.value, multiple)
    return base.value * limit_of(objective).ratio(multiple)


@dataclass(frozen=True, slots=True)
class _Planner:
    """One objective in one slice."""

    objective: Objective
    view: CohortKey
    base: Base
    rule: Rule
    traffic: Traffic
    phi: Fact

    def plan(self) -> Forecast:
        per_min = self.traffic.candidate_per_min(self.view)
        harms = tuple(self._harm(multiple, per_min) for multiple in MULTIPLES)
        smallest = None if per_min is None else self._smallest(per_min)
        swap = self._swap()
        is_late = per_min is not None and not self._decides(self.traffic)
        return Forecast(
            objective=self.objective,
            view=self.view,
            base=self.base,
            rule=self.rule,
            limit_value=value_at(self.objective, self.base, 1.0),
            per_min=per_min,
            horizon_min=horizon_min(self.objective, self.rule),
            harms=harms,
            smallest=smallest,
            enough_share=self._enough_share() if is_late else None,
            enough_requests_per_s=self._enough_traffic() if is_late else None,
            swap=swap,
            remarks=self._remarks(is_late, per_min, swap),
        )

    def _need(self, multiple: float, traffic: Traffic, objective: Objective | None = None) -> Need:
        assert self.base.shape is not None
        expected = expectation(objective or self.objective, self.base.shape, multiple, traffic.split)
        if expected is None:
            return Need(inf, None)
        per_min = traffic.candidate_per_min(self.view)
        labelled = None if per_min is None else per_min * self.base.coverage
        return need(expected, self.rule, per_min=labelled, phi=self.phi.value)

    def _harm(self, multiple: float, per_min: float | None) -> Harm:
        found = self._need(multiple, self.traffic)
        shape = self.base.shape
        is_possible = (
            not isinstance(shape, RateShape) or harmed_rate(self.objective, shape.rate, multiple) is not None
        )
        return Harm(
            multiple=multiple,
            delta=multiple * self.objective.limit,
            value=value_at(self.objective, self.base, multiple),
            is_possible=is_possible,
            requests=self._of_all(found.requests),
            minutes=found.minutes,
        )

    def _of_all(self, labelled: float | None) -> int | None:
        """Requests of which so many carry the label."""
        if labelled is None or labelled == inf:
            return None
        return ceil(labelled / self.base.coverage - 1e-9)

    def _smallest(self, per_min: float) -> Harm | None:
        assert self.base.shape is not None
        multiple = smallest_multiple(
            self.objective,
            self.base.shape,
            self.rule,
            self.traffic.split,
            per_min=per_min * self.base.coverage,
            phi=self.phi.value,
        )
        return None if multiple is None else self._harm(multiple, per_min)

    def _decides(self, traffic: Traffic) -> bool:
        """Tell whether twice the limit is decided in time, or the worst there can be where that is less."""
        assert self.base.shape is not None
        multiple = min(PLANNED_MULTIPLE, largest_multiple(self.objective, self.base.shape))
        return self._need(multiple, traffic).minutes is not None

    def _enough_share(self) -> float | None:
        """Bisect: up to an even split more of the traffic for the candidate decides sooner."""
        low, high = self.traffic.split.candidate, _EVEN_SHARE
        if low >= high or not self._decides(replace(self.traffic, split=Split(high))):
            return None
        for _ in range(12):
            middle = 0.5 * (low + high)
            is_enough = self._decides(replace(self.traffic, split=Split(middle)))
            low, high = (low, middle) if is_enough else (middle, high)
        return high

    def _enough_traffic(self) -> float | None:
        low = self.traffic.requests_per_s
        high = low * 1e6
        if not self._decides(replace(self.traffic, requests_per_s=high)):
            return None
        for _ in range(20):
            middle = (low * high) ** 0.5
            is_enough = self._decides(replace(self.traffic, requests_per_s=middle))
            low, high = (low, middle) if is_enough else (middle, high)
        return high

    def _swap(self) -> Swap | None:
        """The other unit, where this one is probably not what was meant."""
        shape, objective = self.base.shape, self.objective
        if not isinstance(shape, RateShape):
            return None
        size = abs(objective.limit)
        if objective.unit is Unit.PERCENT:
            other = Unit.POINTS
            change = shape.rate * size / 100.0
            is_odd = shape.rate <= _SMALL_BASE and change < _SMALL_CHANGE and size <= _POINTS_MEANT
            # Where it costs no time, percent of a small rate is a good limit.
            is_odd = is_odd and self._need(PLANNED_MULTIPLE, self.traffic).minutes != self._soonest()
        else:
            other = Unit.PERCENT
            is_odd = shape.rate > 0.0 and size / 100.0 >= _TIMES_BASE * shape.rate
        meant = replace(objective, unit=other)
        value = value_at(meant, self.base, 1.0)
        if not is_odd or value is None:
            return None
        return Swap(
            other,
            value,
            self._of_all(self._need(PLANNED_MULTIPLE, self.traffic).requests),
            self._of_all(self._need(PLANNED_MULTIPLE, self.traffic, meant).requests),
        )

    def _soonest(self) -> int | None:
        """When a harm is decided that needs no waiting for requests."""
        plenty = replace(self.traffic, requests_per_s=1e12)
        return self._need(PLANNED_MULTIPLE, plenty).minutes

    def _remarks(self, is_late: bool, per_min: float | None, swap: Swap | None) -> tuple[Remark, ...]:
        shape = self.base.shape
        if isinstance(shape, RateShape):
            can_break = harmed_rate(self.objective, shape.rate, 1.0) not in (None, shape.rate)
        else:
            can_break = self.base.value != inf
        found = {
            Remark.NEVER: not can_break,
            Remark.UNDECIDABLE: can_break and is_late,
            Remark.UNIT: swap is not None,
            Remark.SHARE_UNKNOWN: per_min is None,
            Remark.NO_EVIDENCE: self.objective.evidence is EvidenceMode.OFF,
            Remark.FEW_SAMPLES: self.base.samples is not None and self.base.samples < _FEW_SAMPLES,
        }
        return tuple(remark for remark, holds in found.items() if holds)


def _safety(objective: Objective, view: CohortKey, base: Base, traffic: Traffic) -> SafetyForecast:
    per_min = traffic.candidate_per_min(view)
    rate = base.value or 0.0
    steps: tuple[SafetyStep, ...] = ()
    if rate > 0.0 and not objective.literal:
        alpha = alpha_of(objective, view)
        bounds = [(k, tolerated_expectation(k, alpha)) for k in range(1, _SAFETY_STEPS + 1)]
        steps = tuple(
            SafetyStep(k, bound, int(bound / rate), None if not per_min else int(bound / rate / per_min))
            for k, bound in bounds
        )
    found = {
        Remark.INCIDENTS_NORMAL: bool(steps),
        Remark.SHARE_UNKNOWN: per_min is None,
    }
    return SafetyForecast(
        objective=objective,
        view=view,
        base=base,
        per_min=per_min,
        expected_per_day=None if per_min is None else per_min * 1440 * rate,
        steps=steps,
        remarks=tuple(remark for remark, holds in found.items() if holds),
    )
