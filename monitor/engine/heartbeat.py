"""The heartbeat of open pages, for paging systems that take an alert for over when it is not said again.

What is open stands in the ledger, so a worker that starts after a crash goes on with the pages of the one before it.
Only the releases that this worker evaluates are spoken for: who has lost the lease may not know that a page is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.ids import event_type
from monitor.engine.act_events import not_applied, notice_of
from monitor.engine.book import LedgerBook, arming_number
from monitor.engine.errors import PagerFailed
from monitor.engine.ports import PageNotice
from monitor.engine.unapplied import unapplied

EVERY_S: Final = 60.0
ATTEMPT_S: Final = 10.0  # a round that hangs must not keep the next one from being heard


class Forgetful(Protocol):
    """A pager whose system takes an alert for over that is not said again."""

    async def still_open(self, notices: Sequence[PageNotice]) -> None:
        """Say once more, in one short attempt, that these pages are open.

        Raises:
            PagerFailed: Not confirmed; the next round says it again.
        """


def open_pages(book: LedgerBook, releases: Iterable[str]) -> list[PageNotice]:
    """Return the delivered pages of these releases, and of the monitor itself, that are not over.

    A rollback that is not applied is such a page too, over when the flag has turned; so is a blindness.
    """
    return [notice for release in (*releases, EVERY_RELEASE) for notice in _open_of(book, release)]


def _open_of(book: LedgerBook, release: str) -> list[PageNotice]:
    last, entries = book.arming(release), list(book.of(release))
    told = {one.decision.data.get("event_id") for one in entries if one.decision.type is Type.PAGE_DELIVERED}
    blind = _blindness([one.decision for one in entries], told)
    if last is None:
        return blind
    ours = [one.decision for one in entries if arming_number(one) == arming_number(last)]
    opened: dict[object, Decision] = {}
    resolved_ms: dict[object, int] = {}
    for one in sorted(ours, key=lambda decision: decision.at_ms):
        if one.type is Type.PAGE_OPENED:
            opened[one.data.get("page_id")] = one
        elif one.type is Type.PAGE_RESOLVED:
            resolved_ms[one.data.get("page_id")] = one.at_ms
    pages = [
        notice_of(_event(one), "opened")
        for page_id, one in opened.items()
        if resolved_ms.get(page_id, one.at_ms - 1) < one.at_ms and one.decision_id in told
    ]
    failed = [
        not_applied(_event(one.request), one.page_id, str(one.failed.data.get("message", "")))
        for one in unapplied(ours)
        if one.page_id in told
    ]
    return blind + pages + failed


def _blindness(decisions: Sequence[Decision], told: Container[object]) -> list[PageNotice]:
    over = {one.data.get("page_id") for one in decisions if one.type is Type.MONITOR_RECOVERED}
    return [
        notice_of(_event(one), "opened")
        for one in decisions
        if one.type is Type.MONITOR_BLIND and one.decision_id in told and one.data.get("page_id") not in over
    ]


def _event(decision: Decision) -> dict[str, object]:
    return {
        "type": event_type(decision.type.value),
        "id": decision.decision_id,
        "data": decision.data,
    }


class Heartbeat:
    """Says again, every minute, which pages are open.

    Args:
        pagers: Those that need it; without any there is no heartbeat.
        open_pages: What is open now; asked anew for each pager.
        lost: Told of a round that a pager did not confirm.
    """

    def __init__(
        self,
        pagers: Sequence[Forgetful],
        open_pages: Callable[[], Sequence[PageNotice]],
        lost: Callable[[str], None],
        *,
        every_s: float = EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pagers, self._open_pages, self._lost = tuple(pagers), open_pages, lost
        self._every_s, self._sleep = every_s, sleep

    async def beat(self) -> None:
        """Do one round; a pager that fails is named and keeps no other from its round."""
        for pager in self._pagers:
            notices = self._open_pages()
            if not notices:
                continue
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    await pager.still_open(notices)
            except PagerFailed as failure:
                self._lost(str(failure))
            except TimeoutError:
                self._lost(f"no answer within {ATTEMPT_S:g} s")

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Go round beside the body of the `with`, and end with it."""
        task = asyncio.create_task(self._for_ever()) if self._pagers else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _for_ever(self) -> None:
        while True:
            try:
                await self.beat()
            # An adapter's defect must not end the heartbeat of all pages.
            except Exception as error:  # noqa: BLE001
                self._lost(f"{type(error).__name__}: {error}; please report it")
            await self._sleep(self._every_s)
