"""What the monitor said, as the demo reads it from Kafka: CloudEvents in binary mode (contract, section 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

TYPE_PREFIX: Final = "dev.rollbackbudget."
DECISIONS: Final = "rollback.decisions.v1"
REQUESTS: Final = "rollback.requests.v1"
PAGES: Final = "rollback.pages.v1"
EVAL_DEBT: Final = "rollback.eval-debt.v1"
LEDGER: Final = "rollback.ledger.v1"
OUTPUTS: Final = (DECISIONS, REQUESTS, PAGES, EVAL_DEBT, LEDGER)

BREACH_STARTED: Final = "breach.started.v1"
BREACH_CLEARED: Final = "breach.cleared.v1"
PAGE_OPENED: Final = "page.opened.v1"
PAGE_EXPIRED: Final = "page.expired.v1"
PAGE_RESOLVED: Final = "page.resolved.v1"
REQUESTED: Final = "rollback.requested.v1"
APPLIED: Final = "rollback.applied.v1"
VERIFIED: Final = "rollback.verified.v1"
FAILED: Final = "rollback.failed.v1"
OVERRIDE: Final = "override.created.v1"
DEBT: Final = "evaldebt.created.v1"
ASSESSED: Final = "release.assessed.v1"
_SAID: Final = {  # where an event brings no sentence of its own
    APPLIED: "the flag was read back as serving the baseline:",
    VERIFIED: "the traffic shows that the baseline is served:",
    FAILED: "the flag could not be turned:",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """One record of an output topic.

    Attributes:
        event_type: Without its prefix, `page.opened.v1`; empty where the record has none.
        event_id: The decision's id.
        record_ms: When the broker took the record, wall time; None where nobody said.
        release: From the data, else the record's key (output topics are keyed by release).
    """

    topic: str
    event_type: str
    event_id: str
    release: str
    data: Mapping[str, object] = field(default_factory=dict)
    record_ms: int | None = None

    def text(self, name: str) -> str:
        """Return a field of the data as text; empty where it is absent."""
        value = self.data.get(name)
        return "" if value is None else str(value)

    def moment_ms(self, name: str) -> int | None:
        """Return a field of the data that is a moment, epoch milliseconds; None where it is absent."""
        value = self.data.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return moment_ms(value) if isinstance(value, str) else None

    @property
    def sentence(self) -> str:
        """Return what happened in one sentence: the event's own, else one made of its fields."""
        for name in ("summary", "text"):
            if said := self.text(name):
                return said
        parts = [self.text("objective"), self.text("reason")]
        what = _SAID.get(self.event_type, self.event_type.removesuffix(".v1"))
        return " ".join([what, self.release, *filter(None, parts)])


def moment_ms(text: str) -> int | None:
    """Return an RFC 3339 moment as epoch milliseconds; None where it is none."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def sighting(
    topic: str,
    key: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    value: bytes | None,
    record_ms: int | None = None,
) -> Sighting | None:
    """Return what a record of an output topic says; None for a tombstone or something that is no JSON object."""
    try:
        data = json.loads(value) if value else None
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    named = {name: raw.decode("utf-8", "replace") for name, raw in headers}
    if topic == LEDGER and isinstance(data.get("event"), dict):
        data = data["event"]  # beside it stands what only recovery needs
    if isinstance(data.get("data"), dict):  # the whole event in the value: structured mode
        named = {"ce_type": str(data.get("type", "")), "ce_id": str(data.get("id", ""))} | named
        data = data["data"]
    text_key = key.decode("utf-8", "replace") if key else ""
    event_id = named.get("ce_id") or (text_key if topic == LEDGER else "")
    release = data.get("release") or ("" if topic == LEDGER else text_key)
    event_type = named.get("ce_type", str(data.get("type", ""))).removeprefix(TYPE_PREFIX)
    return Sighting(topic, event_type, event_id, str(release), data, record_ms)
