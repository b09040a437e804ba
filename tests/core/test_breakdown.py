"""Breakdowns: each request is in one part, and the parts are the slice as it would be unbroken."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import Aggregate, merged
from monitor.core.breakdown import shard_of
from monitor.core.cell import CellKey
from monitor.core.cohort import OTHER, OVERALL, by_every, cohort_key, joint_value
from monitor.core.exemplar import EXEMPLARS_PER_PART
from monitor.core.partition import PartitionFold
from monitor.core.plan import SHARDS, Plan
from monitor.core.seen import SeenIds
from tests.core.test_aggregate import EVENTS, FIELDS
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
    LAWS,
    START_MS,
    T0,
    folded,
    handoff,
    incidents,
    objective,
    plan_of,
    seen,
)

LIMITS = (
    objective(), handoff(), objective("p95", 15.0), objective("cost_per_request", 5.0),
    objective("outcome.grounded", -2.0), objective("error", 5.0), incidents(),
)  # fmt: skip
TENANTS = by_every(OVERALL, ("tenant",))
UNBROKEN, STRATIFIED = plan_of(*LIMITS), plan_of(*LIMITS, strata=("tenant",))
WATCHED = plan_of(objective(watched_dimensions=("tenant",)), objective("p95", 15.0), strata=("workflow",))


def shards(fold: PartitionFold, view: Any = TENANTS, release: str = CANDIDATE) -> list[Aggregate]:
    keys = (CellKey(T0, release, view, shard=shard) for shard in range(SHARDS))
    return [fold.cells[key] for key in keys if key in fold.cells]


@settings(LAWS, max_examples=60)
@given(EVENTS)
def test_the_parts_together_are_the_slice_unbroken(events: list[TraceRecord]) -> None:
    whole = Aggregate()
    for shard in shards(folded(events, STRATIFIED)[0]):
        whole.add_total(shard)
    assert whole == folded(events, UNBROKEN)[0].cells.get(CellKey(T0, CANDIDATE, OVERALL), Aggregate())


@settings(LAWS, max_examples=40)
@given(EVENTS)
def test_each_part_is_what_a_slice_of_its_own_would_be(events: list[TraceRecord]) -> None:
    parts = {
        value: part for shard in shards(folded(events, STRATIFIED)[0]) for value, part in shard.parts.items()
    }
    own = (
        folded(events, plan_of(*(objective(critical_cohorts=(ACME,)),)))[0].cells[
            CellKey(T0, CANDIDATE, ACME)
        ]
        if events
        else Aggregate()
    )
    found = parts.get("acme", Aggregate())
    assert (found.requests, found.rate("task_success")) == (own.requests, own.rate("task_success"))


@settings(LAWS, max_examples=40)
@given(EVENTS, st.data())
def test_merging_in_any_grouping_is_the_same(events: list[TraceRecord], data: st.DataObject) -> None:
    groups = [data.draw(st.integers(0, 2)) for _ in events]
    parts = []
    for number in range(3):
        chosen = [one for one, group in zip(events, groups, strict=True) if group == number]
        parts.append(merged(shards(folded(chosen, STRATIFIED)[0])))
    a, b, c = (deepcopy(part) for part in parts)
    assert (
        merged([a, b, c]) == merged([c, a, b]) == merged([merged([a, b]), c]) == merged([a, merged([b, c])])
    )
    assert merged(parts) == merged(shards(folded(events, STRATIFIED)[0]))
    assert parts == [a, b, c]


@settings(LAWS, max_examples=40)
@given(st.lists(FIELDS, min_size=2, max_size=14), st.integers(1, 13))
def test_a_restart_in_the_middle_of_a_minute_changes_nothing(rows: list[dict[str, Any]], at: int) -> None:
    events = [seen(f"e-{n}", START_MS + n * 1_000, **row) for n, row in enumerate(rows)]
    first, _ = folded(events[:at], WATCHED)
    second = PartitionFold(WATCHED, SeenIds(100))
    for key, cell in first.cells.items():
        second.restore(key, cell)
    for event in events[at:]:
        second.fold(event, None)
    assert second.cells == folded(events, WATCHED)[0].cells


def _many(plan: Plan, tenants: int) -> PartitionFold:
    events = [
        seen(f"e-{n}", START_MS + n, cohort={"tenant": f"t-{n}"}, latency_ms=9.0) for n in range(tenants)
    ]
    return folded(events, plan)[0]


def test_values_beyond_the_cap_are_added_up_and_counted() -> None:
    plan = plan_of(
        *(objective(name, 15.0, watched_dimensions=("tenant",)) for name in ("p95", "cost_per_request"))
    )
    (view,) = (one for one in plan.views[CANDIDATE] if one.key == TENANTS)
    assert view.parts_max == 500  # two distributions: half as many as without or with one
    fold = _many(plan, 520)
    parts = {value: part.requests for shard in shards(fold) for value, part in shard.parts.items()}
    assert (len(parts), parts[OTHER]) == (501, 20)


def test_an_overall_view_has_256_strata_and_one_of_all_others() -> None:
    fold = _many(plan_of(objective(), strata=("tenant",)), 300)
    parts = {value: part.requests for shard in shards(fold) for value, part in shard.parts.items()}
    assert (len(parts), parts[OTHER]) == (257, 44)


def test_a_value_is_in_one_shard_alone() -> None:
    fold = _many(plan_of(objective(watched_dimensions=("tenant",))), 200)
    for key, cell in fold.cells.items():
        assert all(shard_of(value) == key.shard for value in cell.parts)
    assert len(shards(fold)) == SHARDS


def test_a_watched_part_keeps_a_few_exemplars_of_its_own() -> None:
    events = [seen(f"e-{n}", START_MS + n, cohort={"tenant": "acme"}, task_success=False) for n in range(9)]
    (shard,) = shards(folded(events, WATCHED)[0])
    assert len(shard.parts["acme"].exemplars["task_success"]) == EXEMPLARS_PER_PART
    assert shard.exemplars == {}


def test_a_breakdown_of_a_slice_holds_that_slice_alone() -> None:
    critical = cohort_key({"task": "critical"})
    plan = plan_of(objective(where=critical, watched_dimensions=("tenant",)))
    events = [
        seen("e-1", START_MS, cohort={"task": "critical", "tenant": "acme"}),
        seen("e-2", START_MS, cohort={"task": "other", "tenant": "acme"}),
    ]
    (shard,) = shards(folded(events, plan)[0], by_every(critical, ("tenant",)))
    assert {value: part.requests for value, part in shard.parts.items()} == {"acme": 1}


def test_views_of_strata_and_of_watched_values() -> None:
    views = {view.key: view for view in WATCHED.views[CANDIDATE]}
    assert list(views) == [by_every(OVERALL, ("workflow",)), TENANTS]
    assert views[TENANTS].sketches == ()  # only what is asked of the tenants
    assert [view.is_watched for view in views.values()] == [False, True]
    assert [rule for view in WATCHED.views[BASELINE] for rule in view.exemplars] == []
    workflow = objective(where=cohort_key({"workflow": "chat"}))
    assert cohort_key({"workflow": "chat"}) in [
        view.key for view in plan_of(workflow, strata=("workflow",)).views[CANDIDATE]
    ]  # what a slice fixes is no stratum of it


def _tenants_of_two_shards() -> tuple[str, str]:
    first, *others = (f"t-{number}" for number in range(50))
    return first, next(one for one in others if shard_of(one) != shard_of(first))


@pytest.mark.parametrize("at_once", [False, True])
def test_of_a_breakdowns_cells_those_are_to_be_written_that_changed(at_once: bool) -> None:
    """One more request of one tenant is one cell to write, though others are there, changed and not."""
    fold, (one, other) = PartitionFold(WATCHED, SeenIds(99)), _tenants_of_two_shards()

    def written(*tenants: str) -> set[int]:
        events = [seen(f"e-{fold.totals.records + n}", START_MS, cohort={"tenant": tenant})
                  for n, tenant in enumerate(tenants)]  # fmt: skip
        if at_once:
            fold.fold_many(events)
        else:
            for event in events:
                fold.fold(event, None)
        return {key.shard for key in fold.changed if key.view == TENANTS}

    assert written(one) == {shard_of(one)}
    fold.stored(set(fold.changed))
    assert written(other) == {shard_of(other)}
    assert written(one) == {shard_of(one), shard_of(other)}
    fold.stored(set(fold.changed))
    assert fold.changed == set()
    assert written(one, other, one) == {shard_of(one), shard_of(other)}


def test_a_slice_that_nobody_was_in_is_not_written() -> None:
    fold, _ = folded(
        [seen("a", START_MS, cohort={"tenant": "globex"})], plan_of(objective(critical_cohorts=(ACME,)))
    )
    assert {key.view for key in fold.changed} == {OVERALL}


def test_parts_of_several_dimensions_are_their_combinations() -> None:
    """Also in a slice of two dimensions; whoever lacks one of them has a part of its own."""
    critical = cohort_key({"task": "critical", "region": "eu"})
    plan = plan_of(objective(where=critical), strata=("tenant", "workflow"))
    inside = {"task": "critical", "region": "eu"}
    cohorts = [
        {**inside, "tenant": "acme", "workflow": "chat"}, {**inside, "tenant": "acme", "workflow": "mail"}, inside,
        {**inside, "tenant": "acme", "workflow": "chat"}, {**inside, "region": "us", "tenant": "acme"},
        {"task": "critical", "tenant": "acme"}, None,
    ]  # fmt: skip
    events = [seen(f"e-{number}", START_MS, cohort=cohort) for number, cohort in enumerate(cohorts)]
    (view,) = (one for one in plan.views[CANDIDATE] if one.within == critical)
    found = {
        value: part.requests
        for shard in shards(folded(events, plan)[0], view.key)
        for value, part in shard.parts.items()
    }
    told = [{"tenant": "acme", "workflow": "chat"}, {"tenant": "acme", "workflow": "mail"}, {}]
    values = [joint_value(one, ("tenant", "workflow")) for one in told]
    assert found == dict(zip(values, (2, 1, 1), strict=True))


def test_a_part_that_was_stored_is_not_counted_as_a_new_one_towards_the_cap() -> None:
    """A restart in the middle of a minute leaves as much room as there was, and the part of all others."""
    plan = plan_of(objective(), strata=("tenant",))
    events = [seen(f"e-{n}", START_MS, cohort={"tenant": f"t-{n % 258}"}) for n in range(300)]
    again = PartitionFold(plan, SeenIds(999))
    for key, cell in folded(events[:100], plan)[0].cells.items():
        again.restore(key, cell)
    again.fold_many(events[100:259])
    for key, cell in dict(again.cells).items():
        again.restore(key, cell)
    again.fold_many(events[259:])
    assert again.cells == folded(events, plan)[0].cells
    parts = {value: part.requests for shard in shards(again) for value, part in shard.parts.items()}
    assert (len(parts), parts[OTHER], parts["t-0"]) == (257, 2, 2)


def test_a_cell_that_was_put_back_is_written_when_it_changes_again() -> None:
    first, _ = folded([seen("a", START_MS, cohort={"tenant": "acme"})], WATCHED)
    again = PartitionFold(WATCHED, SeenIds(9))
    for key, cell in deepcopy(first.cells).items():
        cell.is_changed = False  # as it is read from the store
        again.restore(key, cell)
    assert again.changed == set()
    again.fold_many([seen("b", START_MS, cohort={"tenant": "acme"})])
    assert again.changed == first.changed


PAIRS = st.tuples(st.text("12:a", max_size=4), st.text("12:a", max_size=4))


@LAWS
@given(PAIRS, PAIRS)
def test_two_combinations_are_never_the_same_part(one: tuple[str, str], other: tuple[str, str]) -> None:
    values = [joint_value({"x": x, "y": y}, ("x", "y")) for x, y in (one, other)]
    assert (values[0] == values[1]) is (one == other)


@pytest.mark.parametrize("cohort, value", [({"tenant": "acme"}, "acme"), ({}, ""), ({"other": "x"}, "")])
def test_a_request_without_the_dimension_has_a_part_too(cohort: dict[str, str], value: str) -> None:
    assert joint_value(cohort, ("tenant",)) == value
