"""The memory for ids: many at once are one after the other, also where it is full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.seen import SeenIds
from monitor.core.window import DUPLICATE_MS
from tests.engine.worlds import LAWS

IDS = st.lists(st.integers(0, 8).map("e-{}".format), min_size=1, max_size=7)


@settings(LAWS, max_examples=25)
@given(
    batches=st.lists(st.tuples(IDS, st.integers(0, 90_000)), min_size=1, max_size=6), most=st.integers(1, 6)
)
def test_many_at_once_are_one_after_the_other(batches: list[tuple[list[str], int]], most: int) -> None:
    many, single, clock_ms = SeenIds(most), SeenIds(most), 0
    for ids, moved_ms in batches:
        clocks = np.array(
            [clock_ms + moved_ms * place // len(ids) for place in range(len(ids))], dtype=np.int64
        )
        clock_ms += moved_ms
        found = many.are_new(ids, clocks)
        one_by_one = [place for place, one in enumerate(ids) if not single.is_repeat(one, int(clocks[place]))]
        assert (list(range(len(ids))) if found is None else found) == one_by_one
        assert many.evicted == single.evicted


@pytest.mark.parametrize(("known", "new", "evicted"), [(3, 2, 2), (2, 2, 1), (1, 2, 0), (3, 5, 5)])
def test_a_full_memory_forgets_one_for_each_that_comes(known: int, new: int, evicted: int) -> None:
    seen = SeenIds(3)
    seen.are_new([f"old-{n}" for n in range(known)], np.zeros(known, dtype=np.int64))
    seen.are_new([f"new-{n}" for n in range(new)], np.zeros(new, dtype=np.int64))
    assert (seen.evicted, len(seen)) == (evicted, 3)


def test_a_batch_that_spans_minutes_forgets_nothing_that_its_first_id_still_knows() -> None:
    seen = SeenIds(100)
    seen.are_new([f"old-{n}" for n in range(99)], np.zeros(99, dtype=np.int64))
    assert seen.are_new(["old-7", "new"], np.array([DUPLICATE_MS - 1, 2 * DUPLICATE_MS])) == [1]


def test_an_id_is_a_repeat_for_two_minutes_after_its_newest_sighting() -> None:
    seen, clocks_ms = SeenIds(9), (0, 119_999, 239_998, 359_998, 360_000)
    assert [seen.is_repeat("e-1", clock_ms) for clock_ms in clocks_ms] == [False, True, True, False, True]
