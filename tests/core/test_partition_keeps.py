"""What a fold keeps when its plan changes, a cell is put back or minutes are dropped: every request, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OTHER, OVERALL, cohort_key
from monitor.core.indicator import INCIDENTS
from monitor.core.partition import PartitionFold
from monitor.core.plan import STRATA_MAX, plan_for
from monitor.core.seen import SeenIds
from monitor.core.units import unit_hash
from monitor.core.window import closed_before
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
    MINUTE,
    START_MS,
    T0,
    budget,
    incidents,
    objective,
    plan_of,
    seen,
)

PLAN = plan_of(objective(label_delay_min=30), incidents())
KEY = CellKey(T0, CANDIDATE, OVERALL)
GLOBEX = cohort_key({"tenant": "globex"})
Take = Callable[[PartitionFold, list[TraceRecord]], None]


def one_by_one(fold: PartitionFold, events: list[TraceRecord]) -> None:
    for event in events:
        fold.fold(event, None)


def at_once(fold: PartitionFold, events: list[TraceRecord]) -> None:
    fold.fold_many(events)


WAYS = pytest.mark.parametrize("take", [one_by_one, at_once])


def fold_of(take: Take, *events: TraceRecord, plan: object = PLAN) -> PartitionFold:
    fold = PartitionFold(plan, SeenIds(999))  # type: ignore[arg-type]  # plans are made here
    take(fold, list(events))
    return fold


@WAYS
def test_another_plan_counts_what_came_before_by_the_old_one_and_the_rest_by_itself(take: Take) -> None:
    fold = fold_of(take, seen("a", START_MS, cohort={"tenant": "acme"}), seen("b", START_MS, "model-v43"))
    watched = budget(objective(critical_cohorts=(ACME,)), strata=())
    newer = replace(watched, release="model-v43", baseline=CANDIDATE)
    fold.replan(plan_for([newer]))
    take(
        fold,
        [
            seen(name, START_MS, name, cohort={"tenant": "acme"})
            for name in ("model-v43", CANDIDATE, BASELINE)
        ],
    )
    requests = {(key.release, key.view): cell.requests for key, cell in fold.cells.items()}
    assert requests == {
        (CANDIDATE, OVERALL): 2, (CANDIDATE, ACME): 1, ("model-v43", OVERALL): 1, ("model-v43", ACME): 1,
    }  # fmt: skip
    assert fold.totals.other_releases == 2


@WAYS
def test_a_cell_that_is_put_back_goes_on_with_what_comes_and_the_others_keep_what_waits(take: Take) -> None:
    fold = fold_of(take, seen("a", START_MS), seen("b", START_MS, BASELINE))
    stored = Aggregate()
    stored.requests = 40
    fold.restore(KEY, stored)
    take(fold, [seen("c", START_MS), seen("d", START_MS, BASELINE)])
    assert {key.release: cell.requests for key, cell in fold.cells.items()} == {CANDIDATE: 41, BASELINE: 2}


@WAYS
def test_minutes_that_are_dropped_leave_nothing_and_may_come_again(take: Take) -> None:
    fold = fold_of(take, *(seen(f"e-{number}", START_MS + number * MINUTE) for number in range(3)))
    fold.forget_before(T0 + 2)
    assert {key.minute for key in fold.changed} == {key.minute for key in fold.cells} == {T0 + 2}
    fold.stored([KEY])  # whoever stored it may say so later
    take(fold, [seen("again", START_MS + 1)])
    assert {key.minute: cell.requests for key, cell in fold.cells.items()} == {T0: 1, T0 + 2: 1}
    assert fold.changed == set(fold.cells)
    fold.stored(set(fold.changed))
    assert (fold.changed, fold.changed_bytes) == (set(), 0)


@pytest.mark.parametrize(("after_ms", "is_closed"), [(3 * MINUTE - 1, False), (3 * MINUTE, True)])
def test_a_cell_is_closed_when_its_minute_is(after_ms: int, is_closed: bool) -> None:
    fold = fold_of(at_once, seen("a", START_MS + 59_999))
    fold.complete_ms = START_MS + after_ms
    assert (closed_before(fold.complete_ms) > T0) is is_closed
    assert list(fold.closed_keys()) == ([KEY] if is_closed else [])
    fold.forget_closed()
    assert list(fold.cells) == [KEY]  # it is not stored
    fold.stored([KEY])
    fold.forget_closed()
    assert list(fold.cells) == ([] if is_closed else [KEY])


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_cell_of_later_labels_is_closed_later_by_its_release_own_delay(is_watched: bool) -> None:
    """Of a release that no budget watches any more, at once."""
    fold = fold_of(at_once, seen("z", START_MS + 10 * MINUTE), seen("a", START_MS, kind="outcome"))
    (later,) = (key for key in fold.cells if key.later)
    if not is_watched:
        fold.replan(plan_for([replace(budget(), release="model-v44", baseline="model-v43")]))
    closed = []
    for after_min in (2, 3, 32, 33):
        fold.clock_ms = START_MS + after_min * MINUTE
        closed.append(later in list(fold.closed_keys()))
    assert closed == ([False, False, False, True] if is_watched else [False, True, True, True])


@WAYS
def test_units_are_noted_in_the_overall_cell_of_their_release_and_minute(take: Take) -> None:
    """Of requests alone, and once, however finely the release is broken down."""
    broken_down = plan_of(objective(critical_cohorts=(ACME,)), strata=("workflow",))
    fold = fold_of(
        take,
        seen("a", START_MS, unit_id="u1", cohort={"tenant": "acme"}),
        seen("b", START_MS, unit_id="u2"),
        seen("c", START_MS, unit_id="u1"),
        seen("d", START_MS),
        seen("e", START_MS, unit_id="u3", kind="outcome"),
        seen("f", START_MS, BASELINE, unit_id="u4"),
        seen("g", START_MS, unit_id="u5", traffic="shadow"),
        seen("h", START_MS + MINUTE, unit_id=None),
        plan=broken_down,
    )  # fmt: skip
    found = {key: cell.units.hashes for key, cell in fold.cells.items() if cell.units is not None}
    assert found == {
        KEY: tuple(sorted(map(unit_hash, ("u1", "u2")))),
        CellKey(T0, BASELINE, OVERALL): (unit_hash("u4"),),
    }
    assert set(found) <= fold.changed


@WAYS
def test_an_incident_counts_in_each_slice_it_lies_in_and_in_no_other(take: Take) -> None:
    plan = plan_of(objective(critical_cohorts=(ACME, GLOBEX)), incidents())
    told = [
        seen("a", START_MS, incident_severity="high", cohort={"tenant": "globex"}, failure_class="leak"),
        seen("b", START_MS + 1, incident_severity="high"),
    ]
    fold = fold_of(take, *told, plan=plan)
    shown = {
        key.view: [(one.trace_id, one.failure_class) for one in cell.exemplars.get(INCIDENTS, [])]
        for key, cell in fold.cells.items()
    }
    assert shown == {OVERALL: [("a", "leak"), ("b", "")], ACME: [], GLOBEX: [("a", "leak")]}
    assert {key.view for key in fold.changed} == {OVERALL, GLOBEX}


@WAYS
def test_an_incident_takes_no_part_from_who_came_before_it(take: Take) -> None:
    """Beyond the cap all are one part, in the order of the log: the incident is the first that finds none free."""
    plan = plan_of(objective(), incidents(), strata=("tenant",))
    events = [seen(f"e-{n}", START_MS, cohort={"tenant": f"t-{n}"}) for n in range(STRATA_MAX)]
    severe = seen("severe", START_MS, cohort={"tenant": "last"}, incident_severity="high")
    fold = fold_of(take, *events, severe, plan=plan)
    parts = {value for cell in fold.cells.values() for value in cell.parts}
    assert parts == {OTHER, *(f"t-{n}" for n in range(STRATA_MAX))}
