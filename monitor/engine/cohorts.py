"""Watched cohorts: every value of a dimension is judged by itself from the minute it appears, and may only page.

Hundreds of them are asked at once, so some look bad by chance. What one alone would call a breach is only a
candidate for the page list (`core.stats.page_list`), which keeps the share of false pages at 5 %. A breach is
announced with its page, and a cohort that goes quiet is no news: tenants come and go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from monitor.core.budget import EvidenceMode, Objective
from monitor.core.cohort import OTHER, CohortKey, by_every, cohort_key, narrowed
from monitor.core.decision import Decision, Reason, Type
from monitor.core.discovery import Discovery
from monitor.core.record import Finding
from monitor.core.rules import looks_of, release_p_value, watched_rule
from monitor.core.stats.page_list import page_list
from monitor.core.sustained import Judgement
from monitor.core.watch import Change, Watch
from monitor.core.window import minute_of, tick_ms
from monitor.core.wording import slice_words
from monitor.engine.breach import breach_event
from monitor.engine.finding import finding_of
from monitor.engine.reading import EMPTY, Reading, delay_of, feed

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

OPEN_PAGES_MAX: Final = 20
"""Open pages about the watched cohorts of one objective: the worst come first, the others wait for room."""


@dataclass(slots=True)
class Cohort:
    """One value of a watched dimension, for one objective.

    Attributes:
        strongest: The strongest evidence (nats, over phi) of any tick so far.
        is_announced: Whether its breach was told of and has not cleared since.
    """

    watch: Watch
    strongest: float = 0.0
    is_announced: bool = False


class WatchedDimension:
    """One objective on every value of one dimension.

    Attributes:
        cohorts: By value, in the order of discovery.
    """

    def __init__(self, objective: Objective, dimension: str, window_min: int) -> None:
        self.objective = objective
        self.dimension = dimension
        self.discovery = Discovery()
        self.cohorts: dict[str, Cohort] = {}
        self._rule = watched_rule(objective, window_min)
        self._looks = looks_of(self._rule)
        critical = (dict(cohort).get(dimension) for cohort in objective.critical_cohorts)
        # Requests without the dimension are no cohort, and a critical cohort acts by its own rule.
        self._apart = frozenset({"", *(value for value in critical if value is not None)})

    @property
    def is_literal(self) -> bool:
        """Tell whether the letter of the limit decides, without any evidence to list it by."""
        return self.objective.evidence is EvidenceMode.OFF

    def append(self, reading: Reading, minute: int) -> None:
        """Take in one closed minute: values that appear are judged from it on."""
        with_labels = delay_of(self.objective) > 0
        breakdown = by_every(self.objective.where, (self.dimension,))
        mine, theirs = reading.values(minute, breakdown, with_labels=with_labels)
        served = (value for value, part in mine.items() if part.requests and value not in self._apart)
        for value in self.discovery.see(minute, served):
            view = narrowed(self.objective.where, cohort_key({self.dimension: value}))
            self.cohorts[value] = Cohort(Watch(self.objective, view, self._rule, minute))
        for value, cohort in self.cohorts.items():
            if value != OTHER:
                feed(cohort.watch, minute, (mine.get(value, EMPTY), theirs.get(value, EMPTY)))
        if OTHER in self.cohorts:
            known = self._apart.union(self.cohorts) - {OTHER}
            pair, strata = reading.rest(minute, breakdown, known, with_labels=with_labels)
            feed(self.cohorts[OTHER].watch, minute, pair, strata)

    def judge(self, evaluator: Evaluator, now: int) -> list[Judged]:
        """Judge every cohort that is still judged at a tick."""
        judged_to = now - delay_of(self.objective)
        judged = []
        for cohort in self.cohorts.values():
            watch = cohort.watch
            if not evaluator.is_watching(watch.view) or judged_to <= watch.first_minute:
                continue
            change = watch.judge(judged_to)
            cohort.strongest = max(cohort.strongest, change.judgement.strongest)
            judged.append(Judged(self, cohort, change, judged_to))
        return judged

    def p_value(self, cohort: Cohort) -> float:
        """Return how likely a cohort within its limit shows as much evidence in a whole release."""
        return release_p_value(cohort.strongest, self._looks)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one tick says of one cohort."""

    dimension: WatchedDimension
    cohort: Cohort
    change: Change
    judged_to: int


class Cohorts:
    """All watched cohorts of one arming.

    Attributes:
        has_strata_beyond: Whether the strata of a minute ever had more values than are told apart.
    """

    def __init__(self) -> None:
        self.has_strata_beyond = False
        self._watched: dict[tuple[str, str], WatchedDimension] = {}
        self._told: set[str] = set()

    def newly_capped(self) -> list[str]:
        """Return the dimensions (or `strata`) that reached their cap since this was asked last."""
        capped = {one.dimension for one in self.dimensions() if one.discovery.beyond}
        capped |= {"strata"} if self.has_strata_beyond else set()
        fresh = sorted(capped - self._told)
        self._told |= capped
        return fresh

    def dimensions(self) -> Iterator[WatchedDimension]:
        """Yield what is watched, objective by objective."""
        yield from self._watched.values()

    def all(self) -> Iterator[Cohort]:
        """Yield every cohort."""
        for dimension in self._watched.values():
            yield from dimension.cohorts.values()

    def watch(self, objective_id: str, view: CohortKey) -> Watch | None:
        """Return the watch of an objective on a cohort; None where it is not watched."""
        return next(
            (
                one.watch
                for one in self.all()
                if one.watch.view == view and one.watch.objective.objective_id == objective_id
            ),
            None,
        )

    def append(self, evaluator: Evaluator, now: int, reading: Reading) -> None:
        """Take in what is closed at a tick, for every objective that has begun."""
        self.has_strata_beyond |= reading.has_strata_beyond(now - 1)
        for objective in evaluator.budget.objectives:
            overall = evaluator.watches.get((objective.objective_id, objective.where))
            minute = now - 1 - delay_of(objective)
            if overall is None or minute < overall.first_minute:
                continue
            for dimension in objective.watched_dimensions:
                key = objective.objective_id, dimension
                if key not in self._watched:
                    window_min = evaluator.budget.window_min
                    self._watched[key] = WatchedDimension(objective, dimension, window_min)
                self._watched[key].append(reading, minute)

    def judge(self, evaluator: Evaluator, now: int) -> list[Decision]:
        """Judge all cohorts at a tick; what clears is told of, and what is on the page list pages."""
        judged = [one for dimension in self._watched.values() for one in dimension.judge(evaluator, now)]
        decisions = []
        for one in judged:
            if one.change.cleared and one.cohort.is_announced:
                decisions += _clear(evaluator, one, tick_ms(now))
        firing = [one for one in judged if one.cohort.watch.fires(one.change)]
        if firing:
            listed = self.listed()
            firing = [one for one in firing if one.dimension.is_literal or id(one.cohort) in listed]
            for one in sorted(firing, key=lambda one: one.dimension.p_value(one.cohort)):
                decisions += self._page(evaluator, one, tick_ms(now))
        return decisions

    def listed(self) -> frozenset[int]:
        """Return the cohorts (their `id`) on the page list: of all hypotheses known now, the evident ones."""
        known = [
            (dimension, cohort)
            for dimension in self._watched.values()
            if not dimension.is_literal
            for cohort in dimension.cohorts.values()
        ]
        places = page_list([dimension.p_value(cohort) for dimension, cohort in known])
        return frozenset(id(known[place][1]) for place in places)

    def _page(self, evaluator: Evaluator, judged: Judged, at_ms: int) -> list[Decision]:
        cohort, watch = judged.cohort, judged.cohort.watch
        objective = watch.objective
        if watch.acted:
            return []
        found = self.finding(evaluator, watch, judged.judged_to, judged.change.judgement)
        if evaluator.commander.held_by(objective, found.seen.delta) is not None:
            return []  # it is asked again when the answer that stands ends
        if self._open_pages(evaluator, objective) >= OPEN_PAGES_MAX:
            return []
        started = (
            [] if cohort.is_announced else [breach_event(evaluator, Type.BREACH_STARTED, watch, found, at_ms)]
        )
        cohort.is_announced = watch.acted = watch.fired = True
        reason = Reason.CUMULATIVE if watch.is_cumulative else Reason.BREACH
        episode_ms = watch.trigger.episode_ms
        return [*started, *evaluator.execute(found, reason, episode_ms, at_ms, rolls_back=False)]

    def _open_pages(self, evaluator: Evaluator, objective: Objective) -> int:
        named = objective.views()
        return sum(
            page.is_open and page.objective_id == objective.objective_id and page.cohort not in named
            for page in evaluator.commander.pages.values()
        )

    def finding(
        self, evaluator: Evaluator, watch: Watch, judged_to: int, judgement: Judgement | None
    ) -> Finding:
        """Return what a cohort shows, and which part of the candidate's requests it is."""
        found = finding_of(evaluator, watch, judged_to, judgement)
        overall = evaluator.watches.get((watch.objective.objective_id, watch.objective.where))
        start = minute_of(found.started_ms)
        if overall is None or not found.held_min:
            return found
        everybody = overall.series.counts(start, start + found.held_min).candidate
        return replace(found, cohort_share=found.seen.samples[1] / everybody if everybody else 0.0)

    def drop(self, evaluator: Evaluator, objective: Objective, at_ms: int) -> list[Decision]:
        """Forget an objective's cohorts and resolve their pages."""
        decisions: list[Decision] = []
        for dimension in objective.watched_dimensions:
            watched = self._watched.pop((objective.objective_id, dimension), None)
            for cohort in watched.cohorts.values() if watched is not None else ():
                decisions += evaluator.commander.resolve(
                    objective.objective_id,
                    cohort.watch.view,
                    at_ms,
                    Reason.BUDGET_CHANGED,
                    "the budget changed",
                )
        return decisions


def _clear(evaluator: Evaluator, judged: Judged, at_ms: int) -> list[Decision]:
    """Tell that a cohort's breach is over, and close what was asked about it."""
    judged.cohort.is_announced = False
    watch = judged.cohort.watch
    objective_id = watch.objective.objective_id
    found = evaluator.cohorts.finding(evaluator, watch, judged.judged_to, None)
    text = f"{objective_id} is back within its limit{slice_words(watch.view)}"
    return [
        breach_event(evaluator, Type.BREACH_CLEARED, watch, found, at_ms, judged.change.before.episode_ms),
        *evaluator.commander.resolve(
            objective_id, watch.view, at_ms, Reason.RECOVERED, text, about=Reason.BREACH
        ),
    ]
