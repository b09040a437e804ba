"""The request to roll back: what goes back, and the event that asks for it."""

from __future__ import annotations

from monitor.core.budget import Budget, FlagTarget, RollbackBy, Scope
from monitor.core.cohort import OVERALL, CohortKey, narrowed
from monitor.core.decision import Action, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.record import Arming, Finding, finding_data


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
    """Return the request; for a cohort there is one per cohort and arming, else one per arming."""
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
    event_id = decision_id(Type.ROLLBACK_REQUESTED.value, budget.release, arming.number, cohort=dict(cohort))
    return Decision(Type.ROLLBACK_REQUESTED, event_id, budget.release, at_ms, {**data, **scope, **switch})


def switch_of(flag: FlagTarget) -> dict[str, object]:
    """Return the flag as the event names it; `rollback_by` only where it is not the usual one."""
    named: dict[str, object] = {"actuator": flag.actuator, "key": flag.key, "scope": flag.scope}
    usual = flag.rollback_by is RollbackBy.SERVE_VARIATION
    return named if usual else {**named, "rollback_by": flag.rollback_by.value}


def _for(cohort: CohortKey) -> str:
    return " for " + ", ".join(f"{name}={value}" for name, value in cohort) if cohort else ""
