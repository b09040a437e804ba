"""Several pagers: each is told once, none waits for another, and what one missed is made up for, also after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from monitor.adapters.memory.pager import MemoryPager
from monitor.core.decision import Type
from monitor.engine.act import Act, Outcome
from monitor.engine.errors import LogUnreachable, PagerFailed
from monitor.engine.patience import Patience
from monitor.engine.ports import PageNotice
from monitor.engine.tell import PagePast
from tests.engine.acting import FakeLedger, World, page

OPENED_MS = 1_795_000_000_000
OPENED = page(decided_at="2026-11-18T11:06:40.000Z")
RESOLVED = page("page.resolved", decided_at="2026-11-18T11:10:00.000Z")
ONE_TRY = Patience(max_attempts=1)


@dataclass
class Counted:
    """A pager that fails while it is down, and counts what reaches it."""

    is_down: bool = False
    retryable: bool = True
    told: list[str] = field(default_factory=list)

    async def notify(self, notice: PageNotice) -> None:
        if self.is_down:
            raise PagerFailed("it is down", retryable=self.retryable)
        self.told.append(notice.state)


def acting(ledger: FakeLedger, **pagers: Counted) -> Act:
    return World(ledger=ledger).act(pagers=pagers, patience=ONE_TRY)


async def test_all_pagers_are_told_and_each_delivery_is_on_record() -> None:
    ledger, one, two = FakeLedger(), Counted(), Counted()
    act = acting(ledger, one=one, two=two)
    assert await act.on_page(OPENED) is Outcome.DONE
    assert await act.on_page(OPENED) is Outcome.ALREADY_DONE
    assert (one.told, two.told) == (["opened"], ["opened"])
    records = ledger.of(Type.PAGE_DELIVERED)
    assert sorted(str(record["pager"]) for record in records) == ["all", "one", "two"]
    assert {record["event_id"] for record in records} == {"e-page.opened"}


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_broken_pager_keeps_no_other_from_being_heard_and_the_clock_starts(retryable: bool) -> None:
    ledger, well, broken = FakeLedger(), Counted(), Counted(is_down=True, retryable=retryable)
    with pytest.raises(PagerFailed, match="broken: it is down") as failed:
        await acting(ledger, broken=broken, well=well).on_page(OPENED)
    assert failed.value.retryable is retryable
    assert well.told == ["opened"]
    (record,) = ledger.of(Type.PAGE_DELIVERED)  # any delivery starts the commander's clock
    assert record["pager"] == "well"


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_one_pager_missed_is_told_to_that_one_alone(restarted: bool) -> None:
    ledger, well, broken = FakeLedger(), Counted(), Counted(is_down=True)
    act = acting(ledger, well=well, broken=broken)
    with pytest.raises(PagerFailed):
        await act.on_page(OPENED)
    broken.is_down = False
    again = acting(ledger, well=well, broken=broken) if restarted else act
    assert await again.on_page(OPENED) is Outcome.DONE
    assert (well.told, broken.told) == (["opened"], ["opened"])


async def test_a_delivery_whose_record_failed_is_recorded_later_and_not_repeated() -> None:
    ledger, pager = FakeLedger(crash_at=1), Counted()
    act = acting(ledger, pager=pager)
    with pytest.raises(ConnectionResetError):
        await act.on_page(OPENED)
    assert await act.on_page(OPENED) is Outcome.DONE
    assert (pager.told, len(ledger.of(Type.PAGE_DELIVERED))) == (["opened"], 1)


async def test_a_missed_opening_does_not_open_a_page_that_is_over() -> None:
    ledger, pager = FakeLedger(), Counted(is_down=True)
    act = acting(ledger, pager=pager)
    with pytest.raises(PagerFailed):
        await act.on_page(OPENED)
    pager.is_down = False
    ledger.pages["p1"] = PagePast(OPENED["data"], OPENED_MS, OPENED_MS + 200_000)
    await act.on_page(RESOLVED)
    assert await act.on_page(OPENED) is Outcome.ALREADY_DONE
    assert pager.told == ["resolved"]


async def test_a_missed_end_does_not_close_a_page_that_is_open_again() -> None:
    ledger, pager = FakeLedger(), Counted()
    act = acting(ledger, pager=pager)
    await act.on_page(OPENED)
    pager.is_down = True
    with pytest.raises(PagerFailed):
        await act.on_page(RESOLVED)
    pager.is_down = False
    again = page(decided_at="2026-11-18T11:30:00.000Z") | {"id": "e-again"}
    ledger.pages["p1"] = PagePast(again["data"], OPENED_MS + 1_400_000, OPENED_MS + 200_000)
    await act.on_page(again)
    assert await act.on_page(RESOLVED) is Outcome.ALREADY_DONE
    assert pager.told == ["opened", "opened"]


async def test_an_opening_told_for_the_first_time_is_told_however_late() -> None:
    """A page that opened and resolved while nobody listened is still news."""
    ledger, pager = FakeLedger(pages={"p1": PagePast(OPENED["data"], OPENED_MS, OPENED_MS + 1)}), Counted()
    assert await acting(ledger, pager=pager).on_page(OPENED) is Outcome.DONE
    assert pager.told == ["opened"]


async def test_a_missing_ledger_is_said_after_all_pagers_had_their_turn() -> None:
    @dataclass
    class Away(FakeLedger):
        async def record(self, *_: object) -> None:
            raise LogUnreachable("no broker")

    one, two = Counted(), Counted()
    with pytest.raises(LogUnreachable):
        await acting(Away(), one=one, two=two).on_page(OPENED)
    assert (one.told, two.told) == (["opened"], ["opened"])


async def test_ending_the_worker_ends_the_telling() -> None:
    class Hangs:
        async def notify(self, notice: PageNotice) -> None:
            await asyncio.Event().wait()

    act = World().act(pagers={"hangs": Hangs(), "well": MemoryPager()})
    task = asyncio.create_task(act.on_page(OPENED))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
