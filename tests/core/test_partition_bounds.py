"""What comes from outside takes no room that a budget did not ask for."""

from __future__ import annotations

from monitor.core.partition import Fate, PartitionFold
from monitor.core.seen import SeenIds
from tests.engine.worlds import ACME, MINUTE, START_MS, handoff, incidents, objective, plan_of, seen

PLAN = plan_of(objective(critical_cohorts=(ACME,)), handoff(), incidents())
ACCEPTED, DUPLICATE = Fate.ACCEPTED, Fate.DUPLICATE


def test_what_the_plan_does_not_ask_for_takes_no_room() -> None:
    """Names come from outside: cells and counts by name hold only those that a budget watches."""
    fold = PartitionFold(PLAN, SeenIds(1_000))
    for number in range(300):
        told = seen(f"e{number}", START_MS + 10 * MINUTE)
        told.outcomes = {f"name-{number}": True}
        fold.fold(told, None)
        stray = seen(f"s{number}", START_MS)
        stray.release = f"stray-{number}"
        assert fold.fold(stray, None) is Fate.LATE
    assert all(not cell.outcomes for cell in fold.cells.values())
    assert (fold.late_by_release, fold.totals.late) == ({}, 300)


def test_releases_without_a_budget_are_known_by_name_up_to_256() -> None:
    fold = PartitionFold(PLAN, SeenIds(1_000))
    for number in range(300):
        fold.fold(seen(f"e{number}", START_MS + number, release=f"stray-{number}"), None)
    fold.fold(seen("earlier", START_MS - 1, release="stray-255"), None)
    assert (len(fold.others), fold.totals.other_releases) == (256, 301)
    assert (fold.others["stray-0"], fold.others["stray-255"]) == (START_MS, START_MS - 1)


def test_the_memory_for_ids_is_bounded_and_says_so() -> None:
    fold = PartitionFold(PLAN, SeenIds(3))
    fates = [fold.fold(seen(name, START_MS), None) for name in ("a", "b", "c", "d", "d", "a")]
    assert fates == [ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, DUPLICATE, ACCEPTED]
    assert (fold.seen.evicted, len(fold.seen)) == (2, 3)
