"""What the candidate's severe incidents lead to: at once as they are heard, and again at every tick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from monitor.core.budget import Objective
from monitor.core.cell import Incident
from monitor.core.decision import Decision, Reason
from monitor.core.safety import SafetyVerdict, SafetyWatch
from monitor.core.window import minute_of, tick_ms

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator


def watches_of(objective: Objective, since_ms: int = 0) -> list[SafetyWatch]:
    """Return the watches of an objective about incidents, the whole view first; none for all others."""
    return (
        [] if objective.is_guarded else [SafetyWatch(objective, view, since_ms) for view in objective.views()]
    )


def hear(evaluator: Evaluator, incident: Incident) -> list[Decision]:
    """Take in an incident before its minute is closed.

    It counts in the minute its fold gave it: one that came late is dated after the ticks that have passed.
    """
    if evaluator.is_over or incident.release != evaluator.budget.release:
        return []
    if incident.minute < minute_of(evaluator.arming.at_ms):
        return []
    # What does not act at once is judged over closed minutes: then no order of arrival changes it.
    immediate = [one for one in evaluator.safety if one.objective.immediate]
    for safety in immediate:
        safety.hear(incident)
    at_ms = max(incident.at_ms, tick_ms(evaluator.progress.tick or 0))
    return judge_incidents(evaluator, immediate, at_ms)


def judge_incidents(evaluator: Evaluator, watches: Iterable[SafetyWatch], at_ms: int) -> list[Decision]:
    """Do what the incidents known now ask for."""
    decisions: list[Decision] = []
    for safety in watches:
        if evaluator.is_over or evaluator.is_requested(safety.view):
            continue
        held = evaluator.commander.held_by(safety.objective, None) is not None
        verdict = safety.judge(evaluator.budget, at_ms, held=held)
        if verdict is not None:
            decisions += evaluator.execute(
                verdict.finding,
                _reason(safety.objective, verdict),
                verdict.episode_ms,
                verdict.at_ms,
                rolls_back=verdict.is_breach and evaluator.budget.is_automatic(safety.objective),
                text=verdict.text,
            )
    return decisions


def _reason(objective: Objective, verdict: SafetyVerdict) -> Reason:
    if objective.immediate:
        return Reason.IMMEDIATE
    return Reason.BREACH if verdict.is_breach else Reason.INSUFFICIENT_EVIDENCE
