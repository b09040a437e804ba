"""Orders about releases that no budget in force watches: each is refused by name, so that nobody waits for nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.engine.book import Command, CommandBook, LedgerBook, arming_number
from monitor.engine.ports import Ledger, LedgerEntry
from monitor.engine.tenure import Tenure

_NOT_WATCHED: Final = "no budget in force names this release: load its budget first"
GRACE_MS: Final = 60_000  # event time; a budget that was published just before the order may not be read yet


async def refuse_unwatched(
    watched: Collection[str],
    commands: CommandBook,
    book: LedgerBook,
    ledger: Ledger,
    tenure: Tenure,
    *,
    now_ms: int,
) -> None:
    """Put a refusal on record for every order about a release outside `watched` that waits longer than the grace.

    Raises:
        LogUnreachable, StoreUnreachable: Nothing is lost: the order is still unanswered at the next step.
    """
    for release in commands.releases() - set(watched):
        due = [one for one in commands.waiting(release, book) if one.at_ms + GRACE_MS <= now_ms]
        if not due or not await tenure.holds(release):
            continue
        last = book.arming(release)
        for command in due:
            refused = refusal_of(command, 0 if last is None else arming_number(last), _NOT_WATCHED)
            entry = LedgerEntry(refused, None, True, command.command_id)
            await ledger.append(entry)
            book.note(entry)
        await tenure.give_back(release)


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
