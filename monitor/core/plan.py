"""The plan: which releases and slices of them are folded, and what each slice keeps, for a set of budgets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.core.budget import Budget, Objective
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.event import Observation
from monitor.core.exemplar import fair_rank
from monitor.core.indicator import LABELS, Direction, IndicatorKind


@dataclass(frozen=True, slots=True)
class ExemplarRule:
    """When a request is evidence for an indicator: a harmful label, or a large value of a distribution.

    Attributes:
        label: Place of a label among `LABELS`, so that the common case is one look into a tuple; else -1.
    """

    indicator: str
    kind: IndicatorKind
    source: str
    harmful: bool
    label: int = -1

    def rank(self, event: Observation, labels: tuple[bool | None, ...]) -> int | None:
        """Return how good an exemplar the event is (smaller is better), or None if it is none."""
        if self.label >= 0:
            return fair_rank(exemplar_id(event)) if labels[self.label] is self.harmful else None
        if self.kind is IndicatorKind.RATE:
            value = event.rate_value(self.source)
            return fair_rank(exemplar_id(event)) if value is self.harmful else None
        size = event.size_of(self.source)
        return None if size is None else -size


@dataclass(frozen=True, slots=True)
class View:
    """A slice of one release's traffic and what is kept of it: only what a budget asks for, so cells stay small."""

    key: CohortKey
    sketches: tuple[str, ...]
    exemplars: tuple[ExemplarRule, ...]
    outcomes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is folded.

    Attributes:
        views: Per release, its slices; the overall one is always there and comes first.
        label_delay_ms: Per release, how long labels that come later are still on time.
    """

    views: dict[str, tuple[View, ...]]
    label_delay_ms: dict[str, int]


def exemplar_id(event: Observation) -> str:
    """Return the id a person can look a request up by: its trace, else the event itself."""
    return event.trace_id or event.event_id


def _rule(objective: Objective) -> ExemplarRule:
    found = objective.indicator
    return ExemplarRule(
        found.name,
        found.kind,
        found.source,
        harmful=objective.worse is Direction.HIGHER_IS_WORSE,
        label=LABELS.index(found.source) if found.source in LABELS else -1,
    )


def _distribution(objective: Objective) -> str | None:
    if objective.indicator.kind in (IndicatorKind.QUANTILE, IndicatorKind.MEAN):
        return objective.indicator.source
    return None


def _outcome(objective: Objective) -> str | None:
    source = objective.indicator.source
    return source.removeprefix("outcome.") if source.startswith("outcome.") else None


def plan_for(budgets: Iterable[Budget]) -> Plan:
    """Return the plan that serves all budgets; a release in several budgets gets the union of their slices."""
    sketches: dict[str, dict[CohortKey, set[str]]] = {}
    rules: dict[str, dict[CohortKey, set[ExemplarRule]]] = {}
    outcomes: dict[str, dict[CohortKey, set[str]]] = {}
    delays: dict[str, int] = {}
    for budget in budgets:
        for release in (budget.release, budget.baseline):
            slices = sketches.setdefault(release, {OVERALL: set()})
            ruled = rules.setdefault(release, {OVERALL: set()})
            named = outcomes.setdefault(release, {OVERALL: set()})
            delays.setdefault(release, 0)
            for objective in budget.objectives:
                delays[release] = max(delays[release], objective.label_delay_min * 60_000)
                distribution, outcome = _distribution(objective), _outcome(objective)
                for key in objective.views():
                    slices.setdefault(key, set()).update((distribution,) if distribution else ())
                    named.setdefault(key, set()).update((outcome,) if outcome else ())
                    # Only the candidate's requests are ever shown as exemplars.
                    is_shown = objective.is_guarded and release == budget.release
                    ruled.setdefault(key, set()).update((_rule(objective),) if is_shown else ())
    return Plan(
        views={
            release: tuple(
                View(
                    key,
                    tuple(sorted(names)),
                    tuple(sorted(rules[release][key], key=_rule_order)),
                    tuple(sorted(outcomes[release][key])),
                )
                for key, names in sorted(slices.items())
            )
            for release, slices in sketches.items()
        },
        label_delay_ms=delays,
    )


def _rule_order(rule: ExemplarRule) -> tuple[str, bool]:
    return rule.indicator, rule.harmful
