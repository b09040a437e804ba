"""One sentence a person can act on: what broke, for whom, since when, how sure."""

from __future__ import annotations

from math import isfinite

from monitor.core.budget import BaselineMode, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.indicator import Direction, IndicatorKind
from monitor.core.record import Finding

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
    """Return what a finding shows, as `breach_words` says it, and how many a watched cohort is."""
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
    return f"{words}{frozen_words(finding)}{share_words(finding)}"


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
