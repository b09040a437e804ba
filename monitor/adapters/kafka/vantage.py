"""The log as the watcher sees it: connections of its own, no group, no state store.

How far a partition is stored, the workers themselves tell the group: they commit what their store has confirmed. A
sign of life is a record on the topic where they ask the broker for its time, about once a second each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from monitor.adapters.kafka.lazy import LazyClient
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import CLOCK, PAGES
from monitor.core.decision import EVERY_RELEASE
from monitor.engine.errors import TopicUnusable
from monitor.engine.watchman import Overheard
from monitor.wire.cloudevent import CloudEvent, NotACloudEvent, from_binary

ASK_S: Final = 10.0  # for one question, connecting included
TOPICS_S: Final = 60.0  # after so long it is asked again which partitions there are
_BATCH_RECORDS: Final = 500
_BATCHES_MAX: Final = 20  # in one call: what is left is read at the next one
_BLIND: Final = "monitor.blind"
_RECOVERED: Final = "monitor.recovered"


class KafkaVantage:
    """`Vantage` on Kafka.

    Args:
        group: The workers' consumer group.
        wall_ms: The wall clock, epoch milliseconds: only for how long ago something was said before we listened.
    """

    def __init__(
        self,
        access: KafkaAccess,
        traces: str,
        group: str,
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        options = access.client_options()
        self._traces, self._group, self._where = traces, group, access.bootstrap
        self._wall_ms, self._steady_s = wall_ms, steady_s
        # Not idempotent: a canary that is there twice is counted as the duplicate it is, and nothing else.
        self._producer = LazyClient(lambda: AIOKafkaProducer(**options, acks="all", linger_ms=0))
        self._admin = LazyClient(lambda: AIOKafkaAdminClient(**options))
        self._consumer = LazyClient(
            lambda: AIOKafkaConsumer(
                **options, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
            )
        )
        self._topics: Mapping[str, list[int]] = {}
        self._asked_s = float("-inf")
        self._assigned: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] | None = None

    async def partitions(self) -> Sequence[int]:
        """Return the partitions of the traces topic.

        Raises:
            LogUnreachable: No answer in time.
            TopicUnusable: One of the topics is not there: no worker has made them yet, or we may not see them.
        """
        return (await self._known())[self._traces]

    async def _known(self) -> Mapping[str, list[int]]:
        if self._steady_s() - self._asked_s < TOPICS_S:
            return self._topics
        names = [self._traces, PAGES, CLOCK]
        topics = await self._admin.ask(
            lambda admin: admin.describe_topics(names), "asking for the topics", ASK_S
        )
        found = {
            topic["topic"]: sorted(part["partition"] for part in topic["partitions"]) for topic in topics
        }
        missing = [name for name in names if not found.get(name)]
        if missing:
            raise TopicUnusable(
                f"{', '.join(missing)}: not there on {self._where}, or not to be seen by this user; a worker makes "
                "its topics when it starts"
            )
        if self._topics and any(found[name] != self._topics[name] for name in (PAGES, CLOCK)):
            self._consumer.give_up(self._assigned)  # the next one listens to the new partitions too
        self._topics, self._asked_s = found, self._steady_s()
        return found

    async def send(self, partition: int, value: bytes) -> int:
        """Append a record to a partition of the traces topic; return its offset.

        Raises:
            LogUnreachable: Not acknowledged in time; the record may be there all the same.
        """
        meta = await self._producer.ask(
            lambda producer: producer.send_and_wait(self._traces, value, partition=partition),
            f"a canary for {self._traces}/{partition}",
            ASK_S,
        )
        return int(meta.offset)

    async def progress(self) -> Mapping[int, int]:
        """Return what the workers have committed.

        Raises:
            LogUnreachable: No answer in time.
        """
        offsets = await self._admin.ask(
            lambda admin: admin.list_consumer_group_offsets(self._group), f"how far {self._group} is", ASK_S
        )
        return {part.partition: at.offset for part, at in offsets.items() if part.topic == self._traces}

    async def overhear(self) -> Overheard:
        """Return what the workers have said since the last call; at the first one, every page there is.

        Raises:
            LogUnreachable: No answer in time; nothing is lost.
        """
        topics = await self._known()
        return await self._consumer.ask(
            lambda consumer: self._overheard(consumer, topics), f"reading {PAGES} and {CLOCK}", ASK_S
        )

    async def _overheard(self, consumer: Any, topics: Mapping[str, list[int]]) -> Overheard:
        if consumer is not self._assigned:
            await self._listen(consumer, topics)
        positions = dict(self._positions)
        has_sign, blind, recovered = False, list[tuple[str, int, str]](), list[str]()
        for _ in range(_BATCHES_MAX):
            batches = await consumer.getmany(timeout_ms=100, max_records=_BATCH_RECORDS)
            for partition, records in batches.items():
                positions[partition] = records[-1].offset + 1
                has_sign = has_sign or partition.topic == CLOCK
                for record in records if partition.topic == PAGES else ():
                    self._note(record, blind, recovered)
            if sum(map(len, batches.values())) < _BATCH_RECORDS and self._is_read(positions):
                break
        # Only now: whoever fails in between goes back to where this call began.
        self._positions = positions
        return Overheard(has_sign, blind, recovered, self._is_read(positions))

    def _note(self, record: Any, blind: list[tuple[str, int, str]], recovered: list[str]) -> None:
        """Take in what is said of all releases; that one of them is halted, the workers page themselves."""
        event = _event(record)
        page_id = None if event is None else event.data.get("page_id")
        if event is None or event.subject != EVERY_RELEASE or not isinstance(page_id, str):
            return
        if event.name == _BLIND:
            ago_ms = max(0, self._wall_ms() - record.timestamp)
            blind.append((page_id, ago_ms, str(event.data.get("summary", ""))))
        elif event.name == _RECOVERED:
            recovered.append(page_id)

    def _is_read(self, positions: Mapping[TopicPartition, int]) -> bool:
        return self._ends is not None and all(
            positions[partition] >= end for partition, end in self._ends.items()
        )

    async def _listen(self, consumer: Any, topics: Mapping[str, list[int]]) -> None:
        """Begin at the first page and at the newest sign of life, or go on where an earlier connection ended."""
        pages = [TopicPartition(PAGES, number) for number in topics[PAGES]]
        signs = [TopicPartition(CLOCK, number) for number in topics[CLOCK]]
        consumer.assign([*pages, *signs])
        ends = await consumer.end_offsets([*pages, *signs])
        first = await consumer.beginning_offsets(pages)
        if self._ends is None:
            self._ends = {partition: ends[partition] for partition in pages}
        for partition in (*pages, *signs):
            begin = first[partition] if partition in first else ends[partition]
            position = max(begin, self._positions.get(partition, begin))
            # A topic that was made anew ends before where we were.
            self._positions[partition] = position if position <= ends[partition] else begin
            consumer.seek(partition, self._positions[partition])
        self._assigned = consumer

    async def close(self) -> None:
        """Give the connections back, within bounds."""
        await asyncio.gather(*(one.close() for one in (self._producer, self._admin, self._consumer)))


def _event(record: Any) -> CloudEvent | None:
    """Return what a page's record says; None for what is no event of ours."""
    try:
        return from_binary(record.value, [(name, value or b"") for name, value in record.headers])
    except NotACloudEvent:
        return None
