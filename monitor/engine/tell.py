"""Telling people: every pager of the installation hears of every notice, each of them once.

One broken pager keeps no other from being heard, and the first that confirms starts the commander's clock. What a
pager has confirmed is on record per pager, so trying again, also after a crash, tells only those that still lack it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, Protocol

from monitor.core.decision import Type
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.rehearsal import is_rehearsal
from monitor.engine.act_events import follow_up_id
from monitor.engine.errors import PagerFailed
from monitor.engine.patience import Trying
from monitor.engine.ports import Clock, PageNotice, Pager

REMEMBERED_MAX: Final = 10_000  # notices without a record that this process remembers to have told, or to owe

_ASKS: Final = frozenset({"opened", "reminded", "escalated", "extended"})  # about a page that is open


class PagePast(NamedTuple):
    """What the ledger knows of a page.

    Attributes:
        opening: The data of its newest opening.
        opened_ms, resolved_ms: When it was opened and resolved at last.
        escalated_to: The pagers that a step of its escalation named since then.
    """

    opening: Mapping[str, Any] | None = None
    opened_ms: int | None = None
    resolved_ms: int | None = None
    escalated_to: frozenset[str] = frozenset()


class Ledger(Protocol):
    """The ledger as far as effects need it; ids make repeats harmless."""

    async def known(self, decision_id: str) -> bool:
        """Tell whether a decision of this id is recorded."""

    async def record(self, kind: Type, decision_id: str, release: str, data: Mapping[str, object]) -> None:
        """Append the decision to the ledger and publish it; return when it is acknowledged."""

    async def page(self, release: str, page_id: str) -> PagePast:
        """Return what is known of a page."""

    async def event(self, decision_id: str) -> Mapping[str, Any] | None:
        """Return a recorded decision as an event: `type`, `id`, `data`; None where there is none."""


class _Few(dict[tuple[str, str], None]):
    """The newest `REMEMBERED_MAX` of what was put in."""

    def note(self, key: tuple[str, str]) -> None:
        self[key] = None
        while len(self) > REMEMBERED_MAX:
            del self[next(iter(self))]


class Teller:
    """Tells every pager, and writes down who was told.

    Args:
        quiet: The names of those that hear of a page only once it is escalated to them.
    """

    def __init__(
        self,
        pagers: Mapping[str, Pager],
        ledger: Ledger,
        clock: Clock,
        trying: Trying,
        quiet: Collection[str] = (),
    ) -> None:
        self._pagers, self._ledger, self._clock, self._trying = dict(pagers), ledger, clock, trying
        self._quiet = frozenset(quiet)
        self._told, self._owed = _Few(), _Few()

    async def tell(self, notice: PageNotice, *, on_record: bool) -> bool:
        """Tell every pager that has not confirmed the notice; False where all had, or where it is overtaken.

        Args:
            on_record: Record each delivery. Without, this process alone remembers it: repeats are harmless, since
                pagers know a page by its id.

        Raises:
            PagerFailed: Some pager did not confirm; calling again tells only those.
            LogUnreachable: A delivery is not on record.
        """
        if is_rehearsal(notice.release):  # a drill wakes nobody
            return False
        all_told = follow_up_id(Type.PAGE_DELIVERED, notice.event_id)
        if on_record and await self._ledger.known(all_told):
            return False
        if await self._is_overtaken(notice):
            return False
        names = await self._for_whom(notice)
        ends = await asyncio.gather(
            *(self._tell_one(name, notice, on_record) for name in names), return_exceptions=True
        )
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, PagerFailed):
                raise end
        failures = {name: end for name, end in zip(names, ends, strict=True) if isinstance(end, PagerFailed)}
        if failures:
            self._owed.note((notice.event_id, ""))
            raise _together(failures)
        if on_record and len(self._pagers) > 1:
            await self._record(all_told, notice, "all")
        return True

    async def _for_whom(self, notice: PageNotice) -> list[str]:
        """Return who hears of a notice: those it names, else all that are not quiet and whom its page has reached.

        A name that is not set up here must not make a page fall silent: then all others hear of it.
        """
        named = [name for name in self._pagers if name in notice.pagers]
        if named:
            return named
        reached: Collection[str] = ()
        if self._quiet and notice.state not in ("opened", "informed"):
            reached = (await self._ledger.page(notice.release, notice.page_id)).escalated_to
        return [name for name in self._pagers if name not in self._quiet or name in reached]

    async def _tell_one(self, name: str, notice: PageNotice, on_record: bool) -> None:
        key = (notice.event_id, name)
        cause = notice.event_id if len(self._pagers) == 1 else f"{notice.event_id}/{name}"
        delivered_id = follow_up_id(Type.PAGE_DELIVERED, cause)
        if on_record and await self._ledger.known(delivered_id):
            return
        if key not in self._told:
            pager = self._pagers[name]
            await self._trying.until_done(notice.event_id, lambda: pager.notify(notice), PagerFailed)
            self._told.note(key)
        if on_record:
            await self._record(delivered_id, notice, name)

    async def _record(self, delivered_id: str, notice: PageNotice, pager: str) -> None:
        await self._ledger.record(
            Type.PAGE_DELIVERED,
            delivered_id,
            notice.release,
            {
                "page_id": notice.page_id,
                "event_id": notice.event_id,
                "state": notice.state,
                "release": notice.release,
                "pager": pager,
                "delivered_at": rfc3339(self._clock.now_ms()),
            },
        )

    async def _is_overtaken(self, notice: PageNotice) -> bool:
        """Tell whether a notice that is told late would undo what came after it.

        A page that is over must not be opened again by an opening that a pager missed, nor a page that is open
        again be closed by an old end.
        """
        if (notice.event_id, "") not in self._owed:
            return False
        at_ms = _decided_ms(notice)
        past = await self._ledger.page(notice.release, notice.page_id)
        later_ms = past.resolved_ms if notice.state in _ASKS else past.opened_ms
        return at_ms is not None and later_ms is not None and later_ms > at_ms


def _decided_ms(notice: PageNotice) -> int | None:
    moment = notice.event.get("decided_at")
    return moment_ms(moment) if isinstance(moment, str) else None


def _together(failures: Mapping[str, PagerFailed]) -> PagerFailed:
    """Return one failure for all: it names each pager, and asking again helps if it helps with any."""
    message = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
    return PagerFailed(message, retryable=any(failure.retryable for failure in failures.values()))
