"""Sketches of both arms per minute: a window is a subtraction, whatever bins appear when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.exceedance import ExceedanceHistory, quantile_column
from monitor.core.stats.strata import Level
from tests.core.stats.test_packed_minutes import both, weighted

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


_strata = st.lists(st.tuples(_minute, _minute), max_size=6)


@given(st.lists(_strata, min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_a_weighted_window_is_what_its_strata_add_up_to(
    minutes: list[list[tuple[dict[int, int], dict[int, int]]]], data: st.DataObject
) -> None:
    """Each arm's requests times the other's part of them, in quanta: of whole minutes, and of their strata."""
    history = ExceedanceHistory(1440)
    whole = [both(strata) for strata in minutes]
    for pair, strata in zip(whole, minutes, strict=True):
        history.append(*pair, strata if len(strata) > 1 or data.draw(st.booleans()) else ())
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(minutes))] * 2)))
    size = history.lowest, history.edges
    by_minutes, by_strata = (
        history.window(start, end, None, level) for level in (Level.MINUTES, Level.STRATA)
    )
    assert by_minutes.shape == (2, history.edges)
    none = np.zeros((2, history.edges), dtype=np.int64)
    assert np.array_equal(by_minutes, sum((weighted(pair, *size) for pair in whole[start:end]), none))
    each = [pair for strata in minutes[start:end] for pair in strata]
    assert np.array_equal(by_strata, sum((weighted(pair, *size) for pair in each), none))


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


@pytest.mark.parametrize("keep", [70, 100])
def test_the_oldest_minutes_go_and_the_rest_is_as_it_was(keep: int) -> None:
    history, kept, most = ExceedanceHistory(keep), [], 0
    for minute in range(600):
        pair = ({minute % 37: 1 + minute % 5}, {200 + minute % 3: 7})
        history.append(*pair)
        kept.append(pair)
        most = max(most, history.minutes)
    assert history.minutes + history.dropped == 600
    assert keep <= history.minutes
    assert most == keep + 64, "the margin: two blocks are dropped at once"
    above = history.window(history.minutes - keep, history.minutes)
    assert above[0][0] == sum(sum(c.values()) for c, _ in kept[-keep:])
    assert above[1][0] == 7 * keep


def test_rows_are_doubled_as_they_fill_and_then_packed() -> None:
    """A row takes 4 bytes of plain counts and 8 of weighted ones, for each arm and edge; one is before the first."""
    history, rows = ExceedanceHistory(1440), {7: 8, 8: 16, 31: 32, 32: 64, 63: 64, 64: 96, 95: 96}
    for minute in range(1, 97):
        history.append({40: 1}, {40: 2}, [({40: 1}, {40: 2})])
        if minute in rows:
            assert history.nbytes == rows[minute] * 2 * history.edges * 12
    assert 0 < history.nbytes - 96 * 2 * history.edges * 12 < 32 * 2 * history.edges * 12


def test_columns_reach_a_margin_beyond_what_was_seen_on_either_side() -> None:
    """And no farther, however long latencies stay within them."""
    history = ExceedanceHistory(1440)
    history.append({}, {})
    assert (history.lowest, history.edges) == (-1, 0)
    assert history.window(0, 1, None, Level.MINUTES).shape == (2, 0)
    for bins, columns in [
        ({40: 1}, (24, 33)), ({25: 1, 56: 1}, (24, 33)), ({57: 1}, (24, 50)), ({24: 1}, (8, 66)),
        ({UNFINISHED_BIN: 1}, (8, 66)), ({0: 1}, (-1, 75)), ({LAST_BIN: 1}, (-1, LAST_BIN + 2)),
    ]:  # fmt: skip
        history.append(bins, {})
        assert (history.lowest, history.edges) == columns
        assert history.bin_at(history.edges) == UNFINISHED_BIN
        assert history.window(history.minutes - 1, history.minutes)[0][0] == sum(bins.values())
    assert history.bin_at(history.edges - 1) == LAST_BIN
    for bins, columns in [({3: 1}, (-1, 21)), ({LAST_BIN: 1}, (LAST_BIN - 16, 17))]:
        other = ExceedanceHistory(1440)
        other.append({}, bins)
        assert (other.lowest, other.edges) == columns


def test_a_day_with_every_bin_occupied_stays_small() -> None:
    history = ExceedanceHistory(1440)
    full = dict.fromkeys(range(LAST_BIN + 1), 3)
    history.append(full, full)
    for _ in range(2000):
        history.append({3: 1}, {900: 1})
    assert history.nbytes < 6e6
    history.append({3: 1}, {900: 2}, [({3: 1}, {900: 1}), ({}, {900: 1})])
    assert history.nbytes < 8e6


@pytest.mark.parametrize("bins", [(0, 0), (5, 7)])
def test_counts_beyond_32_bits_are_exact(bins: tuple[int, int]) -> None:
    history = ExceedanceHistory(1440)
    for _ in range(5):
        history.append({bins[0]: 2**31}, {bins[1]: 2**30})
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


@pytest.mark.parametrize("low", [0, 5])
@pytest.mark.parametrize("is_split", [False, True])
def test_precision_that_is_given_up_is_given_up_for_what_is_held_too(low: int, is_split: bool) -> None:
    """Weighted sums of minutes before and after tell one share, without wrapping: 8 of 32 bits are given up, once."""
    history = ExceedanceHistory(1440)
    for place in range(40):
        at = low if place % 4 else 60
        apart = [({at: 2**28}, {}), ({}, {at: 2**28})] if is_split else ()
        history.append({at: 2**28}, {at: 2**28}, apart)
    assert history.window(0, 40, level=Level.MINUTES)[:, 0].tolist() == [40 * 2**27 * 2**24] * 2
    for arm in history.window(0, 40, level=Level.MINUTES):
        assert arm[30 - history.lowest] / arm[0] == pytest.approx(1 / 4)


@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize(
    "minutes, bits",
    [
        ([(2**33, 2**33)], [24]),  # one minute that would wrap
        ([(2**29, 2**29)], [32]),  # one that might fill a quarter of the room, and does not yet pass it
        ([(2**29, 2**29)] * 2, [24, 24]),
        (
            [(2**28, 2**40)] * 2 + [(2**26, 2**26)],
            [24, 24, 24],
        ),  # what is held takes no more than what is added
    ],
)
def test_no_more_precision_is_given_up_than_the_sums_ask_for(
    at: int, minutes: list[tuple[int, int]], bits: list[int]
) -> None:
    """Eight bits at a time, before a minute that might not fit."""
    history = ExceedanceHistory(1440)
    for c, b in minutes:
        history.append({at: c}, {at: b})
    for minute, ((c, b), left) in enumerate(zip(minutes, bits, strict=True)):
        weight = c * b / (c + b) * 2**left
        found = history.window(minute, minute + 1, level=Level.MINUTES)[:, 0].tolist()
        assert found == pytest.approx([weight] * 2, rel=1e-9)


def test_a_minute_with_few_partners_costs_no_precision() -> None:
    """However many requests it has: they weigh no more than their partners."""
    history = ExceedanceHistory(1440)
    for _ in range(3):
        history.append({5: 2**40}, {5: 1, 60: 2})
    exact = 3 * weighted(({5: 2**40}, {5: 1, 60: 2}), history.lowest, history.edges)
    assert np.array_equal(history.window(0, 3, level=Level.MINUTES), exact)


def test_no_edge_lies_below_the_first_bin() -> None:
    """However far the columns grow to the left."""
    history = ExceedanceHistory(1440)
    history.append({40: 2}, {40: 1})
    history.append({0: 3}, {2: 1})
    assert (history.lowest, history.bins()[0]) == (-1, 0)
    assert history.window(0, 2)[:, :2].tolist() == [[5, 2], [2, 2]]


def test_minutes_of_nothing_but_the_smallest_values_are_counted() -> None:
    history = ExceedanceHistory(1440)
    history.append({40: 2}, {40: 1})
    history.append({0: 3}, {0: 1})
    assert history.window(1, 2)[:, :2].tolist() == [[3, 0], [1, 0]]
