"""`decision.observed.v1`: what a budget that only observes would have asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.core.budget import OnSilence, Tier
from monitor.core.decision import Reason
from monitor.core.stages import STAGES_MAX
from monitor.wire.evidence import Evidence
from monitor.wire.rollback import Flag
from monitor.wire.shared import (
    Cohort,
    Count,
    Moment,
    Name,
    Observed,
    ReleaseData,
    Samples,
    Sha256,
    StageMove,
    Text,
)


class DecisionObserved(ReleaseData):
    """Nothing is asked for: this is what the budget would have published, had its `mode` not been `observe`.

    What its type would be is `would_be`; the other keys are that type's, and null or absent where it has none.
    """

    would_be: Literal["rollback.requested", "page.opened", "page.expired", "page.resolved"] = Field(
        description="The event that it would be."
    )
    would_be_id: Sha256 = Field(description="The id that this event would have; none has it.")
    action: Literal["watch"] | None = Field(None, description="Nothing is asked for.")
    objective: str | None = Field(description="As `quality.task_success_delta_pct`.")
    metric: str | None = Field(None, description="The indicator's name, as budgets write it.")
    cohort: Cohort
    cohort_share: float | None = Field(
        None, ge=0, le=1, description="A watched cohort's part of the candidate's requests."
    )
    tier: Tier | None = None
    reason: Reason
    limit: float | None = Field(None, description="As the budget writes it, signed.")
    baseline_mode: Literal["concurrent", "frozen"] | None = Field(
        None, description="What the candidate is compared with: the same minutes, or a frozen past."
    )
    observed: Observed | None = None
    samples: Samples | None = None
    stages: list[StageMove] = Field(default_factory=list, max_length=STAGES_MAX)
    held_min: Count | None = Field(None, description="Minutes the shown stretch lasts.")
    breach_started_at: Moment | None = None
    decided_at: Moment
    deadline: Moment | None = Field(description="When the commander's time would be over.")
    exemplars: list[Name] = Field(default_factory=list, description="Trace ids: where to look.")
    summary: Text
    evidence: Evidence | None = Field(
        None, description="What the verdict can be computed again from; null where nothing was judged."
    )
    page_id: Name | None = Field(None, description="Of a page that nobody was asked.")
    on_silence: OnSilence | None = Field(
        None, description="What would become of the release at the deadline."
    )
    scope: Literal["release", "cohort"] | None = Field(None, description="Of a rollback: what would go back.")
    flag: Flag | None = Field(None, description="The flag that would be turned; it is not.")
    baseline_variation: str | None = Field(None, description="The variation that it would serve.")
    candidate_variation: str | None = Field(None, description="The variation that it serves.")
