"""The topics of the collector's Kafka exporter, as the bridge reads them: a consumer group of its own.

The group's committed offsets are the only memory: after a rebalance reading goes on there, and the bridge forgets what
it had open. Partitions that are read ahead of the slowest one wait for it: a backlog must not become open traces.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.drain import drain_bare
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.bridge import Polled, SpanRecord
from monitor.engine.errors import LogUnreachable, TopicUnusable
from monitor.engine.ports import Partition
from monitor.engine.span_join import Place

_log = logging.getLogger(__name__)

_BATCH_RECORDS: Final = 2_000
_POLL_MS: Final = 200
_ASK_S: Final = 10.0
_START_S: Final = 60.0
_MAX_POLL_MS: Final = 300_000
SLACK_MS: Final = 2_000
"""How much earlier than the fetch that found nothing a record's stamp may still be: clocks differ, requests travel."""
AHEAD_MS: Final = 30_000


class SpanConsumer:
    """`SpanTopics` on Kafka.

    Both topics are shared in ranges: with equal numbers of partitions, and with the trace's id as the key of both, the
    records of a trace come to the same bridge.

    Args:
        member: Names this bridge for good, so that a restart within the session moves no partition; None: nothing does.
        to_end: Tell when all is handed out that was there when the partitions were given.
        wall_ms: The wall clock, epoch milliseconds: it bounds stamps that lie ahead, and says how old a fetch is.
    """

    def __init__(
        self,
        access: KafkaAccess,
        spans: str,
        logs: str,
        group: str,
        member: str | None,
        *,
        session_timeout_ms: int = 10_000,
        to_end: bool = False,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._access, self._spans, self._logs, self._to_end = access, spans, logs, to_end
        self._wall_ms = wall_ms
        self._options: dict[str, Any] = {
            **access.client_options(),
            "group_id": group,
            "group_instance_id": member,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "session_timeout_ms": session_timeout_ms,
            "heartbeat_interval_ms": max(200, session_timeout_ms // 5),
            "max_poll_interval_ms": _MAX_POLL_MS,
            "fetch_max_wait_ms": _POLL_MS,
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._generation = 0
        self._given: frozenset[TopicPartition] = frozenset()
        self._clocks: dict[TopicPartition, int] = {}
        self._left: dict[
            TopicPartition, int
        ] = {}  # records between what was handed out and the end, as it was told
        self._ends: Mapping[TopicPartition, int] | None = None
        self._ends_of = -1

    async def start(self) -> None:
        """Look for the topics and join the group.

        Raises:
            LogUnreachable: No answer in time.
            TopicUnusable: There is no topic with spans.
        """
        topics = await self._topics()
        consumer = self._consumer = AIOKafkaConsumer(**self._options)
        consumer.subscribe(topics, listener=_Listener(self._assigned))
        await bounded(consumer.start(), _START_S, f"joining {self._options['group_id']}")
        drain_bare(consumer)

    async def _topics(self) -> list[str]:
        admin = AIOKafkaAdminClient(**self._access.client_options())
        try:
            await bounded(admin.start(), _START_S, f"connecting to {self._access.bootstrap}")
            asked = await bounded(
                admin.describe_topics([self._spans, self._logs]), _ASK_S, "asking for the collector's topics"
            )
        finally:
            await stop_client(admin)
        counts = {one["topic"]: len(one["partitions"]) for one in asked if not one["error_code"]}
        if not counts.get(self._spans):
            raise TopicUnusable(
                f"{self._spans} does not exist on {self._access.bootstrap}, or may not be read; the collector's Kafka "
                "exporter writes it: docs/otlp.md"
            )
        if not counts.get(self._logs):
            _log.warning(
                "%s does not exist: spans alone are read, until the bridge is started again", self._logs
            )
            return [self._spans]
        if counts[self._spans] != counts[self._logs]:
            _log.warning(
                "%s has %d partitions and %s has %d: only one bridge can run, since a trace's parts would part",
                self._spans, counts[self._spans], self._logs, counts[self._logs],
            )  # fmt: skip
        return [self._spans, self._logs]

    async def poll(self) -> Polled:
        """Return the next records; none after a short while. Raises `LogUnreachable`."""
        consumer = self._running
        # Asked first: nothing may fail between taking records and handing them out.
        await self._find_ends(consumer)
        try:
            # Awaited here and not in a task: between the library's answer and the next line nothing else runs, so the
            # records are of the assignment that was told last.
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
        except KafkaError as error:
            raise LogUnreachable(f"reading {self._spans} and {self._logs}: {error}") from error
        generation, given = self._generation, self._given
        now_ms, records = self._wall_ms(), list[SpanRecord]()
        for raw, batch in batches.items():
            partition, is_logs = Partition(raw.topic, raw.partition), raw.topic != self._spans
            for one in batch:
                stamp_ms = min(one.timestamp, now_ms)
                records.append(SpanRecord(Place(partition, one.offset), stamp_ms, one.value, is_logs))
            last_ms = max(min(one.timestamp, now_ms) for one in batch)
            self._clocks[raw] = max(self._clocks.get(raw, 0), last_ms)
        at_end = await self._look(consumer, given, generation)
        clocks = [self._clocks.get(raw) for raw in given]
        known = [clock for clock in clocks if clock is not None]
        watermark_ms = min(known) if known and len(known) == len(clocks) else None
        if watermark_ms is not None and generation == self._generation:
            self._hold_back(consumer, given, watermark_ms)
        return Polled(
            generation,
            records,
            watermark_ms,
            is_standby=not given,
            is_at_end=at_end,
            unread=self._unread_of(given),
            behind_ms=None if watermark_ms is None else max(0, now_ms - watermark_ms),
        )

    def _unread_of(self, given: frozenset[TopicPartition]) -> int | None:
        """Return how many records are left; None where a partition of ours has not been asked for its end yet."""
        left = [self._left.get(raw) for raw in given]
        known = [count for count in left if count is not None]
        return sum(known) if len(known) == len(left) else None

    async def _look(self, consumer: Any, given: frozenset[TopicPartition], generation: int) -> bool:
        """Move the clocks of partitions that are read to their end; tell whether the ends of the start are reached."""
        positions = dict[TopicPartition, int]()
        for raw in given:
            with suppress(TimeoutError, KafkaError, IllegalStateError):  # not placed yet: its clock stands
                async with asyncio.timeout(_POLL_MS / 1000):
                    positions[raw] = await consumer.position(raw)
                end, asked_ms = consumer.highwater(raw), consumer.last_poll_timestamp(raw)
                if end is not None:
                    self._left[raw] = max(0, end - positions[raw])
                if end is not None and asked_ms is not None and positions[raw] >= end:
                    self._clocks[raw] = max(self._clocks.get(raw, 0), asked_ms - SLACK_MS)
        if self._ends is None or self._ends_of != generation or not given:
            return False
        return all(positions.get(raw, -1) >= end for raw, end in self._ends.items())

    async def _find_ends(self, consumer: Any) -> None:
        """Ask once per assignment how far it is to the end, where that was asked for."""
        generation = self._generation
        if self._to_end and self._given and self._ends_of != generation:
            ends = consumer.end_offsets(list(self._given))
            self._ends = await bounded(ends, _ASK_S, "asking for the ends")
            self._ends_of = generation

    def _hold_back(self, consumer: Any, given: frozenset[TopicPartition], watermark_ms: int) -> None:
        ahead = {raw for raw in given if self._clocks[raw] > watermark_ms + AHEAD_MS}
        with suppress(IllegalStateError):  # taken away meanwhile
            consumer.pause(*ahead)
            consumer.resume(*(given - ahead))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group where reading goes on. Raises `LogUnreachable`."""
        wanted = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        try:
            await bounded(self._running.commit(wanted), _ASK_S, "committing offsets")
        except IllegalStateError as error:
            raise LogUnreachable(f"committing offsets: {error}") from error

    async def close(self) -> None:
        """Leave, within bounds."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_client(consumer)

    @property
    def _running(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() first, and not after close()"
        return self._consumer

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        self._given = frozenset(partitions)
        self._clocks.clear()
        self._left.clear()
        self._generation += 1


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Hands on what is given; what is taken away is known by what is given next."""

    def __init__(self, assigned: Callable[[Collection[TopicPartition]], None]) -> None:
        self._assigned = assigned

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._assigned(assigned)
