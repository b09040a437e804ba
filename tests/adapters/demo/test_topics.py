"""The demo's end of Kafka, against a real one: what is sent is there, and only what was said since is heard."""

from __future__ import annotations

import asyncio

import pytest

from monitor.adapters.demo.topics import OutputsReader, TracesProducer
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import BUDGETS, WantedTopic
from monitor.engine.errors import TopicUnusable
from monitor.engine.ports import Record

ENOUGH_S = 120.0


async def heard(reader: OutputsReader, count: int) -> list[Record]:
    """Return the next records, once there are so many."""
    found: list[Record] = []
    async with asyncio.timeout(ENOUGH_S):
        while len(found) < count:
            found += reader.drain()
            await asyncio.sleep(0.02)
    return found


async def newest_ms(access: KafkaAccess, topic: str) -> int:
    """Return the broker's time of the newest record: its clock alone counts, and may step back."""
    log = KafkaLog(access)
    follower = log.follow(topic)
    await follower.start()
    records = await follower.read_to_end()
    await follower.stop()
    await log.close()
    return max(record.at_ms for record in records)


async def test_what_is_sent_is_heard_and_what_was_before_is_not(kafka: str, unique: str) -> None:
    access = KafkaAccess(kafka)
    await ensure_topics(access, [WantedTopic(unique, 2), WantedTopic(BUDGETS, 1, compacted=True)])
    producer = TracesProducer(access, traces_topic=unique)
    await producer.start()
    await producer.send([("user-1", b"before")])
    since_ms = await newest_ms(access, unique) + 1
    reader = OutputsReader(access, [unique], since_ms=since_ms)
    try:
        await reader.start()
        await producer.send([(f"user-{number}", b"%d" % number) for number in range(20)])
        await producer.arm("release-of-" + unique, "release: r")
        await producer.arm("release-of-" + unique, None)
        found = await heard(reader, 20)
    finally:
        await asyncio.gather(producer.stop(), reader.stop())
    assert sorted(int(record.value or b"-1") for record in found) == list(range(20))
    assert {record.key for record in found} == {f"user-{number}" for number in range(20)}


async def test_a_topic_that_is_not_there_is_named(kafka: str, unique: str) -> None:
    reader = OutputsReader(KafkaAccess(kafka), [unique], since_ms=0)
    try:
        with pytest.raises(TopicUnusable, match=unique):
            await reader.start()
    finally:
        await reader.stop()
