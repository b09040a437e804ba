"""Sketches of both arms per minute: a window is a subtraction, whatever bins appear when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column
from monitor.core.stats.strata import Level

_minute = st.dictionaries(
    st.one_of(st.integers(0, 40), st.integers(300, 330), st.just(LAST_BIN), st.just(UNFINISHED_BIN)),
    st.integers(1, 50),
    max_size=4,
)


def _above_edge(minutes: list[dict[int, int]], edge: int) -> int:
    return sum(count for minute in minutes for index, count in minute.items() if index > edge)


@given(st.lists(st.tuples(_minute, _minute), min_size=1, max_size=12), st.data())
@settings(max_examples=80, deadline=None)
def test_a_window_without_a_cut_is_what_its_minutes_add_up_to(
    minutes: list[tuple[dict[int, int], dict[int, int]]], data: st.DataObject
) -> None:
    history = ExceedanceHistory(1440)
    for candidate, baseline in minutes:
        history.append(candidate, baseline)
    cuts = st.lists(st.integers(0, len(minutes)), min_size=4, max_size=4).map(sorted)
    start, a, b, end = data.draw(cuts)
    above = history.window(start, end, (a, b))
    for arm in (0, 1):
        held = [minute[arm] for minute in minutes[start:a] + minutes[b:end]]
        assert above.shape[1] == 0 or [
            _above_edge(held, history.bin_at(column)) for column in range(above.shape[1])
        ] == list(above[arm])
        assert above.shape[1] > 0 or not any(held)


@given(st.lists(st.tuples(_minute, _minute), min_size=1, max_size=12), st.lists(st.booleans(), max_size=12))
@settings(max_examples=60, deadline=None)
def test_minutes_that_add_nothing_change_no_window(
    minutes: list[tuple[dict[int, int], dict[int, int]]], before: list[bool]
) -> None:
    """Empty minutes in between, and how many there were when the columns grew, show nowhere: to the last bit."""
    dense, sparse, places = ExceedanceHistory(1440), ExceedanceHistory(1440), []
    for number, pair in enumerate(minutes):
        dense.append(*pair)
        if number < len(before) and before[number]:
            sparse.append({}, {})
        places.append(sparse.minutes)
        sparse.append(*pair)
    for level in (Level.POOLED, Level.MINUTES):
        for start, first in enumerate(places):
            found = sparse.window(first, sparse.minutes, None, level)
            assert np.array_equal(found, dense.window(start, len(minutes), None, level))


def test_the_oldest_minutes_go_and_the_rest_is_as_it_was() -> None:
    history, kept = ExceedanceHistory(100), []
    for minute in range(1000):
        pair = ({minute % 37: 1 + minute % 5}, {200 + minute % 3: 7})
        history.append(*pair)
        kept.append(pair)
    assert history.minutes + history.dropped == 1000
    assert 100 <= history.minutes <= 200
    above = history.window(history.minutes - 100, history.minutes)
    assert above[0][0] == sum(sum(c.values()) for c, _ in kept[-100:])
    assert above[1][0] == 700


def test_a_day_with_every_bin_occupied_stays_small() -> None:
    history = ExceedanceHistory(1440)
    full = dict.fromkeys(range(LAST_BIN + 1), 3)
    history.append(full, full)
    for _ in range(2000):
        history.append({3: 1}, {900: 1})
    assert history.nbytes < 6e6
    history.append({3: 1}, {900: 2}, [({3: 1}, {900: 1}), ({}, {900: 1})])
    assert history.nbytes < 8e6


def test_counts_beyond_32_bits_are_exact() -> None:
    history = ExceedanceHistory(1440)
    for _ in range(5):
        history.append({5: 2**31}, {7: 2**30})
    above = history.window(0, 5)
    assert above[0][0] == 5 * 2**31
    assert above[1][0] == 5 * 2**30
    assert history.window(4, 5)[0][0] == 2**31


def test_the_quantile_is_the_bin_at_its_rank() -> None:
    above = np.array([20, 20, 2, 1, 1])  # 18 in the second bin, 1 in the third, 1 unfinished
    assert quantile_column(above, 0.90) == 2
    assert quantile_column(above, 0.95) == 3
    assert quantile_column(above, 0.99) == 5  # past the last edge: unfinished
    assert quantile_column(np.array([140, 7, 0]), 0.95) == 1  # 0.95 * 140 is 133 exactly


def test_precision_that_is_given_up_is_given_up_for_what_is_held_too() -> None:
    """Weighted sums of minutes before and after tell one share."""
    history = ExceedanceHistory(1440)
    for place in range(8):
        at = 5 if place < 6 else 60
        history.append({at: 2**28}, {at: 2**28})
    for arm in history.window(0, 8, level=Level.MINUTES):
        assert arm[30 - history.lowest] / arm[0] == pytest.approx(1 / 4)


def test_no_edge_lies_below_the_first_bin() -> None:
    """However far the columns grow to the left."""
    history = ExceedanceHistory(1440)
    history.append({40: 2}, {40: 1})
    history.append({0: 3}, {2: 1})
    assert (history.lowest, history.bins()[0]) == (-1, 0)
    assert history.window(0, 2)[:, :2].tolist() == [[5, 2], [2, 2]]
