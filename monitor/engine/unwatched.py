"""Orders about releases that no budget in force watches: each is answered, so that nobody waits for nothing.

All are refused by name, but for one: a rollback that is not applied is acknowledged, whatever became of its budget.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.engine.answer import ordered
from monitor.engine.book import Command, CommandBook, LedgerBook, arming_number
from monitor.engine.ports import Ledger, LedgerEntry, Outputs
from monitor.engine.tenure import Tenure
from monitor.engine.unapplied import acknowledged, meant

NOT_WATCHED: Final = "no budget in force names this release: load its budget first"
GRACE_MS: Final = 60_000  # event time; a budget that was published just before the order may not be read yet


async def answer_unwatched(
    watched: Collection[str],
    commands: CommandBook,
    book: LedgerBook,
    ledger: Ledger,
    tenure: Tenure,
    outputs: Outputs,
    *,
    now_ms: int,
) -> None:
    """Put an answer on record for every order about a release outside `watched` that waits longer than the grace.

    Raises:
        LogUnreachable, StoreUnreachable: Nothing is lost: the order is still unanswered at the next step.
    """
    for release in commands.releases() - set(watched):
        due = [one for one in commands.waiting(release, book) if one.at_ms + GRACE_MS <= now_ms]
        if not due or not await tenure.holds(release):
            continue
        for command in due:
            await say(_answer(command, book), command, book, ledger, outputs)
        await tenure.give_back(release)


async def say(
    decision: Decision, command: Command, book: LedgerBook, ledger: Ledger, outputs: Outputs
) -> None:
    """Answer an order: on record first, then out; a refusal is on record alone.

    The order counts as answered by the record that says it is out: what a worker that died in between has put on
    record is published by the next one.
    """
    if decision.type is not Type.COMMAND_REFUSED:
        await ledger.append(entry := LedgerEntry(decision, None))
        book.note(entry)
        await outputs.publish(decision)
    await ledger.append(entry := LedgerEntry(decision, None, True, command.command_id))
    book.note(entry)


def _answer(command: Command, book: LedgerBook) -> Decision:
    if command.kind == "acknowledge" and command.fault is None and len(missing := meant(book, command)) == 1:
        return ordered(acknowledged(missing[0], command), command)
    last = book.arming(command.release)
    return refusal_of(command, 0 if last is None else arming_number(last), NOT_WATCHED)


def refusal_of(command: Command, arming: int, why: str) -> Decision:
    """Return the answer to an order that no evaluator answers."""
    event_id = decision_id(Type.COMMAND_REFUSED.value, command.release, arming, command.command_id, {}, None)
    data = {
        "release": command.release,
        "arming": arming,
        "command_id": command.command_id,
        "command": command.kind,
        "author": command.author,
        "decided_at": rfc3339(command.at_ms),
        "summary": f"{command.kind} by {command.author} is refused: {why}",
    }
    return Decision(Type.COMMAND_REFUSED, event_id, command.release, command.at_ms, data)
