"""The canary: a trace event that nobody served, sent to see how long the monitor takes to store one.

It fits the contract like any other, names a release that no budget is for, and says `traffic: rehearsal`: only `live`
traffic is ever compared, so it is counted as accepted and is in no window.
"""

from __future__ import annotations

import json
from typing import Final

CANARY_RELEASE: Final = "rollback-budget-canary"
BEHIND_MS: Final = 60_000
"""How far its time lies behind: a partition's clock is moved by live traffic and never ahead of it by a canary."""


def canary(event_id: str, now_ms: int) -> bytes:
    """Return a canary as a record's value.

    Args:
        event_id: Unique; 1 to 64 characters.
        now_ms: Event time now, epoch milliseconds.
    """
    event = {
        "event_id": event_id,
        "at": max(0, now_ms - BEHIND_MS),
        "release": CANARY_RELEASE,
        "traffic": "rehearsal",
    }
    return json.dumps(event, separators=(",", ":")).encode()
