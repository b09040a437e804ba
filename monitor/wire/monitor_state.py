"""`monitor.blind.v1` and `monitor.recovered.v1`: the monitor cannot see and says so, or sees again."""

from __future__ import annotations

from pydantic import Field

from monitor.core.decision import Reason
from monitor.wire.shared import Message, Moment, Name, Release, Text


class MonitorState(Message):
    """What cannot be seen, since when, and which releases nobody watches meanwhile."""

    release: Release | None = Field(description="Null: all of `releases`.")
    releases: list[Release] = Field(description="The armed releases concerned.")
    cause: Name = Field(
        description="What is not read: `kafka`, `redis`, `lag`, `stuck`, `rebuilding`, `defect`, another."
    )
    partitions: list[Name] = Field(
        default_factory=list, description="`topic/number` of the partitions not read."
    )
    reason: Reason
    since: Moment
    decided_at: Moment
    page_id: Name | None = None
    summary: Text


class MonitorBlind(MonitorState):
    """The monitor cannot see: nothing is decided, deadlines wait, people are paged."""


class MonitorRecovered(MonitorState):
    """It sees again; what was missed has been read."""

    blind_seconds: float = Field(ge=0, description="How long it could not see.")
