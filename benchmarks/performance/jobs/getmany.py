"""The ceiling: the client's own `getmany`, values touched and not decoded."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer

from benchmarks.performance.jobs.event import BOOTSTRAP, EVENTS, FETCH_BYTES, TOPIC, ended, started


async def main() -> None:
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    read = size = 0
    while read < EVENTS:
        batches = await consumer.getmany(timeout_ms=1_000, max_records=4_000)
        if batches and not read:
            started()
        for records in batches.values():
            read += len(records)
            for record in records:
                size += len(record.value or b"")
    ended(read)
    await consumer.stop()


asyncio.run(main())
