"""Open pages are said again while they are open, by whoever evaluates their release, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.engine.act_events import follow_up_id
from monitor.engine.book import LedgerBook
from monitor.engine.errors import PagerFailed
from monitor.engine.heartbeat import Heartbeat, open_pages
from monitor.engine.ports import About, LedgerEntry, PageNotice

RELEASE = "model-v42"
Row = tuple[Type, str, int, Mapping[str, object]]


def ledger(*decisions: Row) -> LedgerBook:
    """Return a book with an arming and these decisions: type, id, event time, data."""
    book = LedgerBook()
    armed: Row = (Type.ARMING_CREATED, "arm", 0, {})
    for kind, decision_id, at_ms, data in (armed, *decisions):
        whole = {"release": RELEASE, "arming": 1, "baseline": "model-v41", **data}
        if kind is Type.PAGE_DELIVERED:
            del whole["arming"]  # a delivery names its page's event and no arming
        book.note(LedgerEntry(Decision(kind, decision_id, RELEASE, at_ms, whole), None, True))
    return book


def opened(event_id: str, page_id: str, at_ms: int) -> Row:
    return Type.PAGE_OPENED, event_id, at_ms, {"page_id": page_id, "summary": "it is slow"}


def told(event_id: str) -> Row:
    return Type.PAGE_DELIVERED, f"told-{event_id}", 5, {"event_id": event_id, "page_id": "p1"}


def resolved(page_id: str, at_ms: int) -> Row:
    return Type.PAGE_RESOLVED, f"end-{page_id}-{at_ms}", at_ms, {"page_id": page_id}


FAILED: Row = (Type.ROLLBACK_FAILED, "f1", 20, {"request_id": "r1", "message": "no token"})
REQUESTED: Row = (Type.ROLLBACK_REQUESTED, "r1", 10, {"objective": "safety.x"})
APPLIED: Row = (Type.ROLLBACK_APPLIED, follow_up_id(Type.ROLLBACK_APPLIED, "r1"), 30, {})


@pytest.mark.parametrize(
    ("decisions", "open_now"),
    [
        ([], []),
        ([opened("e1", "p1", 1), told("e1")], ["e1"]),
        ([opened("e1", "p1", 1)], []),  # it has not reached anybody: its first telling is not the heartbeat's
        ([opened("e1", "p1", 1), told("e1"), resolved("p1", 2)], []),
        ([resolved("p1", 2), told("e1"), opened("e1", "p1", 1)], []),  # a compacted topic keeps no order
        ([opened("e1", "p1", 1), told("e1"), resolved("p1", 2), opened("e2", "p1", 3), told("e2")], ["e2"]),
        ([opened("e1", "p1", 1), told("e1"), opened("e2", "p2", 1), told("e2"), resolved("p1", 2)], ["e2"]),
        ([REQUESTED, FAILED, told("f1")], ["f1"]),
        ([REQUESTED, FAILED, told("f1"), APPLIED], []),
        ([FAILED, told("f1")], []),
    ],
)
def test_what_is_open_is_what_was_told_and_has_not_ended(decisions: list[Row], open_now: list[str]) -> None:
    book = ledger(*decisions)
    assert [notice.event_id for notice in open_pages(book, [RELEASE])] == open_now
    assert open_pages(book, []) == []


def blind(release: str, *more: Row) -> LedgerBook:
    """Return a book with a blindness about a release, or about all, that people were told of."""
    rows: list[Row] = [
        (Type.MONITOR_BLIND, "b1", 5, {"page_id": "b1", "summary": "blind", "release": None}),
        (Type.PAGE_DELIVERED, "told-b1", 6, {"event_id": "b1"}),
        *more,
    ]
    book = LedgerBook()
    for kind, decision_id, at_ms, data in rows:
        book.note(LedgerEntry(Decision(kind, decision_id, release, at_ms, data), None, True))
    return book


@pytest.mark.parametrize(("release", "asked"), [(RELEASE, [RELEASE]), (EVERY_RELEASE, [])])
def test_a_monitor_that_is_blind_says_so_until_it_sees_again(release: str, asked: list[str]) -> None:
    (notice,) = open_pages(blind(release), asked)
    assert (notice.page_id, notice.about, notice.state) == ("b1", About.BLIND, "opened")
    seen = (Type.MONITOR_RECOVERED, "b2", 9, {"page_id": "b1"})
    assert open_pages(blind(release, seen), asked) == []


def test_pages_of_an_earlier_arming_are_over() -> None:
    book = ledger(opened("e1", "p1", 1), told("e1"), (Type.ARMING_CREATED, "arm2", 9, {"arming": 2}))
    assert open_pages(book, [RELEASE]) == []


def test_a_rollback_that_is_not_applied_is_said_as_such() -> None:
    (notice,) = open_pages(ledger(REQUESTED, FAILED, told("f1")), [RELEASE])
    assert (notice.about, notice.page_id) == (About.NOT_APPLIED, "f1")
    assert "no token" in notice.text


class Forgets:
    """A pager that keeps what it is told again, and fails as planned."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.said = list(failures), list[list[str]]()

    async def still_open(self, notices: Sequence[PageNotice]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.said.append([notice.event_id for notice in notices])


async def test_a_round_that_fails_is_named_and_keeps_no_other_pager_from_its_own() -> None:
    lost: list[str] = []
    broken, well = Forgets(PagerFailed("it is away", retryable=True)), Forgets()
    pages = open_pages(ledger(opened("e1", "p1", 1), told("e1")), [RELEASE])
    heartbeat = Heartbeat([broken, well], lambda: pages, lost.append)
    await heartbeat.beat()
    await heartbeat.beat()
    assert (broken.said, well.said, lost) == ([["e1"]], [["e1"], ["e1"]], ["it is away"])


async def test_without_an_open_page_nothing_is_said() -> None:
    pager = Forgets()
    await Heartbeat([pager], list, print).beat()
    assert pager.said == []


async def test_it_goes_round_until_its_body_ends_whatever_an_adapter_raises() -> None:
    lost: list[str] = []
    pager, rounds = Forgets(ZeroDivisionError("oops")), asyncio.Semaphore(0)
    pages = open_pages(ledger(opened("e1", "p1", 1), told("e1")), [RELEASE])

    async def pause(_: float) -> None:
        rounds.release()
        await asyncio.sleep(0)

    before = asyncio.all_tasks()
    async with Heartbeat([pager], lambda: pages, lost.append, sleep=pause).beating():
        for _ in range(3):
            await rounds.acquire()
    assert pager.said[:2] == [["e1"], ["e1"]]
    assert "ZeroDivisionError: oops" in lost[0]
    assert asyncio.all_tasks() == before


async def test_the_body_s_failure_is_what_is_raised() -> None:
    with pytest.raises(ConnectionResetError):
        async with Heartbeat([Forgets()], list, print).beating():
            raise ConnectionResetError("the worker ends")
