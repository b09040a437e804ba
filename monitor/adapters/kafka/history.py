"""The baseline history on its compacted topic, key = release, hour and slice."""

from __future__ import annotations

from monitor.adapters.kafka.topics import HISTORY
from monitor.core.history import HistoryHour
from monitor.engine.codec import decode_cell, encode_cell
from monitor.engine.ports import Log, Record
from monitor.engine.seal import StateDamaged
from monitor.wire.history import HistoryLine, NoHistoryRecord, from_history, to_history


class KafkaHistory:
    """`HistoryLog` on a log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, hour: HistoryHour) -> None:
        """Put an hour on record; return when it is acknowledged. Raises `LogUnreachable`."""
        packed = encode_cell(hour.cell)
        line = HistoryLine(hour.release, hour.hour, hour.minutes, hour.breached, packed, hour.view)
        key, value = to_history(line)
        await self._log.append(HISTORY, key, value)


def history_hour(record: Record) -> HistoryHour | str:
    """Return the hour that a record of the history's topic holds, or why it holds none."""
    if record.value is None:
        return "a tombstone: somebody removed an hour from the record"
    return hour_of(record.value)


def hour_of(value: bytes) -> HistoryHour | str:
    """Return the hour that a record's value holds, or why it holds none."""
    try:
        line = from_history(value)
        cell = decode_cell(line.packed)
        return HistoryHour(line.release, line.hour, line.minutes, line.breached, cell, line.view)
    except (NoHistoryRecord, StateDamaged) as error:
        return str(error)
