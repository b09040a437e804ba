"""Which minutes a series holds, how long a stretch is without its cut, and what is observed of two arms."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import (
    Held,
    MinuteNotKept,
    MinuteOutOfOrder,
    Minutes,
    Observed,
    length_min,
    observe,
)
from tests.engine.worlds import LAWS


@settings(LAWS, max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=4).map(sorted))
def test_a_stretch_is_as_long_as_the_minutes_that_its_cut_leaves(bounds: list[int]) -> None:
    start, first, after, end = bounds
    assert length_min(start, end) == len(range(start, end))
    left = set(range(start, end)) - set(range(first, after))
    assert length_min(start, end, (first, after)) == len(left)


def held(first: int, minutes: int, forgotten: int = 0) -> Minutes:
    made = Minutes()
    for minute in range(first, first + minutes):
        made.advance(minute)
    made.kept += forgotten
    return made


def test_minutes_follow_one_another_from_any_first_one() -> None:
    empty = Held()
    assert (empty.first_minute, empty.kept_minute, empty.end_minute) == (0, 0, 0)
    assert empty._minutes.origin(0, 0) == 0
    empty._minutes = held(7, 3, 1)
    assert (empty.first_minute, empty.kept_minute, empty.end_minute) == (7, 8, 10)
    for wrong in (7, 9, 11):
        with pytest.raises(MinuteOutOfOrder, match=f"minute {wrong} was appended where 10 is next") as told:
            empty._minutes.advance(wrong)
        assert (told.value.minute, told.value.expected) == (wrong, 10)
    assert empty.end_minute == 10  # a minute that was refused changed nothing


@pytest.mark.parametrize("forgotten", [0, 2])
def test_rows_are_counted_from_the_oldest_minute_held_and_of_no_other(forgotten: int) -> None:
    minutes, kept = held(5, 6, forgotten), list(range(5 + forgotten, 11))
    for start, end in product(range(3, 14), repeat=2):
        if 5 + forgotten <= start <= end <= 11:
            assert minutes.origin(start, end) == 5 + forgotten
            low, high, none = minutes.rows(start, end)
            assert (kept[low:high], none) == (list(range(start, end)), None)
            assert minutes.rows(5 + forgotten, 11, (start, end)) == (0, len(kept), (low, high))
        else:
            with pytest.raises(MinuteNotKept, match="are kept") as told:
                minutes.rows(start, end)
            assert (told.value.start, told.value.end) == (start, end)


def test_there_is_a_delta_where_both_arms_have_data() -> None:
    limit = Limit(Direction.HIGHER_IS_WORSE, Unit.POINTS, 8.0)
    assert observe(limit, 0.5, 0.25) == Observed(baseline=0.25, candidate=0.5, delta=25.0)
    assert observe(limit, None, 0.25) == Observed(baseline=0.25, candidate=None, delta=None)
    assert observe(limit, 0.5, None) == Observed(baseline=None, candidate=0.5, delta=None)
    assert observe(limit, 0.0, 0.0) == Observed(baseline=0.0, candidate=0.0, delta=0.0)
