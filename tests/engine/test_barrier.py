"""The barrier: everything that was on a topic is taken in before it lets anybody through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from monitor.engine.barrier import Barrier
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Record


class Topic:
    """A topic, and its readers: one that is asked twice at a time has lost its place."""

    def __init__(self) -> None:
        self.written: list[Record] = []
        self.readers = 0
        self.stopped = self.aheads = 0
        self.is_away = False

    def fresh(self) -> Reader:
        return Reader(self)


class Reader:
    def __init__(self, topic: Topic) -> None:
        self._topic, self._at, self._is_busy = topic, 0, False

    async def start(self) -> None:
        if self._topic.is_away:
            raise LogUnreachable("no broker answers")
        self._topic.readers += 1

    async def read_to_end(self) -> list[Record]:
        assert not self._is_busy, "one reader was asked by two at a time"
        self._is_busy = True
        end = len(self._topic.written)
        await asyncio.sleep(0)
        found, self._at, self._is_busy = self._topic.written[self._at : end], end, False
        return found

    async def read_ahead(self) -> list[Record]:
        assert not self._is_busy, "one reader was asked by two at a time"
        self._topic.aheads += 1
        return await self.read_to_end()

    async def stop(self) -> None:
        self._topic.stopped += 1

    def __aiter__(self) -> AsyncIterator[list[Record]]:
        raise AssertionError("a barrier never waits for what comes")


def record(offset: int) -> Record:
    return Record("topic", 0, offset, at_ms=offset, key="key", value=b"value")


async def test_whoever_asks_has_all_that_was_there_and_two_may_ask_at_a_time() -> None:
    topic, taken = Topic(), list[Record]()
    barrier = Barrier(topic.fresh, taken.extend)
    topic.written = [record(0), record(1)]

    async def ask() -> int:
        await barrier.read()
        return len(taken)

    assert list(await asyncio.gather(ask(), ask(), ask())) == [2, 2, 2]
    topic.written.append(record(2))
    assert await ask() == 3
    assert topic.readers == 1


async def test_without_a_broker_it_lets_nobody_through_and_tries_anew() -> None:
    topic, taken = Topic(), list[Record]()
    barrier = Barrier(topic.fresh, taken.extend)
    topic.written, topic.is_away = [record(0)], True
    with pytest.raises(LogUnreachable):
        await barrier.read()
    topic.is_away = False
    await barrier.read()
    assert (len(taken), topic.readers) == (1, 1)


async def test_what_was_never_asked_has_nothing_to_leave() -> None:
    topic = Topic()
    barrier = Barrier(topic.fresh, lambda _: None)
    await barrier.stop()
    assert topic.stopped == 0
    await barrier.read()
    await barrier.stop()
    assert topic.stopped == 1


async def test_what_came_meanwhile_is_taken_in_before_anybody_asks() -> None:
    topic, taken = Topic(), list[Record]()
    barrier = Barrier(topic.fresh, taken.extend)
    topic.written = [record(0)]
    await barrier.read_ahead()
    assert (taken, topic.readers) == ([], 0)  # there is no reader before somebody needs one
    await barrier.read()
    topic.written.append(record(1))
    await barrier.read_ahead()
    assert len(taken) == 2
    await barrier.read()
    assert len(taken) == 2


async def test_reading_ahead_never_stands_in_the_way_of_who_asks() -> None:
    topic, taken = Topic(), list[Record]()
    barrier = Barrier(topic.fresh, taken.extend)
    await barrier.read()
    topic.written = [record(0)]
    asked = asyncio.create_task(barrier.read())
    await asyncio.sleep(0)  # it has the reader now
    await barrier.read_ahead()
    assert (topic.aheads, asked.done()) == (0, False)
    await asked
    assert len(taken) == 1
