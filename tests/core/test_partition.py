"""One partition's fold: every record has one fate, and no order within the lateness changes a cell."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.indicator import INCIDENTS
from monitor.core.partition import OTHER_RELEASES_MAX, Fate, PartitionFold
from monitor.core.seen import SeenIds
from monitor.core.window import closed_before
from tests.engine.worlds import (
    ACME,
    BASELINE,
    CANDIDATE,
    LAWS,
    MINUTE,
    SECOND,
    START_MS,
    T0,
    folded,
    handoff,
    incidents,
    objective,
    plan_of,
    seen,
)

PLAN = plan_of(objective(critical_cohorts=(ACME,)), handoff(), incidents())
DELAYED = plan_of(objective(label_delay_min=30))
ACCEPTED, LATE, DUPLICATE, FUTURE = Fate.ACCEPTED, Fate.LATE, Fate.DUPLICATE, Fate.FUTURE


def _fold(*events: TraceRecord, plan: Any = PLAN, record_ms: int | None = None) -> list[Fate]:
    return folded(events, plan, record_ms=record_ms)[1]


def _overall(fold: PartitionFold, minute: int = T0, *, release: str = CANDIDATE, later: bool = False) -> Any:
    return fold.cells[CellKey(minute, release, OVERALL, later)]


# Every record has exactly one fate -------------------------------------------------------------------------------

EVENTS = st.lists(
    st.builds(
        seen,
        event_id=st.sampled_from([f"e-{n}" for n in range(25)]),
        at_ms=st.integers(START_MS, START_MS + 12 * MINUTE),
        release=st.sampled_from([CANDIDATE, BASELINE, "model-v9"]),
        traffic=st.sampled_from(["live", "live", "shadow", "rehearsal"]),
        kind=st.sampled_from(["request", "request", "outcome"]),
        task_success=st.sampled_from([True, False, None]),
        cohort=st.sampled_from([None, {"tenant": "acme"}]),
        incident_severity=st.sampled_from([None, None, None, "low", "high"]),
    ),
    max_size=30,
)


@settings(LAWS, max_examples=80)
@given(EVENTS, st.sampled_from([None, START_MS + 4 * MINUTE]))
def test_totals_add_up(events: list[TraceRecord], record_ms: int | None) -> None:
    fold, fates = folded(events, PLAN, record_ms=record_ms)
    fold.reject()
    counted, totals = Counter(fates), fold.totals
    assert totals.records == len(events) + 1
    assert (totals.accepted, totals.late, totals.duplicates) == (
        counted[ACCEPTED], counted[LATE], counted[DUPLICATE],
    )  # fmt: skip
    assert totals.rejected == counted[FUTURE] + 1
    late = Counter(one.release for one, fate in zip(events, fates, strict=True) if fate is LATE)
    assert fold.late_by_release == {name: count for name, count in late.items() if name in PLAN.views}
    live = [
        one for one, fate in zip(events, fates, strict=True)
        if fate is ACCEPTED and one.traffic == "live" and not one.is_outcome and one.release != "model-v9"
    ]  # fmt: skip
    assert sum(cell.requests for key, cell in fold.cells.items() if key.view == OVERALL) == len(live)


# Duplicates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved_ms, fate",
    [(0, DUPLICATE), (1, DUPLICATE), (119_999, DUPLICATE), (120_000, ACCEPTED), (600_000, ACCEPTED)],
)
def test_an_id_counts_again_after_the_clock_moved_two_minutes(moved_ms: int, fate: Fate) -> None:
    at_ms = START_MS + moved_ms
    fates = _fold(seen("x", START_MS), seen("y", at_ms), seen("x", at_ms))
    assert fates == [ACCEPTED, ACCEPTED, fate]


def test_a_repeat_is_a_sighting_too() -> None:
    """Whoever re-reads the last two minutes cannot know of an older one."""
    fates = _fold(
        *(seen("x", START_MS + number * 90 * SECOND) for number in range(4)), seen("x", START_MS + 400_000)
    )
    assert fates == [ACCEPTED, DUPLICATE, DUPLICATE, DUPLICATE, ACCEPTED]


def test_an_event_that_is_late_was_seen_all_the_same() -> None:
    assert _fold(seen("y", START_MS + 600_000), seen("x", START_MS), seen("x", START_MS)) == [
        ACCEPTED, LATE, DUPLICATE,
    ]  # fmt: skip


# Late ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind_ms, fate",
    [(0, ACCEPTED), (119_999, ACCEPTED), (120_000, ACCEPTED), (120_001, LATE), (600_000, LATE)],
)
def test_late_is_more_than_two_minutes_behind_the_clock(behind_ms: int, fate: Fate) -> None:
    clock_ms = START_MS + 20 * MINUTE + 17 * SECOND
    fold, fates = folded([seen("a", clock_ms), seen("b", clock_ms - behind_ms)], PLAN)
    assert fates == [ACCEPTED, fate]
    assert fold.late_by_release == ({} if fate is ACCEPTED else {CANDIDATE: 1})


@pytest.mark.parametrize(
    "complete_ms, fate",
    [
        (START_MS, ACCEPTED),
        (START_MS + 3 * MINUTE - 1, ACCEPTED),  # the minute is open until three minutes after its start
        (START_MS + 3 * MINUTE, LATE),
    ],
)
def test_late_is_also_what_belongs_to_a_closed_minute(complete_ms: int, fate: Fate) -> None:
    """A partition that was read to its end is further than its events say; its minutes close by that."""
    fold, _ = folded([seen("a", START_MS)], PLAN)
    fold.complete_ms = complete_ms
    assert fold.fold(seen("b", START_MS + 10 * SECOND), None) is fate


@LAWS
@given(st.integers(0, 400_000), st.integers(0, 400_000))
def test_nothing_on_time_lies_in_a_closed_minute(complete_after_ms: int, at_after_ms: int) -> None:
    fold, _ = folded([seen("a", START_MS)], PLAN)
    fold.complete_ms = START_MS + complete_after_ms
    event = seen("b", START_MS + at_after_ms)
    on_time = fold.fold(event, None) is ACCEPTED
    assert fold.horizon_ms is not None
    assert on_time is (event.at_ms // MINUTE >= closed_before(fold.horizon_ms))


# Future ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ahead_ms, fate, clock_ms",
    [
        (-MINUTE, ACCEPTED, START_MS - MINUTE),
        (0, ACCEPTED, START_MS),
        (1, ACCEPTED, START_MS),  # the clock never passes the record's own time
        (300_000, ACCEPTED, START_MS),
        (300_001, FUTURE, None),
    ],
)
def test_future_is_more_than_five_minutes_ahead_of_the_record(
    ahead_ms: int, fate: Fate, clock_ms: int | None
) -> None:
    fold, fates = folded([seen("a", START_MS + ahead_ms)], PLAN, record_ms=START_MS)
    assert fates == [fate]
    assert fold.clock_ms == clock_ms


def test_a_future_event_is_not_remembered_by_id() -> None:
    fold, _ = folded([seen("a", START_MS + 300_001)], PLAN, record_ms=START_MS)
    assert fold.fold(seen("a", START_MS), START_MS) is ACCEPTED


# Order -----------------------------------------------------------------------------------------------------------


@settings(LAWS, max_examples=60)
@given(st.data())
def test_no_order_within_the_lateness_changes_a_cell(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    events = [
        seen(
            f"e-{number}",
            START_MS + number * 20 * SECOND,
            data.draw(st.sampled_from([CANDIDATE, BASELINE])),
            task_success=data.draw(st.booleans()),
            cohort=data.draw(st.sampled_from([None, {"tenant": "acme"}])),
            incident_severity=data.draw(st.sampled_from([None, None, "high"])),
        )
        for number in range(count)
    ]
    arrived = sorted(events, key=lambda one: one.at_ms + data.draw(st.integers(0, 120_000)))
    plain, _ = folded(events, PLAN)
    shuffled, fates = folded(arrived, PLAN)
    assert set(fates) == {ACCEPTED}
    assert shuffled.cells == plain.cells
    assert {one.event_id for one in shuffled.incidents} == {one.event_id for one in plain.incidents}
    assert (shuffled.clock_ms, shuffled.first_minute) == (plain.clock_ms, plain.first_minute)


# Restart ---------------------------------------------------------------------------------------------------------


@settings(LAWS, max_examples=60)
@given(st.data())
def test_re_reading_two_minutes_gives_the_fates_of_never_having_stopped(data: st.DataObject) -> None:
    events = [
        seen(f"e-{data.draw(st.integers(0, 8))}", START_MS + data.draw(st.integers(0, 420)) * SECOND)
        for _ in range(data.draw(st.integers(2, 25)))
    ]
    stop = data.draw(st.integers(1, len(events)))
    whole, fates = folded(events, PLAN)
    clocks: list[int | None] = [None]
    for event in events:
        clocks.append(event.at_ms if clocks[-1] is None else max(clocks[-1], event.at_ms))
    now_ms = clocks[stop] or 0
    # The newest place where the clock already stood two minutes back, else the beginning.
    warm_from = max((n for n in range(stop + 1) if (clocks[n] or 1 << 60) <= now_ms - 120_000), default=0)
    again = PartitionFold(PLAN, SeenIds(100_000))
    again.clock_ms = clocks[warm_from]
    for event in events[warm_from:stop]:
        again.warm(event, None)
    assert again.clock_ms == now_ms
    assert again.totals.records == 0
    assert again.cells == {}
    assert [again.fold(event, None) for event in events[stop:]] == fates[stop:]
    assert again.clock_ms == whole.clock_ms


def test_a_future_record_is_future_when_it_is_read_again() -> None:
    fold = PartitionFold(PLAN, SeenIds(10))
    fold.warm(seen("a", START_MS), START_MS)
    fold.warm(seen("b", START_MS + 300_001), START_MS)
    assert fold.clock_ms == START_MS
    assert fold.fold(seen("b", START_MS), START_MS) is ACCEPTED


def test_a_restored_minute_goes_on_adding_up() -> None:
    events = [seen(f"e-{n}", START_MS + n * SECOND, task_success=n % 3 > 0) for n in range(12)]
    whole, _ = folded(events, PLAN)
    first, _ = folded(events[:7], PLAN)
    again = PartitionFold(PLAN, SeenIds(100))
    for key, one in deepcopy(first.cells).items():
        again.restore(key, one)
    for event in events[7:]:
        again.fold(event, None)
    assert again.cells == whole.cells


# What is folded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traffic", ["shadow", "rehearsal"])
def test_only_live_traffic_is_folded(traffic: str) -> None:
    fold, fates = folded([seen("a", START_MS, traffic=traffic, incident_severity="critical")], PLAN)
    assert fates == [ACCEPTED]
    assert not any(cell.requests or cell.incidents for cell in fold.cells.values())
    assert not fold.incidents


def test_an_outcome_is_no_request() -> None:
    fold, _ = folded([seen("a", START_MS, kind="outcome", task_success=False)], PLAN)
    assert _overall(fold).requests == 0
    assert _overall(fold).rate("task_success") == (0, 1)


def test_a_request_counts_in_each_slice_it_lies_in() -> None:
    events = [
        seen("a", START_MS, cohort={"tenant": "acme"}),
        seen("b", START_MS, cohort={"tenant": "globex"}),
    ]
    fold, _ = folded([*events, seen("c", START_MS)], PLAN)
    assert _overall(fold).requests == 3
    assert fold.cells[CellKey(T0, CANDIDATE, ACME)].requests == 1


def test_releases_without_a_budget_are_counted_and_a_few_remembered() -> None:
    events = [seen(f"e-{n}", START_MS + n, f"other-{n % 300}") for n in range(600)]
    fold, fates = folded(list(reversed(events)), PLAN)
    assert set(fates) == {ACCEPTED}
    assert fold.totals.other_releases == 600
    assert len(fold.others) == OTHER_RELEASES_MAX
    assert fold.others["other-299"] == START_MS + 299  # its earliest request
    assert fold.cells == {}


def test_another_plan_counts_from_the_next_record_on() -> None:
    fold, _ = folded([seen("a", START_MS, "model-v43")], PLAN)
    fold.replan(plan_of(objective(critical_cohorts=(ACME,))))
    fold.fold(seen("b", START_MS, cohort={"tenant": "acme"}), None)
    assert fold.cells[CellKey(T0, CANDIDATE, ACME)].requests == 1


# Labels that come later ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, behind_ms, fate",
    [
        ("outcome", 32 * MINUTE, ACCEPTED),
        ("outcome", 32 * MINUTE + 1, LATE),
        ("request", 2 * MINUTE, ACCEPTED),
        ("request", 2 * MINUTE + 1, LATE),  # only labels may come later
    ],
)
def test_labels_are_on_time_for_as_long_as_the_objective_waits(kind: str, behind_ms: int, fate: Fate) -> None:
    clock_ms = START_MS + 60 * MINUTE
    late_one = seen("b", clock_ms - behind_ms, kind=kind, task_success=False)
    fold, fates = folded([seen("a", clock_ms), late_one], DELAYED)
    assert fates == [ACCEPTED, fate]
    if kind == "outcome" and fate is ACCEPTED:
        minute = late_one.at_ms // MINUTE
        assert _overall(fold, minute, later=True).rate("task_success") == (0, 1)


def test_without_a_delay_a_label_is_late_like_everything_else() -> None:
    clock_ms = START_MS + 60 * MINUTE
    late_one = seen("b", clock_ms - 2 * MINUTE - 1, kind="outcome", task_success=False)
    assert _fold(seen("a", clock_ms), late_one) == [ACCEPTED, LATE]


def test_a_label_that_is_on_time_counts_for_objectives_that_do_not_wait() -> None:
    mixed = plan_of(objective(label_delay_min=30), handoff())
    fold, _ = folded([seen("a", START_MS), seen("b", START_MS, kind="outcome", human_handoff=True)], mixed)
    assert _overall(fold).rate("human_handoff") == (1, 1)


# Incidents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "severity, counts", [("low", 0), ("medium", 0), ("high", 1), ("critical", 1), (None, 0)]
)
def test_which_incidents_count(severity: str | None, counts: int) -> None:
    fold, _ = folded([seen("a", START_MS, incident_severity=severity)], PLAN)
    assert _overall(fold).incidents == counts
    assert len(fold.incidents) == counts


@pytest.mark.parametrize("kind", ["request", "outcome"])
def test_an_incident_that_comes_late_counts_as_if_on_time(kind: str) -> None:
    clock_ms = START_MS + 60 * MINUTE
    late_one = seen(
        "b", START_MS, kind=kind, incident_severity="high", trace_id="trace-b", failure_class="leak"
    )
    fold, fates = folded([seen("a", clock_ms), late_one], PLAN)
    assert fates == [ACCEPTED, LATE]
    oldest_open = closed_before(clock_ms)
    assert _overall(fold, oldest_open).incidents == 1
    assert _overall(fold, oldest_open).requests == 0  # only the incident is on time
    assert [one.trace_id for one in _overall(fold, oldest_open).exemplars[INCIDENTS]] == ["trace-b"]
    (heard,) = fold.take_incidents()
    assert (heard.at_ms, heard.minute, heard.exemplar) == (START_MS, oldest_open, "trace-b")
    assert fold.take_incidents() == []


def test_an_incident_counts_in_its_slice() -> None:
    one = seen(
        "a", START_MS, incident_severity="high", cohort={"tenant": "acme"}
    )  # and its repeat counts once
    other = seen("b", START_MS, incident_severity="high", cohort={"tenant": "globex"})
    fold, _ = folded([one, one, other], PLAN)
    assert fold.cells[CellKey(T0, CANDIDATE, ACME)].incidents == 1
    assert [heard.cohort for heard in fold.incidents] == [(("tenant", "acme"),), (("tenant", "globex"),)]


# What is kept ----------------------------------------------------------------------------------------------------


def test_closed_cells_go_once_they_are_stored() -> None:
    fold, _ = folded([seen("a", START_MS), seen("b", START_MS + 10 * MINUTE)], PLAN)
    fold.forget_closed()
    assert CellKey(T0, CANDIDATE, OVERALL) in fold.cells  # not stored yet
    fold.stored(frozenset(fold.changed))
    assert fold.changed == set()
    fold.forget_closed()
    assert {key.minute for key in fold.cells} == {T0 + 10}


def test_cells_of_later_labels_stay_as_long_as_labels_are_on_time() -> None:
    old = seen("a", START_MS, kind="outcome", task_success=True)
    fold, _ = folded([seen("z", START_MS + 10 * MINUTE), old], DELAYED)
    fold.stored(frozenset(fold.changed))
    fold.forget_closed()
    assert CellKey(T0, CANDIDATE, OVERALL, later=True) in fold.cells
    fold.complete_ms = START_MS + 33 * MINUTE
    fold.forget_closed()
    assert CellKey(T0, CANDIDATE, OVERALL, later=True) not in fold.cells
