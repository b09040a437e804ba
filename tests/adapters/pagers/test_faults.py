"""What every pager promises where its system fails: one open page at the other end, never two, never none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from monitor.core.decision import Type
from monitor.engine.act import Act, Outcome
from monitor.engine.errors import PagerFailed
from monitor.engine.tell import PagePast
from tests.adapters.pagers.real_alertmanager import RIGS_WITH_REAL
from tests.adapters.pagers.rigs import HURRIED_S, PATIENT_S, SECRETS, Rig
from tests.adapters.pagers.systems import FAULTS, Said, serving
from tests.engine.acting import FakeLedger, World, page

PAGE = "b2220e2d6b46f229d7b314c80fe4a2368e5d0737ccc668ea168151f0792c80d0"
DATA: dict[str, Any] = {
    "page_id": PAGE,
    "baseline": "model-v41",
    "budget": "chat",
    "objective": "latency.p95_delta_pct",
    "metric": "p95",
    "cohort": {"tenant": "Müller & Söhne <b>"},
    "tier": "B",
    "reason": "breach",
    "decided_at": "2026-11-18T11:06:40.000Z",
    "deadline": "2026-11-18T11:21:40.000Z",
    "on_silence": "rollback",
}
OPENED = page(**DATA)
CHANGE = {key: DATA[key] for key in ("page_id", "baseline", "budget", "objective", "cohort")}


def change(kind: str) -> dict[str, Any]:
    """Return a later event of the page, dated after its opening."""
    return page(kind, **CHANGE, author="ann", decided_at="2026-11-18T11:10:00.000Z")


@pytest.fixture(params=list(RIGS_WITH_REAL))
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Each vendor in turn, its system not listening yet."""
    async with RIGS_WITH_REAL[request.param]() as made:
        yield made
        await made.close()


def acting(rig: Rig, ledger: FakeLedger, attempt_s: float = PATIENT_S) -> Act:
    """Return an `Act` over a new pager: as after a start, nothing is remembered but the ledger and the world."""
    return World(ledger=ledger).act(pagers={rig.name: rig.pager(attempt_s)}, clock=World())


def ledger() -> FakeLedger:
    """Return a ledger that knows the page's opening."""
    return FakeLedger(pages={PAGE: PagePast(OPENED["data"], 1_795_000_000_000, None)})


@pytest.mark.parametrize("faults", [*([fault] for fault in FAULTS), ["500", "no answer after applying"]])
async def test_a_fault_neither_loses_a_page_nor_opens_a_second_one(rig: Rig, faults: list[str]) -> None:
    is_slow = faults[-1].startswith("no answer")
    async with serving(rig.front):
        rig.front.faults = list(faults)
        book = ledger()
        act = acting(rig, book, HURRIED_S if is_slow else PATIENT_S)
        assert await act.on_page(OPENED) is Outcome.DONE
        assert rig.front.faults == []
        assert len(book.of(Type.PAGE_DELIVERED)) == 1
        if faults == ["wrong answer"] and not rig.knows_receipts:
            assert rig.pages() == {}  # any 2xx is a receipt there: docs/pagers.md says so
            return
        assert rig.pages() == {PAGE: "open"}
        if rig.knows_repeats:
            assert rig.messages() == 1
        elif not is_slow:  # there a busy machine may repeat it once more
            assert rig.messages() == (2 if faults == ["500 after applying"] else 1)


async def test_a_system_that_refuses_connections_gets_the_page_when_it_is_back(rig: Rig) -> None:
    async with serving(rig.front, listening=False) as listen:
        rig.time.meanwhile = listen
        world = World(ledger=ledger())
        act = world.act(pagers={rig.name: rig.pager()}, sleep=rig.time.sleep)
        assert await act.on_page(OPENED) is Outcome.DONE
        assert (rig.pages(), rig.messages()) == ({PAGE: "open"}, 1)


async def test_each_change_of_a_page_reaches_the_page_it_is_about(rig: Rig) -> None:
    async with serving(rig.front):
        act = acting(rig, ledger())
        await act.on_page(OPENED)
        await act.on_page(change("page.acknowledged"))
        assert rig.pages() == {PAGE: "acknowledged" if rig.acknowledges else "open"}
        await act.on_page(change("page.expired"))
        await act.on_page(change("page.resolved"))
        assert rig.pages() == {PAGE: "resolved"}


async def test_a_change_after_a_restart_finds_its_page(rig: Rig) -> None:
    async with serving(rig.front):
        await acting(rig, ledger()).on_page(OPENED)
        await acting(rig, ledger()).on_page(change("page.resolved"))
        assert rig.pages() == {PAGE: "resolved"}


async def test_a_fault_at_the_end_does_not_leave_the_page_open(rig: Rig) -> None:
    async with serving(rig.front):
        act = acting(rig, ledger())
        await act.on_page(OPENED)
        rig.front.faults = ["500", "reset"]
        await act.on_page(change("page.resolved"))
        assert rig.pages() == {PAGE: "resolved"}


async def test_a_crash_between_the_page_and_its_record_repeats_it_harmlessly(rig: Rig) -> None:
    async with serving(rig.front):
        await acting(rig, ledger()).on_page(OPENED)  # the record of this one is lost
        await acting(rig, ledger()).on_page(OPENED)
        assert rig.pages() == {PAGE: "open"}
        assert rig.messages() == (1 if rig.knows_repeats else 2)


async def test_a_page_that_opens_again_is_open_again(rig: Rig) -> None:
    async with serving(rig.front):
        act = acting(rig, ledger())
        await act.on_page(OPENED)
        await act.on_page(change("page.resolved"))
        again = page(**{**DATA, "decided_at": "2026-11-18T11:30:00.000Z"}) | {"id": "e-again"}
        assert await act.on_page(again) is Outcome.DONE
        assert rig.pages() == {PAGE: "open"}


async def test_a_refusal_is_final_named_and_asked_once(rig: Rig) -> None:
    refusal = rig.refusal
    if refusal is None:  # a library that answers yes or no has no final no
        return
    rig.front.system = lambda _: refusal
    async with serving(rig.front):
        book = ledger()
        with pytest.raises(PagerFailed) as failed:
            await acting(rig, book).on_page(OPENED)
        assert not failed.value.retryable
        assert book.records == {}
        assert len([one for one in rig.front.asked if one.method == "POST"]) == 1


async def test_a_refusal_that_repeats_what_it_was_sent_tells_no_secret(rig: Rig) -> None:
    rig.front.system = lambda asked: Said(400, f"{asked.headers} {asked.body.decode()}")
    async with serving(rig.front):
        with pytest.raises(PagerFailed) as failed:
            await acting(rig, ledger()).on_page(OPENED)
    assert [secret for secret in SECRETS if secret in str(failed.value)] == []


async def test_no_failure_tells_a_secret(rig: Rig) -> None:
    async with serving(rig.front):
        rig.front.faults = ["500"] * 1_000
        with pytest.raises(PagerFailed) as failed:
            await acting(rig, ledger()).on_page(OPENED)
        said = f"{failed.value} {failed.value.__cause__!r}"
        assert [secret for secret in SECRETS if secret in said] == []
