"""A rollback that is not applied is a page of its own: open from its record until the flag has turned.

No objective has opened it and no evaluator holds it, so it outlives the watch of its release; it stands in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from monitor.core.budget import EscalationStep
from monitor.core.decision import Decision, Reason, Type
from monitor.core.moment import rfc3339
from monitor.engine.act_events import follow_up_id, identity
from monitor.engine.book import Command, LedgerBook, arming_number
from monitor.engine.escalation import step_data


class Unapplied(NamedTuple):
    """A rollback whose flag is not turned.

    Attributes:
        failed: The record that says so; its id is the page's.
        seen: The newest acknowledgement of the page.
    """

    request: Decision
    failed: Decision
    seen: Decision | None

    @property
    def page_id(self) -> str:
        """The page's id."""
        return self.failed.decision_id


def unapplied(decisions: Iterable[Decision]) -> list[Unapplied]:
    """Return the rollbacks of one arming that are not applied, in any order of its decisions."""
    known = {one.decision_id: one for one in decisions}
    seen: dict[object, Decision] = {}
    for one in sorted(known.values(), key=lambda decision: decision.at_ms):
        if one.type is Type.PAGE_ACKNOWLEDGED:
            seen[one.data.get("page_id")] = one
    return [
        Unapplied(request, one, seen.get(one.decision_id))
        for one in known.values()
        if one.type is Type.ROLLBACK_FAILED
        and (request := known.get(str(one.data.get("request_id")))) is not None
        and follow_up_id(Type.ROLLBACK_APPLIED, request.decision_id) not in known
    ]


def unapplied_now(book: LedgerBook, release: str) -> list[Unapplied]:
    """Return the rollbacks not applied of a release's newest arming."""
    last = book.arming(release)
    if last is None:
        return []
    number = arming_number(last)
    return unapplied(one.decision for one in book.of(release) if arming_number(one) == number)


def meant(book: LedgerBook, command: Command) -> list[Unapplied]:
    """Return the rollbacks not applied, of the release's newest arming, that a command can mean."""
    return [
        one
        for one in unapplied_now(book, command.release)
        if command.page_id in (None, one.page_id)
        and command.objective in (None, one.failed.data.get("objective"))
    ]


def acknowledged(one: Unapplied, command: Command) -> Decision:
    """Return the event that a person has seen that a rollback is not applied."""
    text = f"{command.author} has seen it; users may still get {command.release} until the flag is turned"
    event_id = follow_up_id(Type.PAGE_ACKNOWLEDGED, one.page_id)
    data = {**_about(one, Reason.COMMANDER, command.at_ms, text), "author": command.author}
    return Decision(Type.PAGE_ACKNOWLEDGED, event_id, command.release, command.at_ms, data)


def escalated(one: Unapplied, number: int, step: EscalationStep, due_ms: int, text: str) -> Decision:
    """Return the event that nobody has seen that a rollback is not applied: it goes to the next of the budget's path.

    Args:
        number: The step's, from 1; it makes the id.
    """
    event_id = follow_up_id(Type.PAGE_ESCALATED, f"{one.page_id}/{number}")
    data = {
        **_about(one, Reason.NOT_ACKNOWLEDGED, due_ms, text),
        **step_data(step, number),
    }
    return Decision(Type.PAGE_ESCALATED, event_id, one.failed.release, due_ms, data)


def _about(one: Unapplied, reason: Reason, at_ms: int, text: str) -> dict[str, object]:
    """Return what every later event of the page says."""
    data = one.failed.data
    return {
        **identity(data),
        "page_id": one.page_id,
        "objective": data.get("objective"),
        "cohort": data.get("cohort", {}),
        "reason": reason.value,
        "decided_at": rfc3339(at_ms),
        "deadline": None,
        "summary": text,
        "request_id": one.request.decision_id,
    }
