"""The least that a monitor can do between an incident and its request: read, put on record, publish, each acknowledged.

Nothing is decoded, judged, counted or stored, nobody's orders are read, no other worker is waited for. What that takes
on a machine is what no monitor that keeps a ledger before any effect can go below there.

`python -m benchmarks.performance.least BOOTSTRAP` is the process that does it; `least` measures it.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess

INCIDENTS, LEDGER, REQUESTS = "bench.least.incidents", "bench.least.ledger", "bench.least.requests"
_VALUE = b"x" * 300
_RECORD = b"x" * 1_600  # as large as a decision
_READY_S = 60.0
_PAUSE_S = 0.02
_WARM_UP = 20


async def _reading(access: KafkaAccess, topic: str) -> AIOKafkaConsumer:
    reader = AIOKafkaConsumer(**access.client_options(), fetch_max_wait_ms=20)
    await reader.start()
    place = TopicPartition(topic, 0)
    reader.assign([place])
    await reader.seek_to_end(place)
    return reader


def _writer(access: KafkaAccess) -> AIOKafkaProducer:
    return AIOKafkaProducer(**access.client_options(), acks="all", enable_idempotence=True)


async def relay(bootstrap: str) -> None:
    """Answer each incident with a record in the ledger, and that with a request."""
    access = KafkaAccess(bootstrap)
    reader, writer = await _reading(access, INCIDENTS), _writer(access)
    await writer.start()
    await writer.send_and_wait(REQUESTS, b"ready")
    async for _ in reader:
        await writer.send_and_wait(LEDGER, _RECORD)
        await writer.send_and_wait(REQUESTS, _RECORD)


async def _make_topics(access: KafkaAccess) -> None:
    admin = AIOKafkaAdminClient(**access.client_options())
    await admin.start()
    try:
        wanted = {INCIDENTS, LEDGER, REQUESTS} - set(await admin.list_topics())
        await admin.create_topics([NewTopic(name, 1, 1) for name in wanted])
    finally:
        await admin.close()


async def least(bootstrap: str, trials: int) -> list[float]:
    """Return the milliseconds from an incident that was produced to its request that was consumed, each trial's."""
    access = KafkaAccess(bootstrap)
    await _make_topics(access)
    reader, writer = await _reading(access, REQUESTS), _writer(access)
    await writer.start()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, bootstrap)
    found = list[float]()
    try:
        await asyncio.wait_for(reader.getone(), _READY_S)
        for _ in range(_WARM_UP + trials):
            began = time.perf_counter()
            await writer.send(INCIDENTS, _VALUE)
            await asyncio.wait_for(reader.getone(), _READY_S)
            found.append((time.perf_counter() - began) * 1_000)
            await asyncio.sleep(_PAUSE_S)
    finally:
        process.kill()
        await process.wait()
        await reader.stop()
        await writer.stop()
    return found[_WARM_UP:]


if __name__ == "__main__":
    tame_library_logs()
    asyncio.run(relay(sys.argv[1]))
