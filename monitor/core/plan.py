"""The plan: which releases and slices of them are folded, and what each slice keeps, for a set of budgets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from monitor.core.budget import Budget, Objective
from monitor.core.cohort import EVERY, OVERALL, CohortKey, by_every
from monitor.core.event import Observation
from monitor.core.exemplar import fair_rank
from monitor.core.indicator import LABELS, Direction, IndicatorKind

PARTS_MAX: Final = 1_000  # values of a watched dimension that one minute tells apart
STRATA_MAX: Final = 256  # strata of an overall view; finer ones would hardly have both arms in a minute
SHARDS: Final = (
    16  # cells that a breakdown's parts are spread over, so that one write need not carry them all
)


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
    label: int

    def rank(self, event: Observation, labels: tuple[bool | None, ...]) -> int | None:
        """Return how good an exemplar the event is (smaller is better), or None if it is none."""
        if self.label >= 0:
            return fair_rank(exemplar_id(event)) if labels[self.label] is self.harmful else None
        if self.kind is IndicatorKind.RATE:
            value = event.rate_value(self.source)
            return fair_rank(exemplar_id(event)) if value is self.harmful else None
        size = None if event.is_outcome else event.size_of(self.source)
        return None if size is None else -size


@dataclass(frozen=True, slots=True)
class View:
    """A slice of one release's traffic and what is kept of it: only what a budget asks for, so cells stay small.

    Attributes:
        key: Names the slice, and with `EVERY` the dimensions it is broken down by.
        within: What a request must satisfy to be in it: the key without those dimensions.
        by: Dimensions it is broken down by: a request is folded into its part alone, never twice.
        is_watched: Whether each part is judged by itself, and so keeps exemplars of its own.
    """

    key: CohortKey
    sketches: tuple[str, ...]
    exemplars: tuple[ExemplarRule, ...]
    outcomes: tuple[str, ...]
    within: CohortKey
    by: tuple[str, ...]
    is_watched: bool

    @property
    def parts_max(self) -> int:
        """How many parts a minute of it may have; what more there is goes to `OTHER`.

        The fewer, the more each may weigh: all parts of a shard, at their largest, fit into one write.
        """
        return (PARTS_MAX if self.is_watched else STRATA_MAX) // max(1, len(self.sketches))


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


@dataclass(slots=True)
class _Asked:
    """What budgets ask of one slice."""

    sketches: set[str] = field(default_factory=set)
    rules: set[ExemplarRule] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    is_watched: bool = False


def plan_for(budgets: Iterable[Budget]) -> Plan:
    """Return the plan that serves all budgets; a release in several budgets gets the union of their slices."""
    asked: dict[str, dict[CohortKey, _Asked]] = {}
    delays: dict[str, int] = {}
    for budget in budgets:
        for release in (budget.release, budget.baseline):
            slices = asked.setdefault(release, {})
            slices.setdefault(by_every(OVERALL, budget.strata), _Asked())
            delays.setdefault(release, 0)
            for objective in budget.objectives:
                delays[release] = max(delays[release], objective.label_delay_min * 60_000)
                # Only the candidate's requests are ever shown as exemplars.
                is_shown = objective.is_guarded and release == budget.release
                for key in folded_views(objective, budget.strata):
                    _ask(slices.setdefault(key, _Asked()), objective, is_shown=is_shown)
                for key in watched_views(objective):
                    slices.setdefault(key, _Asked()).is_watched = True
    return Plan(
        views={
            release: tuple(_view(key, one) for key, one in sorted(slices.items(), key=_overall_first))
            for release, slices in asked.items()
        },
        label_delay_ms=delays,
    )


def watched_views(objective: Objective) -> tuple[CohortKey, ...]:
    """Return the breakdowns by the dimensions whose values are watched; incidents are judged as a whole."""
    if not objective.is_guarded:
        return ()
    return tuple(by_every(objective.where, (dimension,)) for dimension in objective.watched_dimensions)


def folded_views(objective: Objective, strata: tuple[str, ...]) -> tuple[CohortKey, ...]:
    """Return every slice an objective reads, as it is folded: its overall view stratified, then its cohorts."""
    whole, *cohorts = objective.views()
    return (by_every(whole, strata), *cohorts, *watched_views(objective))


def _ask(asked: _Asked, objective: Objective, *, is_shown: bool) -> None:
    distribution, outcome = _distribution(objective), _outcome(objective)
    asked.sketches.update((distribution,) if distribution else ())
    asked.outcomes.update((outcome,) if outcome else ())
    asked.rules.update((_rule(objective),) if is_shown else ())


def _view(key: CohortKey, asked: _Asked) -> View:
    return View(
        key,
        tuple(sorted(asked.sketches)),
        tuple(sorted(asked.rules, key=_rule_order)),
        tuple(sorted(asked.outcomes)),
        within=CohortKey(tuple(pair for pair in key if pair[1] != EVERY)),
        by=tuple(dimension for dimension, value in key if value == EVERY),
        is_watched=asked.is_watched,
    )


def _overall_first(item: tuple[CohortKey, _Asked]) -> tuple[int, bool, CohortKey]:
    key, asked = item
    return sum(value != EVERY for _, value in key), asked.is_watched, key


def _rule_order(rule: ExemplarRule) -> tuple[str, bool]:
    return rule.indicator, rule.harmful
