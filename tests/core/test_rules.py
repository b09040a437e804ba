"""One error rate for a release: half to the overall views, half to all critical cohorts together."""

from __future__ import annotations

import pytest

from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.rules import rules_for
from monitor.core.stats.thresholds import x_star
from tests.engine.worlds import ACME, HANDOFF, SUCCESS, budget, handoff, incidents, objective

GLOBEX = cohort_key({"tenant": "globex"})


def _expected(objectives: int, cohorts: int) -> float:
    return x_star(hold_min=20, window_min=1440, objectives=objectives, cohorts=cohorts)


def test_the_published_threshold_of_four_objectives() -> None:
    found = rules_for(budget(*(objective(name, 5.0, hold=20) for name in ("error", "timeout", "refusal")),
                             objective(hold=20)))  # fmt: skip
    assert {round(rule.x_star, 2) for rule in found.values()} == {15.13}


def test_every_guarded_objective_has_a_rule_per_slice_and_incidents_have_none() -> None:
    found = rules_for(budget(objective(critical_cohorts=(ACME, GLOBEX)), handoff(), incidents()))
    assert set(found) == {(SUCCESS, OVERALL), (SUCCESS, ACME), (SUCCESS, GLOBEX), (HANDOFF, OVERALL)}


@pytest.mark.parametrize(
    "cohorts, sharing", [((), 1), ((ACME,), 1), ((ACME, GLOBEX), 2), ((ACME, GLOBEX, GLOBEX), 2)]
)
def test_cohorts_share_their_half(cohorts: tuple[CohortKey, ...], sharing: int) -> None:
    found = rules_for(budget(objective(hold=20, critical_cohorts=cohorts), handoff(hold=20)))
    assert found[SUCCESS, OVERALL].x_star == pytest.approx(_expected(2, 1))
    assert found[HANDOFF, OVERALL].x_star == pytest.approx(_expected(2, 1))
    for cohort in cohorts:
        assert found[SUCCESS, cohort].x_star == pytest.approx(_expected(2, sharing))


def test_an_objective_s_own_slice_is_its_overall_view() -> None:
    critical = cohort_key({"task": "critical"})
    found = rules_for(budget(objective(hold=20, where=critical, critical_cohorts=(ACME,))))
    both = cohort_key({"task": "critical", "tenant": "acme"})
    assert set(found) == {(SUCCESS, critical), (SUCCESS, both)}
    assert found[SUCCESS, critical].x_star == pytest.approx(_expected(1, 1))
