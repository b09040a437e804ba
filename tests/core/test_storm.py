"""The storm: how many rollbacks lie close together, whatever order they came to be known in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Reason, Type
from monitor.core.rehearsal import stand_ins
from monitor.core.storm import Asked, StormLimit, StormRecord, crowd, standing_of
from tests.engine.worlds import ACME, LAWS

MOMENTS = st.lists(st.integers(0, 300), max_size=30)


def rollback(name: str, at_ms: int, reason: Reason = Reason.BREACH) -> Decision:
    return Decision(Type.ROLLBACK_REQUESTED, name, f"release-{name}", at_ms, {"reason": reason.value})


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        ([], 100, 0),
        ([100], 100, 1),
        ([41, 100], 100, 2),
        ([40, 100], 100, 1),  # a stretch is as long as it says: its end is no part of it
        ([100, 159], 100, 2),  # what another release did later in event time counts too
        ([40, 50], 100, 1),  # those two lie in one stretch, which ends where the moment is
        ([60, 140], 100, 1),  # two that no one stretch holds
        ([60, 110, 119], 100, 3),
    ],
)
def test_the_fullest_stretch_counts(known: list[int], at: int, expected: int) -> None:
    assert crowd(known, at, 60) == expected


@settings(LAWS, max_examples=60)
@given(st.lists(st.integers(0, 24), max_size=12), st.integers(0, 24), st.integers(1, 12))
def test_the_fullest_stretch_is_the_fullest_of_all_that_hold_the_moment(
    known: list[int], at: int, within: int
) -> None:
    stretches = (range(start, start + within) for start in range(at - within + 1, at + 1))
    assert crowd(known, at, within) == max(sum(one in stretch for one in known) for stretch in stretches)


@LAWS
@given(MOMENTS, st.integers(1, 5), st.integers(1, 100))
def test_no_stretch_ever_holds_more_than_the_limit(asked: list[int], most: int, within: int) -> None:
    """Asked in any order of event time, what is allowed never has more than the limit in any stretch."""
    allowed: list[int] = []
    for at_ms in asked:
        if crowd(allowed, at_ms, within) < most:
            allowed.append(at_ms)
    allowed.sort()
    assert all(last - first >= within for first, last in zip(allowed, allowed[most:], strict=False)), list(
        pairwise(allowed)
    )


@LAWS
@given(MOMENTS, st.integers(0, 300), st.integers(1, 100))
def test_whoever_reads_the_record_in_another_order_or_twice_counts_alike(
    moments: list[int], at_ms: int, within: int
) -> None:
    decisions = [rollback(str(place), one) for place, one in enumerate(moments)]
    one, other = StormRecord(), StormRecord()
    for decision in decisions:
        one.note(decision)
    for decision in [*reversed(decisions), *decisions]:
        other.note(decision)
    assert one.crowd(at_ms, within) == other.crowd(at_ms, within) == crowd(moments, at_ms, within)


def test_an_order_is_no_automatic_rollback_and_a_silence_is_one() -> None:
    record = StormRecord()
    record.note(rollback("ordered", 10, Reason.COMMANDER))
    record.note(rollback("silent", 10, Reason.COMMANDER_SILENT))
    assert record.crowd(10, 60) == 1
    assert record.knows("silent")
    assert not record.knows("ordered")


def test_a_drill_is_no_part_of_a_storm() -> None:
    record = StormRecord()
    record.note(replace(rollback("drill", 10), release=stand_ins("today").candidate))
    assert record.crowd(10, 60) == 0


def test_what_was_forgiven_no_longer_counts_and_what_comes_does() -> None:
    record, limit = StormRecord(), StormLimit(2, 1)
    for name in ("a", "b"):
        record.note(rollback(name, 10))
    assert standing_of(limit, record, 11).is_open
    record.note(
        Decision(Type.BREAKER_CLOSED, "closed", "*", 12, {"forgiven": record.near(12, limit.within_ms)})
    )
    assert not standing_of(limit, record, 11).is_open
    record.note(rollback("c", 11))
    assert standing_of(limit, record, 11).rollbacks == 1


def test_without_a_limit_the_breaker_is_never_open() -> None:
    record = StormRecord()
    for name in map(str, range(1_000)):
        record.note(rollback(name, 10))
    assert not standing_of(StormLimit(0, 60), record, 10).is_open


def test_a_page_that_came_instead_is_remembered_by_what_was_asked() -> None:
    record = StormRecord()
    data = {"reason": "rollback_storm", "arming": 2, "objective": "quality.x", "cohort": {}}
    record.note(Decision(Type.PAGE_OPENED, "page", "r", 10, data))
    assert record.was_withheld(Asked("r", 2, "quality.x", OVERALL, 10))
    assert not record.was_withheld(Asked("r", 1, "quality.x", OVERALL, 10))
    assert record.withheld_count == 1


def test_what_lies_near_is_less_than_a_stretch_away() -> None:
    record = StormRecord()
    for at_ms in (40, 41, 100, 159, 160):
        record.note(rollback(str(at_ms), at_ms))
    assert record.near(100, 60) == ["100", "159", "41"]
    assert StormLimit(1, 60).within_ms == 3_600_000


@pytest.mark.parametrize(
    ("allowed", "is_open", "words"),
    [
        (0, False, "closed: 2 automatic rollbacks within 1 min over all releases, any number is allowed"),
        (1, True, "open: 2 automatic rollbacks within 1 min over all releases, 1 are allowed"),
        (2, True, "open: 2 automatic rollbacks within 1 min over all releases, 2 are allowed"),
        (3, False, "closed: 2 automatic rollbacks within 1 min over all releases, 3 are allowed"),
    ],
)
def test_the_breaker_is_open_once_as_many_stand_close_as_are_allowed(
    allowed: int, is_open: bool, words: str
) -> None:
    record = StormRecord()
    for name, at_ms in (("a", 0), ("b", 59_999), ("c", 60_000 * 3)):
        record.note(rollback(name, at_ms))
    found = standing_of(StormLimit(allowed, 1), record, 59_999)
    assert (found.is_open, found.rollbacks, found.withheld) == (is_open, 2, 0)
    assert (found.max_rollbacks, found.within_min) == (allowed, 1)
    assert found.words == f"breaker {words}"


def test_what_stands_elsewhere_on_record_is_no_part_of_a_storm() -> None:
    """A page for another reason, a breaker closed without a list, a rollback's outcome: nothing is counted."""
    record = StormRecord()
    record.note(rollback("a", 10))
    record.note(Decision(Type.PAGE_OPENED, "p", "r", 10, {"reason": Reason.BREACH.value}))
    record.note(Decision(Type.BREAKER_CLOSED, "closed", "*", 12, {"forgiven": "a"}))
    record.note(Decision(Type.DEBT_CREATED, "d", "r", 10, {"reason": Reason.BREACH.value}))
    record.note(Decision(Type.DEBT_CREATED, "d", "r", 10, {"reason": Reason.ROLLBACK_STORM.value}))
    assert (record.crowd(10, 60), record.withheld_count, record.knows("d")) == (1, 0, False)


def test_a_page_s_wish_is_read_back_with_its_cohort_and_without_what_it_does_not_tell() -> None:
    record = StormRecord()
    data = {"reason": "rollback_storm", "arming": 1, "objective": "quality.x", "cohort": {"tenant": "acme"}}
    record.note(Decision(Type.PAGE_OPENED, "page", "r", 10, data))
    record.note(Decision(Type.PAGE_OPENED, "bare", "r", 20, {"reason": "rollback_storm", "objective": "y"}))
    assert record.was_withheld(Asked("r", 1, "quality.x", ACME, 10))
    assert not record.was_withheld(Asked("r", 1, "quality.x", OVERALL, 10))
    assert record.was_withheld(Asked("r", 0, "y", OVERALL, 20))
    assert record.withheld_count == 2
