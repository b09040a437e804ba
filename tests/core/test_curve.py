"""A curve stays small however long the watch is, and never hides the worst of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.curve import Curve
from monitor.core.indicator import Direction

LOWER, HIGHER = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE
VALUES = st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=1, max_size=80)


@given(values=VALUES, worse=st.sampled_from((LOWER, HIGHER)), first=st.integers(0, 10**8))
def test_every_point_is_the_worst_of_its_minutes(
    values: list[float | None], worse: Direction, first: int
) -> None:
    curve = Curve(worse, max_points=16)
    for number, value in enumerate(values):
        curve.add(first + number, value)
    points = curve.points()
    assert len(points) <= 16
    assert curve.step_min == 1 or len(values) > 16 * curve.step_min // 2  # no more are joined than have to be
    assert [minute for minute, _ in points] == [
        first + index * curve.step_min for index in range(len(points))
    ]
    for index, (_, kept) in enumerate(points):
        part = values[index * curve.step_min : (index + 1) * curve.step_min]
        known = [one for one in part if one is not None]
        assert kept == ((min if worse is LOWER else max)(known) if known else None)


def test_minutes_that_are_left_out_are_gaps() -> None:
    curve = Curve(HIGHER)
    curve.add(7, 1.0)
    curve.add(10, 2.0)
    assert curve.points() == ((7, 1.0), (8, None), (9, None), (10, 2.0))


@pytest.mark.parametrize("worse, joined", [(LOWER, 1.0), (HIGHER, 2.0)])
def test_neighbours_are_joined_and_one_without_a_neighbour_stays(worse: Direction, joined: float) -> None:
    curve = Curve(worse, max_points=4)
    for minute, value in ((7, 1.0), (8, 2.0), (9, 3.0), (12, 4.0)):
        curve.add(minute, value)
    assert curve.points() == ((7, joined), (9, 3.0), (11, 4.0))


@pytest.mark.parametrize("minutes", [1, 1_024, 1_025, 20_160])
def test_two_weeks_take_no_more_points_than_a_page_shows(minutes: int) -> None:
    curve = Curve(HIGHER)
    for minute in range(minutes):
        curve.add(minute, float(minute))
    assert len(curve.points()) <= 1_024
    assert curve.points()[-1][1] == minutes - 1


def test_a_curve_without_a_minute_has_no_points() -> None:
    assert Curve(LOWER).points() == ()
