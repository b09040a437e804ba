"""The floor of anything that keeps the contract: `getmany`, the contract's decoder, the look for duplicates.

Nothing is folded, nothing is stored. Uses the product's own decoder and its own memory of ids.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer

from benchmarks.performance.jobs.event import BOOTSTRAP, EVENTS, FETCH_BYTES, TOPIC, ended, started
from monitor.adapters.kafka.decode import decode
from monitor.core.seen import SeenIds


async def main() -> None:
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    seen: dict[int, SeenIds] = {}
    read = repeated = 0
    while read < EVENTS:
        batches = await consumer.getmany(timeout_ms=1_000, max_records=4_000)
        if batches and not read:
            started()
        for place, records in batches.items():
            is_repeat = seen.setdefault(place.partition, SeenIds(1_000_000)).is_repeat
            read += len(records)
            for record in records:
                event = decode(record.value)
                assert not isinstance(event, str), event
                repeated += is_repeat(event.event_id, event.at_ms)
    assert not repeated, f"{repeated} events were taken for duplicates"
    ended(read)
    await consumer.stop()


asyncio.run(main())
