"""Rows of sums are what they were, packed or not, whatever was forgotten before them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.stats.sum_rows import BLOCK_ROWS, SumRows, _unpacked

_NUMBERS = st.integers(-(2**130), 2**130) | st.integers(-300, 300)
_ROWS = st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=1, max_size=8)


@given(_ROWS, st.integers(1, 90), st.lists(st.integers(0, 120), max_size=4), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_rows_are_those_of_a_list(
    cycle: list[tuple[int, int]], times: int, drops: list[int], copied: int
) -> None:
    rows, plain = SumRows(cycle[0]), [cycle[0]]
    for number, drop in enumerate([*drops, 0]):
        for row in cycle * times:
            rows.append(row)
            plain.append(row)
        gone = min(drop, len(plain) - 1)
        rows.drop(gone)
        del plain[:gone]
        if number == copied:
            rows.append((7, 7))  # the other one goes on without it
            rows, left = rows.copy(), rows
            left.append((8, 8))
            plain.append((7, 7))
    assert (len(rows), rows.last) == (len(plain), plain[-1])
    assert list(rows) == plain


def test_a_row_that_is_not_there_is_not_given() -> None:
    rows = SumRows((1, 2))
    with pytest.raises(IndexError):
        rows[1]
    with pytest.raises(IndexError, match="numbered from 0"):
        rows[-1]


def test_a_day_of_rows_is_small() -> None:
    rows = SumRows((0, 0, 0))
    for minute in range(1440):
        rows.append((minute * 20 << 60, minute * 21 << 60, minute * 22 << 60))
    packed = [block for _, block in rows._packed]
    assert len(packed) == 43
    assert sum(map(sys.getsizeof, packed)) < 1440 * 42


@pytest.mark.parametrize(
    "largest, width", [(0, 1), (127, 1), (-127, 1), (128, 2), (2**15 - 1, 2), (2**15, 3)]
)
def test_a_number_takes_the_bytes_that_it_needs_with_its_sign(largest: int, width: int) -> None:
    rows = SumRows((0, 0))
    for _ in range(BLOCK_ROWS * 3 - 1):
        rows.append((largest, 0))
    assert [len(block) for _, block in rows._packed] == [BLOCK_ROWS * 2 * width]
    assert list(rows) == [(0, 0), *[(largest, 0)] * (BLOCK_ROWS * 3 - 1)]


def test_the_newest_hour_is_never_packed() -> None:
    """What a tick asks for is at hand: from two to three blocks of rows."""
    rows = SumRows((0,))
    for minute in range(1, 400):
        rows.append((minute,))
        assert len(rows._newest) < 3 * BLOCK_ROWS
        assert len(rows._newest) >= min(minute + 1, 2 * BLOCK_ROWS)
        assert len(rows) == minute + 1


def test_a_block_is_unpacked_for_the_second_row_that_is_asked_of_it() -> None:
    """At a tick most cohorts ask for one old row; who asks for another one looks deep."""
    _unpacked.cache_clear()
    rows = SumRows((20_261,))
    for minute in range(1, 200):
        rows.append((minute,))
    for _ in range(3):
        assert (rows[5], rows[40]) == ((5,), (40,))
    assert _unpacked.cache_info().currsize == 0
    assert (rows[6], rows[5]) == ((6,), (5,))
    assert _unpacked.cache_info().currsize == 1
    rows.append((200,))  # the next tick
    assert rows[41] == (41,)
    assert _unpacked.cache_info().currsize == 1


def test_any_number_of_rows_can_be_forgotten_at_once_or_in_two_steps() -> None:
    plain = [(number,) for number in range(3 * BLOCK_ROWS + 5)]
    rows = SumRows(plain[0])
    for row in plain[1:]:
        rows.append(row)
    for gone in range(len(plain)):
        left, again = rows.copy(), rows.copy()
        left.drop(gone)
        again.drop(gone // 3)
        again.drop(gone - gone // 3)
        assert list(left) == list(again) == plain[gone:]
