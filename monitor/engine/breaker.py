"""The rollback-storm breaker: beyond so many automatic rollbacks in so short a time, over all releases, people decide.

An evaluator asks it before it rolls back without being told to. Evaluators of several instances decide at the same
moment, so an instance puts an automatic rollback on record only while no other does, and after it has read what the
others recorded (`Admission`). If that was one too many, the evaluation is run again over the same minutes; it then
finds the breaker open and pages. What is on record is never decided anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from monitor.core.decision import EVERY_RELEASE, Decision, Reason, Type
from monitor.core.errors import MonitorError
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.record import Finding
from monitor.core.rehearsal import is_rehearsal
from monitor.core.storm import Asked, BreakerStanding, StormLimit, StormRecord, is_automatic, standing_of
from monitor.core.window import tick_ms
from monitor.engine.book import Command, CommandBook, LedgerBook
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.ports import Ledger, LedgerEntry
from monitor.engine.tenure import Tenure

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

NO_LIMIT: Final = StormLimit(0, 1)
CLOSE: Final = "close_breaker"
TURN: Final = "automatic-rollback"  # the lease of whoever is recording one
TURN_MS: Final = 15_000  # longer than a record takes to be acknowledged or given up
_TURN_WAIT_S: Final = 5.0
_TURN_PAUSE_S: Final = 0.02


class RollbackRefused(MonitorError):
    """An automatic rollback is one too many, as others recorded theirs first: the evaluation has to be run again."""


class Breaker:
    """Tells whether a release may be rolled back without asking.

    Args:
        limit: Without one, always.
        record: What is known of all releases' rollbacks.
    """

    def __init__(self, limit: StormLimit = NO_LIMIT, record: StormRecord | None = None) -> None:
        self.limit = limit
        self.record = StormRecord() if record is None else record

    def is_open(self, at_ms: int) -> bool:
        """Tell whether one more rollback at this moment would be too many."""
        return standing_of(self.limit, self.record, at_ms).is_open

    def withhold(
        self, evaluator: Evaluator, finding: Finding, request_id: str, at_ms: int, text: str
    ) -> str | None:
        """Return what to say instead of rolling back; None where the rollback may be asked for, as for a drill."""
        if is_rehearsal(evaluator.budget.release):
            return None
        objective_id = finding.objective.objective_id
        asked = Asked(evaluator.budget.release, evaluator.arming.number, objective_id, finding.view, at_ms)
        if not self.record.was_withheld(asked) and (self.record.knows(request_id) or not self.is_open(at_ms)):
            return None
        standing = standing_of(self.limit, self.record, at_ms)
        return f"{standing.words}. Not rolled back, a person decides: {text}"

    def standing(self, tick: int | None) -> BreakerStanding:
        """Return how it stands at a tick, in minutes since the epoch; None is before the first."""
        return standing_of(self.limit, self.record, 0 if tick is None else tick_ms(tick))


def page_instead(
    evaluator: Evaluator,
    finding: Finding,
    request_id: str,
    reason: Reason,
    at_ms: int,
    text: str,
    episode_ms: int | None = None,
) -> list[Decision] | None:
    """Return the page that comes instead of an automatic rollback; None where it may be asked for.

    While that page is open it is not asked again: no later minute and no closing of the breaker acts on what a
    person was asked to decide.
    """
    about = reason if reason in (Reason.IMMEDIATE, Reason.NO_DATA) else Reason.BREACH
    page = evaluator.commander.pages.get((finding.objective.objective_id, finding.view, about))
    if page is not None and page.is_open and page.reason is Reason.ROLLBACK_STORM:
        return []
    why = evaluator.breaker.withhold(evaluator, finding, request_id, at_ms, text)
    if why is None:
        return None
    episode_ms = at_ms if episode_ms is None else episode_ms
    return evaluator.commander.open_page(finding, Reason.ROLLBACK_STORM, episode_ms, at_ms, why, about=about)


class Admission:
    """Lets one instance at a time put an automatic rollback on record.

    Attributes:
        read_ledger: Takes in what the ledger holds by now.
    """

    def __init__(self, breaker: Breaker, book: LedgerBook, tenure: Tenure) -> None:
        self._breaker, self._book, self._tenure = breaker, book, tenure
        self._own_turn = asyncio.Lock()
        self._turn_ends_s = 0.0
        self._is_ahead = False  # our turn was asked for before there was anything to record
        self._is_read = False  # and what others recorded before it is known
        # Rollbacks that were sent to the ledger and not acknowledged.
        self._unsure: frozenset[str] = frozenset()
        self.read_ledger: Callable[[], Awaitable[None]] = nothing

    @asynccontextmanager
    async def admitted(self, entries: Sequence[LedgerEntry]) -> AsyncIterator[None]:
        """Around putting entries on record.

        Raises:
            RollbackRefused: One of them is a rollback too many; none may be recorded.
            LogUnreachable, StoreUnreachable: It is not known whether it is; nothing was recorded.
        """
        if not self._is_limited or not self._asked(entries):
            yield
            return
        async with self._own_turn:
            self._wait_for_unsure(entries)
            if not self._is_ready:
                await self._take_turn()
                await self.read_ledger()
            asked = self._asked(entries)
            for one in asked:
                if self._breaker.is_open(one.at_ms):
                    await self._end_turn()
                    raise RollbackRefused(f"rollback of {one.release}: the breaker is open")
            self._unsure = frozenset(one.decision_id for one in asked)
            # Not in a `finally`: what was not acknowledged may be there all the same. Until the turn runs out nobody
            # else counts, and whoever tries again here has the turn still.
            yield
            self._unsure = frozenset()
            await self._end_turn()

    async def get_ready(self) -> None:
        """Take the turn and read the ledger beside something else: a rollback that follows waits for neither.

        Where another instance has the turn only the ledger is read. `stand_back` comes after it, whatever happens.
        """
        if not self._is_limited:
            return
        async with self._own_turn:
            self._is_ahead, self._is_read, has_turn = True, False, False
            with suppress(StoreUnreachable):  # who has nothing to record needs none
                has_turn = not self._unsure and await self._takes_turn()
            await self.read_ledger()
            self._is_read = has_turn

    async def stand_back(self) -> None:
        """Give back the turn that was taken ahead; where the store is away it runs out by itself."""
        if not self._is_ahead:
            return
        async with self._own_turn:
            self._is_ahead = False
            with suppress(StoreUnreachable):
                if not self._unsure:
                    await self._end_turn()

    @property
    def _is_ready(self) -> bool:
        """Tell whether the turn was taken ahead, the ledger is read, and there is time left for a record."""
        left_s = self._turn_ends_s - self._tenure.steady()
        return self._is_ahead and self._is_read and left_s > TURN_MS / 2_000

    async def _end_turn(self) -> None:
        """Let others count; whoever took the turn ahead gives it back later, with what it led to on its way."""
        if not self._is_ahead:
            await self._tenure.end_turn(TURN)

    def _wait_for_unsure(self, entries: Sequence[LedgerEntry]) -> None:
        """Let only the record that may be there or not be tried again, as long as the turn lasts."""
        left = {one for one in self._unsure if self._book.get(one) is None}
        tried_again = left <= {one.decision.decision_id for one in entries}
        if left and not tried_again and self._tenure.steady() < self._turn_ends_s:
            raise LogUnreachable(
                "a rollback was sent to the ledger and not acknowledged; the next waits for it"
            )

    async def keep_up(self) -> None:
        """Read the ledger now, so that little is left to read when a rollback waits for it."""
        if self._is_limited:
            await self.read_ledger()

    @property
    def _is_limited(self) -> bool:
        return self._breaker.limit.max_count > 0

    def _asked(self, entries: Sequence[LedgerEntry]) -> list[Decision]:
        return [
            one.decision
            for one in entries
            if is_automatic(one.decision) and self._book.get(one.decision.decision_id) is None
        ]

    async def _take_turn(self) -> None:
        waited_s = 0.0
        while not await self._takes_turn():
            if waited_s >= _TURN_WAIT_S:
                raise StoreUnreachable(
                    f"another worker has been recording a rollback for {waited_s:g} s; it is tried again"
                )
            await asyncio.sleep(_TURN_PAUSE_S)
            waited_s += _TURN_PAUSE_S

    async def _takes_turn(self) -> bool:
        is_ours = await self._tenure.takes_turn(TURN, TURN_MS)
        self._turn_ends_s = self._tenure.steady() + TURN_MS / 1_000
        return is_ours


async def obey(
    breaker: Breaker, commands: CommandBook, book: LedgerBook, ledger: Ledger, tenure: Tenure
) -> None:
    """Close the breaker where a person orders it: the rollbacks so far no longer count.

    Raises:
        LogUnreachable, StoreUnreachable: Nothing is lost: the order is still unanswered at the next step.
    """
    orders = [one for one in commands.waiting(EVERY_RELEASE, book) if one.kind == CLOSE]
    if not orders or not await tenure.holds(EVERY_RELEASE):
        return
    for order in orders:
        entry = LedgerEntry(closed(breaker, order), None, True, order.command_id)
        await ledger.append(entry)
        book.note(entry)


def closed(breaker: Breaker, order: Command) -> Decision:
    """Return the answer to an order to close the breaker."""
    # Ticks lie behind the order: what counts at any of them is meant.
    forgiven = breaker.record.near(order.at_ms, 2 * breaker.limit.within_ms)
    event_id = decision_id(Type.BREAKER_CLOSED.value, EVERY_RELEASE, 0, order.command_id, {}, None)
    data = {
        "release": EVERY_RELEASE,
        "command_id": order.command_id,
        "author": order.author,
        "note": order.reason,
        "reason": Reason.COMMANDER.value,
        "forgiven": forgiven,
        "decided_at": rfc3339(order.at_ms),
        "summary": f"{order.author} closed the breaker: {len(forgiven)} automatic rollbacks no longer count; pages "
        "that came instead of one stay with people",
    }
    return Decision(Type.BREAKER_CLOSED, event_id, EVERY_RELEASE, order.at_ms, data)


async def nothing() -> None:
    """Stand in for a step that an instance does not have."""
