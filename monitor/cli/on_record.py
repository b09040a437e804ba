"""Where the verbs find decisions: in the ledger, or in a file of events, as `replay` writes them.

Loaded by the verbs when they run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from monitor.adapters.kafka.ledger import ledger_entry
from monitor.adapters.recordings import STDIN, FileRecordings
from monitor.cli import orders
from monitor.cli.status import read_ledger_records
from monitor.config.settings_source import load_settings
from monitor.core.decision import Decision
from monitor.core.errors import MonitorError
from monitor.engine.page_words import plain
from monitor.engine.ports import LedgerEntry
from monitor.wire.cloudevent import (
    CloudEvent,
    NotACloudEvent,
    finite_only,
    from_structured,
    of_decision,
    to_decision,
    to_line,
)

EVENT_BYTES_MAX: Final = 16 << 20
"""Of one line: a decision's proof is longer than any trace event, and still nobody has to hold what never ends."""

EVENTS_MAX: Final = 1_000_000
"""Of one file; more is refused and not cut."""


class NothingOnRecord(MonitorError):
    """No decision was found; the message says where, and what writes some."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class OnRecord:
    """Decisions as events.

    Attributes:
        source: `ledger` or `events`.
        unread: Lines, or records of the ledger, that are no decision which this version knows.
        why: Of the first of them.
    """

    events: list[CloudEvent]
    source: str
    unread: int
    why: str | None

    def decisions(self) -> list[Decision]:
        """Return them as decisions."""
        return [to_decision(event) for event in self.events]

    def unread_words(self) -> str | None:
        """Return what was not read; None where all was."""
        if not self.unread:
            return None
        what = "records of the ledger" if self.source == "ledger" else "lines"
        first = plain(self.why or "")
        return (
            f"{self.unread} {what} could not be read as decisions and count for nothing; the first: {first}"
        )


def on_record(name: str | None) -> OnRecord:
    """Return the decisions of a file of events (`-` is standard input), or of the ledger.

    Raises:
        NothingOnRecord: The file holds no decision, or too many.
        RecordingUnreadable: The file cannot be read.
        KafkaAway: Kafka does not answer.
    """
    return _of_ledger() if name is None else _of_file(name)


def lines_of(name: str) -> Iterator[bytes]:
    """Yield the lines of a file (plain, gzip or zstd; `-` is standard input) that are not blank.

    A line beyond `EVENT_BYTES_MAX` is cut there, so that it is no JSON.

    Raises:
        RecordingUnreadable: The file cannot be read.
        RecordingBroken: Not to its end.
    """
    with ExitStack() as stack:
        stdin = None
        if name == STDIN and sys.stdin is not None:
            stdin = stack.enter_context(open(sys.stdin.fileno(), "rb", closefd=False))
        for batch in FileRecordings([name], stdin, line_bytes_max=EVENT_BYTES_MAX).batches():
            yield from filter(bytes.strip, batch)


def _of_file(name: str) -> OnRecord:
    found: list[CloudEvent] = []
    unread, why = 0, None
    for line in lines_of(name):
        try:
            found.append(event_of(line))
        except NotACloudEvent as error:
            unread, why = unread + 1, why or str(error)
        if len(found) > EVENTS_MAX:
            raise NothingOnRecord(f"{name}: holds more than {EVENTS_MAX:,} decisions; give a part of them")
    if not found:
        raise NothingOnRecord(
            f"{name}: none of its {unread} lines is a decision; `rollback-budget replay ... > decisions.jsonl` "
            "writes such a file"
        )
    return OnRecord(found, "events", unread, why)


def event_of(line: bytes) -> CloudEvent:
    """Return the decision of a line.

    Raises:
        NotACloudEvent: It is none, or one that no text can say again (half a character in it).
    """
    event = from_structured(line)
    event = replace(event, data=finite_only(event.data))
    to_decision(event)
    try:
        to_line(event)
    except (ValueError, RecursionError) as error:
        raise NotACloudEvent(f"event: cannot be written again: {error}") from error
    return event


def _of_ledger() -> OnRecord:
    settings = load_settings()
    with orders.kafka_said_plainly(settings):
        records = asyncio.run(read_ledger_records(orders.kafka_log(settings)))
    found = [ledger_entry(record) for record in records]
    unread = [one for one in found if not isinstance(one, LedgerEntry)]
    events = [of_decision(one.decision) for one in found if isinstance(one, LedgerEntry)]
    return OnRecord(events, "ledger", len(unread), unread[0] if unread else None)
