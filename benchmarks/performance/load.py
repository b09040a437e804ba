"""Traffic at a steady rate, from a process of its own: `python -m benchmarks.performance.load BOOTSTRAP TOPIC RATE`.

Healthy requests of the baseline, as of now, until it is ended. What it is behind, it makes up for.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiokafka import AIOKafkaProducer

from benchmarks.performance.traffic import BATCH_BYTES, Traffic
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess

EVERY_S = 0.02
ROUND = 20_000  # events drawn at once
AT = b'"at":'


def bodies() -> list[tuple[bytes, bytes]]:
    """Return events around the place of their time: drawing them in the loop would be most of its work."""
    made = []
    for line in Traffic(ROUND, lead="load").lines(0):
        head, _, tail = line.partition(AT)
        made.append((head.partition(b"-")[2], b"," + tail.partition(b",")[2]))
    return made


async def produce(bootstrap: str, topic: str, rate: float) -> None:
    """Send so many events a second."""
    producer = AIOKafkaProducer(
        **KafkaAccess(bootstrap).client_options(), acks=1, max_batch_size=BATCH_BYTES, linger_ms=5
    )
    await producer.start()
    partitions = len(await producer.partitions_for(topic))
    drawn, sent, began = bodies(), 0, time.monotonic()
    while True:
        due = int((time.monotonic() - began) * rate)
        batches = [producer.create_batch() for _ in range(partitions)]
        at = b'"at":%d' % (time.time() * 1_000)
        for number in range(sent, due):
            name, tail = drawn[number % ROUND]
            value = b'{"event_id":"l%x-%b%b%b' % (number, name, at, tail)
            if batches[number % partitions].append(timestamp=None, key=None, value=value) is None:
                due = number  # the batch is full; the rest comes with the next
                break
        sent = due
        for partition, batch in enumerate(batches):
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=partition)
        await asyncio.sleep(EVERY_S)


if __name__ == "__main__":
    tame_library_logs()
    asyncio.run(produce(sys.argv[1], sys.argv[2], float(sys.argv[3])))
