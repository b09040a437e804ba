"""A budget in words: what each objective forbids, for how long, for whom, and what then happens."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.config.duration import in_words
from monitor.core.budget import (
    Accounting,
    Budget,
    EscalationStep,
    Mode,
    Objective,
    OnSilence,
    Scope,
    Tier,
    TrafficSplit,
    Unit,
    Verification,
)
from monitor.core.cohort import CohortKey
from monitor.core.indicator import Direction, Indicator, IndicatorKind

_NAMES = {
    "high_severity_incidents": "high-severity incidents",
    "error": "the error rate",
    "timeout": "the timeout rate",
    "fallback": "the fallback rate",
    "refusal": "the refusal rate",
    "abstention": "the abstention rate",
    "user_retry": "the user retry rate",
}


def meaning(objective: Objective, budget: Budget) -> str:
    """Return one sentence: "task success must not fall more than 2 % below the baseline for 20 minutes: rolls back"."""
    return (
        f"{_forbidden(objective)}{_duration(objective)}{_slice(objective)}: {_consequence(objective, budget)}"
    )


def split_in_words(declared: TrafficSplit) -> str:
    """Return "the candidate must get 10 % of both arms' requests (9.5 to 10.5 %): while it does not, ..."."""
    low, high = (100 * share for share in declared.allowed)
    right = f"{low:.4g} to {high:.4g} %" if declared.tolerance_pct else "no more and no less"
    return (
        f"the candidate must get {declared.candidate_share_pct:g} % of both arms' requests ({right}): "
        "while it does not, no comparison rolls back by itself, it pages instead"
    )


def proof_in_words(asked: Verification) -> str:
    """Return "a rollback is proven when at most 0.1 % of the requests are the candidate's, within 5 minutes ..."."""
    unit = "minute" if asked.within_min == 1 else "minutes"
    return (
        f"a rollback is proven when at most {asked.share_pct:g} % of the requests are still the candidate's, "
        f"within {asked.within_min} {unit} of turning the flag: else it is turned again and a page says so"
    )


def escalation_in_words(steps: Sequence[EscalationStep]) -> str:
    """Return "a page that nobody acknowledges goes to slack after 5m, to the platform lead by pagerduty after 10m"."""
    called = (
        f"to {' by '.join(part for part in (one.on_call, _names(one.pagers)) if part)} after {in_words(one.after_min)}"
        for one in steps
    )
    return f"a page that nobody acknowledges goes {', '.join(called)}"


def _names(pagers: Sequence[str]) -> str:
    return " and ".join(pagers)


def name_in_words(meant: Indicator) -> str:
    """Return an indicator's name as people say it: `task success`, `p95 latency`, `retrieval p95 latency`."""
    if meant.kind is IndicatorKind.QUANTILE:
        stage, _, quantile = meant.name.rpartition("_")
        return f"{stage} {quantile} latency".strip()
    if meant.name.startswith("outcome."):
        return f"the rate of {meant.name.removeprefix('outcome.')}"
    return _NAMES.get(meant.name, meant.name.replace("_", " "))


def _forbidden(objective: Objective) -> str:
    name = name_in_words(objective.indicator)
    if objective.unit is Unit.COUNT:
        by = f" by more than {objective.limit:g}" if objective.limit else ""
        return f"{name} must not exceed what the baseline's rate predicts{by}"
    moves, side = ("fall", "below") if objective.worse is Direction.LOWER_IS_WORSE else ("rise", "above")
    points = "percentage point" if abs(objective.limit) == 1 else "percentage points"
    unit = "%" if objective.unit is Unit.PERCENT else points
    return f"{name} must not {moves} more than {abs(objective.limit):g} {unit} {side} the baseline"


def _duration(objective: Objective) -> str:
    if not objective.hold_min or not objective.is_guarded:
        return ""
    if objective.accounting is Accounting.CUMULATIVE:
        return f" for more than {objective.hold_min} minutes in all"
    return f" for {objective.hold_min} minutes"


def _slice(objective: Objective) -> str:
    where = f", where {_pairs(objective.where)}" if objective.where else ""
    critical = " or ".join(_pairs(cohort) for cohort in objective.critical_cohorts)
    cohorts = f", also for {critical} alone" if critical else ""
    watched = " and each ".join(objective.watched_dimensions) if objective.is_guarded else ""
    return f"{where}{cohorts}" + (f", and for each {watched} by itself, which only pages" if watched else "")


def _pairs(key: CohortKey) -> str:
    return " and ".join(f"{dimension}={value}" for dimension, value in key)


def _consequence(objective: Objective, budget: Budget) -> str:
    done = _done(objective, budget)
    return f"only recorded, it would be: {done}" if budget.mode is Mode.OBSERVE else done


def _done(objective: Objective, budget: Budget) -> str:
    what = "rolls back that cohort only" if objective.scope is Scope.COHORT else "rolls back"
    if objective.tier is Tier.A:
        if not budget.is_automatic(objective):
            return "pages"
        return f"{what} at the first one, always" if objective.literal else f"{what} at once"
    silence = what if budget.silence is OnSilence.ROLLBACK else "goes on"
    minutes = budget.decide_within_min
    return f"pages the commander, who has {minutes} minute{'s' * (minutes != 1)}; silence {silence}"
