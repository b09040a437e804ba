"""What a commander's command does to an armed release. Every command gets an answer, a refusal at least."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from monitor.core.budget import Mode
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import AFTER_ROLLBACK, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.override import Override
from monitor.core.page import Page
from monitor.core.record import Finding, Observed, release_data
from monitor.core.trigger import Phase
from monitor.core.window import tick_ms
from monitor.engine.assess import Asked, assessment
from monitor.engine.book import Command, LedgerBook
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.unapplied import acknowledged, meant
from monitor.engine.unseen import acknowledged_blindness, meant_blindness

_WHICH: Final = "no single open page is meant; name its page id or objective"
_ENDED: Final = "the release is no longer watched: arm it first"
_UNSEEN: Final = "no minute of it is closed yet: there is nothing to assess"
_OBSERVES: Final = "the budget's mode is observe: {}; set `mode: page` or `mode: auto` in the budget first"


def answer(evaluator: Evaluator, command: Command, book: LedgerBook | None = None) -> list[Decision]:
    """Apply a command to the release it names and return what follows from it, with who ordered it.

    Args:
        book: The ledger, where there is one: a rollback that is not applied is a page that no evaluator holds.
    """
    return [ordered(one, command) for one in _answer(evaluator, command, book or LedgerBook())]


def ordered(decision: Decision, command: Command) -> Decision:
    """Return a decision with who ordered it."""
    by = {"command_id": command.command_id, "author": command.author, "signed": command.signed}
    return replace(decision, data={**decision.data, "ordered_by": by})


def _answer(evaluator: Evaluator, command: Command, book: LedgerBook) -> list[Decision]:
    if command.fault is not None:
        code, why = command.fault
        return [refusal(evaluator, command, why, refused=code)]
    if command.kind == "acknowledge":
        # Of a locked release too, and of one whose window is over: a rollback that is not proven is a page then.
        return [_acknowledge(evaluator, command, book)]
    if evaluator.progress.stage is Stage.ENDED:
        return [refusal(evaluator, command, _ENDED)]
    if command.kind == "assess":
        return [_assess(evaluator, command)]
    if evaluator.progress.stage is Stage.LOCKED and command.kind != "disarm":
        return [refusal(evaluator, command, _locked(evaluator), stands=_request_id(evaluator))]
    if command.kind == "decide":
        return _decide(evaluator, command)
    if command.kind == "override":
        return _override(evaluator, command, command.objective)
    if command.kind == "extend":
        return [_extend(evaluator, command)]
    if command.kind == "disarm":
        return evaluator.disarm(command.at_ms, command.author, command.reason)
    return [refusal(evaluator, command, "the release is armed already")]


def _assess(evaluator: Evaluator, command: Command) -> Decision:
    """Say what the objectives have come to so far; nothing changes by being looked at."""
    progress = evaluator.progress
    if progress.tick is None:
        return refusal(evaluator, command, _UNSEEN)
    asked = Asked(command.stage or "", command.command_id)
    return assessment(evaluator, progress.tick, progress.late_count, complete=False, asked=asked)


def refusal(evaluator: Evaluator, command: Command, why: str, **more: str) -> Decision:
    """Return the answer to a command that cannot be carried out.

    Args:
        more: What its event says besides: `stands`, the id of the decision that was first; `refused`, a code.
    """
    data = {
        **release_data(evaluator.budget, evaluator.arming),
        "command_id": command.command_id,
        "command": command.kind,
        "author": command.author,
        "decided_at": rfc3339(command.at_ms),
        "summary": f"{command.kind} by {command.author} is refused: {why}",
        **more,
    }
    event_id = decision_id(
        Type.COMMAND_REFUSED.value, command.release, evaluator.arming.number, command.command_id, {}, None
    )
    return Decision(Type.COMMAND_REFUSED, event_id, command.release, command.at_ms, data)


def _request_id(evaluator: Evaluator) -> str:
    arming = evaluator.arming
    return decision_id(Type.ROLLBACK_REQUESTED.value, arming.release, arming.number)


def _locked(evaluator: Evaluator) -> str:
    """Say which decision was first; it stands."""
    at_ms = evaluator.progress.requested.get(OVERALL)
    when = "" if at_ms is None else f" at {rfc3339(at_ms)}"
    case = evaluator.proofs.cases.get(OVERALL)
    why = "" if case is None else f" ({case.data.get('summary')})"
    return f"a rollback was already requested{when}{why}; the release is locked"


def _decide(evaluator: Evaluator, command: Command) -> list[Decision]:
    closed = evaluator.commander.answer_to(command.page_id)
    if closed is not None and closed.resolved_ms is not None:
        # The first valid decision wins: who copied the other command from the same page is told.
        why = f"this page was answered at {rfc3339(closed.resolved_ms)} ({closed.answer})"
        remedy = "; to roll back all the same, leave the page out" if command.decision == "rollback" else ""
        return [refusal(evaluator, command, why + remedy, stands=_end_id(evaluator, closed))]
    page = evaluator.commander.find(command.page_id, command.objective)
    if command.decision == "rollback":
        return _roll_back(evaluator, command, page)
    if page is None:
        return [refusal(evaluator, command, _WHICH)]
    text = f"{command.author} decided to continue: {command.reason}"
    is_breached = page.objective_id is not None and evaluator.is_breached(page.objective_id)
    if command.until_ms is None and not is_breached:
        # An override until it clears would be over already; it must not hold the next breach back.
        return evaluator.commander.settle(page.page_id, command.at_ms, text)
    answered = _override(evaluator, command, page.objective_id)
    if answered[0].type is Type.COMMAND_REFUSED:
        return answered
    return [*answered, *evaluator.commander.settle(page.page_id, command.at_ms, text)]


def _roll_back(evaluator: Evaluator, command: Command, page: Page | None) -> list[Decision]:
    """Carry out the order to roll back: only one that names a cohort's page means that cohort alone."""
    if evaluator.budget.mode is Mode.OBSERVE:
        return [refusal(evaluator, command, _OBSERVES.format("no flag is turned"))]
    finding = _finding(evaluator, page, command)
    text = f"ordered by {command.author}: {command.reason}"
    is_named = command.page_id is not None or command.objective is not None
    whole = page is None or not is_named
    requested = evaluator.request(finding, Reason.COMMANDER, command.at_ms, text, whole=whole)
    return requested or [refusal(evaluator, command, "its rollback was already requested")]


def _is_observed(evaluator: Evaluator, page: Page) -> bool:
    """Tell whether a page was never asked; what a real rollback led to always is."""
    return evaluator.budget.mode is Mode.OBSERVE and page.reason not in AFTER_ROLLBACK


def _finding(evaluator: Evaluator, page: Page | None, command: Command) -> Finding:
    """Return what the order is about: its page, its objective, else whatever is worst now."""
    tick = evaluator.progress.tick or 0
    objectives = {one.objective_id: one for one in evaluator.budget.objectives}
    if page is not None and page.objective_id in objectives:
        objective, view = objectives[page.objective_id], page.cohort
    elif command.objective in objectives:
        objective = objectives[command.objective]
        view = objective.where
    else:
        firing = [one for one in evaluator.watches.values() if one.trigger.phase is Phase.FIRING]
        objective = firing[0].objective if firing else evaluator.budget.objectives[0]
        view = firing[0].view if firing else objective.where
    found = evaluator.finding(objective.objective_id, view, tick)
    return found or Finding(objective, view, Observed(), tick_ms(tick), 0, ())


def _override(evaluator: Evaluator, command: Command, objective_id: str | None) -> list[Decision]:
    known = {one.objective_id for one in evaluator.budget.objectives}
    until_ms = command.until_ms
    if objective_id is not None and objective_id not in known:
        allowed = ", ".join(sorted(known))
        why = f"{objective_id!r} is no objective of this budget; it has {allowed}"
        return [refusal(evaluator, command, why)]
    if until_ms is not None and until_ms <= command.at_ms:
        return [refusal(evaluator, command, f"its end {rfc3339(until_ms)} has passed already")]
    override = Override(
        override_id=command.command_id,
        objective_id=objective_id,
        from_ms=command.at_ms,
        until_ms=until_ms,
        limit=command.limit,
        author=command.author,
        reason=command.reason,
    )
    what = objective_id or "every objective"
    end = f"until {rfc3339(until_ms)}" if until_ms is not None else "until it clears"
    text = f"{command.author} holds back {what} {end}: {command.reason}"
    created = evaluator.commander.add_override(override, command.at_ms, text)
    return [created, *evaluator.commander.answered(override, _deltas(evaluator), command.at_ms, text)]


def _deltas(evaluator: Evaluator) -> dict[tuple[str | None, CohortKey], float | None]:
    """Return what the objectives with an open page show now."""
    deltas: dict[tuple[str | None, CohortKey], float | None] = {}
    for page in evaluator.commander.pages.values():
        if page.objective_id is None:
            continue
        found = evaluator.finding(page.objective_id, page.cohort, evaluator.progress.tick or 0)
        deltas[page.objective_id, page.cohort] = None if found is None else found.seen.delta
    return deltas


def _end_id(evaluator: Evaluator, page: Page) -> str:
    """Return the id of the event that resolved a page."""
    end = evaluator.commander.page_event(Type.PAGE_RESOLVED, page, 0, Reason.COMMANDER, "")
    return end.decision_id


def _acknowledge(evaluator: Evaluator, command: Command, book: LedgerBook) -> Decision:
    pages = evaluator.commander.meant(command.page_id, command.objective)
    missing = meant(book, command)
    blind = meant_blindness(book, command)
    # Left unnamed, it is meant where nothing else is open: what asks for a decision comes first.
    if blind is not None and not pages and not missing:
        return acknowledged_blindness(blind, release_data(evaluator.budget, evaluator.arming), command)
    if len(pages) + len(missing) != 1:
        anything = replace(command, page_id=None, objective=None)
        return _nothing_to_acknowledge(evaluator, command, is_open=bool(meant(book, anything)))
    if missing:
        return acknowledged(missing[0], command)
    (page,) = pages
    if _is_observed(evaluator, page):
        return refusal(evaluator, command, _OBSERVES.format("nobody was asked"))
    evaluator.commander.acknowledge(page.page_id, command.at_ms)
    stays = "it never acts by itself" if page.deadline_ms is None else "the deadline stays"
    text = f"{command.author} has seen it; {stays}"
    return evaluator.commander.page_event(
        Type.PAGE_ACKNOWLEDGED, page, command.at_ms, Reason.COMMANDER, text, author=command.author
    )


def _nothing_to_acknowledge(evaluator: Evaluator, command: Command, *, is_open: bool) -> Decision:
    if not is_open and not any(page.is_open for page in evaluator.commander.pages.values()):
        if evaluator.progress.stage is Stage.ENDED:
            return refusal(evaluator, command, _ENDED)
        if evaluator.progress.stage is Stage.LOCKED:
            return refusal(evaluator, command, _locked(evaluator), stands=_request_id(evaluator))
    return refusal(evaluator, command, _WHICH)


def _extend(evaluator: Evaluator, command: Command) -> Decision:
    """Give the commander more time, within what the budget allows for one page."""
    page = evaluator.commander.find(command.page_id, command.objective)
    if page is None:
        return refusal(evaluator, command, _WHICH)
    if _is_observed(evaluator, page):
        return refusal(evaluator, command, _OBSERVES.format("nobody was asked"))
    deadline_ms, most_min = page.deadline_ms, evaluator.budget.extension_min
    if deadline_ms is None:
        return refusal(evaluator, command, "this page never runs out: there is nothing to extend")
    if page.expired_ms is not None or command.at_ms > deadline_ms:
        return refusal(evaluator, command, f"its deadline {rfc3339(deadline_ms)} has passed already")
    by_min, taken_min = command.by_min or 0, page.extended_ms // 60_000
    if taken_min + by_min > most_min:
        left = f"{most_min - taken_min} min are left of {most_min}" if most_min else "this budget allows none"
        return refusal(evaluator, command, f"{by_min} min are too many: {left}; decide, or override")
    total_min = taken_min + by_min
    evaluator.commander.extend(page.page_id, total_min * 60_000)
    text = (
        f"{command.author} takes {by_min} min more to decide, until {rfc3339(deadline_ms + by_min * 60_000)}: "
        f"{command.reason}"
    )
    return evaluator.commander.page_event(
        Type.PAGE_EXTENDED,
        page.extended_to(total_min * 60_000),
        command.at_ms,
        Reason.COMMANDER,
        text,
        of=command.command_id,
        author=command.author,
        note=command.reason,
        extended_min=by_min,
        extended_total_min=total_min,
    )
