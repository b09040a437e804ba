"""The recount after a fault: silent where every count is right, and exact about what is lost or counted twice."""

from __future__ import annotations

from random import Random

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.plan import plan_for
from monitor.engine.ingest import PartitionIngest
from monitor.engine.ports import Claim, Partition
from tests.chaos.outside import Flags, People
from tests.chaos.seen import Group, Log, Part, Seen, Store, counted
from tests.chaos.segments import Row
from tests.simulation.traffic import Producer, stories
from tests.simulation.world import BEGIN_MS, BUDGET

SPEED = 20
PARTITION = Partition("llm.traces.v1", 0)
STORIES = stories(Random(1), 16)
BUDGETS = tuple(load_budget(BUDGET.format(release=one.release), "budget.yaml") for one in STORIES)


def event_ms(wall_ms: int) -> int:
    return BEGIN_MS + wall_ms * SPEED


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Five minutes of traffic, with repeats, latecomers and poison among it."""
    producer = Producer(Random(2), STORIES, BEGIN_MS, 1, hostile=0.5, delay_ms=40_000)
    found: list[Row] = []
    for wall_ms in range(250, 15_000, 250):
        for _, value in producer.events(event_ms(wall_ms), 250 * SPEED):
            found.append(Row("llm.traces.v1", 0, len(found), wall_ms, None, value, ()))
    return found


def stored(rows: list[Row]) -> dict[str, bytes]:
    """Return the state that the product makes of records."""
    ingest = PartitionIngest(
        Claim(PARTITION, "1:w:0", {}),
        plan_for(BUDGETS),
        decode,
        start_offset=0,
        max_ids=10_000,
        event_time=event_ms,
    )
    assert ingest.take(rows) == len(rows)
    return dict(ingest.flush().fields)


def seen(log: list[Row], state: dict[str, bytes]) -> Seen:
    return Seen(
        broker=Log([Part(log)]),
        store=Store({PARTITION: state}),
        group=Group((PARTITION,)),
        flags=Flags(Random(0)),
        people=People(Random(0)),
        stories=STORIES,
        budgets=BUDGETS,
        minute=5,
        speed=SPEED,
        begin_ms=BEGIN_MS,
        wall_ms=0,
        held_ms={},
    )


def test_what_is_counted_right_is_silent_also_in_the_middle_of_the_log(rows: list[Row]) -> None:
    assert len(rows) > 200
    for end in (len(rows), len(rows) // 2):
        found = counted(seen(rows, stored(rows[:end])))
        assert (found.wrong, found.lost, found.double, found.records) == ([], 0, 0, end)


def test_a_record_that_is_in_no_count_is_lost(rows: list[Row]) -> None:
    found = counted(seen(rows, stored(rows[:100] + rows[103:])))
    assert (found.lost, found.double) == (3, 0)
    assert found.wrong


def test_a_count_that_no_record_stands_behind_is_double(rows: list[Row]) -> None:
    found = counted(seen(rows[:100] + rows[102:], stored(rows)))
    assert (found.lost, found.double) == (0, 2)
    assert found.wrong


def test_a_cell_that_is_gone_is_lost_though_the_totals_are_right(rows: list[Row]) -> None:
    state = stored(rows)
    cell = max(name for name in state if name.startswith("c|"))
    del state[cell]
    found = counted(seen(rows, state))
    assert (found.lost, found.double) == (1, 0)
    assert "I1" in found.wrong[0][0]


def test_a_state_that_is_gone_struck_out_or_damaged_counts_nothing(rows: list[Row]) -> None:
    state = stored(rows)
    damaged = bytes([*state["meta"][:-1], state["meta"][-1] ^ 1])
    for broken in ({}, {**state, "offset": b"condemned"}, {**state, "meta": damaged}):
        assert counted(seen(rows, broken)).wrong
