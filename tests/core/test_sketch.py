"""The sketch knows a value to 2 %, a timeout is above everything, and merging loses nothing."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.sketch import (
    LAST_BIN,
    UNFINISHED_BIN,
    Sketch,
    bin_of,
    bins_of,
    upper_edge,
    whole_of,
)
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


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    """RATIO**i is the largest value of bin i, whatever the logarithm rounds to."""
    edges = [upper_edge(index) for index in range(LAST_BIN)]
    assert bins_of(edges).tolist() == list(range(LAST_BIN))
    assert bins_of([edge * (1 + 1e-9) for edge in edges]).tolist() == list(range(1, LAST_BIN + 1))
    assert bins_of([1e-300, 1e300]).tolist() == [0, LAST_BIN]
    assert upper_edge(LAST_BIN) == 1.02**LAST_BIN


@settings(LAWS, max_examples=30)
@given(st.lists(st.floats(0, 1e6), max_size=5), st.sampled_from([1, 1_000, 1_000_000]))
def test_values_become_whole_as_round_makes_them(values: list[float], per_unit: int) -> None:
    halves = [0.5, 1.5, 2.5]
    assert whole_of(values, per_unit).tolist() == [round(value * per_unit) for value in values]
    assert whole_of(halves, 1).tolist() == [0, 2, 2]


STEPS = st.lists(st.tuples(st.sampled_from(["one by one", "looking", "by bin", "merged"]), ADDED), max_size=4)


@settings(LAWS, max_examples=50)
@given(STEPS)
def test_a_sketch_is_its_values_counted_by_bin_however_they_came(
    steps: list[tuple[str, list[int | None]]],
) -> None:
    sketch, known = Sketch(), list[int | None]()
    for way, added in steps:
        part = sketch if way in ("one by one", "looking") else Sketch()
        for value in added:
            if value is None:
                part.add_unfinished()
            else:
                part.add(value)
            if way == "looking":
                assert part.count == sum(part.bins.values())
        if way == "by bin":
            sketch.add_counts(part.total, *part.rising())
        if way == "merged":
            sketch.merge(part)
            part.add(1)  # what comes to the other one later is its own
        known += added
    assert sketch.bins == Counter(UNFINISHED_BIN if one is None else bin_of(one) for one in known)
    assert sketch.total == sum(one for one in known if one is not None)
    assert sketch == Sketch(dict(sketch.bins), sketch.total)


@LAWS
@given(ADDED, st.lists(VALUES, max_size=4))
def test_the_bins_of_a_sketch_rise_however_they_came(added: list[int | None], more: list[int]) -> None:
    whole, at_once = _sketch(added), Sketch()
    at_once.add_counts(whole.total, *whole.rising())
    for value in more:
        at_once.add(value)
        whole.add(value)
    expected = sorted(whole.bins.items())
    assert at_once.width == whole.width == len(expected)
    for sketch in (at_once, whole):
        bins, counts = sketch.rising()
        assert list(zip(bins, counts, strict=True)) == expected
    assert at_once.total == whole.total


def test_a_sketch_that_differs_in_one_request_or_in_its_sum_is_another() -> None:
    sketch = Sketch({3: 1}, 7)
    assert sketch == Sketch({3: 1}, 7)
    assert sketch not in (Sketch({3: 2}, 7), Sketch({4: 1}, 7), Sketch({3: 1}, 8), ({3: 1}, 7))


def test_a_sketch_keeps_bins_and_not_its_values() -> None:
    sketch = Sketch()
    for number in range(1, 10_001):
        sketch.add(5)
        if number % 4_096 == 0:
            assert sketch._pending == []
    assert (sketch.bins, sketch.total) == ({bin_of(5): 10_000}, 50_000)
