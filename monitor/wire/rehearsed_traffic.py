"""The trace events of a drill: they fit the contract like any other, and say `traffic: rehearsal`."""

from __future__ import annotations

import json
from typing import Any, Final

FAILURE_CLASS: Final = "rehearsal"


def rehearsed_request(event_id: str, release: str, at_ms: int, *, has_incident: bool = False) -> bytes:
    """Return one request of a drill as a record's value.

    Args:
        event_id: Unique; 1 to 64 characters.
        release: One of the drill's two stand-ins.
        at_ms: When it finished, epoch milliseconds.
        has_incident: It reports a critical incident: the synthetic breach.
    """
    event: dict[str, Any] = {
        "event_id": event_id,
        "at": max(0, at_ms),
        "release": release,
        "traffic": "rehearsal",
        "trace_id": event_id,
    }
    if has_incident:
        event |= {"incident_severity": "critical", "failure_class": FAILURE_CLASS}
    return json.dumps(event, separators=(",", ":")).encode()
