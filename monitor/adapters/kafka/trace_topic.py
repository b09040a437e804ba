"""The traces topic, as the bridge writes it: events keyed by trace, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.lazy import LazyClient
from monitor.adapters.kafka.security import KafkaAccess
from monitor.core.span_mapping import Facts
from monitor.engine.errors import TopicUnusable

SEND_S: Final = 30.0
RECALL_S: Final = 60.0
RECALL_MS: Final = 3_600_000
"""How far back it is looked up what was told of; what is older, a restart lets go of."""
RECALL_EVENTS: Final = (
    200_000  # the newest, over all partitions: seconds at the start, however busy the topic is
)
_LINGER_MS: Final = 5
_BATCH_RECORDS: Final = 5_000
_parse: Final = msgspec.json.Decoder().decode
_write: Final = msgspec.json.Encoder().encode


def encode(facts: Facts) -> bytes | str:
    """Return a trace event as the monitor reads it, or the reason why it would be a dead letter there."""
    value = _write(facts)
    read = decode(value)
    return read if isinstance(read, str) else value


def _hand_out(value: bytes | None, take: Callable[[Facts], None]) -> None:
    """Hand an event out that the monitor would accept; what others wrote there may be anything."""
    if not isinstance(decode(value), str) and value is not None:
        facts = _parse(value)
        if isinstance(facts, dict):
            take(facts)


class KafkaTraceTopic:
    """`TraceTopic` on Kafka. Idempotent: the library's own retries double nothing; ours are dropped by their ids."""

    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._access, self._topic, self._wall_ms = access, topic, wall_ms
        self._recalled: dict[TopicPartition, int] = {}
        self._producer = LazyClient(
            lambda: AIOKafkaProducer(
                **access.client_options(),
                enable_idempotence=True,
                acks="all",
                linger_ms=_LINGER_MS,
                request_timeout_ms=int(SEND_S * 1000),
            )
        )

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Append all of them; return when they are acknowledged. Raises `LogUnreachable`."""
        await self._producer.ask(
            lambda producer: self._sent(producer, events), f"{len(events)} events for {self._topic}", SEND_S
        )

    async def _sent(self, producer: Any, events: Sequence[tuple[str, bytes]]) -> None:
        # Those that were not waited for are nobody's errors: all are looked at before one is raised.
        waiting = [await producer.send(self._topic, value, key=key.encode()) for key, value in events]
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def check(self) -> None:
        """Make sure that there is a topic to write to: a client that asks for one may make it, with any settings.

        Raises:
            LogUnreachable: No answer in time.
            TopicUnusable: There is none.
        """
        admin = AIOKafkaAdminClient(**self._access.client_options())
        try:
            await bounded(admin.start(), RECALL_S, f"connecting to {self._access.bootstrap}")
            (found,) = await bounded(
                admin.describe_topics([self._topic]), SEND_S, f"asking for {self._topic}"
            )
        finally:
            await stop_client(admin)
        if found["error_code"] or not found["partitions"]:
            raise TopicUnusable(
                f"{self._topic} does not exist on {self._access.bootstrap}, or may not be seen; a worker makes its "
                "topics when it starts"
            )

    async def recall(self, take: Callable[[Facts], None]) -> None:
        """Hand out the events of the last hour, the newest of them, that were not before. Raises `LogUnreachable`."""
        consumer = AIOKafkaConsumer(
            self._topic, **self._access.client_options(), group_id=None, enable_auto_commit=False
        )
        try:
            await bounded(consumer.start(), RECALL_S, f"connecting to {self._access.bootstrap}")
            await bounded(self._read(consumer, take), RECALL_S, f"reading {self._topic}")
        finally:
            await stop_client(consumer)

    async def _read(self, consumer: Any, take: Callable[[Facts], None]) -> None:
        parts = list(consumer.assignment())
        if not parts:
            return
        ends = await consumer.end_offsets(parts)
        since = await consumer.offsets_for_times(dict.fromkeys(parts, self._wall_ms() - RECALL_MS))
        positions = {}
        for part in parts:
            by_time = ends[part] if since.get(part) is None else since[part].offset
            by_count = ends[part] - RECALL_EVENTS // len(parts)
            positions[part] = min(max(by_time, by_count, self._recalled.get(part, 0)), ends[part])
            consumer.seek(part, positions[part])
        while any(positions[part] < ends[part] for part in parts):
            batches = await consumer.getmany(timeout_ms=200, max_records=_BATCH_RECORDS)
            for record in chain.from_iterable(batches.values()):
                _hand_out(record.value, take)
            for part in parts:
                positions[part] = max(positions[part], await consumer.position(part))
        self._recalled |= positions

    async def close(self) -> None:
        """Give the connection back, within bounds."""
        await self._producer.close()
