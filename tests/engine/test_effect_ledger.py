"""What effects can ask the ledger about a page, in whatever order a compacted topic hands it over."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.core.decision import Decision, Type
from monitor.engine.book import LedgerBook
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.ports import LedgerEntry
from monitor.engine.tell import PagePast

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
