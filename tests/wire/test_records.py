"""Ledger records and dead letters: what is kept of a decision, and of an input that does not fit."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.wire.dead_letter import DeadLetter, dead_letter, digest_of
from monitor.wire.ledger import LedgerLine, LedgerRecord, NoLedgerRecord, from_ledger, to_ledger

DECISION = Decision(
    Type.ARMING_CREATED, decision_id("arming.created", "model-v42", 1), "model-v42", 60_000, {"arming": 1}
)


@pytest.mark.parametrize(
    "line",
    [
        LedgerLine(DECISION, 29_922_360, is_published=True, command_id="c-1"),
        LedgerLine(DECISION, None, is_published=False, command_id=None),
    ],
)
def test_a_decision_is_kept_and_found_again(line: LedgerLine) -> None:
    key, value = to_ledger(line)
    assert key == DECISION.decision_id.encode()
    assert from_ledger(value) == line
    LedgerRecord.model_validate_json(value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"event": None}, "ledger: event: "),
        ({"after_tick": "1"}, "ledger: after_tick: "),
        ({"published": 1}, "ledger: published: "),
        ({"worker": "w"}, "ledger: worker: "),
    ],
)
def test_a_record_that_cannot_be_read_says_why(change: dict[str, object], text: str) -> None:
    _, value = to_ledger(LedgerLine(DECISION, 1, is_published=True, command_id=None))
    with pytest.raises(NoLedgerRecord, match=text):
        from_ledger(json.dumps({**json.loads(value), **change}).encode())


def test_a_type_of_a_later_version_is_named() -> None:
    _, value = to_ledger(LedgerLine(DECISION, 1, is_published=True, command_id=None))
    with pytest.raises(NoLedgerRecord, match=r"event\.type: .*arming\.created\.v2"):
        from_ledger(value.replace(b"arming.created.v1", b"arming.created.v2"))


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b"[" * 60_000])
def test_no_bytes_break_the_reader(value: bytes) -> None:
    with pytest.raises(NoLedgerRecord):
        from_ledger(value)


@pytest.mark.parametrize("value", [None, b"", b'{"prompt": "a secret"}'])
def test_a_dead_letter_says_where_and_why_and_never_what(value: bytes | None) -> None:
    key, letter = dead_letter(
        "llm.traces.v1",
        3,
        1042,
        reason="missing_field:release",
        digest=digest_of(value),
        size=len(value or b""),
        at_ms=1_795_341_600_123,
    )
    assert key == b"llm.traces.v1/3"
    assert b"secret" not in letter
    read = DeadLetter.model_validate_json(letter)
    assert (read.source_topic, read.source_partition, read.source_offset) == ("llm.traces.v1", 3, 1042)
    assert read.sha256 == sha256(value or b"").hexdigest()
    assert read.at == "2026-11-22T10:00:00.123Z"
