"""A step on a budget's ladder while it is armed: what people were asked is asked again as it is meant from now on.

Down to `observe`, open pages are resolved, since nobody is paged any more. Up from it, what was only observed is asked
for real. Between `page` and `auto` a page with a deadline is told again, because its silence has another meaning. Up,
the rule runs on current evidence: a breach that stands is acted upon at the next tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.core.budget import Budget, Mode
from monitor.core.cohort import CohortKey
from monitor.core.decision import AFTER_ROLLBACK, Decision, Reason, Type
from monitor.core.ladder import as_observed
from monitor.core.page import Page

if TYPE_CHECKING:
    from monitor.engine.commander import Commander
    from monitor.engine.evaluate import Evaluator

_RUNGS = list(Mode)


def change_mode(evaluator: Evaluator, budget: Budget, at_ms: int) -> list[Decision]:
    """Let the commander go on under a changed budget, and say what its mode changes; nothing where it is the same."""
    commander, before = evaluator.commander, evaluator.commander.budget.mode
    if budget.mode is before:
        commander.rearm(budget)
        return []
    # A rollback that was carried out is real in every mode, and so is what people are told of it.
    asked = [one for one in commander.pages.items() if one[1].is_open and one[1].reason not in AFTER_ROLLBACK]
    decisions = []
    if budget.mode is Mode.OBSERVE:
        decisions = [_ended(commander, page, at_ms) for _, page in asked]
    commander.rearm(budget)
    meant = [key for key, one in asked if Mode.OBSERVE in (before, budget.mode) or one.clock_ms is not None]
    for number, key in enumerate(sorted(meant, key=lambda key: commander.pages[key].event_id)):
        # Milliseconds apart: pages of one objective and slice tell their events apart by their time.
        decisions.append(commander.ask_again(key, at_ms + number))
    if _RUNGS.index(budget.mode) > _RUNGS.index(before):
        _act_anew(evaluator, is_first_time=before is Mode.OBSERVE)
    return decisions


def _ended(commander: Commander, page: Page, at_ms: int) -> Decision:
    text = "the budget's mode is observe now: nobody is paged any more"
    at_ms = max(at_ms, page.opened_ms)
    return commander.page_event(Type.PAGE_RESOLVED, page, at_ms, Reason.BUDGET_CHANGED, text, of="mode")


def _act_anew(evaluator: Evaluator, *, is_first_time: bool) -> None:
    """Let the rule act again on what it has acted upon; a page that is open is not opened twice."""
    for watch in (*evaluator.watches.values(), *(one.watch for one in evaluator.cohorts.all())):
        watch.acted = False
        watch.spent_paged &= not is_first_time
    for safety in evaluator.safety:
        safety.acted = False
        safety.paged &= not is_first_time


def is_said(evaluator: Evaluator, cohort: CohortKey) -> bool:
    """Tell whether a budget that only observes has said that this, or what holds it, would be rolled back."""
    said = evaluator.progress.observed
    return evaluator.budget.mode is Mode.OBSERVE and any(set(one) <= set(cohort) for one in said)


def observe(evaluator: Evaluator, requested: Decision, cohort: CohortKey) -> list[Decision]:
    """Say what would be rolled back; it goes on being served, so it goes on being watched."""
    evaluator.progress.observed[cohort] = requested.at_ms
    return [as_observed(requested)]
