"""Old minutes take a tenth of the memory and say the same, to the last bit."""

from __future__ import annotations

from functools import reduce
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.exceedance import Bins, ExceedanceHistory
from monitor.core.stats.strata import Level

_Pair = tuple[Bins, Bins]


def _bins(draw: Random, middle: float, most: int, largest: int) -> Bins:
    found: dict[int, int] = {}
    for _ in range(draw.randrange(most)):
        index = min(LAST_BIN, max(0, int(draw.gauss(middle, 40))))
        index = UNFINISHED_BIN if draw.random() < 0.02 else index
        found[index] = found.get(index, 0) + draw.randint(1, largest)
    return found


def _both(one: Bins, other: Bins) -> Bins:
    return {index: one.get(index, 0) + other.get(index, 0) for index in {*one, *other}}


def _minutes(seed: int, count: int, *, largest: int = 1, split_from: int | None = None) -> list[list[_Pair]]:
    """Minutes of one or two strata; latencies drift, so that columns are added on both sides, and some are empty."""
    draw, found = Random(seed), list[list[_Pair]]()
    for minute in range(count):
        middle = 600 + 250 * np.sin(minute / 300)
        strata = 1 if split_from is None or minute < split_from else 2
        found.append(
            [(_bins(draw, middle, 25, largest), _bins(draw, middle - 20, 25, largest)) for _ in range(strata)]
        )
        if draw.random() < 0.1:
            found[-1] = [({}, {})]
    return found


def _above(pair: _Pair, lowest: int, edges: int) -> NDArray[np.int64]:
    """How many requests of a stratum lie above each edge, from the definition."""
    return np.array(
        [
            [sum(n for index, n in arm.items() if index > lowest + column) for column in range(edges)]
            for arm in pair
        ]
    )


def _weighted(pair: _Pair, lowest: int, edges: int) -> NDArray[np.int64]:
    """A stratum's weighted exceedances, from their definition."""
    c, b = (sum(arm.values()) for arm in pair)
    if not c or not b:
        return np.zeros((2, edges), dtype=np.int64)
    parts = np.array((b / (c + b), c / (c + b)))
    return np.rint(_above(pair, lowest, edges) * (parts * 2.0**32)[:, None]).astype(np.int64)


def _history(minutes: list[list[_Pair]]) -> ExceedanceHistory:
    history = ExceedanceHistory(1440)
    for strata in minutes:
        candidate, baseline = (reduce(_both, (one[arm] for one in strata)) for arm in (0, 1))
        history.append(candidate, baseline, strata if len(strata) > 1 else ())
    return history


@pytest.mark.parametrize("split_from", [None, 0, 150])
def test_packed_minutes_add_up_to_the_last_bit(split_from: int | None) -> None:
    """Against sums made anew from the minutes, over windows that begin and end anywhere."""
    minutes, draw = _minutes(3, 260, split_from=split_from), Random(5)
    history = _history(minutes)
    lowest, edges = history.lowest, history.edges
    for _ in range(12):
        start, end = sorted(draw.sample(range(261), 2))
        fine = sum(_weighted(one, lowest, edges) for strata in minutes[start:end] for one in strata)
        assert np.array_equal(history.window(start, end, None, Level.STRATA), fine)
        plain = sum(_above(one, lowest, edges) for strata in minutes[start:end] for one in strata)
        assert np.array_equal(history.window(start, end), plain)
        first, last = sorted(draw.sample(range(start, end + 1), 2)) if end > start else (start, end)
        without = history.window(start, end, (first, last), Level.STRATA)
        assert np.array_equal(without, fine - history.window(first, last, None, Level.STRATA))


def test_what_is_forgotten_changes_no_window_of_what_is_left() -> None:
    minutes = _minutes(7, 1_800)
    history, late = _history(minutes), _history(minutes[600:])
    assert (history.minutes, history.dropped) == (1_480, 320)
    for start in (0, 31, 32, 700, 1_450):
        for level in (Level.POOLED, Level.MINUTES):
            found = history.window(start, history.minutes, None, level)
            if start < 280:
                continue
            same = late.window(start - 280, late.minutes, None, level)
            left = late.lowest - history.lowest
            assert np.array_equal(found[:, left : left + late.edges - 1], same[:, :-1])


def test_precision_that_is_given_up_is_given_up_for_packed_minutes_too() -> None:
    """Weighted sums on both sides of the moment tell one share, and nothing wraps."""
    history = ExceedanceHistory(1440)
    for minute in range(260):
        at = 60 if minute % 4 == 0 else 5
        history.append({at: 2**25 + minute}, {at: 3 * 2**25 - minute})  # no weight is a round number
    for start in (0, 20, 40, 130, 250):
        for arm in history.window(start, start + 8, level=Level.MINUTES):
            assert arm[30 - history.lowest] / arm[0] == pytest.approx(1 / 4, rel=1e-4)
    plain = history.window(33, 35)
    assert [int(arm[0]) for arm in plain] == [2**26 + 67, 6 * 2**25 - 67]


def test_a_day_of_a_quiet_cohort_takes_an_eighth_of_its_rows() -> None:
    history = _history(_minutes(11, 1_440))
    rows = history.minutes * 2 * history.edges * (4 + 8)
    assert history.nbytes < rows / 8
