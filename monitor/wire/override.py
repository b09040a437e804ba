"""`override.created.v1` and `override.expired.v1`: a person holds rollbacks back, for a time and with a reason."""

from __future__ import annotations

from pydantic import Field

from monitor.core.decision import Reason
from monitor.wire.shared import Moment, Name, ReleaseData, Text


class OverrideData(ReleaseData):
    """An override, as its author signed it."""

    override_id: Name
    objective: str | None = Field(description="Null: the whole release is held.")
    until: Moment | None = Field(description="Null: until that objective clears.")
    limit: float | None = Field(description="Holds only while the delta is not beyond this.")
    author: Name
    note: str = Field(description="The author's reason.")
    reason: Reason = Field(description="Why this event: `commander`, `expired`, `recovered`.")
    decided_at: Moment
    summary: Text


class OverrideCreated(OverrideData):
    """A commander holds a rollback back."""


class OverrideExpired(OverrideData):
    """It is over; the rule runs on current evidence."""
