"""Decisions: what is to be done about a release, why, and the numbers behind it, as one value.

A decision's id names what was decided, never who decided it, when it was computed or why: the same decision
has the same id from any worker, any interleaving, live or replayed (`monitor.core.ids`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What a decision asks for."""

    WATCH = "watch"
    PAGE = "page"
    ROLLBACK = "rollback"
    HOLD = "hold"


class Reason(StrEnum):
    """Why, as a closed list."""

    BREACH = "breach"
    IMMEDIATE = "immediate"
    CUMULATIVE = "cumulative"
    COMMANDER = "commander"
    COMMANDER_SILENT = "commander_silent"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    BOTH_DEGRADED = "both_degraded"
    TRAFFIC_SPLIT = "traffic_split"
    NOT_STICKY = "not_sticky"
    NO_DATA = "no_data"
    BLIND = "blind"
    BUDGET_CHANGED = "budget_changed"
    RECOVERED = "recovered"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"
    HALF_TIME = "half_time"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    OVERDUE = "overdue"
    DISARMED = "disarmed"
    WINDOW_ENDED = "window_ended"
    INPUT_ENDED = "input_ended"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLBACK_UNPROVEN = "rollback_unproven"
    ROLLBACK_UNDONE = "rollback_undone"
    ROLLBACK_STORM = "rollback_storm"
    ROLLBACK_DID_NOT_HELP = "rollback_did_not_help"


ABOUT_PROOF: Final = frozenset({Reason.ROLLBACK_FAILED, Reason.ROLLBACK_UNPROVEN, Reason.ROLLBACK_UNDONE})
"""Why a page says that the traffic does not prove a rollback."""

AFTER_ROLLBACK: Final = ABOUT_PROOF | {Reason.ROLLBACK_DID_NOT_HELP}
"""Why a page is opened once a rollback was carried out: there is nothing left to decide, and something to look at."""


class Type(StrEnum):
    """The event types this engine decides; `dev.rollbackbudget.<type>.v1` on the wire."""

    ARMING_CREATED = "arming.created"
    ARMING_ENDED = "arming.ended"
    BUDGET_CHANGED = "budget.changed"
    BREACH_STARTED = "breach.started"
    BREACH_CLEARED = "breach.cleared"
    ROLLBACK_REQUESTED = "rollback.requested"
    ROLLBACK_APPLIED = "rollback.applied"
    ROLLBACK_VERIFIED = "rollback.verified"
    ROLLBACK_FAILED = "rollback.failed"
    ROLLBACK_REHEARSED = "rollback.rehearsed"
    PAGE_OPENED = "page.opened"
    PAGE_DELIVERED = "page.delivered"
    PAGE_ACKNOWLEDGED = "page.acknowledged"
    PAGE_EXTENDED = "page.extended"
    PAGE_REMINDED = "page.reminded"
    PAGE_ESCALATED = "page.escalated"
    PAGE_EXPIRED = "page.expired"
    PAGE_RESOLVED = "page.resolved"
    OVERRIDE_CREATED = "override.created"
    OVERRIDE_EXPIRED = "override.expired"
    COMMAND_REFUSED = "command.refused"
    DEBT_CREATED = "evaldebt.created"
    DEBT_CLOSED = "evaldebt.closed"
    RELEASE_ASSESSED = "release.assessed"
    MONITOR_BLIND = "monitor.blind"
    MONITOR_RECOVERED = "monitor.recovered"
    BREAKER_CLOSED = "breaker.closed"
    DECISION_OBSERVED = "decision.observed"


EVERY_RELEASE: Final = "*"
"""The release of what is about the monitor as a whole: the key on its topic, the subject of its event."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One event of the monitor.

    Attributes:
        at_ms: Event time: the tick's, the incident's, or a command's record time.
        data: JSON-ready; no infinities, times as RFC 3339.
    """

    type: Type
    decision_id: str
    release: str
    at_ms: int
    data: Mapping[str, object]
