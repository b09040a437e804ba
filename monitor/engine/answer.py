"""What a commander's command does to an armed release. Every command gets an answer, a refusal at least."""

from __future__ import annotations

from monitor.core.cohort import CohortKey
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.override import Override
from monitor.core.page import Page
from monitor.core.record import Finding, Observed, release_data
from monitor.core.trigger import Phase
from monitor.core.window import tick_ms
from monitor.engine.book import Command
from monitor.engine.evaluate import Evaluator, Stage


def answer(evaluator: Evaluator, command: Command) -> list[Decision]:
    """Apply a command to the release it names and return what follows from it."""
    if evaluator.progress.stage is Stage.ENDED:
        return [refusal(evaluator, command, "the release is no longer watched: arm it first")]
    if evaluator.progress.stage is Stage.LOCKED and command.kind != "disarm":
        return [refusal(evaluator, command, "a rollback was already requested; the release is locked")]
    if command.kind == "decide":
        return _decide(evaluator, command)
    if command.kind == "override":
        return _override(evaluator, command, command.objective)
    if command.kind == "acknowledge":
        return [_acknowledge(evaluator, command)]
    if command.kind == "disarm":
        return evaluator.disarm(command.at_ms, command.author, command.reason)
    return [refusal(evaluator, command, "the release is armed already")]


def refusal(evaluator: Evaluator, command: Command, why: str) -> Decision:
    """Return the answer to a command that cannot be carried out."""
    data = {
        **release_data(evaluator.budget, evaluator.arming),
        "command_id": command.command_id,
        "command": command.kind,
        "author": command.author,
        "decided_at": rfc3339(command.at_ms),
        "summary": f"{command.kind} by {command.author} is refused: {why}",
    }
    event_id = decision_id(
        Type.COMMAND_REFUSED.value, command.release, evaluator.arming.number, command.command_id, {}, None
    )
    return Decision(Type.COMMAND_REFUSED, event_id, command.release, command.at_ms, data)


def _decide(evaluator: Evaluator, command: Command) -> list[Decision]:
    page = evaluator.commander.find(command.page_id, command.objective)
    if command.decision == "rollback":
        return _roll_back(evaluator, command, page)
    if page is None:
        return [refusal(evaluator, command, "no single open page is meant; name its page id or objective")]
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
    finding = _finding(evaluator, page, command)
    text = f"ordered by {command.author}: {command.reason}"
    is_named = command.page_id is not None or command.objective is not None
    whole = page is None or not is_named
    requested = evaluator.request(finding, Reason.COMMANDER, command.at_ms, text, whole=whole)
    return requested or [refusal(evaluator, command, "its rollback was already requested")]


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


def _acknowledge(evaluator: Evaluator, command: Command) -> Decision:
    page = evaluator.commander.find(command.page_id, command.objective)
    if page is None:
        return refusal(evaluator, command, "no single open page is meant; name its page id or objective")
    evaluator.commander.acknowledge(page.page_id, command.at_ms)
    text = f"{command.author} has seen it; the deadline stays"
    return evaluator.commander.page_event(
        Type.PAGE_ACKNOWLEDGED, page, command.at_ms, Reason.COMMANDER, text, author=command.author
    )
