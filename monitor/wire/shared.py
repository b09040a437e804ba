"""What the messages of this product share: strict models and the parts that come back in many of them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.core.budget import Mode

_MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"

Moment = Annotated[str, Field(pattern=_MOMENT, json_schema_extra={"format": "date-time"})]
"""A moment of event time: RFC 3339 in UTC with milliseconds."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]
Release = Annotated[str, Field(min_length=1, max_length=128)]
Cohort = Annotated[dict[str, str], Field(description="The slice; `{}` is everybody.")]
Text = Annotated[str, Field(min_length=1, description="One sentence for people.")]


class Message(BaseModel):
    """A message this product writes: nothing that is not named here, no number that is not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class OrderedBy(Message):
    """Which order led to an event, and whose it is."""

    command_id: Name
    author: Name
    signed: bool | None = Field(
        description="Whether the author is known by a key; null: no key is known to tell by."
    )


class ReleaseData(Message):
    """What every event of an armed release says."""

    release: Release = Field(description="The candidate.")
    baseline: Release = Field(description="The release it is compared with.")
    budget: Name = Field(description="The budget's name, else its release.")
    budget_digest: Sha256 = Field(description="SHA-256 of the budget's meaning.")
    arming: Count = Field(description="Number of the arming.")
    ordered_by: OrderedBy | None = Field(None, description="Absent: nobody ordered it.")
    mode: Mode = Field(
        Mode.AUTO, description="How far the budget may go: it says what it would do, it asks people, it acts."
    )


class CappedMean(Message):
    """The mean of values up to a cap, the baseline's p99: of a mean, the other measure that is judged."""

    cap: float | None = Field(description="The baseline's p99, over all minutes held.")
    baseline: float | None = Field(description="Point estimate of the baseline.")
    candidate: float | None = Field(description="Point estimate of the candidate.")
    delta: float | None = Field(description="Candidate against baseline, in `unit`.")
    lower: float | None = Field(description="The true delta is not below it, at `confidence`.")
    upper: float | None = Field(description="The true delta is not above it, at `confidence`.")
    above_baseline: float | None = Field(
        ge=0, le=1, description="Share of the baseline's values above the cap."
    )
    above_candidate: float | None = Field(ge=0, le=1, description="Share of the candidate's values above it.")


class Observed(Message):
    """What a stretch of minutes showed; null where there is no data to say it."""

    baseline: float | None = Field(description="Point estimate of the baseline.")
    candidate: float | None = Field(description="Point estimate of the candidate.")
    delta: float | None = Field(description="Candidate against baseline, in `unit`.")
    unit: Literal["pct", "pp", "increase"] = Field(description="As in the limit's name.")
    lower: float | None = Field(description="The true delta is not below it, at `confidence`.")
    upper: float | None = Field(description="The true delta is not above it, at `confidence`.")
    confidence: float = Field(gt=0, lt=1, description="Of the interval from `lower` to `upper`.")
    mde: float | None = Field(description="Smallest harmful delta these samples could have shown, in `unit`.")
    capped: CappedMean | None = Field(
        None, description="Of a mean: the same without what lies above the baseline's p99."
    )


class Samples(Message):
    """How many requests of each arm were compared."""

    baseline: Count
    candidate: Count


class StageMove(Message):
    """The same quantile of one stage of the requests, over the minutes that `observed` speaks of."""

    stage: Name = Field(description="As in the events' `stage_ms`.")
    baseline_ms: float = Field(ge=0, description="Point estimate of the baseline, milliseconds.")
    candidate_ms: float = Field(ge=0, description="Point estimate of the candidate, milliseconds.")
    delta_pct: float = Field(description="Candidate against baseline, percent.")
    lower_pct: float | None = Field(
        description="The true delta is not below it, at `observed.confidence`; null: unbounded."
    )
    upper_pct: float | None = Field(
        description="The true delta is not above it, at `observed.confidence`; null: unbounded."
    )
