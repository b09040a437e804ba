"""`page.*.v1`: what the incident commander is asked, and how it went on."""

from __future__ import annotations

from pydantic import Field

from monitor.core.budget import OnSilence, Tier
from monitor.core.decision import Action, Reason
from monitor.wire.decision import DecisionData
from monitor.wire.shared import Cohort, Count, Moment, Name, Observed, ReleaseData, Samples, Sha256, Text


class PageOpened(DecisionData):
    """A person must look; for a tier-B breach with a deadline, after which the budget's silence rule holds."""

    page_id: Name = Field(description="Stays the same while the page is open, reopened and resolved.")
    on_silence: OnSilence | None = Field(
        None, description="What becomes of the release at the deadline; null: this page never runs out."
    )
    request_id: Sha256 | None = Field(
        None, description="The request that the traffic does not prove; of `rollback_*` reasons only."
    )


class PageChanged(ReleaseData):
    """What every later event of a page says; its numbers are those that the page was opened with."""

    page_id: Name
    objective: str | None
    metric: str | None = None
    cohort: Cohort
    cohort_share: float | None = Field(None, ge=0, le=1)
    tier: Tier | None = None
    action: Action | None = None
    reason: Reason
    limit: float | None = None
    observed: Observed | None = Field(None, description="As the newest `page.opened` said.")
    samples: Samples | None = None
    held_min: Count | None = Field(
        None, description="Minutes the stretch had lasted when the page was opened."
    )
    breach_started_at: Moment | None = None
    decided_at: Moment
    deadline: Moment | None = Field(description="Null: this page never runs out.")
    exemplars: list[Name] = Field(default_factory=list, description="Trace ids: where to look.")
    summary: Text


class PageAcknowledged(PageChanged):
    """A person has seen it: reminders and escalation stop, the deadline does not."""

    author: Name
    request_id: Sha256 | None = Field(
        None, description="The request that is not applied; of a page about that only."
    )


class PageExtended(PageChanged):
    """The commander takes more time; `deadline` is the new one."""

    author: Name
    note: str = Field(description="The author's reason.")
    extended_min: int = Field(ge=1, description="Minutes added now.")
    extended_total_min: int = Field(ge=1, description="Minutes added since the page was opened.")


class PageReminded(PageChanged):
    """Half of the time to decide is over, and nobody has acknowledged the page."""


class PageEscalated(PageChanged):
    """Nobody has acknowledged the page: it goes to the next in the budget's `escalation`."""

    step: int | None = Field(description="Number of the step; null: the deadline has passed and waits.")
    pagers: list[Name] = Field(description="Who is told; empty: every pager.")
    on_call: str | None = Field(description="Who is named in it.")
    request_id: Sha256 | None = Field(
        None, description="The request that is not applied; of a page about that only."
    )


class PageExpired(PageChanged):
    """Nobody decided in time."""


class PageResolved(PageChanged):
    """There is nothing left to decide."""
