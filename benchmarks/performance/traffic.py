"""The traffic of the measurements: healthy requests as the contract has them, drawn from a seed.

About 330 bytes an event: ids, an event time, a release (one request in ten is the candidate's), a cohort of four
dimensions, two labels, a latency, a cost, two token counts. Nothing is wrong with the candidate: a release that is
rolled back in the middle would be less work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from aiokafka import AIOKafkaProducer

from monitor.adapters.kafka.client import stop_client
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import product_topics
from monitor.core.window import BUCKET_MS, LATENESS_MS

LANGUAGES = ("en",) * 10 + ("de", "fr", "es", "it", "pt", "ja", "zh", "ko", "nl")
DISORDER_MS = 2_000  # how far an event may be behind the one before it
SKEWED_UP_TO = 1_000  # tenants: with more than these, each is equally likely
BATCH_BYTES = 256 << 10
IN_FLIGHT = 16


class Source(Protocol):
    """What a topic can be filled with."""

    @property
    def partitions(self) -> int:
        """How many the topic has."""
        ...

    @property
    def compression(self) -> str | None:
        """What batches are compressed with."""
        ...

    def rows(self, end_ms: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield partition and value of every record, in the order in which they are written."""
        ...


@dataclass(frozen=True)
class Traffic:
    """What is in a topic.

    Attributes:
        span_min: Minutes of event time, which end when the topic is filled.
        candidates: Candidate releases, `model-v42-0000` and so on, that share a tenth of the requests.
        lead: Begins every event id: two topics' events are never duplicates of each other.
    """

    events: int
    tenants: int = 120
    partitions: int = 4
    candidates: int = 1
    span_min: int = 10
    compression: str | None = None
    lead: str = "e"

    def closed_minutes(self, end_ms: int) -> int:
        """Return how many of its minutes are over for good once all of it is read."""
        return (end_ms - DISORDER_MS - LATENESS_MS) // BUCKET_MS - (
            end_ms - self.span_min * 60_000
        ) // BUCKET_MS

    def rows(self, end_ms: int) -> Iterator[tuple[int, bytes]]:
        """Yield every event with its partition: they take turns."""
        for number, line in enumerate(self.lines(end_ms)):
            yield number % self.partitions, line

    def lines(self, end_ms: int) -> Iterator[bytes]:
        """Yield every event; the same for the same description and the same end."""
        draw = Random(f"traffic/{self.lead}")
        latencies = [round(draw.lognormvariate(6.6, 0.7), 1) for _ in range(20_000)]
        begin_ms, span_ms = end_ms - self.span_min * 60_000, self.span_min * 60_000
        for number in range(self.events):
            at_ms = begin_ms + number * span_ms // self.events - int(draw.random() * DISORDER_MS)
            yield self._line(draw, number, at_ms, latencies[draw.getrandbits(30) % len(latencies)])

    def _line(self, draw: Random, number: int, at_ms: int, latency_ms: float) -> bytes:
        bits, chance, place = draw.getrandbits(64), draw.random(), draw.random()
        tenant = int(self.tenants * (place * place if self.tenants <= SKEWED_UP_TO else place))
        release = candidate(bits // 10 % self.candidates) if bits % 10 == 0 else "model-v41"
        low = '"incident_severity":"low",' if chance < 0.01 else ""
        return (
            f'{{"event_id":"{self.lead}-{number:08x}","at":{at_ms},"release":"{release}","trace_id":"{bits:032x}",'
            f'"cohort":{{"tenant":"tenant-{tenant:06d}","workflow":"workflow-{(bits >> 8) % 40:02d}",'
            f'"intent":"intent.{(bits >> 16) % 30:02d}","language":"{LANGUAGES[(bits >> 24) % 19]}"}},{low}'
            f'"task_success":{"true" if chance > 0.03 else "false"},'
            f'"human_handoff":{"true" if chance > 0.98 else "false"},"latency_ms":{latency_ms},'
            f'"cost_usd":{0.0005 + (bits & 1023) / 1e6:.6f},"tokens_in":{bits & 2047},"tokens_out":{bits >> 11 & 511}}}'
        ).encode()


def candidate(number: int) -> str:
    """Return the name of one candidate release."""
    return f"model-v42-{number:04d}"


def budget(number: int = 0, *, cohorts: tuple[str, ...] = (), window: str = "24h") -> str:
    """Return a budget of five objectives: a rate, incidents, a percentile, a hand-over rate and a cost.

    Args:
        number: Which candidate it is for.
        cohorts: Dimensions each of whose values is watched, in all objectives but the incidents.
    """
    watched = f"\n    cohorts: [{', '.join(cohorts)}]" if cohorts else ""
    return f"""\
release: {candidate(number)}
baseline: model-v41
window: {window}
owner: bench
on_call: bench
rollback_budget:
  quality:
    task_success_delta_pct: -2.0
    max_duration_min: 20{watched}
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
  latency:
    p95_delta_pct: +15
    max_duration_min: 30{watched}
  escalation:
    human_handoff_delta_pct: +8
    max_duration_min: 20{watched}
  cost:
    cost_per_request_delta_pct: +20
    max_duration_min: 30{watched}
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


async def fill(bootstrap: str, topic: str, traffic: Source, end_ms: int) -> int:
    """Make a topic as the product makes it and put the events into it; return the bytes of their values."""
    access = KafkaAccess(bootstrap)
    await ensure_topics(access, product_topics(traces=topic, trace_partitions=traffic.partitions), 1)
    producer = AIOKafkaProducer(
        **access.client_options(),
        acks="all",
        max_batch_size=BATCH_BYTES,
        compression_type=traffic.compression,
    )
    await producer.start()
    try:
        return await _send(producer, topic, traffic, end_ms)
    finally:
        await stop_client(producer)


async def _send(producer: AIOKafkaProducer, topic: str, traffic: Source, end_ms: int) -> int:
    size, waiting = 0, set[asyncio.Future[object]]()
    batches = [producer.create_batch() for _ in range(traffic.partitions)]

    async def ship(partition: int) -> None:
        while len(waiting) >= IN_FLIGHT:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting.difference_update(done)
        waiting.add(await producer.send_batch(batches[partition], topic, partition=partition))
        batches[partition] = producer.create_batch()

    for partition, line in traffic.rows(end_ms):
        size += len(line or b"")
        if batches[partition].append(timestamp=None, key=None, value=line) is None:
            await ship(partition)
            batches[partition].append(timestamp=None, key=None, value=line)
    for partition, batch in enumerate(batches):
        if batch.record_count():
            await ship(partition)
    if waiting:
        await asyncio.gather(*waiting)
    return size
