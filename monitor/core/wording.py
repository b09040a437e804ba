"""One sentence a person can act on: what broke, for whom, since when, how sure."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from monitor.core.budget import BaselineMode, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.indicator import Direction, IndicatorKind
from monitor.core.record import Finding, StageMove, moved_most

_NAMES = {
    "task_success": "task success",
    "parse_failures": "parse failures",
    "citation_validity": "citation validity",
    "human_handoff": "human handoff",
    "user_retry": "user retries",
    "tool_success": "tool success",
    "error": "errors",
    "timeout": "timeouts",
    "fallback": "fallbacks",
    "high_severity_incidents": "high-severity incidents",
    "cost_per_request": "cost per request",
    "tokens_per_request": "tokens per request",
}


def indicator_words(objective: Objective) -> str:
    """Return the indicator as people say it."""
    name = objective.indicator.name
    if objective.indicator.kind is IndicatorKind.QUANTILE and objective.indicator.source == "latency":
        return f"{name} latency"
    return _NAMES.get(name, name.replace("_", " "))


def slice_words(view: CohortKey) -> str:
    """Return ` for tenant=acme`, or nothing for everybody."""
    return " for " + ", ".join(f"{name}={value}" for name, value in view) if view else ""


def value_words(objective: Objective, value: float | None) -> str:
    """Return a value of the indicator with its unit."""
    if value is None:
        return "unknown"
    kind, source = objective.indicator.kind, objective.indicator.source
    if not isfinite(value):
        return "unfinished"
    if kind is IndicatorKind.RATE:
        return f"{value * 100:.2f} %"
    if kind is IndicatorKind.QUANTILE:
        return f"{value:,.0f} ms"
    if source == "cost":
        return f"{value:.6g} USD"
    return f"{value:,.6g}"


def unit_words(unit: Unit) -> str:
    """Return the unit of a delta."""
    return {Unit.PERCENT: "%", Unit.POINTS: "points", Unit.COUNT: "incidents"}[unit]


def breach_words(
    objective: Objective,
    view: CohortKey,
    *,
    baseline: float | None,
    candidate: float | None,
    delta: float | None,
    bounds: tuple[float | None, float | None],
    span_min: int,
) -> str:
    """Return `task success is 12.3 % below the baseline (78.10 % against 89.00 %, limit -2 %) over 23 min`."""
    what = f"{indicator_words(objective)}{slice_words(view)}"
    if delta is None:
        return f"{what} cannot be compared over the last {span_min} min"
    side = "below" if delta < 0 else "above"
    unit = unit_words(objective.unit)
    # A baseline of nothing, or a quantile among unfinished requests, has no percentage.
    far = f"{abs(delta):.1f} {unit} {side}" if isfinite(delta) else side
    sure = ""
    low, high = bounds
    if low is not None and high is not None and isfinite(low) and isfinite(high):
        sure = f"; 95 % sure it lies between {low:+.1f} and {high:+.1f} {unit}"
    return (
        f"{what} is {far} the baseline "
        f"({value_words(objective, candidate)} against {value_words(objective, baseline)}, "
        f"limit {objective.limit:+g} {unit}) over {span_min} min{sure}"
    )


def finding_words(finding: Finding) -> str:
    """Return what a finding shows, as `breach_words` says it, how many a watched cohort is, and which stage moved."""
    seen = finding.seen
    words = breach_words(
        finding.objective,
        finding.view,
        baseline=seen.baseline,
        candidate=seen.candidate,
        delta=seen.delta,
        bounds=(seen.lower, seen.upper),
        span_min=finding.held_min,
    )
    about = f"{tail_words(finding)}{frozen_words(finding)}{share_words(finding)}{stage_words(finding.stages)}"
    return f"{words}{about}"


def tail_words(finding: Finding) -> str:
    """Return what lies above the baseline's p99, and the delta up to there; nothing where it is no mean.

    `; 15.9 % of requests cost more than the baseline's p99 of 0.0069 USD, against 1.0 %; up to it +18.5 %`
    """
    capped, objective = finding.seen.capped, finding.objective
    if capped is None or capped.delta is None or not isfinite(capped.delta):
        return ""
    if capped.cap is None or capped.above_candidate is None or capped.above_baseline is None:
        return ""
    verb = "cost" if objective.indicator.source == "cost" else "take"
    unit, sure = unit_words(objective.unit), ""
    if finding.seen.lower is None and capped.lower is not None and capped.upper is not None:
        sure = f", 95 % sure between {capped.lower:+.1f} and {capped.upper:+.1f} {unit}"
    return (
        f"; {capped.above_candidate * 100:.1f} % of requests {verb} more than the baseline's p99 of "
        f"{value_words(objective, capped.cap)}, against {capped.above_baseline * 100:.1f} %; "
        f"up to it {capped.delta:+.1f} {unit}{sure}"
    )


def frozen_words(finding: Finding) -> str:
    """Return what a frozen reference is, or nothing where the baseline's traffic of the same minutes is compared."""
    if finding.baseline_mode is not BaselineMode.FROZEN:
        return ""
    return "; the baseline is its own past of the same hours, frozen when the release was armed"


def page_only_words(days: int) -> str:
    """Return why a breach that would roll back only pages."""
    return f"; no rollback, because {days} days of the baseline's past are too few to act on without a person"


def share_words(finding: Finding) -> str:
    """Return `; tenant=acme is 5.0 % of the candidate's traffic`, or nothing where that is not known."""
    if finding.cohort_share is None:
        return ""
    who = ", ".join(f"{name}={value}" for name, value in finding.view)
    return f"; {who} is {finding.cohort_share * 100:.1f} % of the candidate's traffic"


def stage_words(stages: Iterable[StageMove]) -> str:
    """Return `; of its stages first_token moved most: +112.2 % (61,909 ms against 29,171 ms)`, or nothing.

    Only a stage that became slower by more than chance explains is named, by its name in the events.
    """
    stage = moved_most(stages)
    if stage is None:
        return ""
    return (
        f"; of its stages {stage.stage} moved most: {stage.delta_pct:+.1f} % "
        f"({stage.candidate_ms:,.0f} ms against {stage.baseline_ms:,.0f} ms)"
    )


def incident_words(count: int, expected: float, exemplar: str) -> str:
    """Return what the safety rule saw."""
    times = "1 high-severity incident" if count == 1 else f"{count} high-severity incidents"
    return f"{times} of the candidate where the baseline's rate predicts {expected:.2g} (e.g. {exemplar})"


def limit_words(objective: Objective) -> str:
    """Return a limit as a sentence for people who did not write it."""
    name = indicator_words(objective)
    if objective.unit is Unit.COUNT:
        return f"no more than {objective.limit:g} {name} above what the baseline predicts"
    verb = "fall" if objective.worse is Direction.LOWER_IS_WORSE else "rise"
    return (
        f"{name} must not {verb} more than {abs(objective.limit):g} {unit_words(objective.unit)} "
        f"against the baseline for {objective.hold_min} min"
    )
