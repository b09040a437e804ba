"""Many records folded at once are the same records folded one after the other: every fate, count, cell and incident."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.cohort import OTHER, cohort_key
from monitor.core.partition import PartitionFold
from monitor.core.plan import Plan
from monitor.core.seen import SeenIds
from monitor.core.sketch import whole_of
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
    LAWS,
    MINUTE,
    START_MS,
    handoff,
    incidents,
    objective,
    plan_of,
    seen,
)

TENANT = ("tenant",)
CRITICAL = cohort_key({"workflow": "critical"})
PLANS = {
    "whole": plan_of(objective(critical_cohorts=(ACME,)), handoff(), incidents()),
    "broken down": plan_of(
        objective(watched_dimensions=TENANT, label_delay_min=5), objective("p95", 15.0, watched_dimensions=TENANT),
        objective("tool_p95", 15.0), objective("cost_per_request", 5.0), objective("tokens_per_request", 5.0),
        objective("outcome.grounded", -2.0), objective("timeout", 5.0), incidents(), strata=("workflow", "tenant"),
    ),
    "a slice": plan_of(objective("p95", 15.0, where=CRITICAL, watched_dimensions=TENANT), strata=("workflow",)),
}  # fmt: skip
LABEL = st.sampled_from([True, False, None])
VALUE = st.sampled_from(["acme", "globex", "hooli"])
EVENTS = st.lists(
    st.builds(
        seen,
        event_id=st.integers(0, 60).map("e-{}".format),
        at_ms=st.integers(START_MS, START_MS + 3 * MINUTE) | st.integers(START_MS, START_MS + 12 * MINUTE),
        release=st.sampled_from([CANDIDATE, CANDIDATE, BASELINE, "model-v9"]),
        traffic=st.sampled_from(["live", "live", "live", "shadow"]),
        kind=st.sampled_from(["request", "request", "request", "outcome"]),
        status=st.sampled_from(["ok", "ok", "ok", "error", "timeout"]),
        task_success=LABEL,
        human_handoff=LABEL,
        cohort=st.none()
        | st.dictionaries(st.sampled_from(["tenant", "workflow"]), VALUE | st.just("critical")),
        incident_severity=st.sampled_from([None, None, None, None, "low", "high"]),
        latency_ms=st.none() | st.floats(0, 100_000),
        stage_ms=st.none() | st.just({"tool": 7.0}),
        cost_usd=st.none() | st.sampled_from([0.0, 0.25, 3.0]),
        tokens_in=st.none() | st.sampled_from([3, 2**53 - 1]),
        tokens_out=st.none() | st.sampled_from([4, 2**53 - 1]),
        outcomes=st.none() | st.dictionaries(st.sampled_from(["grounded", "x"]), st.booleans()),
        unit_id=st.sampled_from([None, "u1", "u2"]),
        trace_id=st.sampled_from([None, "t1", "t2", "t3"]),
        failure_class=st.sampled_from([None, "wrong"]),
    ),
    max_size=40,
)


def _held(fold: PartitionFold) -> tuple[Any, ...]:
    """All that a fold holds."""
    return (
        fold.cells, fold.totals, fold.clock_ms, fold.first_minute, fold.late_by_release, fold.others, fold.changed,
        list(fold.incidents), fold.seen.evicted,
    )  # fmt: skip


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@settings(LAWS, max_examples=60)
@given(
    events=EVENTS,
    cuts=st.lists(st.integers(0, 40), max_size=3),
    with_time=st.booleans(),
    ids=st.sampled_from([5, 99]),
)
def test_many_at_once_are_one_after_the_other(
    plan: Plan, events: list[TraceRecord], cuts: list[int], with_time: bool, ids: int
) -> None:
    own = [START_MS + 4 * MINUTE + 10_000 * index for index in range(len(events))]
    single, many = PartitionFold(plan, SeenIds(ids)), PartitionFold(plan, SeenIds(ids))
    fates = [single.fold(one, at if with_time else None).value for one, at in zip(events, own, strict=True)]
    ahead: list[int] = []
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for start, end in pairwise(edges):
        found = many.fold_many(events[start:end], np.array(own[start:end]) if with_time else None)
        ahead += [start + index for index in found]
        many.complete_ms = single.complete_ms
    assert ahead == [index for index, fate in enumerate(fates) if fate == "future"]
    assert _held(many) == _held(single)
    clock_ms = single.clock_ms or 0
    known = sorted({one.event_id for one in events})
    assert [many.seen.is_repeat(one, clock_ms) for one in known] == [
        single.seen.is_repeat(one, clock_ms) for one in known
    ]


def test_who_comes_first_has_a_part_of_its_own() -> None:
    """Beyond the cap it is the order of the log that tells the values apart, not who was added up first."""
    plan = plan_of(objective(watched_dimensions=TENANT), objective("p95", 15.0, watched_dimensions=TENANT),
                   objective("cost_per_request", 5.0, watched_dimensions=TENANT))  # fmt: skip
    events = [
        seen(
            f"e-{n}", START_MS + n, cohort={"tenant": f"t-{n}"}, task_success=True,
            kind="outcome" if n % 7 == 3 else "request", incident_severity="high" if n % 50 == 9 else None,
        )
        for n in range(520)
    ]  # fmt: skip
    single, many = PartitionFold(plan, SeenIds(999)), PartitionFold(plan, SeenIds(999))
    for event in events:
        single.fold(event, None)
    many.fold_many(events)
    assert any(OTHER in cell.parts for cell in many.cells.values())
    assert _held(many) == _held(single)


@given(st.lists(st.floats(0, 86_400_000) | st.integers(0, 86_400_000), min_size=1))
def test_sizes_of_many_are_those_of_one(told: list[float]) -> None:
    """Whole micro-units are found for many at once by the rule that rounds one."""
    events = [seen("e", START_MS, latency_ms=value, cost_usd=value / 100) for value in told]
    assert whole_of(told, 1_000).tolist() == [event.latency_us for event in events]
    costs = [value / 100 for value in told]
    assert whole_of(costs, 1_000_000).tolist() == [event.cost_microusd for event in events]


def test_sums_are_exact_beyond_what_a_double_holds() -> None:
    plan = plan_of(objective("tokens_per_request", 5.0))
    fold = PartitionFold(plan, SeenIds(9))
    most = 2**53 - 1
    fold.fold_many([seen(f"e-{n}", START_MS, tokens_in=most, tokens_out=n) for n in range(3)])
    (cell,) = (cell for key, cell in fold.cells.items() if key.release == CANDIDATE)
    assert cell.distribution("tokens").total == 3 * most + 3


def test_labels_that_may_come_later_may_so_among_many() -> None:
    """Of each what its own release and kind allow: labels later, requests and labels of nobody's release not."""
    late = [
        seen(f"e-{n}", START_MS, kind=kind, release=release, task_success=True)
        for n, (kind, release) in enumerate(
            [("outcome", CANDIDATE), ("request", CANDIDATE), ("outcome", "model-v9"), ("outcome", BASELINE)]
        )
    ]
    severe = seen("e-8", START_MS + 6 * MINUTE, incident_severity="high")
    single, many = (PartitionFold(PLANS["broken down"], SeenIds(99)) for _ in range(2))
    events = [seen("e-9", START_MS + 6 * MINUTE), severe, *late]
    for event in events:
        single.fold(event, None)
    many.fold_many(events)
    assert _held(many) == _held(single)
    assert {key.release for key in many.cells if key.later} == {CANDIDATE, BASELINE}
