"""Exemplars are chosen by rank alone: no order of arrival and no grouping changes the choice."""

from __future__ import annotations

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


def test_a_day_of_exemplars_is_a_hundred() -> None:
    history = ExemplarHistory(20, 1440)
    for minute in range(3_000):
        traces = [f"trace-{minute}-{number}" for number in range(5)]
        history.append(minute, [Exemplar(fair_rank(one), one, "") for one in traces])
    assert len(history) < 400
    assert len(history.best(3_000 - 1440, 20)) == 20
