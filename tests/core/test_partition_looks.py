"""What a fold answers is up to date whenever it is asked, and asking changes nothing that comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core import partition
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.partition import PartitionFold, Totals
from monitor.core.seen import SeenIds
from tests.core.test_fold_many import EVENTS, PLANS
from tests.engine.worlds import (
    BASELINE,
    CANDIDATE,
    LAWS,
    MINUTE,
    START_MS,
    T0,
    folded,
    objective,
    plan_of,
    seen,
)

TENANTS = plan_of(objective(watched_dimensions=("tenant",)))
KEY = CellKey(T0, CANDIDATE, OVERALL)
Take = Callable[[PartitionFold, list[TraceRecord]], Any]


def one_by_one(fold: PartitionFold, events: list[TraceRecord]) -> None:
    for event in events:
        fold.fold(event, None)


def at_once(fold: PartitionFold, events: list[TraceRecord]) -> None:
    fold.fold_many(events)


WAYS = pytest.mark.parametrize("take", [one_by_one, at_once])


def test_a_fold_begins_with_nothing() -> None:
    fold = PartitionFold(TENANTS, SeenIds(9))
    assert fold.totals == Totals(accepted=0, late=0, duplicates=0, rejected=0, gaps=0, other_releases=0)
    assert (
        Totals(accepted=1, late=20, duplicates=300, rejected=4_000, gaps=1, other_releases=1).records == 4_321
    )
    assert (fold.cells, fold.changed, fold.take_incidents()) == ({}, set(), [])
    assert (fold.changed_bytes, fold.held_bytes, fold.parts_made) == (0, 0, (0, 0))
    assert (fold.clock_ms, fold.horizon_ms, fold.first_minute) == (None, None, None)
    assert list(fold.closed_keys()) == []
    assert fold.fold_many([]) == []


@pytest.mark.parametrize(
    ("clock_ms", "complete_ms", "horizon_ms"),
    [(None, None, None), (7, None, 7), (None, 7, 7), (7, 8, 8), (8, 7, 8), (8, 8, 8)],
)
def test_a_partition_is_read_up_to_its_clock_or_to_its_end_whichever_is_later(
    clock_ms: int | None, complete_ms: int | None, horizon_ms: int | None
) -> None:
    fold = PartitionFold(TENANTS, SeenIds(9))
    fold.clock_ms, fold.complete_ms = clock_ms, complete_ms
    assert fold.horizon_ms == horizon_ms


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@settings(LAWS, max_examples=25)
@given(EVENTS)
def test_each_way_of_looking_sees_all_that_was_folded(plan: Any, events: list[TraceRecord]) -> None:
    whole, _ = folded(events, plan)
    by_key, marked, looked = (PartitionFold(plan, SeenIds(100_000)) for _ in range(3))
    by_key.fold_many(events)
    marked.fold_many(events)
    for number, event in enumerate(events):
        looked.fold(event, None)
        if number % 3 == 0:
            assert looked.cells is not None
            assert len(looked.changed) <= len(looked.cells)
    assert looked.cells == whole.cells
    assert marked.changed == looked.changed == whole.changed
    assert {key for key, cell in whole.cells.items() if cell != Aggregate()} <= whole.changed
    for key, expected in whole.cells.items():
        assert by_key.cell(key) == expected
    assert by_key.cell(CellKey(T0 - 1, CANDIDATE, OVERALL)) is None


@WAYS
def test_what_is_to_be_written_is_known_without_looking_at_the_cells(take: Take) -> None:
    fold, _ = folded([seen("a", START_MS), seen("b", START_MS, BASELINE)], plan_of(objective()))
    for size, cell in zip((700, 80), fold.cells.values(), strict=True):
        cell.packed_bytes = size
    fold.stored(set(fold.changed))
    assert (fold.changed_bytes, fold.held_bytes) == (0, 780)
    take(fold, [seen("c", START_MS), seen("d", START_MS), seen("e", START_MS + MINUTE)])
    assert fold.changed_bytes == 700
    take(fold, [seen("f", START_MS, BASELINE)])
    assert fold.changed_bytes == 780
    fold.stored([KEY])
    assert (fold.changed_bytes, KEY in fold.changed, len(fold.changed)) == (80, False, 2)


@WAYS
def test_parts_are_counted_as_they_are_made_and_once(take: Take) -> None:
    """A value's part of each minute, whoever asks how often; what is dropped has been made all the same."""
    fold = PartitionFold(TENANTS, SeenIds(99))

    def served(*tenants: str, minute: int = 0) -> tuple[int, int]:
        at_ms = START_MS + minute * MINUTE
        take(fold, [seen(f"{minute}-{number}-{fold.totals.records}", at_ms, cohort={"tenant": one})
                    for number, one in enumerate(tenants)])  # fmt: skip
        return fold.parts_made

    assert [served("a", "b", "a"), served("b"), served("b", "çç")] == [(2, 2), (2, 2), (3, 6)]
    assert served("a", "d", minute=1) == fold.parts_made == (5, 8)
    fold.forget_before(T0 + 1)
    assert not fold._unread  # what is dropped takes no room
    assert [fold.parts_made, served("d", "e", minute=1)] == [(5, 8), (6, 9)]


@WAYS
def test_requests_wait_to_be_added_up_only_until_they_are_many(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "WAITING_MAX", 4)
    fold, most = PartitionFold(TENANTS, SeenIds(99)), 0
    for number in range(12):
        take(fold, [seen(f"e-{number}", START_MS + number % 3 * MINUTE)])
        most = max(most, waiting := sum(row.waiting for row in fold._rows.values()))
        assert waiting == (number + 1) % 4
    assert most == 3


@WAYS
def test_combinations_of_labels_are_forgotten_when_they_are_many_and_counted_all_the_same(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ((True, True), (True, False), (False, None), (None, True), (False, False))
    events = [
        seen(f"e-{number}", START_MS, task_success=success, human_handoff=handed_over)
        for number, (success, handed_over) in enumerate(labels * 3)
    ]
    whole, _ = folded(events, plan_of(objective()))
    monkeypatch.setattr(partition, "SHAPES_MAX", 4)
    fold, sizes = PartitionFold(plan_of(objective()), SeenIds(99)), []
    for event in events:
        take(fold, [event])
        sizes.append(len(fold._shapes) + len(fold._kinds))
    assert fold.cells == whole.cells
    # Many at once have a shape and a kind each, one alone a kind; with the fifth they begin anew, and not before.
    assert sizes == ([1, 2, 3, 4, 5] * 3 if take is one_by_one else [2, 4, 6] * 5)
