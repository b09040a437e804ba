"""Where a record stands against the partition's clock: the edges, alone, among many and read again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.partition import PartitionFold
from monitor.core.seen import SeenIds
from tests.engine.worlds import BASELINE, CANDIDATE, MINUTE, SECOND, START_MS, T0, objective, plan_of, seen

DELAYED = plan_of(objective(label_delay_min=30))
HALF_HOUR = CellKey(T0, CANDIDATE, OVERALL, later=True)
Take = Callable[[PartitionFold, TraceRecord, int | None], None]


def alone(fold: PartitionFold, event: TraceRecord, record_ms: int | None = None) -> None:
    fold.fold(event, record_ms)


def among_many(fold: PartitionFold, event: TraceRecord, record_ms: int | None = None) -> None:
    fold.fold_many([event], None if record_ms is None else np.array([record_ms]))


def again(fold: PartitionFold, event: TraceRecord, record_ms: int | None = None) -> None:
    fold.warm(event, record_ms)


WAYS = pytest.mark.parametrize("take", [alone, among_many])


@pytest.mark.parametrize("take", [alone, among_many, again])
@pytest.mark.parametrize(
    ("ahead_ms", "clock_ms"),
    [
        (-MINUTE, START_MS - MINUTE),
        (1, START_MS),  # never beyond the record's own time
        (300_000, START_MS),
        (300_001, None),
    ],
)
def test_a_record_moves_the_clock_unless_it_is_more_than_five_minutes_ahead(
    take: Take, ahead_ms: int, clock_ms: int | None
) -> None:
    fold = PartitionFold(DELAYED, SeenIds(9))
    take(fold, seen("a", START_MS + ahead_ms), START_MS)
    assert fold.clock_ms == clock_ms
    assert fold.totals.rejected == (1 if clock_ms is None and take is not again else 0)


@pytest.mark.parametrize("take", [alone, among_many, again])
def test_the_clock_never_goes_back(take: Take) -> None:
    fold, clocks_ms = PartitionFold(DELAYED, SeenIds(9)), []
    for number, moved_ms in enumerate((5, 0, 9, 8)):
        take(fold, seen(f"e-{number}", START_MS + moved_ms), None)
        clocks_ms.append((fold.clock_ms or 0) - START_MS)
    assert clocks_ms == [5, 5, 9, 9]


@WAYS
def test_the_first_minute_is_that_of_the_earliest_record_on_time(take: Take) -> None:
    """Of any release and traffic: until then nothing was seen at all."""
    fold, found = PartitionFold(DELAYED, SeenIds(9)), []
    for number, (release, moved) in enumerate(
        [(BASELINE, 9), ("other", 8), (CANDIDATE, 8), (CANDIDATE, 0), (BASELINE, 9)]
    ):
        take(fold, seen(f"e-{number}", START_MS + moved * MINUTE, release, traffic="shadow"), None)
        found.append((fold.first_minute or 0) - T0)
    assert found == [9, 8, 8, 8, 8]
    assert fold.totals.late == 1


@WAYS
@pytest.mark.parametrize(
    ("complete_min", "is_on_time"), [(0, True), (3 + 30 - 1 / 60, True), (3 + 30, False), (3 + 300, False)]
)
def test_labels_that_come_later_are_late_too_once_their_minute_is_closed(
    take: Take, complete_min: float, is_on_time: bool
) -> None:
    """The partition was read to its end further than its clock says, and minutes of later labels close by that."""
    fold = PartitionFold(DELAYED, SeenIds(9))
    take(fold, seen("a", START_MS + 2 * MINUTE), None)
    fold.complete_ms = START_MS + int(complete_min * MINUTE)
    take(fold, seen("b", START_MS + 10 * SECOND, kind="outcome", task_success=True), None)
    assert fold.totals.late == (0 if is_on_time else 1)
    assert (HALF_HOUR in fold.cells) is (is_on_time and complete_min > 3)


@WAYS
@pytest.mark.parametrize("release", [CANDIDATE, "other"])
@pytest.mark.parametrize(
    ("behind_ms", "kind", "waits_min"),
    [
        (2 * MINUTE, "outcome", 0),
        (2 * MINUTE + 1, "request", 0),
        (2 * MINUTE + 1, "outcome", 30),
        (32 * MINUTE, "outcome", 30),
        (32 * MINUTE + 1, "outcome", 31),
    ],
)
def test_only_labels_of_a_release_that_waits_for_them_may_come_later(
    take: Take, release: str, behind_ms: int, kind: str, waits_min: int
) -> None:
    fold, clock_ms = PartitionFold(DELAYED, SeenIds(9)), START_MS + 40 * MINUTE + 59_999
    take(fold, seen("a", clock_ms), None)
    take(fold, seen("b", clock_ms - behind_ms, release, kind=kind), None)
    may_come = behind_ms <= 2 * MINUTE or (release == CANDIDATE and kind == "outcome" and waits_min == 30)
    assert fold.totals.late == (0 if may_come else 1)
    assert fold.totals.other_releases == (1 if release == "other" and may_come else 0)
    assert fold.late_by_release == ({CANDIDATE: 1} if release == CANDIDATE and not may_come else {})
    assert any(key.later for key in fold.cells) is (may_come and release == CANDIDATE and waits_min == 30)
