"""Recovery: what a ledger entry means to an evaluator that is run again.

Entries that ticks produced come out again by themselves; the ones that people and incidents caused do not,
so they are put back here. Recalling an entry twice, or one that is already known, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from monitor.core.budget import Budget, Scope
from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ladder import as_if
from monitor.core.override import Override
from monitor.core.page import Page
from monitor.core.safety import SafetyWatch
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.history import adopt, reference_of
from monitor.engine.ports import LedgerEntry

DecodeBudget = Callable[[Mapping[str, object]], Budget]


def recall(evaluator: Evaluator, entry: LedgerEntry, decode_budget: DecodeBudget) -> None:
    """Let the evaluator take note of what an entry says happened."""
    decision, data = entry.decision, entry.decision.data
    commander = evaluator.commander
    match decision.type:
        case Type.PAGE_DELIVERED:
            commander.delivered(str(data["event_id"]), decision.at_ms)
        case Type.PAGE_ACKNOWLEDGED:
            commander.acknowledge(str(data["page_id"]), decision.at_ms)
        case Type.PAGE_EXTENDED:
            total_min = data["extended_total_min"]
            commander.extend(str(data["page_id"]), total_min * 60_000 if isinstance(total_min, int) else 0)
        case Type.PAGE_OPENED | Type.PAGE_RESOLVED:
            _recall_page_event(evaluator, decision)
        case Type.OVERRIDE_CREATED:
            _recall_override(evaluator, entry)
        case Type.ROLLBACK_REQUESTED:
            evaluator.lock(decision.at_ms, _taken_back(data))
            evaluator.proofs.requested(decision)
        case Type.DECISION_OBSERVED:
            _recall_observed(evaluator, as_if(decision))
        case Type.ROLLBACK_APPLIED:
            evaluator.proofs.applied(str(data["request_id"]), decision.at_ms)
        case Type.ARMING_ENDED:
            evaluator.progress.stage = Stage.ENDED
            evaluator.proofs.stop()
        case Type.BUDGET_CHANGED:
            spec = data["spec"]
            if isinstance(spec, Mapping):
                evaluator.change_budget(decode_budget(spec), decision.at_ms)
                adopt(evaluator, reference_of(data.get("reference")))
        case _:
            pass


def _taken_back(data: Mapping[str, object]) -> CohortKey:
    is_cohort = data.get("scope") == Scope.COHORT.value
    return cohort_key(_strings(data["cohort"])) if is_cohort else OVERALL


def _recall_observed(evaluator: Evaluator, decision: Decision) -> None:
    """Put back what was only said: a page that would be open, a rollback that would have been asked for."""
    if decision.type is Type.ROLLBACK_REQUESTED:
        evaluator.progress.observed.setdefault(_taken_back(decision.data), decision.at_ms)
    else:
        _recall_page_event(evaluator, decision)


def _recall_page_event(evaluator: Evaluator, decision: Decision) -> None:
    if decision.type is Type.PAGE_OPENED:
        _recall_page(evaluator, decision)
    elif decision.type is Type.PAGE_RESOLVED:
        _recall_resolved(evaluator, decision)


def _recall_page(evaluator: Evaluator, decision: Decision) -> None:
    """Put back a page that no tick opens again: one that an incident opened between ticks."""
    data = decision.data
    reason, objective_id = data.get("reason"), str(data["objective"])
    view = cohort_key(_strings(data["cohort"]))
    about = Reason.IMMEDIATE
    if reason == Reason.ROLLBACK_STORM.value:
        # A breach was acted upon by asking a person: it must not act again, whatever the breaker says by then.
        acted = _acted(evaluator, objective_id, view)
        if not acted:
            return
        about = Reason.IMMEDIATE if any(one.objective.immediate for one in acted) else Reason.BREACH
    elif reason != Reason.IMMEDIATE.value:
        return
    key = (objective_id, view, about)
    known = evaluator.commander.pages.get(key)
    if known is not None and (reason == Reason.IMMEDIATE.value or known.reason is Reason.ROLLBACK_STORM):
        return
    evaluator.commander.pages[key] = Page(
        page_id=str(data["page_id"]),
        event_id=decision.decision_id,
        objective_id=objective_id,
        cohort=view,
        reason=Reason(reason),
        episode_ms=0,  # an incident's episode is the arming's whole count: no order of arrival changes it
        opened_ms=decision.at_ms,
        said=data,
    )


def _acted(evaluator: Evaluator, objective_id: str, view: CohortKey) -> list[SafetyWatch]:
    """Note that an objective about incidents was acted upon; nobody watches one that ticks alone judge."""
    found = [
        one for one in evaluator.safety if (one.objective.objective_id, one.view) == (objective_id, view)
    ]
    for safety in found:
        safety.acted = safety.fired = True
    return found


def _recall_resolved(evaluator: Evaluator, decision: Decision) -> None:
    """Put back the end of a page; what a changed budget ended, it ends again, and may have asked anew."""
    pages, data, at_ms = evaluator.commander.pages, decision.data, decision.at_ms
    if data.get("reason") == Reason.BUDGET_CHANGED.value:
        return
    answer = str(data.get("summary")) if data.get("reason") == Reason.COMMANDER.value else None
    for key, page in pages.items():
        if page.page_id == str(data["page_id"]) and page.is_open and page.opened_ms <= at_ms:
            pages[key] = page.resolved(at_ms, answer)


def _recall_override(evaluator: Evaluator, entry: LedgerEntry) -> None:
    data = entry.decision.data
    override_id = str(data["override_id"])
    overrides = evaluator.commander.overrides
    if any(one.override_id == override_id for one in overrides):
        return
    limit, objective, until = data.get("limit"), data.get("objective"), data.get("until")
    overrides.append(
        Override(
            override_id=override_id,
            objective_id=objective if isinstance(objective, str) else None,
            from_ms=entry.decision.at_ms,
            until_ms=_epoch_ms(until) if isinstance(until, str) else None,
            limit=float(limit) if isinstance(limit, int | float) else None,
            author=str(data["author"]),
            reason=str(data["note"]),
        )
    )


def _strings(value: object) -> dict[str, str]:
    return {str(name): str(one) for name, one in value.items()} if isinstance(value, Mapping) else {}


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
