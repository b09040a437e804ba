"""The promises of `Log` and `Follower`, kept by Kafka and by the twin alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from monitor.adapters.kafka.clock import BrokerClock
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from monitor.adapters.memory.log import MemoryLog
from monitor.engine.ports import Follower, Record, Stamp

AnyLog = KafkaLog | MemoryLog
MakeTopic = Callable[[int], Awaitable[str]]
WAIT_S = 120


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[AnyLog]:
    found: AnyLog
    if request.param == "memory":
        found = MemoryLog(partitions=3)
    else:
        found = KafkaLog(KafkaAccess(request.getfixturevalue("kafka")))
    yield found
    await found.close()


@pytest.fixture
def make_topic(log: AnyLog, unique: str, request: pytest.FixtureRequest) -> MakeTopic:
    """Makes the test's topic; the memory log has three partitions in any case."""

    async def make(partitions: int) -> str:
        if isinstance(log, KafkaLog):
            access = KafkaAccess(request.getfixturevalue("kafka"))
            await ensure_topics(access, [WantedTopic(unique, partitions)])
        return unique

    return make


async def take(follower: Follower, count: int) -> list[Record]:
    """Iterate until so many records have come."""
    taken: list[Record] = []
    async with asyncio.timeout(WAIT_S):
        async for batch in follower:
            taken += batch
            if len(taken) >= count:
                break
    return taken


def place(found: Record | Stamp) -> tuple[int, int, int]:
    return found.partition, found.offset, found.at_ms


async def test_what_was_appended_is_read_as_it_was_written(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(3)
    stamp = await log.append(topic, "kéy", b"\x00v", [("ce_type", b"x"), ("ce_type", b"y")])
    follower = log.follow(topic)
    await follower.start()
    (record,) = await follower.read_to_end()
    assert (record.topic, record.key, record.value) == (topic, "kéy", b"\x00v")
    assert record.headers == (("ce_type", b"x"), ("ce_type", b"y"))
    assert place(record) == place(stamp)
    await follower.stop()


async def test_records_without_key_and_tombstones_are_told_apart(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(1)
    await log.append(topic, None, b"value")
    await log.append(topic, "key", b"")
    await log.append(topic, "key", None)
    follower = log.follow(topic)
    await follower.start()
    read = {(record.key, record.value) for record in await follower.read_to_end()}
    assert read == {(None, b"value"), ("key", b""), ("key", None)}
    await follower.stop()


async def test_a_record_of_nothing_is_refused(log: AnyLog, make_topic: MakeTopic) -> None:
    with pytest.raises(ValueError, match="key or a value"):
        await log.append(await make_topic(1), None, None)


async def test_the_records_of_a_key_stay_in_order(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(3)
    for number in range(30):
        await log.append(topic, f"k{number % 4}", str(number).encode())
    follower = log.follow(topic)
    await follower.start()
    records = await follower.read_to_end()
    assert len(records) == 30
    for key in ("k0", "k1", "k2", "k3"):
        mine = [record for record in records if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [record.offset for record in mine] == sorted(record.offset for record in mine)
        assert [int(record.value or b"") for record in mine] == sorted(
            int(record.value or b"") for record in mine
        )
    await follower.stop()


async def test_read_to_end_of_an_empty_topic_is_empty_at_once(log: AnyLog, make_topic: MakeTopic) -> None:
    follower = log.follow(await make_topic(3))
    await follower.start()
    assert await follower.read_to_end() == []
    await follower.stop()


async def test_each_record_is_returned_once(log: AnyLog, make_topic: MakeTopic) -> None:
    """First what is there, then what comes, in whichever way it is asked for."""
    topic = await make_topic(2)
    follower = log.follow(topic)
    await follower.start()
    for number in range(5):
        await log.append(topic, f"a{number}", b"1")
    assert len(await follower.read_to_end()) == 5
    assert await follower.read_to_end() == []
    for number in range(3):
        await log.append(topic, f"b{number}", b"2")
    assert {record.value for record in await take(follower, 3)} == {b"2"}
    await log.append(topic, "c", b"3")
    assert [record.value for record in await follower.read_to_end()] == [b"3"]
    await follower.stop()


async def test_reading_ahead_returns_what_has_come_and_waits_for_nothing(
    log: AnyLog, make_topic: MakeTopic
) -> None:
    topic = await make_topic(2)
    follower = log.follow(topic)
    await follower.start()
    assert await follower.read_to_end() == []
    async with asyncio.timeout(0.2):
        assert await follower.read_ahead() == []
    for number in range(6):
        await log.append(topic, f"a{number}", b"1")
    ahead: list[Record] = []
    async with asyncio.timeout(10):
        while len(ahead) < 4:  # they come by themselves, whoever asks
            ahead += await follower.read_ahead()
            await asyncio.sleep(0.01)
    rest = await follower.read_to_end()
    assert len({record.key for record in (*ahead, *rest)}) == len(ahead) + len(rest) == 6
    await log.append(topic, "b", b"2")
    assert [record.value for record in await follower.read_to_end()] == [b"2"]
    await follower.stop()


async def test_every_follower_reads_every_record(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    followers = [log.follow(topic) for _ in range(3)]
    for follower in followers:
        await follower.start()
    for number in range(4):
        await log.append(topic, f"k{number}", b"v")
    for follower in followers:
        assert len(await follower.read_to_end()) == 4
        await follower.stop()


async def test_a_follower_that_waits_gets_what_comes(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(1)
    follower = log.follow(topic)
    await follower.start()
    waiting = asyncio.create_task(take(follower, 1))
    await asyncio.wait({waiting}, timeout=0)
    await log.append(topic, "k", b"late")
    assert [record.value for record in await waiting] == [b"late"]
    await follower.stop()


async def test_a_stopped_follower_comes_to_the_end(log: AnyLog, make_topic: MakeTopic) -> None:
    follower = log.follow(await make_topic(1))
    await follower.start()
    waiting = asyncio.create_task(take(follower, 1))
    await asyncio.wait({waiting}, timeout=0)
    await follower.stop()
    assert await asyncio.wait_for(waiting, WAIT_S) == []


async def test_the_clock_is_the_stamp_of_its_own_record(log: AnyLog, make_topic: MakeTopic) -> None:
    topic = await make_topic(1)
    clock = BrokerClock(log, topic)
    first, second = await clock.probe(), await clock.probe()
    assert first.broker_ms <= second.broker_ms
    assert first.acknowledged_at_s <= second.acknowledged_at_s
    later = await log.append(topic, "k", b"v")
    assert second.broker_ms <= later.at_ms
