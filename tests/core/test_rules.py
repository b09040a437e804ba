"""One error rate for a release: half to the overall views, half to all critical cohorts together."""

from __future__ import annotations

import pytest

from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.rules import looks_of, release_p_value, rules_for, watched_rule
from monitor.core.stats.page_list import ALPHA_LIST
from monitor.core.stats.thresholds import look_count, x_star
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


def test_a_watched_cohort_takes_no_share_and_its_rule_is_the_loosest_the_list_could_ask_for() -> None:
    watched = budget(objective(hold=20, watched_dimensions=("tenant",)))
    assert rules_for(watched) == rules_for(budget(objective(hold=20)))
    rule = watched_rule(watched.objectives[0], watched.window_min)
    assert looks_of(rule) == look_count(20, 1440)
    assert release_p_value(rule.x_star, looks_of(rule)) == pytest.approx(ALPHA_LIST)
    assert release_p_value(0.0, looks_of(rule)) == 1.0
