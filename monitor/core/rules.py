"""How a budget's error rate is split: half to the overall views, half to all critical cohorts together.

Watched cohorts only page and take no share: `stats.page_list` limits how many of their pages are false.
"""

from __future__ import annotations

from monitor.core.budget import Budget, Objective
from monitor.core.cohort import CohortKey
from monitor.core.stats.evidence import p_value
from monitor.core.stats.page_list import ALPHA_LIST
from monitor.core.stats.rule import Rule, rule_for
from monitor.core.stats.thresholds import look_count


def rules_for(budget: Budget) -> dict[tuple[str, CohortKey], Rule]:
    """Return the rule of every guarded objective on every slice it judges."""
    guarded = [objective for objective in budget.objectives if objective.is_guarded]
    cohorts = len({key for objective in guarded for key in objective.critical_cohorts})
    rules: dict[tuple[str, CohortKey], Rule] = {}
    for objective in guarded:
        for index, view in enumerate(objective.views()):
            rules[objective.objective_id, view] = rule_for(
                objective,
                window_min=budget.window_min,
                objectives=len(guarded),
                cohorts=1 if index == 0 else max(1, cohorts),
            )
    return rules


def watched_rule(objective: Objective, window_min: int) -> Rule:
    """Return the rule of a watched cohort: what the page list could ask of a cohort at the very least.

    The list asks more, the more cohorts there are; this threshold only says when its other checks are made.
    """
    return rule_for(objective, window_min=window_min, objectives=1, alpha=ALPHA_LIST, share=1.0)


def release_p_value(strongest: float, looks: float) -> float:
    """Return the p-value of a whole release from its strongest evidence (nats, over phi) in `looks` tests."""
    return min(1.0, looks * p_value(strongest))


def looks_of(rule: Rule) -> float:
    """Return how many tests a rule makes in one release, of all measures of its indicator."""
    return look_count(rule.hold_min, rule.window_min) * rule.measures
