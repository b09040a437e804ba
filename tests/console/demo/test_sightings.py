"""The demo reads the monitor's events as they stand in Kafka, and nothing else trips it."""

from __future__ import annotations

import json

import pytest

from monitor.console.demo.sightings import LEDGER, PAGE_OPENED, PAGES, REQUESTED, sighting
from monitor.core.decision import Decision, Type
from monitor.wire.ledger import LedgerLine, to_ledger


def test_an_event_in_binary_mode() -> None:
    headers = [("ce_type", b"dev.rollbackbudget.page.opened.v1"), ("ce_id", b"abc")]
    value = json.dumps(
        {"release": "r1", "objective": "o", "deadline": "2026-11-22T00:01:00.500Z", "summary": "s"}
    )
    seen = sighting(PAGES, b"r1", headers, value.encode())
    assert seen is not None
    assert (seen.event_type, seen.event_id, seen.release) == (PAGE_OPENED, "abc", "r1")
    assert seen.moment_ms("deadline") == 1_795_305_660_500
    assert seen.sentence == "s"


def test_an_event_in_structured_mode() -> None:
    whole = {"type": "dev.rollbackbudget.page.opened.v1", "id": "abc", "data": {"release": "r1"}}
    seen = sighting(PAGES, None, [], json.dumps(whole).encode())
    assert seen is not None
    assert (seen.event_type, seen.event_id, seen.release) == (PAGE_OPENED, "abc", "r1")


def test_a_ledger_record_holds_the_whole_event() -> None:
    decision = Decision(
        Type.ROLLBACK_REQUESTED, "abc", "r1", 1_795_305_600_000, {"release": "r1", "arming": 1}
    )
    key, value = to_ledger(LedgerLine(decision, None, True, None))
    seen = sighting(LEDGER, key, [], value)
    assert seen is not None
    assert (seen.event_type, seen.event_id, seen.release) == (REQUESTED, "abc", "r1")


def test_an_event_without_a_sentence_gets_one() -> None:
    seen = sighting(
        PAGES, b"r1", [("ce_type", b"dev.rollbackbudget.page.opened.v1")], b'{"reason": "breach"}'
    )
    assert seen is not None
    assert seen.sentence == "page.opened r1 breach"


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b"[1]", b"\xff", b'"text"'])
def test_what_is_no_event_is_passed_over(value: bytes | None) -> None:
    assert sighting(PAGES, b"r1", [], value) is None


@pytest.mark.parametrize("value", ["", "soon", None, True])
def test_what_is_no_moment_is_none(value: object) -> None:
    seen = sighting(PAGES, b"r1", [], json.dumps({"deadline": value}).encode())
    assert seen is not None
    assert seen.moment_ms("deadline") is None
