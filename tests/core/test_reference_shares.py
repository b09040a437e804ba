"""How an hour of a frozen reference is dealt out to its minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate, merged
from monitor.core.indicator import LABELS
from monitor.core.reference import minute_share
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from tests.engine.worlds import LAWS, cell, seen

COUNTS = st.integers(0, 500)


@st.composite
def slots(draw: st.DrawFn) -> Aggregate:
    """An hour of some requests, labels, outcomes and a distribution."""
    made = Aggregate()
    made.errors, made.timeouts = draw(COUNTS), draw(COUNTS)
    made.requests = made.errors + made.timeouts + draw(COUNTS)
    for place in range(len(LABELS)):
        made.hits[place] = draw(COUNTS)
        made.known[place] = made.hits[place] + draw(COUNTS)
    hits = draw(COUNTS)
    made.outcomes["grounded"] = [hits, hits + draw(COUNTS)]
    bins = draw(
        st.dictionaries(st.integers(0, 40) | st.just(UNFINISHED_BIN), st.integers(1, 200), max_size=6)
    )
    made.sketches["latency"] = Sketch(
        bins, sum(n for index, n in bins.items() if index != UNFINISHED_BIN) * 7
    )
    return made


def busy() -> Aggregate:
    """An hour of nearly as many requests as one may be worth, of a thousand sizes."""
    made = Aggregate()
    made.sketches["latency"] = Sketch(dict.fromkeys(range(1_000), 60), 60_000 * 7)
    return made


@settings(LAWS, max_examples=40)
@given(slots())
def test_the_minutes_of_an_hour_add_up_to_it(slot: Aggregate) -> None:
    minutes = [minute_share(slot, at) for at in range(60)]
    whole = merged(minutes)
    assert (whole.requests, whole.errors, whole.timeouts) == (slot.requests, slot.errors, slot.timeouts)
    assert (whole.known, whole.hits) == (slot.known, slot.hits)
    assert whole.outcomes == slot.outcomes
    assert whole.distribution("latency").count == slot.distribution("latency").count
    for minute in minutes:
        assert all(hits <= known for hits, known in zip(minute.hits, minute.known, strict=True))
        assert minute.errors + minute.timeouts <= minute.requests


@settings(LAWS, max_examples=30)
@given(COUNTS, st.integers(0, 60))
def test_so_many_minutes_get_their_share_of_a_count_to_the_nearest_whole_one(
    count: int, minutes: int
) -> None:
    """A half is dealt out at once, so that a single request does not wait for the end of its hour."""
    slot = cell(count)
    slot.errors = count
    dealt = sum(minute_share(slot, at).errors for at in range(minutes))
    assert dealt == floor(Fraction(count * minutes, 60) + Fraction(1, 2))


@settings(LAWS, max_examples=25)
@given(slots(), st.integers(0, 59))
@example(busy(), 59)
def test_a_minute_gets_the_requests_whose_turn_it_is(slot: Aggregate, at: int) -> None:
    """All requests of the hour stand in a line by size; the n-th dealt is the one at n's share of it, bits reversed."""
    line = sorted(slot.distribution("latency").bins.items())
    sizes = [index for index, count in line for _ in range(count)]
    first, end = ((2 * len(sizes) * minute + 60) // 120 for minute in (at, at + 1))
    turns = [int(f"{turn:016b}"[::-1], 2) for turn in range(first, end)]
    expected = Counter(sizes[turn * len(sizes) // 2**16] for turn in turns)
    minute = minute_share(slot, at).distribution("latency")
    assert minute.bins == expected

    def size(bins: Mapping[int, int]) -> float:
        return sum(count * 1.02**index for index, count in bins.items() if index < UNFINISHED_BIN)

    whole = size(dict(line))
    total = slot.distribution("latency").total * size(expected) / whole if whole else 0
    assert minute.total == pytest.approx(total, abs=0.51)


def test_labels_that_are_not_added_up_yet_are_dealt_too() -> None:
    slot = Aggregate()
    for number in range(120):
        event = seen(f"e{number}", 0, task_success=number < 60)
        slot.add_labels(event, tuple(number < 60 if name == "task_success" else None for name in LABELS))
    place = LABELS.index("task_success")
    minute = minute_share(slot, 0)
    assert (minute.hits[place], minute.known[place]) == (1, 2)


@settings(LAWS, max_examples=40)
@given(slots(), st.integers(0, 40))
def test_twenty_minutes_weigh_a_third_of_their_hour(slot: Aggregate, at: int) -> None:
    some = merged([minute_share(slot, minute) for minute in range(at, at + 20)])
    for part, whole in zip((*some.known, some.errors), (*slot.known, slot.errors), strict=True):
        assert abs(part - whole / 3) < 2  # hits and misses are rounded apart


@pytest.mark.parametrize("requests", [60, 500, 3_600, 60_000])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_any_run_of_minutes_has_the_shape_of_its_hour(requests: int, quantile: float) -> None:
    """Requests above the hour's quantile: as many as there should be, give or take a few."""
    draw = np.random.default_rng(7)
    slot = Aggregate()
    indices, counts = np.unique(np.round(draw.normal(300, 40, requests)).astype(int), return_counts=True)
    slot.sketches["latency"] = Sketch(dict(zip(indices.tolist(), counts.tolist(), strict=True)), requests * 9)
    edge = indices[np.searchsorted(np.cumsum(counts), quantile * requests)]
    share = sum(n for index, n in slot.sketches["latency"].bins.items() if index > edge) / requests
    for start in (0, 7, 31):
        some = merged([minute_share(slot, at) for at in range(start, start + 20)]).distribution("latency")
        above = sum(n for index, n in some.bins.items() if index > edge)
        assert abs(above - share * some.count) < 2 + np.log2(requests) / 2


def test_the_mean_of_a_minute_is_that_of_its_bins() -> None:
    slot = Aggregate()
    slot.sketches["cost"] = Sketch({100: 600, 200: 600}, 600 * 7 + 600 * 52)
    minutes = [minute_share(slot, at).distribution("cost") for at in range(60)]
    assert sum(one.total for one in minutes) == pytest.approx(slot.sketches["cost"].total, rel=0.01)


def test_requests_that_never_finished_add_up_to_nothing() -> None:
    slot = Aggregate()
    slot.sketches["latency"] = Sketch({UNFINISHED_BIN: 120})
    assert minute_share(slot, 7).distribution("latency") == Sketch({UNFINISHED_BIN: 2}, 0)
