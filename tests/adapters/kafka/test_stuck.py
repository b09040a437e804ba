"""A reader that stands still while the log goes on is made anew, once; what has a reason to stand is let alone."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from monitor.adapters.kafka import consumer as module
from monitor.adapters.kafka.consumer import TraceConsumer
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.stuck import STUCK_S, Progress, ReaderStuck
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Partition

ZERO, ONE = Partition("t", 0), Partition("t", 1)


class Steady:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def looks(
    progress: Progress, steady: Steady, seconds: int, ends: dict[Partition, int] | None, **at: int
) -> list[Partition]:
    """Look once a second; returns what is stuck in the end."""
    found: list[Partition] = []
    for _ in range(seconds):
        steady.now_s += 1
        if ends is not None:
            progress.ends(ends)
        found = progress.stuck({Partition("t", int(name[1:])): offset for name, offset in at.items()})
    return found


def watched() -> tuple[Progress, Steady]:
    steady = Steady()
    return Progress(steady=steady), steady


def test_what_stands_while_the_log_goes_on_is_stuck_after_half_a_minute() -> None:
    progress, steady = watched()
    assert looks(progress, steady, int(STUCK_S) - 1, {ZERO: 9, ONE: 9}, p0=5, p1=9) == []
    assert looks(progress, steady, 3, {ZERO: 9, ONE: 9}, p0=5, p1=9) == [ZERO]


def test_what_is_read_to_its_end_moves_or_is_paused_is_not_stuck() -> None:
    progress, steady = watched()
    for position in range(5, 70):
        assert looks(progress, steady, 1, {ZERO: 100, ONE: 7}, p0=position, p1=7) == []
    looks(progress, steady, 20, {ZERO: 100}, p0=70)
    assert looks(progress, steady, 1, {ZERO: 100}) == []  # paused for a moment
    assert looks(progress, steady, 20, {ZERO: 100}, p0=70) == []


def test_a_log_that_does_not_answer_makes_nobody_stuck() -> None:
    progress, steady = watched()
    looks(progress, steady, 5, {ZERO: 9}, p0=5)
    assert looks(progress, steady, 100, None, p0=5) == []


def test_a_process_that_was_stopped_is_no_reader_that_is() -> None:
    progress, steady = watched()
    looks(progress, steady, 5, {ZERO: 9}, p0=5)
    steady.now_s += 120
    assert looks(progress, steady, 5, {ZERO: 9}, p0=5) == []


class Client:
    """As much of the library's consumer as this takes: one partition, which the log has nine records of."""

    made: ClassVar[list[Client]] = []
    is_mute: ClassVar[bool] = True
    refuses: ClassVar[int] = 0

    def __init__(self, **_options: Any) -> None:
        self._position = 0
        self.is_stopped = False
        Client.made.append(self)

    def subscribe(self, _topics: list[str], listener: Any) -> None:
        self._listener = listener

    async def start(self) -> None:
        if len(Client.made) > 1 and Client.refuses:
            Client.refuses -= 1
            raise KafkaConnectionError("away")
        self._listener.on_partitions_assigned([TopicPartition("t", 0)])

    async def stop(self) -> None:
        self.is_stopped = True

    async def position(self, _partition: TopicPartition) -> int:
        return self._position

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._position = offset

    def pause(self, *_partitions: TopicPartition) -> None: ...

    def resume(self, *_partitions: TopicPartition) -> None: ...

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 9)

    async def getmany(self, *_partitions: TopicPartition, **_bounds: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        if not Client.is_mute and self._position < 9:
            self._position = 9
            return {TopicPartition("t", 0): [object()]}
        return {}


@pytest.fixture
async def reader(monkeypatch: pytest.MonkeyPatch) -> TraceConsumer:
    """Return a reader placed at 5, of a client that has fallen silent."""
    monkeypatch.setattr(module, "AIOKafkaConsumer", Client)
    monkeypatch.setattr(module, "drain_bare", lambda _client: True)
    monkeypatch.setattr(Client, "made", [])
    monkeypatch.setattr(Client, "is_mute", True)
    monkeypatch.setattr(Client, "refuses", 0)
    found = TraceConsumer(KafkaAccess("127.0.0.1:1"), "t", "g", "w", stuck_s=0.05)
    await found.start()
    await found.seek_and_resume(ZERO, 5)
    return found


async def polled(reader: TraceConsumer, generation: int) -> None:
    async with asyncio.timeout(30):
        while reader.generation == generation or reader.owned != {ZERO}:
            await reader.end_offsets([ZERO])
            assert await reader.getmany(timeout_ms=1) == {}
            await asyncio.sleep(0.01)


async def test_a_silent_client_is_made_anew_and_its_owner_places_it_again(reader: TraceConsumer) -> None:
    before = reader.generation
    await polled(reader, before)
    first, second = Client.made
    assert first.is_stopped
    assert not second.is_stopped
    assert reader.generation > before, "whoever writes the partition claims it again"
    assert await reader.position(ZERO) is None, "nothing is read before it was placed"
    Client.is_mute = False
    await reader.seek_and_resume(ZERO, 5)
    assert list(await reader.getmany(timeout_ms=100)) == [ZERO]
    await reader.stop()


async def test_one_that_stays_silent_with_a_new_client_ends_the_worker(reader: TraceConsumer) -> None:
    await polled(reader, reader.generation)
    await reader.seek_and_resume(ZERO, 5)
    with pytest.raises(ReaderStuck, match=r"with a new client too: t/0 at 5"):
        await polled(reader, reader.generation)
    await reader.stop()


async def test_a_new_client_that_finds_no_broker_is_tried_again(reader: TraceConsumer) -> None:
    Client.refuses = 2
    refusals = 0
    async with asyncio.timeout(30):
        while reader.owned != {ZERO} or len(Client.made) < 4:
            try:
                if reader.owned:
                    await reader.end_offsets([ZERO])
                await reader.getmany(timeout_ms=1)
            except LogUnreachable:
                refusals += 1
                with pytest.raises(LogUnreachable, match="being made anew"):
                    await reader.end_offsets([ZERO])
            await asyncio.sleep(0.01)
    assert refusals == 2
    await reader.stop()
