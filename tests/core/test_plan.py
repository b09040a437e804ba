"""The plan: what is folded is what the budgets ask for, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.exemplar import fair_rank
from monitor.core.plan import ExemplarRule, exemplar_id, plan_for
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
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
