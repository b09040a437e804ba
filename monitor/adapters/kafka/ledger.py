"""The decision ledger on its compacted topic, key = decision id."""

from __future__ import annotations

from monitor.adapters.kafka.topics import LEDGER
from monitor.engine.ports import LedgerEntry, Log, Record
from monitor.wire.ledger import LedgerLine, NoLedgerRecord, from_ledger, to_ledger


class KafkaLedger:
    """`Ledger` on a log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, entry: LedgerEntry) -> None:
        """Put an entry on record; return when it is acknowledged. Raises `LogUnreachable`."""
        line = LedgerLine(entry.decision, entry.after_tick, entry.is_published, entry.command_id)
        key, value = to_ledger(line)
        await self._log.append(LEDGER, key.decode(), value)


def ledger_entry(record: Record) -> LedgerEntry | str:
    """Return the entry a record of the ledger's topic holds, or why it holds none that this version knows."""
    if record.value is None:
        return "a tombstone: somebody removed a decision from the record"
    try:
        line = from_ledger(record.value)
    except NoLedgerRecord as error:
        return str(error)
    return LedgerEntry(line.decision, line.after_tick, line.is_published, line.command_id)
