"""What every decision about one objective says, whatever follows from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.core.budget import Tier
from monitor.core.decision import Action, Reason
from monitor.core.stages import STAGES_MAX
from monitor.wire.evidence import Evidence
from monitor.wire.shared import Cohort, Count, Moment, Name, Observed, ReleaseData, Samples, StageMove, Text


class DecisionData(ReleaseData):
    """A decision about one objective on one slice, with the numbers behind it.

    The keys are always there; those that a decision without an objective cannot fill (an order of the
    commander, say) are null.
    """

    objective: str | None = Field(description="As `quality.task_success_delta_pct`.")
    metric: str | None = Field(description="The indicator's name, as budgets write it.")
    cohort: Cohort
    cohort_share: float | None = Field(
        None, ge=0, le=1, description="A watched cohort's part of the candidate's requests."
    )
    tier: Tier | None
    action: Action
    reason: Reason
    limit: float | None = Field(description="As the budget writes it, signed.")
    baseline_mode: Literal["concurrent", "frozen"] | None = Field(
        None, description="What the candidate is compared with: the same minutes, or a frozen past."
    )
    observed: Observed | None
    samples: Samples | None
    stages: list[StageMove] = Field(
        default_factory=list,
        max_length=STAGES_MAX,
        description="Of an end-to-end latency: its stages with a limit on the same slice, the most milliseconds "
        "slower first. They explain; they decide nothing.",
    )
    held_min: Count | None = Field(description="Minutes the shown stretch lasts.")
    breach_started_at: Moment | None
    decided_at: Moment
    deadline: Moment | None = Field(
        description="When the commander's time is over, as known now; pages only."
    )
    exemplars: list[Name] = Field(description="Trace ids: where to look.")
    summary: Text
    evidence: Evidence | None = Field(
        None, description="What the verdict can be computed again from; null where nothing was judged."
    )
