"""What a commander's command does to an armed release. Every command gets an answer, a refusal at least."""

from __future__ import annotations

from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.override import Override
from monitor.core.page import Page
from monitor.core.record import Finding, Observed, release_data
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
        return [_override(evaluator, command, command.objective, command.until_ms)]
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
        finding = _finding(evaluator, page, command)
        text = f"ordered by {command.author}: {command.reason}"
        return evaluator.request(finding, Reason.COMMANDER, command.at_ms, text)
    if page is None:
        return [refusal(evaluator, command, "no single open page is meant; name its page id or objective")]
    override = _override(evaluator, command, page.objective_id, command.until_ms)
    if override.type is Type.COMMAND_REFUSED:
        return [override]
    text = f"{command.author} decided to continue: {command.reason}"
    resolved = evaluator.commander.resolve(
        page.objective_id, page.cohort, command.at_ms, Reason.COMMANDER, text
    )
    return [override, *resolved]


def _finding(evaluator: Evaluator, page: Page | None, command: Command) -> Finding:
    wanted = page.objective_id if page is not None else command.objective
    view = page.cohort if page is not None else None
    tick = evaluator.progress.tick or 0
    for (objective_id, key), watch in evaluator.watches.items():
        if wanted in (None, objective_id) and view in (None, key):
            judged_to = tick - watch.objective.label_delay_min
            return watch.finding(judged_to, evaluator.budget.exemplars, watch.judgement)
    objective = evaluator.budget.objectives[0]
    return Finding(objective, OVERALL, Observed(), tick_ms(tick), 0, ())


def _override(
    evaluator: Evaluator, command: Command, objective_id: str | None, until_ms: int | None
) -> Decision:
    known = {one.objective_id for one in evaluator.budget.objectives}
    if objective_id is not None and objective_id not in known:
        allowed = ", ".join(sorted(known))
        return refusal(evaluator, command, f"{objective_id!r} is no objective of this budget; it has {allowed}")
    if until_ms is not None and until_ms <= command.at_ms:
        return refusal(evaluator, command, f"its end {rfc3339(until_ms)} has passed already")
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
    return evaluator.commander.add_override(override, command.at_ms, text)


def _acknowledge(evaluator: Evaluator, command: Command) -> Decision:
    page = evaluator.commander.find(command.page_id, command.objective)
    if page is None:
        return refusal(evaluator, command, "no single open page is meant; name its page id or objective")
    evaluator.commander.acknowledge(page.page_id, command.at_ms)
    text = f"{command.author} has seen it; the deadline stays"
    return evaluator.commander.page_event(
        Type.PAGE_ACKNOWLEDGED, page, command.at_ms, Reason.COMMANDER, text, author=command.author
    )
