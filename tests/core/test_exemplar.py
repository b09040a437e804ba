"""Exemplars are chosen by rank alone: no order of arrival and no grouping changes the choice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.exemplar import (
    EXEMPLARS_PER_CELL,
    Exemplar,
    ExemplarHistory,
    fair_rank,
    offer,
    smallest,
)
from tests.engine.worlds import LAWS

EXEMPLARS = st.builds(
    Exemplar,
    rank=st.integers(-5, 5),
    trace_id=st.sampled_from([f"trace-{n}" for n in range(9)]),
    failure_class=st.sampled_from(["", "leak", "loop"]),
)
MANY = st.lists(EXEMPLARS, max_size=20)


def _kept(offered: list[Exemplar]) -> list[Exemplar]:
    kept: list[Exemplar] = []
    for exemplar in offered:
        offer(kept, exemplar)
    return kept


@LAWS
@given(MANY, st.randoms(use_true_random=False))
def test_the_smallest_stay_in_any_order(offered: list[Exemplar], chance: object) -> None:
    shuffled = sorted(offered, key=lambda _: chance.random())  # type: ignore[attr-defined]  # hypothesis' Random
    assert _kept(shuffled) == sorted(set(offered))[:EXEMPLARS_PER_CELL]


@LAWS
@given(MANY, MANY, MANY)
def test_partial_choices_add_up_to_the_whole_one(
    one: list[Exemplar], two: list[Exemplar], three: list[Exemplar]
) -> None:
    assert _kept(_kept(one) + _kept(two) + _kept(three)) == _kept(three + one + two)


@LAWS
@given(st.lists(MANY, max_size=4), st.integers(0, 7))
def test_what_is_shown_names_each_trace_once(groups: list[list[Exemplar]], size: int) -> None:
    shown = smallest(groups, size)
    assert shown == smallest(reversed(groups), size)
    assert len({one.trace_id for one in shown}) == len(shown) <= size
    best = {one.trace_id: one for group in groups for one in sorted(group, reverse=True)}
    assert all(
        one <= min(other for g in groups for other in g if other.trace_id == one.trace_id) for one in shown
    )
    assert len(shown) == min(size, len(best))


def test_the_draw_is_the_same_everywhere() -> None:
    """A hash of Python's own would differ per process, and with it the evidence of two workers."""
    assert (fair_rank("trace-1"), fair_rank("münchen"), fair_rank("")) == (1904792194, 1172628735, 0)


def test_only_what_ranks_before_the_last_is_wanted_where_all_are_kept() -> None:
    cell = Aggregate()
    for rank in range(2, 2 + EXEMPLARS_PER_CELL):
        assert cell.wants("errors", 99)  # there is room
        cell.keep("errors", Exemplar(rank, f"trace-{rank}", ""))
    assert cell.wants("errors", 1)
    assert not cell.wants("errors", 99)


@LAWS
@given(st.lists(MANY, min_size=1, max_size=60), st.integers(1, 4), st.integers(5, 60))
def test_of_every_stretch_that_ends_now_the_best_are_kept(
    minutes: list[list[Exemplar]], most: int, keep_min: int
) -> None:
    history = ExemplarHistory(most, keep_min)
    for minute, exemplars in enumerate(minutes):
        history.append(minute, exemplars)
    for start in range(max(0, len(minutes) - keep_min), len(minutes)):
        for size in range(most + 2):
            assert history.best(start, size) == smallest(minutes[start:], min(size, most))


@pytest.mark.parametrize(("most", "keep_min"), [(1, 700), (3, 150), (20, 40)])
def test_the_best_are_kept_however_often_the_outranked_are_dropped(most: int, keep_min: int) -> None:
    chance = random.Random(7)
    minutes = [
        [
            Exemplar(chance.randrange(300), f"trace-{chance.randrange(200)}", "")
            for _ in range(chance.randrange(3))
        ]
        for _ in range(700)
    ]
    history = ExemplarHistory(most, keep_min)
    for newest, exemplars in enumerate(minutes):
        history.append(newest, exemplars)
        for start in range(newest, max(-1, newest - keep_min), -17) if newest % 29 == 0 else ():
            assert history.best(start, most) == smallest(minutes[start : newest + 1], most)


@pytest.mark.parametrize("most", [1, 3])
def test_what_enough_newer_ones_outrank_is_forgotten(most: int) -> None:
    """Where each is better than all before, the newest alone are of use: so many are left when it is looked."""
    history, left = ExemplarHistory(most, 1440), []
    for minute in range(200):
        history.append(minute, [Exemplar(1_000 - minute, f"trace-{minute}", "")])
        left.append(len(history))
    assert min(left[63:]) == most


def test_a_trace_that_is_told_better_outranks_no_other_trace() -> None:
    """Two are shown: trace a twice and b once are all that can be, and c is not for a's second place."""
    history = ExemplarHistory(2, 1440)
    for minute in range(60):
        history.append(minute, [Exemplar(100, f"trace-{minute}", "")])
    for minute, (rank, trace) in enumerate([(7, "c"), (4, "a"), (6, "b"), (5, "a")], 60):
        history.append(minute, [Exemplar(rank, trace, "")])
    assert len(history) == 3
    assert [one.rank for one in history.best(0, 2)] == [4, 6]
    assert [one.rank for one in history.best(62, 2)] == [5, 6]


def test_an_exemplar_that_is_told_every_minute_is_kept_once() -> None:
    history = ExemplarHistory(5, 1440)
    for minute in range(1_000):
        history.append(minute, [Exemplar(1, "trace", "")])
    assert len(history) <= 2 * 64
    assert history.best(999, 5) == [Exemplar(1, "trace", "")]


def test_a_day_of_exemplars_is_a_hundred() -> None:
    history = ExemplarHistory(20, 1440)
    for minute in range(3_000):
        traces = [f"trace-{minute}-{number}" for number in range(5)]
        history.append(minute, [Exemplar(fair_rank(one), one, "") for one in traces])
    assert len(history) < 400
    assert len(history.best(3_000 - 1440, 20)) == 20
