"""The demo's end of Kafka: a producer of trace events and budgets, and a reader of everything the monitor says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import BUDGETS
from monitor.engine.errors import LogUnreachable, TopicUnusable
from monitor.engine.ports import Record

_ANSWER_S = 30.0  # a broker on this machine answers in milliseconds; beyond this it is gone
_LINGER_MS = 20
_FETCH_WAIT_MS = 200


class TracesProducer:
    """Writes what the app reports and what the release's owner publishes; idempotent, every write acknowledged."""

    def __init__(self, access: KafkaAccess, *, traces_topic: str) -> None:
        self._producer = AIOKafkaProducer(
            enable_idempotence=True, acks="all", linger_ms=_LINGER_MS, **access.client_options()
        )
        self._traces_topic = traces_topic

    async def start(self) -> None:
        """Connect."""
        await bounded(self._producer.start(), _ANSWER_S, "the demo's producer")

    async def stop(self) -> None:
        """Leave; what is not acknowledged by now is given up."""
        await stop_client(self._producer)

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Write trace events, (key, value) each, and wait until all are acknowledged.

        Raises:
            LogUnreachable: Not all were acknowledged in time.
        """
        await bounded(self._send(events), _ANSWER_S, f"writing to {self._traces_topic}")

    async def _send(self, events: Sequence[tuple[str, bytes]]) -> None:
        topic = self._traces_topic
        sent = [await self._producer.send(topic, value, key=key.encode()) for key, value in events]
        await asyncio.gather(*sent)

    async def arm(self, release: str, budget: str | None) -> None:
        """Publish a budget, or a tombstone that takes it back.

        Raises:
            LogUnreachable: Not acknowledged in time.
        """
        value = None if budget is None else budget.encode()
        call = self._producer.send_and_wait(BUDGETS, value, key=release.encode())
        await bounded(call, _ANSWER_S, f"writing to {BUDGETS}")


class OutputsReader:
    """Reads whole topics from a moment on, in the background; nothing is committed anywhere."""

    def __init__(self, access: KafkaAccess, topics: Sequence[str], *, since_ms: int) -> None:
        """Describe the reader.

        Args:
            since_ms: Wall time; records from before belong to somebody else's show.
        """
        self._consumer = AIOKafkaConsumer(
            enable_auto_commit=False, auto_offset_reset="earliest", **access.client_options()
        )
        self._access = access
        self._topics, self._since_ms = tuple(topics), since_ms
        self._heard: list[Record] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, find the place of `since_ms` in every partition, and begin to read."""
        await bounded(self._find(), _ANSWER_S, "the demo's reader of the output topics")
        self._task = asyncio.create_task(self._read(), name="demo-outputs")

    async def _find(self) -> None:
        await self._consumer.start()
        partitions = await self._partitions()
        ends = await self._consumer.end_offsets(partitions)
        places = await self._consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
        # In one step of the event loop: a fetch between the two would begin at the library's own idea of a start.
        self._consumer.assign(partitions)
        for partition, place in places.items():
            self._consumer.seek(partition, ends[partition] if place is None else place.offset)

    async def stop(self) -> None:
        """Stop reading and leave."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await stop_client(self._consumer)

    def drain(self) -> list[Record]:
        """Return what was read since the last call.

        Raises:
            LogUnreachable: The reading has ended with an error.
        """
        if self._task is not None and self._task.done() and not self._task.cancelled():
            raise LogUnreachable(f"the output topics cannot be read any more: {self._task.exception()!r}")
        heard, self._heard = self._heard, []
        return heard

    async def _partitions(self) -> list[TopicPartition]:
        """Return all partitions of all topics.

        Raises:
            TopicUnusable: One is not there; the workers create them before they say they are ready.
        """
        admin = AIOKafkaAdminClient(**self._access.client_options())
        await admin.start()
        try:
            described = await admin.describe_topics(list(self._topics))
        finally:
            await admin.close()
        found = {
            topic["topic"]: [
                TopicPartition(topic["topic"], part["partition"]) for part in topic["partitions"]
            ]
            for topic in described
            if not topic["error_code"]
        }
        if absent := sorted(set(self._topics) - found.keys()):
            raise TopicUnusable(
                f"no topic {', '.join(absent)}; the workers' log says why they did not create it"
            )
        return [partition for partitions in found.values() for partition in partitions]

    async def _read(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=_FETCH_WAIT_MS)
            for batch in batches.values():
                self._heard += [
                    Record(
                        topic=message.topic,
                        partition=message.partition,
                        offset=message.offset,
                        at_ms=message.timestamp,
                        key=None if message.key is None else message.key.decode("utf-8", "replace"),
                        value=message.value,
                        headers=tuple(message.headers),
                    )
                    for message in batch
                ]
