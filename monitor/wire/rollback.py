"""`rollback.*.v1`: what is asked for, what the actuator did, and what the traffic shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from monitor.core.budget import RollbackBy, Tier
from monitor.core.decision import Reason
from monitor.wire.decision import DecisionData
from monitor.wire.shared import (
    Cohort,
    Message,
    Moment,
    Name,
    Release,
    ReleaseData,
    Sha256,
    Text,
)

Ratio = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
FlagState = Annotated[dict[str, Any], Field(description="The flag as the actuator read it.")]


class Flag(Message):
    """The switch that serves the candidate."""

    actuator: Name = Field(description="Which flag system.")
    key: Name = Field(description="The flag's key in it.")
    scope: str | None = Field(None, description="Environment, project or segment, as that system names it.")
    rollback_by: RollbackBy = Field(
        RollbackBy.SERVE_VARIATION, description="How the flag goes back there; absent: `serve_variation`."
    )


class RollbackRequested(DecisionData):
    """Downstream must roll back. One per release and arming, however many limits break."""

    flag: Flag | None = Field(description="Null: the budget names no flag; consumers of this event act.")
    baseline_variation: str | None = Field(description="The variation to serve.")
    candidate_variation: str | None = Field(description="The variation to serve no longer.")
    scope: Literal["release", "cohort"] = Field(
        "release",
        description="`cohort`: only the slice in `cohort` goes back; else that is where it was seen.",
    )


class RollbackFollowUp(ReleaseData):
    """What follows from a request: which one, and what it was about."""

    request_id: Sha256 = Field(description="Id of the `rollback.requested` event.")
    objective: str | None = None
    metric: str | None = None
    cohort: Cohort = Field(default_factory=dict)
    tier: Tier | None = None
    action: Literal["rollback"] = "rollback"
    decided_at: Moment | None = None
    summary: Text | None = None


class RollbackApplied(RollbackFollowUp):
    """The flag was read back as serving the baseline."""

    reason: Reason | None = Field(None, description="The request's.")
    actuator: Name
    flag: Name = Field(description="The flag's key.")
    changed: bool = Field(description="False: it served the baseline already.")
    before: FlagState
    after: FlagState
    seconds: Seconds = Field(description="From the first attempt to the read-back.")


class RollbackVerified(RollbackFollowUp):
    """The candidate's traffic really went away."""

    reason: Reason | None = Field(None, description="The request's.")
    share_before: Ratio | None = Field(description="Candidate's share of live requests before the request.")
    share_after: Ratio = Field(description="Its share in the minutes that prove it.")
    seconds: Seconds = Field(description="From the request to the end of the proof, in event time.")


class RollbackFailed(RollbackFollowUp):
    """The flag could not be turned, or the candidate's traffic did not go away. People are paged."""

    reason: Literal["actuator", "approval_required", "traffic_stays"] = Field(
        description="The flag system refused or did not answer; a person must approve there; it did not help."
    )
    message: Text
    retryable: bool = Field(description="True: the monitor tries again.")
    share_after: Ratio | None = Field(None, description="Candidate's share of live requests afterwards.")
    still_served: Cohort | None = Field(
        None, description="The slice with the candidate's largest share; empty: none stands out."
    )


class RollbackRehearsed(Message):
    """A drill: the whole way from a breach to the flag, on marked traffic."""

    release: Release
    baseline: Release
    budget: Name
    budget_digest: Sha256
    succeeded: bool
    seconds: dict[str, Seconds] = Field(description="Per step, among them `total`.")
    restored: bool = Field(description="True: the flag stands as before the drill.")
    flag: Name | None = Field(None, description="The key of the flag that was turned.")
    real_flag: bool = Field(False, description="True: it is the flag that users are served by.")
    author: Name
    decided_at: Moment
    expires_at: Moment | None = Field(None, description="From then on the drill is too old to count.")
    problems: list[Text] = Field(default_factory=list)
    summary: Text
