"""Recorded orders: a file with one a line, or a range of the commands' topic. Each counts at its record time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final

from monitor.adapters.kafka.readers import command_of
from monitor.adapters.kafka.topic_range import RangeReader
from monitor.adapters.recordings import FileRecordings, RecordingUnreadable
from monitor.core.event import MAX_AT_MS
from monitor.core.ids import canonical_json
from monitor.engine.book import Command
from monitor.engine.ports import Record
from monitor.wire.json_text import load_object
from monitor.wire.rejection import Rejection
from monitor.wire.rfc3339 import parse_strictly
from monitor.wire.signing import Signatures
from monitor.wire.topics import COMMANDS

_AT: Final = (
    "at: missing or no moment; write its record time, as RFC 3339 with an offset or epoch milliseconds"
)


def read_orders(path: Path, signatures: Signatures) -> list[Command]:
    """Return the orders of a file: each line is an order as on the topic, with its record time as `at`.

    Raises:
        RecordingUnreadable: The file cannot be read, or a line of it is no such order; the message says which.
        RecordingBroken: It ends before its end.
    """
    found: list[Command] = []
    batches = FileRecordings([str(path)], None).batches()
    for number, line in enumerate(chain.from_iterable(batches), start=1):
        if line.strip():
            order = _order_of(line, number, signatures)
            if isinstance(order, str):
                raise RecordingUnreadable(f"{path}: line {number}: {order}")
            found.append(order)
    return found


def _order_of(line: bytes, number: int, signatures: Signatures) -> Command | str:
    loaded = load_object(line)
    if isinstance(loaded, Rejection):
        return f"{loaded.reason}; it must be one JSON object in UTF-8"
    at = loaded.pop("at", None)
    at_ms = parse_strictly(at) if isinstance(at, str) else at
    if not isinstance(at_ms, int) or isinstance(at_ms, bool) or not 0 <= at_ms <= MAX_AT_MS:
        return _AT
    record = Record(COMMANDS, 0, number, at_ms, None, canonical_json(loaded).encode())
    return command_of(record, at_ms, signatures)


async def read_order_range(
    reader: RangeReader, event_ms: Callable[[int], int], signatures: Signatures
) -> tuple[list[Command], list[str]]:
    """Return the orders of a range of the commands' topic, and why records of it are none: a worker passes them too.

    Args:
        event_ms: Maps a record's own time to event time.

    Raises:
        LogUnreachable: Kafka does not answer.
        RecordingUnreadable, RecordingBroken: There is no such range, or it could not be read to its end.
    """
    found: list[Command] = []
    unused: list[str] = []
    try:
        await reader.start()
        async for batch in reader.batches():
            for _, at_ms, value in batch.records:
                record = Record(COMMANDS, 0, 0, at_ms, None, value)
                order = command_of(record, event_ms(at_ms), signatures)
                if isinstance(order, str):
                    unused.append(order)
                else:
                    found.append(order)
    finally:
        await reader.stop()
    return found, unused
