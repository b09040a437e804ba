"""What effects can ask the ledger about a page, in whatever order a compacted topic hands it over."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.engine.book import LedgerBook
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.ports import LedgerEntry
from monitor.engine.tell import PagePast
from tests.engine.plant import Ticking, Topics

RELEASE = "model-v42"
NOT_ASKED: Any = None
EVENTS = (
    (Type.PAGE_OPENED, "e1", 10, "p1"),
    (Type.PAGE_RESOLVED, "e2", 20, "p1"),
    (Type.PAGE_OPENED, "e3", 30, "p1"),
    (Type.MONITOR_BLIND, "e4", 40, "p2"),
)


@pytest.mark.parametrize("events", list(permutations(EVENTS)))
async def test_the_newest_opening_and_the_newest_end_of_a_page_are_found(
    events: tuple[tuple[Type, str, int, str], ...],
) -> None:
    book = LedgerBook()
    for kind, decision_id, at_ms, page_id in events:
        data = {"page_id": page_id, "event": decision_id}
        book.note(LedgerEntry(Decision(kind, decision_id, RELEASE, at_ms, data), None, True))
    ledger = EffectLedger(cast("Any", SimpleNamespace(book=book)), NOT_ASKED, NOT_ASKED, NOT_ASKED)
    assert await ledger.page(RELEASE, "p1") == PagePast({"page_id": "p1", "event": "e3"}, 30, 20)
    assert await ledger.page(RELEASE, "p2") == PagePast({"page_id": "p2", "event": "e4"}, 40, None)
    assert await ledger.page(RELEASE, "p3") == await ledger.page("another", "p1") == PagePast()


async def test_what_is_recorded_is_on_record_before_it_is_out_and_known_after_that() -> None:
    topics, book = Topics(), LedgerBook()
    control: Any = SimpleNamespace(book=book, note=book.note)
    ledger = EffectLedger(control, topics, topics, Ticking(5))
    assert not await ledger.known("d1")
    assert await ledger.event("d1") is None
    await ledger.record(Type.PAGE_ESCALATED, "d1", "", {"pagers": ["a"]})
    said = Decision(Type.PAGE_ESCALATED, "d1", EVERY_RELEASE, 5, {"pagers": ["a"]})
    assert topics.entries == [LedgerEntry(said, None), LedgerEntry(said, None, True)]
    assert topics.journal == ["record page.escalated", "publish page.escalated", "record page.escalated"]
    assert await ledger.known("d1")
    event = await ledger.event("d1")
    assert event is not None
    assert (event["id"], event["data"]) == ("d1", {"pagers": ["a"]})
    book.note(LedgerEntry(Decision(Type.PAGE_OPENED, "d2", RELEASE, 1, {}), None))
    assert not await ledger.known("d2")  # on record, and not yet out


async def test_who_was_told_is_who_was_told_of_the_newest_opening() -> None:
    book = LedgerBook()
    for kind, name, at_ms, pagers in (
        (Type.PAGE_ESCALATED, "before", 9, ["old"]),
        (Type.PAGE_OPENED, "open", 10, ["not a step"]),
        (Type.PAGE_ESCALATED, "same", 10, ["a"]),
        (Type.PAGE_ESCALATED, "later", 11, ["b", "c"]),
        (Type.PAGE_ESCALATED, "odd", 12, "d"),
        (Type.PAGE_ACKNOWLEDGED, "told", 13, ["e"]),
    ):
        data = {"page_id": "p1", "pagers": pagers, "event": name}
        book.note(LedgerEntry(Decision(kind, name, RELEASE, at_ms, data), None, True))
    ledger = EffectLedger(cast("Any", SimpleNamespace(book=book)), NOT_ASKED, NOT_ASKED, NOT_ASKED)
    assert (await ledger.page(RELEASE, "p1")).escalated_to == {"a", "b", "c"}


@pytest.mark.parametrize(("kind", "told"), [(Type.MONITOR_BLIND, {"boss"}), (Type.PAGE_OPENED, set())])
@pytest.mark.parametrize("asked", [EVERY_RELEASE, "v42"])
async def test_a_blindness_was_told_to_whom_any_of_its_releases_told_it_and_no_other_page_was(
    kind: Type, told: set[str], asked: str
) -> None:
    book = LedgerBook()
    opening = {"page_id": "b1", "releases": ["v42", "v43"]}
    for decision in (
        Decision(kind, "b1", EVERY_RELEASE, 10, opening),
        Decision(Type.PAGE_ESCALATED, "e1", "v43", 20, {"page_id": "b1", "pagers": ["boss"]}),
    ):
        book.note(LedgerEntry(decision, None, True))
    ledger = EffectLedger(cast("Any", SimpleNamespace(book=book)), NOT_ASKED, NOT_ASKED, NOT_ASKED)
    past = await ledger.page(asked, "b1")
    assert past.escalated_to == told
    assert past.opened_ms == (10 if kind is Type.MONITOR_BLIND or asked == EVERY_RELEASE else None)
