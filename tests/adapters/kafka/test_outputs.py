"""What goes onto the topics comes back from them as it was, and what is no entry says why."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from monitor.adapters.kafka.ledger import KafkaLedger, ledger_entry
from monitor.adapters.kafka.outputs import KafkaOutputs, incident_of
from monitor.adapters.kafka.topics import DEAD_LETTERS, INCIDENTS, LEDGER, PAGES
from monitor.adapters.memory.log import MemoryLog
from monitor.core.cell import Incident
from monitor.core.decision import Decision, Type
from monitor.engine.ports import DeadLetter, LedgerEntry, Partition, Record, Stamp

OPENED = Decision(
    Type.PAGE_OPENED, "a" * 64, "v42", 1_795_000_000_000, {"release": "v42", "page_id": "a" * 64}
)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(now_ms=lambda: 5)


def only(log: MemoryLog, topic: str) -> Record:
    ((record,),) = log.records(topic)
    return record


@pytest.mark.parametrize("entry", [LedgerEntry(OPENED, None), LedgerEntry(OPENED, 7, True, "c1")])
async def test_an_entry_comes_back_from_the_ledger_as_it_was(log: MemoryLog, entry: LedgerEntry) -> None:
    await KafkaLedger(log).append(entry)
    record = only(log, LEDGER)
    assert record.key == OPENED.decision_id
    assert ledger_entry(record) == entry


def test_what_is_no_entry_says_why() -> None:
    record = Record(LEDGER, 0, 0, 5, "k", None)
    assert "tombstone" in str(ledger_entry(record))
    assert "ledger: " in str(ledger_entry(replace(record, value=b"{}")))


async def test_a_published_decision_is_stamped_by_the_log(log: MemoryLog) -> None:
    assert await KafkaOutputs(log).publish(OPENED) == Stamp(0, 0, 5)
    assert only(log, PAGES).key == "v42"


async def test_an_incident_comes_back_as_it_was_and_nothing_else_is_one(log: MemoryLog) -> None:
    incident = Incident("v42", "e1", 61_000, 1, "high", "x", "pii", (("region", "eu"),))
    await KafkaOutputs(log).publish_incident(incident)
    record = only(log, INCIDENTS)
    assert record.key == "v42"
    assert incident_of(record) == incident
    assert incident_of(replace(record, value=None)) is None
    assert incident_of(replace(record, value=b"no")) is None


async def test_a_dead_letter_names_the_record(log: MemoryLog) -> None:
    await KafkaOutputs(log).publish_dead_letter(DeadLetter(Partition("t", 3), 9, "not_json", 2, "ab" * 32, 1))
    value = only(log, DEAD_LETTERS).value
    assert value is not None
    letter = msgspec.json.decode(value)
    assert (letter["source_partition"], letter["source_offset"]) == (3, 9)
