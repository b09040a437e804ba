"""The plan: what is folded is what the budgets ask for, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Budget, Objective
from monitor.core.cohort import EVERY, OVERALL, CohortKey, cohort_key
from monitor.core.exemplar import fair_rank
from monitor.core.indicator import INCIDENTS
from monitor.core.plan import PARTS_MAX, STRATA_MAX, ExemplarRule, exemplar_id, plan_for
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
    LAWS,
    START_MS,
    budget,
    handoff,
    incidents,
    objective,
    plan_of,
    seen,
)

CRITICAL = cohort_key({"task": "critical"})


def _rule(metric: str, limit: float) -> ExemplarRule:
    plan = plan_of(objective(metric, limit))
    (rule,) = plan.views[CANDIDATE][0].exemplars
    return rule


def test_both_arms_are_folded_everybody_first() -> None:
    plan = plan_of(objective(critical_cohorts=(ACME,)), handoff(where=CRITICAL))
    for release in (CANDIDATE, BASELINE):
        keys = [view.key for view in plan.views[release]]
        assert keys[0] == OVERALL
        assert set(keys) == {OVERALL, ACME, CRITICAL}
        assert len(keys) == 3


def test_a_slice_keeps_only_the_distributions_that_its_limits_read() -> None:
    plan = plan_of(
        objective("p95", 15.0), objective("retrieval_p90", 15.0), objective("cost_per_request", 5.0),
        objective("p99", 20.0, critical_cohorts=(ACME,)), objective(),
    )  # fmt: skip
    kept = {view.key: view.sketches for view in plan.views[CANDIDATE]}
    assert kept == {OVERALL: ("cost", "latency", "stage.retrieval"), ACME: ("latency",)}


def test_only_the_candidate_s_requests_are_shown() -> None:
    plan = plan_of(objective(), incidents())
    assert [rule.indicator for view in plan.views[CANDIDATE] for rule in view.exemplars] == ["task_success"]
    assert [rule for view in plan.views[BASELINE] for rule in view.exemplars] == []


def test_a_release_in_several_budgets_gets_the_union() -> None:
    plan = plan_for(
        [budget(objective("p95", 15.0), strata=()), budget(handoff(critical_cohorts=(ACME,)), strata=())]
    )
    kept = {
        view.key: (view.sketches, [one.indicator for one in view.exemplars]) for view in plan.views[CANDIDATE]
    }
    assert kept == {OVERALL: (("latency",), ["human_handoff", "p95"]), ACME: ((), ["human_handoff"])}


def test_labels_wait_as_long_as_the_longest_asks() -> None:
    plan = plan_of(objective(label_delay_min=30), handoff(label_delay_min=10))
    assert plan.label_delay_ms == {CANDIDATE: 1_800_000, BASELINE: 1_800_000}


@pytest.mark.parametrize(
    "metric, limit, fields, is_evidence",
    [
        ("task_success", -2.0, {"task_success": False}, True),
        ("task_success", -2.0, {"task_success": True}, False),
        ("task_success", -2.0, {}, False),  # not measured is no evidence
        ("human_handoff", 8.0, {"human_handoff": True}, True),
        ("human_handoff", 8.0, {"human_handoff": False}, False),
        ("error", 5.0, {"status": "error"}, True),
        ("error", 5.0, {"status": "timeout"}, False),
        ("outcome.grounded", -2.0, {"outcomes": {"grounded": False}}, True),
        ("outcome.grounded", -2.0, {"outcomes": {"grounded": True}}, False),
        ("outcome.leaked", 2.0, {"outcomes": {"leaked": True}}, True),
        ("p95", 15.0, {"latency_ms": 1.0}, True),
        ("p95", 15.0, {"latency_ms": 1.0, "status": "error"}, False),
        ("p95", 15.0, {"status": "timeout"}, True),
        ("p95", 15.0, {}, False),
    ],
)
def test_which_requests_show_a_breach(
    metric: str, limit: float, fields: dict[str, Any], is_evidence: bool
) -> None:
    event = seen("e-1", START_MS, **fields)
    assert (_rule(metric, limit).rank(event, event.labels()) is not None) is is_evidence


def test_bad_labels_are_drawn_fairly_and_slow_requests_by_size() -> None:
    bad = seen("e-1", START_MS, trace_id="trace-1", task_success=False)
    assert _rule("task_success", -2.0).rank(bad, bad.labels()) == fair_rank("trace-1")
    slow, hung = seen("e-2", START_MS, latency_ms=900.0), seen("e-3", START_MS, status="timeout")
    rule = _rule("p95", 15.0)
    ranks = [rule.rank(one, one.labels()) for one in (slow, hung)]
    assert ranks[0] == -900_000
    assert ranks[1] is not None
    assert ranks[1] < -900_000  # slower than every finished request: shown first


def test_an_event_without_a_trace_is_shown_by_its_own_id() -> None:
    assert exemplar_id(seen("e-1", START_MS)) == "e-1"
    assert exemplar_id(seen("e-1", START_MS, trace_id="trace-1")) == "trace-1"


WATCHED = ("tenant", "region")


def brute_force_slices(budgets: list[Budget], release: str) -> set[CohortKey]:
    """Everybody by the strata, and per limit: its slice by the strata, its cohorts, and each watched dimension."""
    found = set()
    for one in budgets:
        if release not in (one.release, one.baseline):
            continue
        found.add(cohort_key(dict.fromkeys(one.strata, EVERY)))
        for judged in one.objectives:
            where = dict(judged.where)
            found.add(cohort_key(dict.fromkeys(one.strata, EVERY) | where))
            found |= {cohort_key(where | dict(cohort)) for cohort in judged.critical_cohorts}
            if judged.indicator.name != INCIDENTS:
                found |= {cohort_key({name: EVERY} | where) for name in judged.watched_dimensions}
    return found


LIMITS = [
    objective(),
    objective("p95", 15.0, where=CRITICAL, watched_dimensions=WATCHED, label_delay_min=2),
    handoff(critical_cohorts=(ACME,), label_delay_min=7, where=CRITICAL),
    objective("cost_per_request", 5.0, where=ACME, watched_dimensions=WATCHED),
    objective("outcome.grounded", -2.0, label_delay_min=5),
    objective("outcome.leaked", 2.0, critical_cohorts=(ACME,)),
    incidents(where=CRITICAL, watched_dimensions=WATCHED),
]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(LIMITS), min_size=1, max_size=4, unique_by=lambda one: one.objective_id),
            st.sampled_from([(), ("tenant",), ("tenant", "task")]),
        ),
        max_size=3,
    )
)
@settings(LAWS, max_examples=40)
def test_a_plan_has_each_slice_that_is_asked_about_with_what_is_asked_of_it(
    asked: list[tuple[list[Objective], tuple[str, ...]]],
) -> None:
    """Whatever the budgets are, and in whichever order: counted out over all of them."""
    budgets = [budget(*limits, strata=strata) for limits, strata in asked]
    plan = plan_for(budgets)
    assert plan == plan_for(reversed(budgets))
    assert set(plan.views) == ({CANDIDATE, BASELINE} if asked else set())
    for release, views in plan.views.items():
        assert plan.label_delay_ms[release] == max(
            60_000 * one.label_delay_min for held in budgets for one in held.objectives
        )
        assert len({view.key for view in views}) == len(views)
        assert {view.key for view in views} == brute_force_slices(budgets, release)
        fixed = [len(view.within) for view in views]
        assert fixed == sorted(fixed)
        for view in views:
            assert view.by == tuple(name for name, value in view.key if value == EVERY)
            assert view.within == cohort_key({name: value for name, value in view.key if value != EVERY})
            readers = [
                (one, kind)
                for held in budgets
                for one in held.objectives
                for kind, keys in reads(one, held.strata).items()
                if view.key in keys
            ]
            names = {one.indicator.name for one, _ in readers}
            sizes = {
                one.indicator.source
                for one, _ in readers
                if one.indicator.name in ("p95", "cost_per_request")
            }
            assert view.is_watched is any(kind == "watched" for _, kind in readers)
            assert view.sketches == tuple(sorted(sizes))
            assert view.outcomes == tuple(sorted(name[8:] for name in names if name.startswith("outcome.")))
            shown = sorted(names - {INCIDENTS}) if release == CANDIDATE else []
            assert [rule.indicator for rule in view.exemplars] == shown


def reads(judged: Objective, strata: tuple[str, ...]) -> dict[str, list[CohortKey]]:
    """The slices of one limit, as they are folded; an incident is judged as a whole."""
    where = dict(judged.where)
    watched = () if judged.indicator.name == INCIDENTS else judged.watched_dimensions
    return {
        "whole": [cohort_key(dict.fromkeys(strata, EVERY) | where)],
        "cohort": [cohort_key(where | dict(cohort)) for cohort in judged.critical_cohorts],
        "watched": [cohort_key({name: EVERY} | where) for name in watched],
    }


def test_of_two_slices_as_wide_the_watched_one_comes_last() -> None:
    plan = plan_of(objective(watched_dimensions=("region",)), strata=("tenant",))
    assert [(view.by, view.is_watched) for view in plan.views[CANDIDATE]] == [
        (("tenant",), False),
        (("region",), True),
    ]


def test_the_parts_of_a_minute_share_the_room_among_the_distributions() -> None:
    watched = [
        plan_of(*limits).views[CANDIDATE][-1].parts_max
        for limits in (
            [objective(watched_dimensions=("region",))],
            [objective("p95", 15.0, watched_dimensions=("region",))],
            [objective(name, 15.0, watched_dimensions=("region",)) for name in ("p95", "cost_per_request")],
        )
    ]
    assert watched == [PARTS_MAX, PARTS_MAX, PARTS_MAX // 2]
    assert plan_of(objective("p95", 15.0), strata=("tenant",)).views[CANDIDATE][0].parts_max == STRATA_MAX


def test_one_outcome_that_may_neither_rise_nor_fall_is_shown_both_ways() -> None:
    """Rules are in one order, whichever limit came first."""
    both = [objective("outcome.brief", limit) for limit in (-2.0, 2.0)]
    for limits in (both, both[::-1]):
        plan = plan_for([budget(one, strata=()) for one in limits])
        assert [rule.harmful for rule in plan.views[CANDIDATE][0].exemplars] == [False, True]


def test_a_label_that_comes_later_is_no_second_request_of_that_size() -> None:
    late = seen("o-1", START_MS, latency_ms=900.0, kind="outcome")
    assert _rule("p95", 15.0).rank(late, late.labels()) is None
