"""Two silences: the commander who does not answer a page, and the candidate of whom no traffic comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.core.budget import Mode, Objective, OnNoData
from monitor.core.cohort import CohortKey
from monitor.core.decision import Decision, Reason
from monitor.core.page import Page
from monitor.core.record import Finding
from monitor.core.watch import Watch
from monitor.core.window import tick_ms
from monitor.core.wording import finding_words

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

NO_DATA_HOLDS = 2  # no candidate traffic for this many durations is said
NO_DATA_AT_ONCE_MIN = 5  # what a hold of 0 counts as here


def commander_silent(evaluator: Evaluator, now: int) -> list[Decision]:
    """Let the pages run out whose deadline has come, and do what the budget says of silence.

    A page waits while its objective is unknown, and while an override holds its rollback back: that is an answer.
    """
    at_ms, commander = tick_ms(now), evaluator.commander
    decisions, silences = commander.expire_due(at_ms, lambda page: _waits(evaluator, page, now))
    for silence in silences:
        finding = _finding(evaluator, silence.page, now)
        if finding is None or not silence.rolls_back:
            continue
        decisions += evaluator.request(finding, Reason.COMMANDER_SILENT, at_ms, finding_words(finding))
    return decisions


def _finding(evaluator: Evaluator, page: Page, now: int) -> Finding | None:
    if page.objective_id is None:
        return None
    return evaluator.finding(page.objective_id, page.cohort, now)


def _waits(evaluator: Evaluator, page: Page, now: int) -> bool:
    watch = evaluator.watches.get((page.objective_id or "", page.cohort))
    if watch is not None and (watch.is_unknown or evaluator.conditions.is_in_doubt(watch)):
        return True
    finding = _finding(evaluator, page, now)
    if finding is None:
        return False
    return evaluator.commander.held_by(finding.objective, finding.seen.delta) is not None


def no_traffic(evaluator: Evaluator, now: int) -> list[Decision]:
    """Say it when everything was read and no candidate traffic came for twice an objective's duration."""
    decisions: list[Decision] = []
    for watch in evaluator.watches.values():
        if watch.empty_minutes == 0:
            decisions += _traffic_is_back(evaluator, watch, tick_ms(now))
        elif evaluator.is_watching(watch.view) and watch.empty_minutes >= no_data_after_min(watch.objective):
            decisions += _act(evaluator, watch, now)
    return decisions


def no_data_after_min(objective: Objective) -> int:
    """Return for how many minutes nothing may come before it is said."""
    return NO_DATA_HOLDS * (objective.hold_min or NO_DATA_AT_ONCE_MIN)


def _act(evaluator: Evaluator, watch: Watch, now: int) -> list[Decision]:
    objective, at_ms = watch.objective, tick_ms(now)
    finding = watch.finding(now, evaluator.budget.exemplars, None)
    text = f"no candidate traffic for {watch.empty_minutes} min: {objective.objective_id} cannot be judged"
    asks_only = evaluator.budget.mode is Mode.PAGE and objective.on_no_data is OnNoData.ROLLBACK
    if objective.on_no_data is OnNoData.ROLLBACK and not asks_only:
        if evaluator.commander.held_by(objective, None) is not None:
            return []
        return evaluator.request(finding, Reason.NO_DATA, at_ms, text)
    is_first = watch.empty_minutes == no_data_after_min(objective)
    pages = asks_only or objective.on_no_data is OnNoData.PAGE
    if pages and is_first and not _is_said(evaluator, watch.view):
        return evaluator.commander.open_page(finding, Reason.NO_DATA, at_ms, at_ms, text)
    return []


def _is_said(evaluator: Evaluator, view: CohortKey) -> bool:
    """Tell whether an open page says so of this slice, or of one that holds it."""
    return any(
        page.is_open and page.reason is Reason.NO_DATA and set(page.cohort) <= set(view)
        for page in evaluator.commander.pages.values()
    )


def _traffic_is_back(evaluator: Evaluator, watch: Watch, at_ms: int) -> list[Decision]:
    if evaluator.conditions.lacks_labels(watch) or evaluator.lacking.lack(watch) is not None:
        return []  # traffic there is, and nothing to compare: the page stands
    return evaluator.commander.resolve(
        watch.objective.objective_id,
        watch.view,
        at_ms,
        Reason.RECOVERED,
        "candidate traffic is back",
        about=Reason.NO_DATA,
    )
