"""`release.assessed.v1`: what each objective came to, at the end of a stage, of the window, or of a recording."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.core.budget import Tier
from monitor.core.decision import Reason
from monitor.wire.evidence import AssessedEvidence
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
    baseline_mode: Literal["concurrent", "frozen"] = Field(
        "concurrent", description="`frozen` where any minute was compared with the baseline's past."
    )
    observed: Observed
    samples: Samples
    mde: float | None = Field(description="Smallest harmful delta these samples could have shown.")
    phi: float | None = Field(
        ge=0, description="Overdispersion the evidence was divided by; null: not measured."
    )
    minutes_spent: Count = Field(description="Minutes beyond the limit.")
    late_count: Count = Field(description="Late events of candidate and baseline: in no window that decides.")
    evidence: AssessedEvidence | None = Field(None, description="What the verdict rests on, in short.")
    summary: Text | None = None


class WatchedCohorts(Message):
    """One objective on the values of a watched dimension, in numbers; the worst have rows of their own."""

    objective: Name
    dimension: Name
    values: Count = Field(description="Values that were judged by themselves.")
    beyond_cap: Count = Field(description="Further values at a time, judged together as `__other__`.")
    shown: Count = Field(description="How many of them are among `objectives`.")
    breach: Count
    inconclusive: Count
    no_data: Count
    healthy: Count


class ReleaseAssessed(ReleaseData):
    """The release's record, objective by objective."""

    complete: bool = Field(description="False: a stage or a recording ended, and the window did not.")
    stage: str | None = Field(None, description="What ended: `window`, `input`, or a stage's name.")
    armed_late: bool = Field(False, description="The candidate had traffic before its budget was armed.")
    verdict: Verdict | None = Field(None, description="The worst of all objectives.")
    late_count: Count
    warnings: list[Text] = Field(
        [],
        description="What to know before the verdicts are believed: many late events, what a cap left out, …",
    )
    objectives: list[Assessment] = Field(
        description="Each on its overall view and critical cohorts; of watched cohorts the worst 50."
    )
    watched: list[WatchedCohorts] = Field([], description="All watched cohorts, in numbers.")
    reason: Reason | None = None
    decided_at: Moment
    summary: Text
