"""The pydantic models of a budget file: its keys, as people write them. `BudgetFile` is also its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.config import fields as kinds
from monitor.config.fields import AS_WORD
from monitor.config.pager_names import PAGER_NAMES, PagerName
from monitor.core.indicator import INDICATOR_NAMES, IndicatorKind, indicator

MAX_OBJECTIVES: Final = (
    32  # the error rate is shared by all objectives: many of them decide nothing within a day
)
MAX_COHORTS: Final = 64
_CLOCK_DEFAULT: Final = f"{kinds.CLOCK_PREFIX}15m"
MAX_WHERE: Final = 16  # a trace event has at most so many dimensions


def _tidy(schema: dict[str, Any]) -> None:
    """Leave `null` out of the schema: an optional key is left out of a file, never empty."""
    for field in schema.get("properties", {}).values():
        if field.get("default", "") is None:
            del field["default"]
        if "patternProperties" in field:
            field["additionalProperties"] = False  # a name that does not fit is refused, not ignored
        kept = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kept) == 1:
            del field["anyOf"]
            field.update({**kept[0], **field})


def _tidy_group(schema: dict[str, Any]) -> None:
    """Say which limits there are: a group's further keys are `<metric>_<unit>`."""
    _tidy(schema)
    names = {kind: [n for n in INDICATOR_NAMES if indicator(n).kind is kind] for kind in IndicatorKind}
    rates, means = "|".join(names[IndicatorKind.RATE]), "|".join(names[IndicatorKind.MEAN])
    incidents = "|".join(names[IndicatorKind.INCIDENTS])
    number = {"type": "number", "minimum": -kinds.MAX_LIMIT, "maximum": kinds.MAX_LIMIT, "not": {"const": 0}}
    schema["patternProperties"] = {
        rf"^({rates}|outcome\.[A-Za-z0-9_.-]{{1,64}})_delta_(pct|pp)$": number,
        rf"^(([A-Za-z0-9_-]{{1,64}}_)?(p50|p90|p95|p99)|{means})_delta_pct$": number,
        f"^({incidents})_increase$": {"type": "integer", "minimum": 0, "maximum": kinds.MAX_LIMIT},
    }
    schema["additionalProperties"] = False


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra=_tidy)


class GroupSpec(_Spec):
    """One group of limits and the keys that its limits share; every further key is `<metric>_<unit>`."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, json_schema_extra=_tidy_group)
    __pydantic_extra__: dict[str, kinds.Number]

    max_duration_min: kinds.HoldMinutes | None = Field(
        None, description="Minutes a breach must last: 0 (at once) or 4 and more."
    )
    action: Annotated[Literal["immediate_rollback"], AS_WORD] | None = Field(
        None, description="`immediate_rollback`: act on the incident itself; for incidents only."
    )
    tier: Annotated[Literal["A", "B"], AS_WORD] | None = Field(
        None, description="A rolls back at once, B asks the incident commander."
    )
    where: dict[kinds.Name, kinds.Text64] = Field(
        {}, max_length=MAX_WHERE, description="The slice these objectives look at, as `dimension: value`."
    )
    cohorts: list[kinds.Cohort] = Field(
        [],
        max_length=MAX_COHORTS,
        description="Besides the overall view: `dimension` (each value is watched, pages) or "
        "`dimension=value` (critical, acts as its tier says).",
    )
    scope: Annotated[Literal["release", "cohort"], AS_WORD] = Field(
        "release",
        description="What a rollback takes back: the release, or only the critical cohort that broke.",
    )
    accounting: Annotated[Literal["sustained", "cumulative"], AS_WORD] = Field(
        "sustained", description="One unbroken stretch of bad minutes, or all bad minutes of the window."
    )
    evidence: Annotated[Literal["default", "strict", "off"], AS_WORD] = Field(
        "default", description="Evidence beyond half the limit, beyond the limit itself, or none (for tests)."
    )
    min_samples: kinds.Samples = Field(
        0, description="Requests that each arm needs before the objective is judged."
    )
    label_delay: kinds.LabelDelay = Field(0, description="How much later its labels arrive, such as `2h`.")
    on_no_data: Annotated[Literal["hold", "page", "rollback"], AS_WORD] = Field(
        "page", description="What to do when everything was read and no candidate traffic came."
    )
    baseline_mode: Annotated[Literal["auto", "concurrent", "frozen"], AS_WORD] = Field(
        "auto", description="The reference: the baseline's traffic of the same minutes, or a frozen past."
    )
    literal: kinds.Switch = Field(
        False, description="The first incident always rolls back; for incidents only."
    )
    ignores_override: kinds.Switch = Field(
        False, description="A commander's override does not hold it; for incidents only."
    )

    @property
    def limits(self) -> dict[str, float]:
        """The group's limits by key, as written."""
        return dict(self.__pydantic_extra__)


class DecisionSpec(_Spec):
    """What a breach of each tier leads to."""

    tier_a_breach: Annotated[Literal["auto_rollback", "page"], AS_WORD] = Field(
        "auto_rollback", description="What a tier-A breach leads to."
    )
    tier_b_breach: kinds.Clock = Field(
        15,
        description="The commander's clock: `incident_commander_decision_within_<N>m`.",
        json_schema_extra={"default": _CLOCK_DEFAULT},
    )
    max_extension: kinds.Extension | None = Field(
        None, description="The most time that the commander may add to that clock; by default as much again."
    )


class EscalationSpec(_Spec):
    """Who hears of a page that nobody has acknowledged."""

    after: kinds.StepAfter = Field(
        description="How long after the page was opened, and not before anybody could read it.",
        examples=["10m"],
    )
    pagers: list[Annotated[PagerName, AS_WORD]] = Field(
        [], max_length=len(PAGER_NAMES), description="Which pagers are told; by default all of them."
    )
    on_call: kinds.Text128 | None = Field(None, description="Who is named in it, such as `platform lead`.")


class FlagSpec(_Spec):
    """Which switch serves the candidate, and what serving the baseline means there."""

    actuator: kinds.Text64 = Field(description="The flag system.", examples=["flagd-file", "webhook"])
    key: kinds.Text128 = Field(description="The flag's key there.", examples=["chat-model"])
    baseline_variation: kinds.Text128 = Field(
        description="The variation that serves the baseline.", examples=["v41"]
    )
    candidate_variation: kinds.Text128 = Field(
        description="The variation that serves the candidate.", examples=["v42"]
    )
    scope: kinds.Text128 | None = Field(
        None, description="The environment or project, where the system has them."
    )
    rollback_by: Annotated[Literal["disable", "rollout_zero", "serve_variation"], AS_WORD] = Field(
        "serve_variation",
        description="How it goes back to the baseline: the flag switched off, the candidate's share at zero, or the "
        "baseline's variation for everybody.",
    )


class TrafficSpec(_Spec):
    """How the requests are meant to be split between the arms."""

    candidate_share_pct: kinds.SharePct = Field(
        description="The candidate's part of both arms' requests, in percent.", examples=[10]
    )
    tolerance_pct: kinds.TolerancePct = Field(
        5.0, description="How far the share may be off, in percent of the smaller arm's share."
    )


class VerifySpec(_Spec):
    """When the traffic proves that a rollback took effect."""

    share_pct: kinds.RestPct = Field(
        0.1, description="What the candidate may keep of both arms' requests, in percent."
    )
    within: kinds.VerifyWithin = Field(
        5,
        description="How long that may take once the flag was turned.",
        json_schema_extra={"default": "5m"},
    )


class BudgetFile(_Spec):
    """A rollback budget: one release against its baseline, in one file."""

    release: kinds.Text128 = Field(description="The release under judgement.", examples=["model-v42"])
    baseline: kinds.Text128 = Field(description="The release it is compared with.", examples=["model-v41"])
    window: kinds.Window = Field(
        description="How long the budget watches, from the candidate's first live request.", examples=["24h"]
    )
    mode: Annotated[Literal["observe", "page", "auto"], AS_WORD] = Field(
        "auto",
        description="The ladder: `observe` judges and records only, `page` asks people and rolls back at their order "
        "alone, `auto` does what the budget says. It holds for safety too.",
    )
    rollback_budget: dict[kinds.Name, GroupSpec] = Field(
        description="Groups of limits; a group's name is free.",
        examples=[{"quality": {"task_success_delta_pct": -2, "max_duration_min": 20}}],
        json_schema_extra={"minProperties": 1},
    )
    decision: DecisionSpec = Field(
        DecisionSpec(),
        description="What a breach of each tier leads to.",
        json_schema_extra={"default": {"tier_a_breach": "auto_rollback", "tier_b_breach": _CLOCK_DEFAULT}},
    )
    name: kinds.Text128 | None = Field(None, description="What people call the budget.")
    owner: kinds.Text128 | None = Field(None, description="Who answers for the budget.")
    on_call: kinds.Text128 | None = Field(None, description="Whom a page reaches.")
    flag: FlagSpec | None = Field(None, description="The switch that a rollback turns.")
    strata: list[kinds.Name] = Field(
        ["workflow"], max_length=MAX_WHERE, description="Dimensions the overall comparison is stratified by."
    )
    on_commander_silence: Annotated[Literal["rollback", "hold"], AS_WORD] = Field(
        "rollback", description="What a tier-B page does when its clock runs out."
    )
    exemplars: kinds.Exemplars = Field(5, description="Trace ids kept as examples of a breach.")
    follow_ups: list[kinds.Text200] = Field(
        [], max_length=32, description="What is to be done after a breach; handed on with the eval debt."
    )
    traffic: TrafficSpec | None = Field(
        None, description="The declared split; where it is wrong, no comparison rolls back by itself."
    )
    escalation: list[EscalationSpec] = Field(
        [],
        max_length=kinds.MAX_STEPS,
        description="Who hears of a page that nobody acknowledges, the soonest first.",
    )
    verify: VerifySpec = Field(
        VerifySpec(),
        description="When the traffic proves that a rollback took effect.",
        json_schema_extra={"default": {"share_pct": 0.1, "within": "5m"}},
    )
