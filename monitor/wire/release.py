"""`release.assessed.v1`: what each objective came to, at the end of a stage, of the window, or of a recording."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.core.budget import Tier
from monitor.core.decision import Reason
from monitor.wire.shared import Cohort, Count, Message, Moment, Name, Observed, ReleaseData, Samples, Text

Verdict = Literal["healthy", "inconclusive", "breach", "no_data"]


class Assessment(Message):
    """One objective on one slice."""

    objective: Name
    metric: Name | None = None
    cohort: Cohort
    tier: Tier | None = None
    verdict: Verdict = Field(description="`healthy` needs evidence; the lack of it is `inconclusive`.")
    limit: float | None = None
    observed: Observed
    samples: Samples
    mde: float | None = Field(description="Smallest harmful delta these samples could have shown.")
    phi: float | None = Field(
        ge=0, description="Overdispersion the evidence was divided by; null: not measured."
    )
    minutes_spent: Count = Field(description="Minutes beyond the limit.")
    late_count: Count = Field(description="Late events of candidate and baseline: in no window that decides.")
    summary: Text | None = None


class ReleaseAssessed(ReleaseData):
    """The release's record, objective by objective."""

    complete: bool = Field(description="False: the recording ended before the window did.")
    stage: str | None = Field(None, description="What ended: `window`, `input`, or a stage's name.")
    armed_late: bool = Field(False, description="The candidate had traffic before its budget was armed.")
    verdict: Verdict | None = Field(None, description="The worst of all objectives.")
    late_count: Count
    objectives: list[Assessment]
    reason: Reason | None = None
    decided_at: Moment
    summary: Text
