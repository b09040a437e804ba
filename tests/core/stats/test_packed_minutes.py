"""Old minutes take a tenth of the memory and say the same, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN
from monitor.core.stats.exceedance import Bins, ExceedanceHistory
from monitor.core.stats.packed_minutes import Plane, pack
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
    columns = lowest + np.arange(edges)
    above = np.zeros((2, edges), dtype=np.int64)
    for row, arm in zip(above, pair, strict=True):
        for index, count in arm.items():
            row[index > columns] += count
    return above


def weighted(pair: _Pair, lowest: int, edges: int) -> NDArray[np.int64]:
    """A stratum's weighted exceedances, from their definition."""
    c, b = (sum(arm.values()) for arm in pair)
    if not c or not b:
        return np.zeros((2, edges), dtype=np.int64)
    parts = np.array((b / (c + b), c / (c + b)))
    return np.rint(_above(pair, lowest, edges) * (parts * 2.0**32)[:, None]).astype(np.int64)


def both(strata: Sequence[_Pair]) -> _Pair:
    """All requests of a minute's strata, of each arm."""
    nothing: Bins = {}
    candidate, baseline = (reduce(_both, (one[arm] for one in strata), nothing) for arm in (0, 1))
    return candidate, baseline


def _history(minutes: list[list[_Pair]], keep_min: int = 1440) -> ExceedanceHistory:
    history = ExceedanceHistory(keep_min)
    for strata in minutes:
        history.append(*both(strata), strata if len(strata) > 1 else ())
    return history


@pytest.mark.parametrize("split_from", [None, 0, 150])
def test_packed_minutes_add_up_to_the_last_bit(split_from: int | None) -> None:
    """Against sums made anew from the minutes, over windows that begin and end anywhere."""
    minutes, draw = _minutes(3, 260, split_from=split_from), Random(5)
    history = _history(minutes)
    size = history.lowest, history.edges
    plain = np.array([sum(_above(one, *size) for one in strata) for strata in minutes])
    fine = np.array([sum(weighted(one, *size) for one in strata) for strata in minutes])
    for minute in range(260):
        assert np.array_equal(history.window(minute, minute + 1), plain[minute])
    for _ in range(20):
        start, end = sorted(draw.sample(range(261), 2))
        first, last = sorted(draw.choices(range(start, end + 1), k=2))
        for level, each in ((Level.POOLED, plain), (Level.STRATA, fine)):
            found = each[start:end].sum(axis=0)
            assert np.array_equal(history.window(start, end, None, level), found)
            without = history.window(start, end, (first, last), level)
            assert np.array_equal(without, found - each[first:last].sum(axis=0))


@pytest.mark.parametrize("many", [2, 3])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_block_brings_back_the_rows_it_is_made_of(many: int, is_told: bool) -> None:
    """Of plain counts, and of those weighted over minutes and strata; whether asked for one by one or all at once."""
    draw, size = Random(2), (-1, 50)
    pairs = [(_bins_of(draw), _bins_of(draw)) for _ in range(31)]
    pairs[4], pairs[5], pairs[30] = ({}, {3: 4}), ({}, {}), ({7: 300, UNFINISHED_BIN: 2}, {})
    plain = np.array([_above(one, *size) for one in pairs])
    parts = np.array([weighted(one, *size) for one in pairs])
    planes: list[Plane] = [(_summed(plain) + 5).astype(np.uint32)]
    planes += [_summed(parts) + 7, _summed(parts * 3)][: many - 1]
    planes[1][20:] += 0 if is_told else 1
    block = pack(planes, -1, 32)
    assert block.edges == 50
    assert (block.whole[0] is None) is is_told, "what the numbers tell is not kept beside them"
    for plane, rows in enumerate([*planes, planes[-1]][:3]):
        for at, row in enumerate(rows):
            assert np.array_equal(block.row(plane, at, is_deep=False), row)
            assert np.array_equal(block.row(plane, at, is_deep=True), row)


def _bins_of(draw: Random) -> Bins:
    return {draw.randrange(49): draw.randint(1, 9) for _ in range(3)}


def _summed(added: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros_like(added[:1]), added.cumsum(axis=0)])


@pytest.mark.parametrize("split_from", [None, 250])
def test_what_is_forgotten_changes_no_window_of_what_is_left(split_from: int | None) -> None:
    minutes = _minutes(7, 500, split_from=split_from)
    history, late = _history(minutes, keep_min=200), _history(minutes[250:])
    assert (history.minutes, history.dropped) == (244, 256)
    left = late.lowest - history.lowest
    for start in (6, 31, 32, 100, 230):
        for level in Level:
            found = history.window(start - 6, history.minutes, None, level)
            same = late.window(start, late.minutes, None, level)
            assert np.array_equal(found[:, left : left + late.edges - 1], same[:, :-1])


@pytest.mark.parametrize("split_from", [None, 20])
def test_what_is_packed_loses_no_more_precision_than_it_gives_up(split_from: int | None) -> None:
    """A minute of a billion requests takes 8 bits of every sum, and one of a hundred billion 8 more."""
    minutes = _minutes(3, 140, split_from=split_from)
    exact, rounded = _history(minutes), _history(minutes)
    for place, many in enumerate((2**30, 2**38), start=1):
        rounded.append({600: many}, {600: many})
        for _ in range(40):
            rounded.append({600: 1}, {600: 1})
        for start, end in ((0, 1), (3, 30), (20, 90), (32, 64), (100, 140)):
            for level in (Level.MINUTES, Level.STRATA):
                told = rounded.window(start, end, None, level) * 2.0 ** (8 * place)
                left = exact.lowest - rounded.lowest
                told = told[:, left : left + exact.edges]
                assert np.abs(told - exact.window(start, end, None, level)).max() < 2.0 ** (8 * place) * 2
            plain = rounded.window(start, end)[:, left : left + exact.edges]
            assert np.array_equal(plain, exact.window(start, end)), "plain counts stay as they are"


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
