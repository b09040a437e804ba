"""Orders that close an eval debt: answered from the ledger alone, for a debt outlives the watch of its release."""

from __future__ import annotations

from collections.abc import Collection

from monitor.core.decision import Decision, Type
from monitor.core.eval_debt import closing, closing_id
from monitor.core.moment import rfc3339
from monitor.engine.book import Command, CommandBook, LedgerBook, arming_number
from monitor.engine.ports import Ledger, Outputs
from monitor.engine.tenure import Tenure
from monitor.engine.unwatched import GRACE_MS, answer_unwatched, refusal_of, say


async def answer_beside_ticks(
    watched: Collection[str],
    commands: CommandBook,
    book: LedgerBook,
    ledger: Ledger,
    tenure: Tenure,
    outputs: Outputs,
    *,
    now_ms: int,
) -> None:
    """Answer the orders that are no evaluator's: those that close a debt, and those about releases outside `watched`.

    Raises:
        LogUnreachable, StoreUnreachable: Nothing is lost: the order is still unanswered at the next step.
    """
    for command in commands.closings(book):
        if await tenure.holds(command.release):
            if (decision := _answer(command, book, now_ms)) is not None:
                await say(decision, command, book, ledger, outputs)
            if command.release not in watched:
                await tenure.give_back(command.release)
    await answer_unwatched(watched, commands, book, ledger, tenure, outputs, now_ms=now_ms)


def _answer(command: Command, book: LedgerBook, now_ms: int) -> Decision | None:
    """Return the closing of the debt, or why the order is refused; of two orders the first one closes it.

    None: the debt may have been opened by somebody else a moment ago, and its record is still to be read.
    """
    last = book.arming(command.release)
    arming = 0 if last is None else arming_number(last)
    owed = book.get(command.debt_id or "")
    if owed is None and command.at_ms + GRACE_MS > now_ms:
        return None
    data = {} if owed is None else owed.decision.data
    if owed is None or owed.decision.type is not Type.DEBT_CREATED or data["release"] != command.release:
        why = f"{command.debt_id} is no eval debt of {command.release}; `debt list` names them"
        return refusal_of(command, arming, why)
    known = book.get(closing_id(data))
    if known is None:
        return closing(
            data,
            command.at_ms,
            author=command.author,
            note=command.reason,
            evaluation=command.evaluation,
        )
    who, when = known.decision.data["author"], known.decision.data["decided_at"]
    is_ours = (who, when) == (command.author, rfc3339(command.at_ms))
    if is_ours or not known.is_published:
        return known.decision  # a worker that died before it could say so has closed it
    return refusal_of(command, arming, f"it is closed already, by {who} at {when}")
