"""Rows of sums are what they were, packed or not, whatever was forgotten before them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.stats.sum_rows import SumRows

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
