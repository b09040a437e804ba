"""The sketch knows a value to 2 %, a timeout is above everything, and merging loses nothing."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, Sketch, bin_of, upper_edge
from tests.engine.worlds import LAWS

VALUES = st.integers(0, 1_000_000_000_000)  # a million dollars in micro-dollars
ADDED = st.lists(st.one_of(VALUES, st.none()), max_size=30)  # None: it never finished


def _sketch(added: list[int | None]) -> Sketch:
    sketch = Sketch()
    for value in added:
        if value is None:
            sketch.add_unfinished()
        else:
            sketch.add(value)
    return sketch


def _merged(*sketches: Sketch) -> Sketch:
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole


@LAWS
@given(VALUES)
def test_a_bin_s_upper_edge_is_at_most_two_percent_above_its_values(value: int) -> None:
    edge = upper_edge(bin_of(value))
    assert value <= edge * (1 + 1e-9)
    assert edge <= max(value, 1) * 1.02 * (1 + 1e-9)


@LAWS
@given(VALUES, VALUES)
def test_larger_values_never_lie_in_lower_bins(one: int, other: int) -> None:
    assert (bin_of(one) <= bin_of(other)) or one > other


@pytest.mark.parametrize("value, index", [(0, 0), (1, 0), (2, 36), (86_400_000_000, 1272)])
def test_bins_of_known_values(value: int, index: int) -> None:
    assert bin_of(value) == index


@LAWS
@given(st.integers(0, 2**53))
def test_a_timeout_is_slower_than_everything(value: int) -> None:
    assert bin_of(value) <= LAST_BIN < UNFINISHED_BIN
    assert upper_edge(UNFINISHED_BIN) == float("inf") > upper_edge(bin_of(value))


@LAWS
@given(ADDED, ADDED, ADDED)
def test_merging_is_associative_and_commutative(
    one: list[int | None], two: list[int | None], three: list[int | None]
) -> None:
    a, b, c = _sketch(one), _sketch(two), _sketch(three)
    assert (
        _merged(_merged(a, b), c)
        == _merged(a, _merged(b, c))
        == _merged(c, b, a)
        == _sketch(one + two + three)
    )


@LAWS
@given(ADDED)
def test_an_empty_sketch_changes_nothing(added: list[int | None]) -> None:
    sketch = _sketch(added)
    before = deepcopy(sketch)
    sketch.merge(Sketch())
    assert sketch == before == _merged(Sketch(), sketch)


@LAWS
@given(ADDED)
def test_the_sum_is_exact_and_the_unfinished_are_outside_of_it(added: list[int | None]) -> None:
    sketch = _sketch(added)
    assert sketch.total == sum(value for value in added if value is not None)
    assert sketch.count == len(added)
    assert sketch.bins.get(UNFINISHED_BIN, 0) == added.count(None)
