"""What only a real broker does: gaps in the offsets, outages, refusals."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from monitor.engine.errors import LogUnreachable, TopicUnusable
from monitor.engine.ports import Record
from tests.integration.conftest import MakeTopic
from tests.integration.workers import WAIT_S, eventually


async def test_the_end_is_reached_where_it_is_no_record(access: KafkaAccess, make_topic: MakeTopic) -> None:
    """A transaction leaves a marker at the very end: positions count, not records."""
    topic = await make_topic(1)
    producer = AIOKafkaProducer(**access.client_options(), transactional_id=topic)
    await producer.start()
    for number in range(3):
        async with producer.transaction():
            await producer.send_and_wait(topic, str(number).encode())
    await producer.stop()
    log = KafkaLog(access)
    follower = log.follow(topic)
    await follower.start()
    records = await asyncio.wait_for(follower.read_to_end(), WAIT_S)
    assert [(record.offset, record.value) for record in records] == [(0, b"0"), (2, b"1"), (4, b"2")]
    assert await asyncio.wait_for(follower.read_to_end(), WAIT_S) == []
    await follower.stop()
    await log.close()


async def test_a_missing_topic_is_an_error_with_a_remedy(access: KafkaAccess, unique: str) -> None:
    log = KafkaLog(access, send_deadline_s=1)
    follower = log.follow(unique)
    with pytest.raises(TopicUnusable, match="does not exist"):
        await follower.start()
    await follower.stop()
    with pytest.raises(LogUnreachable, match=unique):
        await log.append(unique, "k", b"v")
    await log.close()


async def test_a_record_no_broker_takes_is_refused_for_good(
    access: KafkaAccess, make_topic: MakeTopic
) -> None:
    log = KafkaLog(access)
    topic = await make_topic(1)
    with pytest.raises(TopicUnusable, match="refuses"):
        await log.append(topic, "k", b"x" * (2 << 20))
    assert (await log.append(topic, "k", b"small")).offset == 0
    await log.close()


async def test_appends_at_the_same_time_are_all_acknowledged(
    access: KafkaAccess, make_topic: MakeTopic
) -> None:
    topic = await make_topic(2)
    log = KafkaLog(access)
    stamps = await asyncio.gather(*(log.append(topic, f"k{number}", b"v") for number in range(50)))
    assert len({(stamp.partition, stamp.offset) for stamp in stamps}) == 50
    await log.close()


async def test_an_outage_is_an_error_in_time_and_then_over(own_kafka: EmbeddedKafka) -> None:
    """The broker dies: an append fails within its deadline, followers wait; it returns: all go on, nothing twice."""
    access = KafkaAccess(own_kafka.bootstrap)
    await ensure_topics(access, [WantedTopic("t", 1)])
    log = KafkaLog(access, send_deadline_s=3)
    follower = log.follow("t")
    await follower.start()
    await log.append("t", "k", b"before")
    assert [record.value for record in await follower.read_to_end()] == [b"before"]
    seen: list[Record] = []
    reading = asyncio.create_task(_collect(follower, seen, until=b"after"))

    own_kafka.kill()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(LogUnreachable, match="t on"):
            await log.append("t", "k", b"during")
    await asyncio.to_thread(own_kafka.start)

    await _append_at_last(log, "t", b"after")
    await asyncio.wait_for(reading, WAIT_S)
    values = [record.value for record in seen]
    assert values[-1] == b"after"
    assert b"before" not in values
    assert len({record.offset for record in seen}) == len(seen)
    await follower.stop()
    await log.close()

    async def is_gone() -> bool:
        return asyncio.all_tasks() == {asyncio.current_task()}

    await eventually(is_gone, "what was given up is really gone")


async def _collect(follower: object, seen: list[Record], until: bytes) -> None:
    async for batch in follower:  # type: ignore[attr-defined]
        seen += batch
        if any(record.value == until for record in batch):
            return


async def _append_at_last(log: KafkaLog, topic: str, value: bytes) -> None:
    """Append as the engine does: again under the same content, until it is acknowledged."""
    for _ in range(20):
        try:
            await log.append(topic, "k", value)
            return
        except LogUnreachable:
            continue
    raise AssertionError("the broker is back, and nothing could be appended")
