"""The request to roll back: what goes back, and the event that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.core.budget import Budget, FlagTarget, Mode, RollbackBy, Scope
from monitor.core.cohort import OVERALL, CohortKey, narrowed
from monitor.core.decision import Action, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.record import Arming, Finding, finding_data
from monitor.engine.breaker import page_instead
from monitor.engine.ladder import is_said, observe

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator


def ask(
    evaluator: Evaluator,
    finding: Finding,
    reason: Reason,
    at_ms: int,
    text: str,
    *,
    whole: bool = False,
    episode_ms: int | None = None,
) -> list[Decision]:
    """Ask for the rollback, once, and resolve what is open about it; without an order, as far as the breaker allows.

    A budget that only observes asks for nothing: what it would ask for is said, and the breaker is no part of it.

    A cohort of `scope: cohort` goes back alone, and the rest of the release stays watched; all else locks it.

    Args:
        whole: The release goes back, whatever the objective's scope.
        episode_ms: Start of what it is about, for the page that comes instead.
    """
    cohort = OVERALL if whole else taken_back(finding)
    if evaluator.is_over or evaluator.is_requested(cohort) or is_said(evaluator, cohort):
        return []
    release, arming = evaluator.budget.release, evaluator.arming
    requested = rollback_requested(evaluator.budget, arming, finding, cohort, reason, at_ms, text)
    if evaluator.budget.mode is Mode.OBSERVE:
        return observe(evaluator, requested, cohort)
    if reason is not Reason.COMMANDER:
        event_id = requested.decision_id
        paged = page_instead(evaluator, finding, event_id, reason, at_ms, text, episode_ms)
        if paged is not None:
            return paged
    evaluator.lock(at_ms, cohort)
    evaluator.proofs.requested(requested)
    if cohort:
        words = f"{', '.join(f'{name}={value}' for name, value in cohort)} of {release} is rolled back"
        return [requested, *evaluator.commander.resolve_slice(cohort, at_ms, Reason.ROLLED_BACK, words)]
    return [requested, *evaluator.commander.close(at_ms, Reason.ROLLED_BACK, f"{release} is rolled back")]


def request_id(release: str, arming: Arming, cohort: CohortKey) -> str:
    """Return the id of the request; for a cohort there is one per cohort and arming, else one per arming."""
    return decision_id(Type.ROLLBACK_REQUESTED.value, release, arming.number, cohort=dict(cohort))


def taken_back(finding: Finding) -> CohortKey:
    """Return the critical cohort that alone goes back for this finding; `OVERALL` is the whole release.

    The cohort is named without the objective's own `where`: that says which requests show the harm, not which
    users are spared it.
    """
    objective = finding.objective
    if objective.scope is not Scope.COHORT:
        return OVERALL
    cohorts = (one for one in objective.critical_cohorts if narrowed(objective.where, one) == finding.view)
    return next(cohorts, OVERALL)


def rollback_requested(
    budget: Budget, arming: Arming, finding: Finding, cohort: CohortKey, reason: Reason, at_ms: int, text: str
) -> Decision:
    """Return the event that asks for it."""
    flag = budget.flag
    data = finding_data(
        budget,
        arming,
        finding,
        action=Action.ROLLBACK,
        reason=reason,
        at_ms=at_ms,
        summary=f"roll back{_for(cohort)}: {text}",
    )
    scope = {"scope": "cohort", "cohort": dict(cohort)} if cohort else {"scope": "release"}
    switch = {
        "flag": None if flag is None else switch_of(flag),
        "baseline_variation": None if flag is None else flag.baseline_variation,
        "candidate_variation": None if flag is None else flag.candidate_variation,
    }
    event_id = request_id(budget.release, arming, cohort)
    return Decision(Type.ROLLBACK_REQUESTED, event_id, budget.release, at_ms, {**data, **scope, **switch})


def switch_of(flag: FlagTarget) -> dict[str, object]:
    """Return the flag as the event names it; `rollback_by` only where it is not the usual one."""
    named: dict[str, object] = {"actuator": flag.actuator, "key": flag.key, "scope": flag.scope}
    usual = flag.rollback_by is RollbackBy.SERVE_VARIATION
    return named if usual else {**named, "rollback_by": flag.rollback_by.value}


def _for(cohort: CohortKey) -> str:
    return " for " + ", ".join(f"{name}={value}" for name, value in cohort) if cohort else ""
