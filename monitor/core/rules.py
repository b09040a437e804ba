"""How a budget's error rate is split: half to the overall views, half to all critical cohorts together."""

from __future__ import annotations

from monitor.core.budget import Budget
from monitor.core.cohort import CohortKey
from monitor.core.stats.rule import Rule, rule_for


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
