"""The pages topic: each change is told, and the delivery of an opened page is on record once."""

from __future__ import annotations

import pytest

from monitor.adapters.memory.pager import MemoryPager
from monitor.core.decision import Type
from monitor.engine.act import Outcome
from monitor.engine.act_events import not_applied, notice_of
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import severity_of
from monitor.engine.ports import About
from tests.engine.acting import REQUEST_ID, World, page, request


async def test_an_opened_page_is_delivered_once_and_its_delivery_recorded() -> None:
    world = World()
    assert await world.act().on_page(page(deadline="2026-11-22T03:00:00.000Z")) is Outcome.DONE
    assert await world.act().on_page(page(deadline="2026-11-22T03:00:00.000Z")) is Outcome.ALREADY_DONE
    (data,) = world.ledger.of(Type.PAGE_DELIVERED)
    assert data == {
        "page_id": "p1", "event_id": "e-page.opened", "state": "opened", "release": "model-v42",
        "pager": "memory", "delivered_at": "2026-11-18T11:06:40.000Z",
    }  # fmt: skip
    (notice,) = world.pager.delivered.values()
    assert (notice.page_id, notice.deadline_ms, notice.text) == ("p1", 1_795_316_400_000, "latency is up")


async def test_an_undelivered_page_is_not_recorded_as_delivered() -> None:
    world = World(pager=MemoryPager([PagerFailed("down", retryable=True)] * 99))
    with pytest.raises(PagerFailed):
        await world.act().on_page(page())
    assert world.ledger.records == {}


@pytest.mark.parametrize(
    ("kind", "state", "recorded"),
    [
        ("page.opened", "opened", 1),
        ("page.acknowledged", "acknowledged", 0),  # only an opening starts the commander's clock
        ("page.expired", "expired", 0),
        ("page.resolved", "resolved", 0),
        ("monitor.blind", "opened", 1),
        ("monitor.recovered", "resolved", 0),
    ],
)
async def test_each_change_of_a_page_is_told(kind: str, state: str, recorded: int) -> None:
    world = World()
    assert await world.act().on_page(page(kind)) is Outcome.DONE
    assert [told for told, _ in world.told()] == [state]
    assert len(world.ledger.of(Type.PAGE_DELIVERED)) == recorded


@pytest.mark.parametrize(("kind", "state"), [("acknowledged", "acknowledged"), ("escalated", "escalated")])
async def test_what_becomes_of_a_page_that_a_rollback_is_not_applied_is_told_of_the_page_that_was_opened_so(
    kind: str, state: str
) -> None:
    """The same alert to every paging system: its name and its labels come from the request, as when it was opened."""
    world = World()
    change = page(f"page.{kind}", page_id="f1", request_id=REQUEST_ID, author="ada", cohort={})
    assert await world.act().on_page(change) is Outcome.DONE
    (notice,) = world.pager.delivered.values()
    assert (notice.about, notice.page_id, notice.state) == (About.NOT_APPLIED, "f1", state)
    assert notice.opened == request()["data"]
    assert severity_of(notice) is severity_of(not_applied(request(), "f1", "no token"))


async def test_other_events_are_none_of_its_business() -> None:
    world = World()
    assert await world.act().on_page(request()) is Outcome.IGNORED
    assert await world.act().on_request(page()) is Outcome.IGNORED
    assert await world.act().on_page({}) is Outcome.IGNORED


def test_a_page_without_a_sentence_still_says_something() -> None:
    notice = notice_of(page("monitor.blind", summary=None, release=None, reason="blind"), "opened")
    assert "blind" in notice.text
