"""The history on a log: what is appended is what a reader finds, and other records are named."""

from __future__ import annotations

from monitor.adapters.kafka.history import KafkaHistory, history_hour
from monitor.adapters.kafka.topics import HISTORY
from monitor.adapters.memory.log import MemoryLog
from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.history import HistoryHour
from monitor.engine.ports import Record
from tests.engine.pasts import usual_hour


async def test_an_hour_comes_back_from_the_topic() -> None:
    log = MemoryLog()
    hour = HistoryHour("model/v41", 498_706, 60, False, usual_hour(0))
    await KafkaHistory(log).append(hour)
    ((record,),) = log.records(HISTORY)
    assert record.key == "model/v41/498706"
    assert history_hour(record) == hour


async def test_a_slice_comes_back_beside_everybody() -> None:
    log, view = MemoryLog(), cohort_key({"tenant": "acme"})
    hours = [HistoryHour("v41", 7, 60, False, usual_hour(0), one) for one in (OVERALL, view)]
    for hour in hours:
        await KafkaHistory(log).append(hour)
    assert [history_hour(record) for records in log.records(HISTORY) for record in records] == hours


def test_other_records_are_named() -> None:
    def at(value: bytes | None) -> Record:
        return Record(HISTORY, 0, 7, 0, "v41/1", value)

    assert history_hour(at(None)) == "a tombstone: somebody removed an hour from the record"
    assert "history: " in str(history_hour(at(b"{}")))
    damaged = (
        b'{"breached":false,"cell":"AAAA","hour":"2026-11-22T10:00:00.000Z","minutes":1,"release":"v41"}'
    )
    assert "a cell of 3 bytes cannot be read" in str(history_hour(at(damaged)))
