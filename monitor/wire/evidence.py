"""`evidence` of a decision: all that its verdict can be computed again from, without the store.

`rollback-budget explain ID` does so. Evidence (`x`) is in nats, over phi; null is unbounded. Stretches are
minutes from `start` to before `end`, without `cut`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.wire.shared import Count, Message, Moment, Samples

Refusal = Literal[
    "no_data",
    "not_enough_evidence",
    "min_samples",
    "not_beyond_now",
    "healthy_fifth",
    "younger_or_burst",
    "evidently_back",
]
Answer = Literal["suspect", "fires", "recovered", "unknown"]
Nats = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(ge=1)]


class RateArm(Message):
    """Hits and requests, as counted, and weighted over minutes and strata: by these the rate is judged."""

    hits: Count
    requests: Count
    weighted_hits: float = Field(ge=0)
    weighted_requests: float = Field(ge=0, description="How many requests the weighted ones count as.")


class QuantileArm(Message):
    """Requests per sketch bin, weighted; joined at both ends, where no formula looks."""

    requests: Count
    bins: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        description="[bin, requests], bins rising; a bin's values are up to 1.02 to the power of its number."
    )


class MeanArm(Message):
    """Moments of the values, weighted: up to the cap, or as they are."""

    requests: Count
    n: float = Field(ge=0, description="How many requests the weighted ones count as.")
    mean: float
    variance: float
    skew: float
    above: float | None = Field(None, ge=0, description="Of capped ones: how many of `n` lie above the cap.")


Arm = RateArm | QuantileArm | MeanArm


class Sums(Message):
    """What a stretch adds up to, as the evidence takes it."""

    candidate: Arm
    baseline: Arm


class Stretch(Message):
    """Minutes, their sums, and what follows from them."""

    start: Moment
    end: Moment
    cut: list[Moment] | None = Field(min_length=2, max_length=2, description="Left out: from, to before.")
    minutes: Count = Field(description="Without the cut.")
    samples: Samples
    sums: Sums
    candidate: float | None = Field(description="Point estimate; null without data, or unbounded.")
    baseline: float | None = Field(description="Point estimate; null without data, or unbounded.")
    delta: float | None = Field(description="In the limit's unit; null without data, or unbounded.")
    beyond: bool | None = Field(description="Beyond the limit; null without data in an arm.")
    phi: Factor = Field(description="Over-dispersion here: evidence counts for 1/phi of itself.")
    x: Nats | None = Field(description="Evidence of being beyond kappa times the limit.")
    x_within: Nats | None = Field(None, description="Evidence of being within the limit; `recovery` only.")
    needed: Nats | None = Field(description="What a check asks of `x` (of `x_within` for `recovery`).")


class Stretches(Message):
    """The stretches that decided, by their part in it; what a check did not reach is absent."""

    shown: Stretch | None = Field(None, description="What `observed` speaks of.")
    shown_capped: Stretch | None = Field(None, description="What `observed.capped` speaks of.")
    strongest: Stretch | None = Field(None, description="The window with the largest evidence, E.")
    window: Stretch | None = Field(None, description="W: the window that fires, or came furthest.")
    newest: Stretch | None = Field(None, description="The newest minutes of W, which must still be beyond.")
    weakest: Stretch | None = Field(
        None, description="The least bad fifth (`literal`: minute) of W: where it is bad, all are."
    )
    rest: Stretch | None = Field(None, description="R: W without J, the `cut` that carries most of the harm.")
    recovery: Stretch | None = Field(None, description="Of W, what is nearest to showing a recovery.")
    recent: Stretch | None = Field(None, description="The newest quarter of the hold: suspect, or recovered.")


class RuleNumbers(Message):
    """The rule as it was computed from the budget."""

    indicator: Literal["rate", "quantile", "mean"]
    quantile: float | None = Field(gt=0, lt=1)
    limit: float
    unit: Literal["pct", "pp"]
    worse: Literal["lower", "higher"]
    scale: float = Field(gt=0, description="From the unit of the sums to the one people read.")
    mode: Literal["default", "strict", "off"]
    kappa: float = Field(gt=0, description="Share of the limit that evidence must exceed.")
    accounting: Literal["sustained", "cumulative"]
    hold_min: Count
    window_min: Count
    min_samples: Count
    x_star: Nats


class DispersionNumbers(Message):
    """What was known of noise beyond independence; phi of a stretch follows from it and the stretch's sums."""

    phi: Factor
    tau2: Nats
    assumed_icc: float = Field(ge=0, le=1)


class BothDispersions(Message):
    """Of a mean, by measure."""

    capped: DispersionNumbers
    plain: DispersionNumbers


class Spent(Message):
    """Bad minutes in all, and the newest bad blocks: as many as it takes to be more than granted."""

    minutes: Count
    blocks: list[Stretch]


class Points(Message):
    """Both arms over time; one list each, a point every `step_min` minutes."""

    start: Moment
    step_min: Annotated[int, Field(ge=1)]
    candidate: list[float | None]
    baseline: list[float | None]
    candidate_requests: list[Count]
    baseline_requests: list[Count]


class RuleEvidence(Message):
    """Behind a decision by the sustained rule, or by one of its two variants."""

    kind: Literal["sustained", "at_once", "literal"]
    measure: Literal["capped", "plain"] | None = Field(
        None, description="Of a mean: which of the two answered; null or absent where there is but one."
    )
    answer: Answer
    refusal: Refusal | None = Field(description="The first check that keeps the rule from firing.")
    judged_to: Moment = Field(description="Minutes before this one were judged.")
    rule: RuleNumbers
    dispersion: DispersionNumbers
    dispersions: BothDispersions | None = Field(None, description="Of a mean: of both measures.")
    stretches: Stretches
    spent: Spent
    points: Points


class IncidentNumbers(Message):
    """Severe incidents and requests of both arms; of minutes still open the requests are not known."""

    closed: Count = Field(description="Incidents of the candidate in closed minutes.")
    opened: Count = Field(description="Its incidents in minutes still open.")
    requests: Count = Field(description="Its requests in closed minutes.")
    reference_incidents: Count
    reference_requests: Count
    allowed_increase: Count
    literal: bool
    alpha: float = Field(gt=0, lt=1)


class IncidentEvidence(Message):
    """Behind a safety decision: more than chance where `mu` is at most `g_k`, or the reference has none."""

    kind: Literal["incidents"]
    answer: Literal["rollback", "page", "quiet"]
    judged_to: Moment | None
    k: Count = Field(description="Incidents above the allowed increase.")
    mu: Nats | None = Field(description="What the reference's rate explains; null: unbounded.")
    g_k: Nats = Field(description="The largest expectation under which `k` is more than chance.")
    counts: IncidentNumbers


class VerdictEvidence(Message):
    """Behind an objective's verdict in an assessment, in short."""

    kind: Literal["verdict"]
    answer: Answer | None = Field(description="Of the last tick that was judged.")
    refusal: Refusal | None
    strongest: Nats | None
    x_star: Nats
    has_fired: bool
    within: Nats | None = Field(description="Evidence of being within the limit, over the whole watch.")
    within_recent: Nats | None = Field(description="The same over its last four hours.")
    needed: Nats = Field(description="What both must reach to be called healthy.")
    overspent: bool = Field(
        False, description="More minutes were bad in all than the budget grants: not healthy."
    )
    few_samples: bool = Field(False, description="An arm has fewer requests than `min_samples`: not healthy.")
    doubt: Literal["no_data", "traffic_split"] | None = Field(
        None, description="Why the comparison is not trusted at the end, whatever it shows."
    )


Evidence = RuleEvidence | IncidentEvidence
AssessedEvidence = VerdictEvidence | IncidentEvidence
