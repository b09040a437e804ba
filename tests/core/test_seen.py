"""The memory for ids: many at once are one after the other, also where it is full."""

from __future__ import annotations

import pickle
import random
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.seen import SeenIds
from monitor.core.window import DUPLICATE_MS
from tests.engine.worlds import LAWS


class PlainMemory:
    """The memory in so many words: all sightings, and every answer looked up in them."""

    def __init__(self, max_ids: int) -> None:
        self.max = max_ids
        self.sightings: deque[tuple[str, int]] = deque()
        self.times: Counter[str] = Counter()
        self.evicted = 0

    def _drop_oldest(self) -> None:
        oldest, _ = self.sightings.popleft()
        self.times[oldest] -= 1
        if not self.times[oldest]:
            del self.times[oldest]

    def _evict(self) -> None:
        before = len(self.times)
        self._drop_oldest()
        self.evicted += before - len(self.times)

    def is_repeat(self, event_id: str, clock_ms: int) -> bool:
        while self.sightings and self.sightings[0][1] <= clock_ms - DUPLICATE_MS:
            self._drop_oldest()
        is_known = event_id in self.times
        while not is_known and len(self.times) >= self.max:
            self._evict()
        self.sightings.append((event_id, clock_ms))
        self.times[event_id] += 1
        if is_known and len(self.sightings) >= 2 * self.max:
            self._evict()
        return is_known


IDS = st.lists(st.integers(0, 8).map("e-{}".format), min_size=1, max_size=7)


@settings(LAWS, max_examples=25)
@given(
    batches=st.lists(st.tuples(IDS, st.integers(0, 90_000)), min_size=1, max_size=6), most=st.integers(1, 6)
)
def test_many_at_once_are_one_after_the_other(batches: list[tuple[list[str], int]], most: int) -> None:
    many, single, plain, clock_ms = SeenIds(most), SeenIds(most), PlainMemory(most), 0
    for ids, moved_ms in batches:
        clocks = np.array(
            [clock_ms + moved_ms * place // len(ids) for place in range(len(ids))], dtype=np.int64
        )
        clock_ms += moved_ms
        found = many.are_new(ids, clocks)
        one_by_one = [place for place, one in enumerate(ids) if not single.is_repeat(one, int(clocks[place]))]
        assert (list(range(len(ids))) if found is None else found) == one_by_one
        assert one_by_one == [
            place for place, one in enumerate(ids) if not plain.is_repeat(one, int(clocks[place]))
        ]
        assert many.evicted == single.evicted == plain.evicted
        for seen in (
            many,
            single,
        ):  # what is too old may still be held, and never more than there is room for
            assert len(plain.times) <= len(seen) <= most


@pytest.mark.parametrize("most", [5_000, 20_000], ids=["full", "with room"])
@pytest.mark.parametrize("batch", [1, 700])
def test_a_long_log_is_remembered_as_in_so_many_words(most: int, batch: int) -> None:
    """Of 24,000 records in seven minutes every fifth is sent again, and some of those again and again."""
    chance, clock_ms = random.Random(4), 0
    seen, plain = SeenIds(most), PlainMemory(most)
    for start in range(0, 24_000, batch):
        numbers = range(start, min(start + batch, 24_000))
        ids = [
            f"e-{n if chance.random() < 0.8 else max(0, n - chance.randrange(9_000) // 50 * 50)}"
            for n in numbers
        ]
        clocks = [clock_ms := clock_ms + chance.randrange(36) for _ in numbers]
        expected = [place for place, one in enumerate(ids) if not plain.is_repeat(one, clocks[place])]
        if batch == 1:
            assert seen.is_repeat(ids[0], clocks[0]) is (expected == [])
        else:
            found = seen.are_new(ids, np.array(clocks))
            assert (list(range(len(ids))) if found is None else found) == expected
        assert seen.evicted == plain.evicted
    assert len(plain.times) <= len(seen) <= most


def _room(seen: SeenIds) -> int:
    return len(pickle.dumps([getattr(seen, name) for name in SeenIds.__slots__]))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("distinct", [100, 30_000], ids=["repeats", "new"])
def test_memory_does_not_grow_with_the_log(at_once: bool, distinct: int) -> None:
    """Not with a flood of new ids, nor with one of repeats, nor with what was forgotten."""
    seen, rooms = SeenIds(2_000), []
    for round_ in range(3):
        for start in range(0, 10_000, 500):
            ids = [f"e-{(round_ * 10_000 + n) % distinct}" for n in range(start, start + 500)]
            clocks = np.arange(start, start + 500) + round_ * 10_000
            if at_once:
                seen.are_new(ids, clocks)
            else:
                for one, clock_ms in zip(ids, clocks.tolist(), strict=True):
                    seen.is_repeat(one, clock_ms)
        rooms.append(_room(seen))
    assert max(rooms) < 400_000
    assert rooms[2] < 1.5 * rooms[0]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("sent", [1, 2], ids=["once", "twice"])
def test_what_is_too_old_is_forgotten_now_and_then_also_where_there_is_room(at_once: bool, sent: int) -> None:
    """Of an hour with a thousand ids a minute, two minutes and what came since the last look."""
    seen, held, rooms = SeenIds(1_000_000), [], []
    for minute in range(60):
        ids = [f"e-{minute}-{n // sent}" for n in range(1_000 * sent)]
        clocks = np.full(len(ids), minute * DUPLICATE_MS // 2)
        if at_once:
            seen.are_new(ids, clocks)
        else:
            for one, clock_ms in zip(ids, clocks.tolist(), strict=True):
                seen.is_repeat(one, clock_ms)
        held.append(len(seen))
        if minute % 10 == 9:
            rooms.append(_room(seen))
    assert 2_000 <= max(held) <= 13_000
    assert max(rooms) < 800_000
    assert seen.evicted == 0


@pytest.mark.parametrize(("known", "new", "evicted"), [(3, 2, 2), (2, 2, 1), (1, 2, 0), (3, 5, 5)])
def test_a_full_memory_forgets_one_for_each_that_comes(known: int, new: int, evicted: int) -> None:
    seen = SeenIds(3)
    seen.are_new([f"old-{n}" for n in range(known)], np.zeros(known, dtype=np.int64))
    seen.are_new([f"new-{n}" for n in range(new)], np.zeros(new, dtype=np.int64))
    assert (seen.evicted, len(seen)) == (evicted, 3)


def test_what_is_too_old_by_the_time_it_would_be_in_the_way_is_not_forgotten_early() -> None:
    """Two of the three old ones are two minutes old when the second new one comes, to the millisecond."""
    seen = SeenIds(3)
    seen.are_new(["a", "b", "c"], np.zeros(3, dtype=np.int64))
    seen.are_new(["d", "e"], np.array([1, DUPLICATE_MS]))
    assert (seen.evicted, len(seen)) == (1, 2)


def test_a_batch_that_spans_minutes_forgets_nothing_that_its_first_id_still_knows() -> None:
    seen = SeenIds(100)
    seen.are_new([f"old-{n}" for n in range(99)], np.zeros(99, dtype=np.int64))
    assert seen.are_new(["old-7", "new"], np.array([DUPLICATE_MS - 1, 2 * DUPLICATE_MS])) == [1]


def test_an_id_is_a_repeat_for_two_minutes_after_its_newest_sighting() -> None:
    seen, clocks_ms = SeenIds(9), (0, 119_999, 239_998, 359_998, 360_000)
    assert [seen.is_repeat("e-1", clock_ms) for clock_ms in clocks_ms] == [False, True, True, False, True]
