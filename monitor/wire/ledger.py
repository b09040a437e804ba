"""The ledger's records: every decision as a structured CloudEvent, and what recovery needs beside it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from monitor.core.decision import Decision
from monitor.core.errors import MonitorError
from monitor.core.ids import canonical_json
from monitor.wire.cloudevent import (
    SOURCE,
    NotACloudEvent,
    from_structured,
    of_decision,
    to_decision,
    to_structured,
)
from monitor.wire.envelope import StructuredEvent
from monitor.wire.shared import Message, Name


class LedgerRecord(Message):
    """One record of `rollback.ledger.v1`; compacted, key = the event's id."""

    event: StructuredEvent = Field(description="The decision, of any type.")
    after_tick: int | None = Field(description="Last tick evaluated before it, minutes since the epoch.")
    published: bool = Field(description="False: it may still have to go out.")
    command_id: Name | None = Field(None, description="The command it answers.")


class NoLedgerRecord(MonitorError):
    """A record of the ledger that this version cannot read; the text says why."""


class LedgerLine(NamedTuple):
    """What a record holds, as the engine's ledger entry has it."""

    decision: Decision
    after_tick: int | None
    is_published: bool
    command_id: str | None


def to_ledger(line: LedgerLine, source: str = SOURCE) -> tuple[bytes, bytes]:
    """Return key (the decision id) and value of a decision's record."""
    record: dict[str, Any] = {
        "event": to_structured(of_decision(line.decision, source)),
        "after_tick": line.after_tick,
        "published": line.is_published,
    }
    if line.command_id is not None:
        record["command_id"] = line.command_id
    return line.decision.decision_id.encode(), canonical_json(record).encode()


def from_ledger(value: bytes) -> LedgerLine:
    """Return what a record of the ledger holds.

    Raises:
        NoLedgerRecord: It is none, or of a type this version does not decide.
    """
    try:
        record = LedgerRecord.model_validate_json(value)
        decision = to_decision(from_structured(json.loads(value)["event"]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "record"
        raise NoLedgerRecord(f"ledger: {place}: {first['msg']}") from error
    except NotACloudEvent as error:
        raise NoLedgerRecord(f"ledger: event.{error}") from error
    return LedgerLine(decision, record.after_tick, record.published, record.command_id)
