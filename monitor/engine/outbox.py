"""The outbox: decisions go on record first, all of them, and out after that; what fails is tried again as it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from monitor.core.decision import Decision, Type
from monitor.engine.book import LedgerBook
from monitor.engine.breaker import Admission, RollbackRefused
from monitor.engine.live import Live
from monitor.engine.observer import Observer
from monitor.engine.ports import Ledger, LedgerEntry, Outputs


class Outbox:
    """Puts the decisions of the evaluated releases on record, and publishes them.

    Args:
        admission: Asked before an automatic rollback goes on record.
        give_up: Forgets the evaluation of a release whose rollback was refused.
    """

    def __init__(
        self,
        ledger: Ledger,
        outputs: Outputs,
        book: LedgerBook,
        admission: Admission,
        observer: Observer,
        give_up: Callable[[str], object],
    ) -> None:
        self._ledger, self._outputs, self._book = ledger, outputs, book
        self._admission, self._observer, self._give_up = admission, observer, give_up

    async def emit(self, live: Live, decisions: Iterable[Decision], command_id: str | None = None) -> None:
        """Take in what an evaluation decided, and send all that waits.

        Raises:
            RollbackRefused: As `send` does.
        """
        after = live.evaluator.progress.tick
        for decision in decisions:
            known = self._book.get(decision.decision_id)
            if known is None or not known.is_published or command_id is not None:  # on record is not yet out
                live.unsent.append(LedgerEntry(decision, after, command_id=command_id))
        await self.send(live)

    async def send(self, live: Live) -> None:
        """Put decisions on record, then publish them; what fails is tried again before the next tick.

        All of them are on record before the first is published, and rollbacks are published before all else.

        Raises:
            RollbackRefused: One of them is too many by now; the evaluation that led to it is given up.
        """
        while live.unsent:
            entries = list(live.unsent)
            try:
                async with self._admission.admitted(entries):
                    await asyncio.gather(*(self._ledger.append(entry) for entry in entries))
                    for entry in entries:
                        self._book.note(entry)
            except RollbackRefused:
                live.unsent.clear()
                self._give_up(live.evaluator.budget.release)
                raise
            for entry in sorted(entries, key=_urgency):
                with self._observer.deciding(entry.decision):
                    await self.publish(entry)
            for _ in entries:
                live.unsent.popleft()

    async def publish(self, entry: LedgerEntry) -> None:
        """Publish what is on record, unless it is known to be out, and put on record that it is."""
        known = self._book.get(entry.decision.decision_id)
        if known is None or not known.is_published:
            await self._outputs.publish(entry.decision)
        done = LedgerEntry(entry.decision, entry.after_tick, True, entry.command_id)
        await self._ledger.append(done)
        self._book.note(done)
        self._observer.decided(entry.decision)


def _urgency(entry: LedgerEntry) -> bool:
    """Return what sorts rollbacks before all else."""
    return entry.decision.type is not Type.ROLLBACK_REQUESTED
