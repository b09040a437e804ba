"""What producers pack with any of Kafka's compressions, read by a worker's consumer from a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from monitor.adapters.kafka.consumer import TraceConsumer
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.ports import Partition
from monitor.wire.json_text import MAX_RECORD_BYTES
from tests.integration.conftest import MakeTopic

SESSION_MS = 10_000
WAIT_S = 120


# Snappy packs too little for a broker to take as much.
@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
async def test_a_batch_that_unpacks_to_a_gigabyte_fills_no_memory_and_holds_nothing_up(
    codec: str, access: KafkaAccess, make_topic: MakeTopic, unique: str
) -> None:
    """A broker takes it, because it is small as it comes; only what it would unpack to is set aside."""
    topic = await make_topic(1)
    await send(access, topic, codec, [b"before", bytes(200 << 20), b"after"])
    values = await values_of(access, unique, topic, 3)
    assert values == [b"before", bytes(MAX_RECORD_BYTES + 1), b"after"]


async def test_whatever_producers_pack_with_is_read_in_order(
    access: KafkaAccess, make_topic: MakeTopic, unique: str
) -> None:
    """One partition with batches of every codec that Kafka has."""
    topic, expected = await make_topic(1), list[bytes]()
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        values = [b'{"event_id": "%s-%d"}' % (str(codec).encode(), number) for number in range(500)]
        await send(access, topic, codec, values)
        expected += values
    assert await values_of(access, unique, topic, len(expected)) == expected


async def send(access: KafkaAccess, topic: str, codec: str | None, values: Sequence[bytes]) -> None:
    """Append records to partition 0, packed by a codec."""
    producer = AIOKafkaProducer(
        **access.client_options(), compression_type=codec, linger_ms=20, max_request_size=1 << 29
    )
    await producer.start()
    sent = [await producer.send(topic, value, partition=0) for value in values]
    await asyncio.gather(*sent)
    await producer.stop()


async def values_of(access: KafkaAccess, name: str, topic: str, count: int) -> list[bytes | None]:
    """Read partition 0 from its begin, as a worker does."""
    consumer, values = TraceConsumer(access, topic, name, "w1", SESSION_MS), list[bytes | None]()
    try:
        await consumer.start()
        await consumer.seek_and_resume(Partition(topic, 0), 0)
        async with asyncio.timeout(WAIT_S):
            while len(values) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    values += [record.value for record in records]
    finally:
        await consumer.stop()
    return values
