"""High-severity incidents of armed releases beside a healthy baseline, and who notes when each led to what."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.performance.meter import cpu_s, tree
from monitor.adapters.demo.workers import Worker
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import INCIDENTS, LEDGER, REQUESTS, TRACES, product_topics

PARTITIONS = 4
WAIT_S = 60.0
REST_CORES = 0.6  # a worker that uses less has no minutes left to catch up on
ARMING_S = 600.0
SAY_EVERY_S = 5.0
TRICKLE_PER_S = 20  # healthy requests of the baseline that are always there
BASELINE = "model-v41"
BUDGET = """\
release: {release}
baseline: model-v41
window: 24h
rollback_budget:
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


def say(what: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


class Watcher:
    """Reads the topics on an incident's way and notes when each record was there."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self.stamps: dict[tuple[str, str], float] = {}
        self.consumed_ms: dict[str, float] = {}
        self.armed: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[AIOKafkaConsumer] = []
        self._requested = asyncio.Event()

    async def start(self) -> None:
        for topic in (INCIDENTS, LEDGER, REQUESTS):
            consumer = AIOKafkaConsumer(
                **self._access.client_options(), auto_offset_reset="earliest", fetch_max_wait_ms=20
            )
            await consumer.start()
            partitions = next(one.partitions for one in product_topics() if one.name == topic)
            consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
            self._consumers.append(consumer)
            self._tasks.append(asyncio.create_task(self._read(consumer)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for consumer in self._consumers:
            await consumer.stop()

    async def until_requested(self, release: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while release not in self.consumed_ms:
                self._requested.clear()
                await self._requested.wait()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            now_ms = time.time() * 1000
            self._take(record, now_ms)

    def _take(self, record: Any, now_ms: float) -> None:
        if record.topic == LEDGER:
            event = json.loads(record.value)["event"]
            if event["type"].endswith("arming.created.v1"):
                self.armed.add(event["subject"])
            if event["type"].endswith("rollback.requested.v1"):
                self.stamps.setdefault((LEDGER, event["subject"]), record.timestamp)
            return
        release = record.key.decode()
        self.stamps.setdefault((record.topic, release), record.timestamp)
        if record.topic == REQUESTS:
            self.consumed_ms.setdefault(release, now_ms)
            self._requested.set()


def event(name: str, release: str, at_ms: int, **more: object) -> bytes:
    return json.dumps({"event_id": name, "at": at_ms, "release": release, "status": "ok", **more}).encode()


@asynccontextmanager
async def clean_baseline(producer: AIOKafkaProducer) -> AsyncIterator[None]:
    """Write ten minutes of healthy traffic, and go on with it meanwhile: what is normal is known from it."""
    now_ms = int(time.time() * 1000)
    for number in range(600 * TRICKLE_PER_S):
        at_ms = now_ms - 600_000 + number * 1000 // TRICKLE_PER_S
        await producer.send(TRACES, event(f"b{number}", BASELINE, at_ms), partition=number % PARTITIONS)
    await producer.flush()
    going_on = asyncio.create_task(trickle(producer))
    try:
        yield
    finally:
        going_on.cancel()


async def trickle(producer: AIOKafkaProducer) -> None:
    for number in count():
        name, at_ms = f"t{number}", int(time.time() * 1000)
        await producer.send(TRACES, event(name, BASELINE, at_ms), partition=number % PARTITIONS)
        await asyncio.sleep(1 / TRICKLE_PER_S)


async def armed(watcher: Watcher, worker: Worker, releases: Sequence[str]) -> None:
    """Wait until every release is armed and the minutes of the baseline are judged.

    An incident of a release whose ticks are minutes behind waits for them, up to 30 s: that is not what is measured.
    """
    wanted, due_s = set(releases), 0.0
    async with asyncio.timeout(ARMING_S):
        while not watcher.armed.issuperset(wanted):
            worker.check()
            if time.monotonic() >= due_s:
                say(f"{len(watcher.armed & wanted):,} of {len(wanted):,} releases armed")
                due_s = time.monotonic() + SAY_EVERY_S
            await asyncio.sleep(0.2)
        spent, before = float("inf"), cpu_s(tree(worker.pid))
        while spent > REST_CORES * SAY_EVERY_S:
            await asyncio.sleep(SAY_EVERY_S)
            now = cpu_s(tree(worker.pid))
            spent, before = now - before, now


async def trial(
    producer: AIOKafkaProducer, watcher: Watcher, release: str, number: int
) -> tuple[float, float]:
    """Let one incident happen; return when it was produced and when the broker had it, epoch milliseconds."""
    began_ms = time.time() * 1000
    value = event(f"i-{release}", release, int(began_ms), incident_severity="high", trace_id=f"t-{release}")
    sent = await producer.send(TRACES, value, partition=number % PARTITIONS)
    await watcher.until_requested(release)
    return began_ms, (await sent).timestamp


def settings(bootstrap: str, redis_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_BUDGET_")}
    return {
        **kept,
        "ROLLBACK_BUDGET_KAFKA_BOOTSTRAP": bootstrap,
        "ROLLBACK_BUDGET_REDIS_URL": redis_url,
        "ROLLBACK_BUDGET_TRACES_PARTITIONS": str(PARTITIONS),
        "ROLLBACK_BUDGET_BREAKER_MAX_ROLLBACKS": "100000",  # asked at each of them, and never open
        "ROLLBACK_BUDGET_LOG_FORMAT": "json",
        "ROLLBACK_BUDGET_LOG_LEVEL": "warning",
    }


def quantiles(values: Sequence[float], shares: Mapping[str, float], digits: int) -> dict[str, float]:
    """Return the value at each named share of the trials; 1 is the largest."""
    ordered, last = sorted(values), len(values) - 1
    return {
        name: round(ordered[min(last, int(len(ordered) * share))], digits) for name, share in shares.items()
    }
