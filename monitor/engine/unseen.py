"""That the monitor cannot see is a page of its own: open until it sees again, and not answered by any rule.

Like every page it walks the escalation paths of the budgets that it concerns until somebody has seen it. It stands in
the ledger under the monitor's own name; what a person or a path adds to it stands under a release that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from monitor.core.budget import Budget, EscalationStep, Mode
from monitor.core.decision import EVERY_RELEASE, Decision, Reason, Type
from monitor.core.moment import rfc3339
from monitor.core.record import Arming, release_data
from monitor.engine.act_events import follow_up_id
from monitor.engine.book import Command, LedgerBook, arming_number
from monitor.engine.escalation import due_ms, goes_to, step_data

NAMED_MAX: Final = 20  # releases in a sentence; the page itself has all


def open_blindness(book: LedgerBook, subject: str) -> Decision | None:
    """Return the blindness on record that nobody has said to be over.

    Args:
        subject: A release, or `EVERY_RELEASE`.
    """
    entries = [one.decision for one in book.of(subject)]
    over = {one.data.get("page_id") for one in entries if one.type is Type.MONITOR_RECOVERED}
    blind = (one for one in entries if one.type is Type.MONITOR_BLIND and one.decision_id not in over)
    return max(blind, key=lambda one: one.at_ms, default=None)


def releases_of(blind: Decision) -> list[str]:
    """Return whom a blindness concerns."""
    releases = blind.data.get("releases")
    return [str(one) for one in releases] if isinstance(releases, list) else []


def is_acknowledged(book: LedgerBook, blind: Decision) -> bool:
    """Tell whether somebody has seen the page, whichever of its releases they named."""
    return any(
        entry.decision.type is Type.PAGE_ACKNOWLEDGED
        and entry.decision.data.get("page_id") == blind.decision_id
        for release in releases_of(blind)
        for entry in book.of(release)
    )


def told_ms(book: LedgerBook, blind: Decision) -> int | None:
    """Return when the first pager had the page; None where none has it."""
    moments = (
        entry.decision.at_ms
        for entry in book.of(blind.release)
        if entry.decision.type is Type.PAGE_DELIVERED
        and entry.decision.data.get("event_id") == blind.decision_id
    )
    return min(moments, default=None)


def calls_due(
    book: LedgerBook, blind: Decision, budgets: Mapping[str, Budget], begins_ms: int, now_ms: int
) -> list[Decision]:
    """Return the steps of the budgets' paths whose time is over and that were not taken yet.

    A step that many budgets have is taken once, or a team of a hundred releases would be called a hundred times.

    Args:
        budgets: Those in force, by release.
        begins_ms: From when the paths are walked.
    """
    waiting: dict[str, list[tuple[Budget, int, EscalationStep]]] = {}
    for budget, number, step in _steps(blind, budgets):
        if due_ms(step, begins_ms) <= now_ms:
            event_id = _call_id(blind, step)
            if (known := book.get(event_id)) is None or not known.is_published:
                waiting.setdefault(event_id, []).append((budget, number, step))
    if not waiting or is_acknowledged(book, blind):
        return []
    armed = set(book.armed())
    calls = [
        _call(book, blind, event_id, [one for one in told if one[0].release in armed], begins_ms)
        for event_id, told in waiting.items()
    ]
    return [call for call in calls if call is not None]


def meant_blindness(book: LedgerBook, command: Command) -> Decision | None:
    """Return the page that the monitor cannot see, where an order about one of its releases can mean it."""
    found = (open_blindness(book, subject) for subject in (EVERY_RELEASE, command.release))
    return next(
        (
            blind
            for blind in found
            if blind is not None
            and command.release in releases_of(blind)
            and command.page_id in (None, blind.decision_id)
            and command.objective is None
        ),
        None,
    )


def acknowledged_blindness(blind: Decision, identity: Mapping[str, object], command: Command) -> Decision:
    """Return the event that a person has seen that the monitor cannot see.

    Args:
        identity: What every event of the release says.
    """
    text = f"{command.author} has seen it; the monitor is still blind, so nothing is decided"
    event_id = follow_up_id(Type.PAGE_ACKNOWLEDGED, f"{blind.decision_id}/{command.release}")
    data = {**identity, **_about(blind, Reason.COMMANDER, command.at_ms, text), "author": command.author}
    return Decision(Type.PAGE_ACKNOWLEDGED, event_id, command.release, command.at_ms, data)


def _steps(blind: Decision, budgets: Mapping[str, Budget]) -> Iterator[tuple[Budget, int, EscalationStep]]:
    for release in sorted(releases_of(blind)):
        budget = budgets.get(release)
        if budget is not None and budget.mode is not Mode.OBSERVE:  # an observing budget asks nobody
            for number, step in enumerate(budget.escalation, 1):
                yield budget, number, step


def _call_id(blind: Decision, step: EscalationStep) -> str:
    """Return one id for a step, whichever budget it stands in: any worker gives it the same."""
    return follow_up_id(
        Type.PAGE_ESCALATED,
        f"{blind.decision_id}/{step.after_min}/{','.join(step.pagers)}/{step.on_call or ''}",
    )


def _call(
    book: LedgerBook,
    blind: Decision,
    event_id: str,
    told: list[tuple[Budget, int, EscalationStep]],
    begins_ms: int,
) -> Decision | None:
    """Return one step's event, under the first release that has it; None where none of them is armed any more."""
    if not told:
        return None
    budget, number, step = told[0]
    arming = book.arming(budget.release)
    at_ms = due_ms(step, begins_ms)
    named = [one.release for one, _, _ in told]
    rest = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    text = (
        f"nobody has seen for {step.after_min} min that the monitor cannot see {', '.join(named[:NAMED_MAX])}{rest}: "
        f"{goes_to(step, number, len(budget.escalation))}"
    )
    which = Arming(budget.release, 0 if arming is None else arming_number(arming), budget.digest, 0)
    data = {
        **release_data(budget, which),
        **_about(blind, Reason.NOT_ACKNOWLEDGED, at_ms, text),
        **step_data(step, number),
    }
    return Decision(Type.PAGE_ESCALATED, event_id, budget.release, at_ms, data)


def _about(blind: Decision, reason: Reason, at_ms: int, text: str) -> dict[str, object]:
    """Return what every later event of the page says."""
    return {
        "page_id": blind.decision_id,
        "objective": None,
        "cohort": {},
        "reason": reason.value,
        "decided_at": rfc3339(at_ms),
        "deadline": None,
        "summary": text,
    }
