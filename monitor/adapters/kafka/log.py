"""The control topics on Kafka: few records, each acknowledged by all in-sync replicas before the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ConsumerStoppedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.lazy import LazyClient
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.errors import LogUnreachable, TopicUnusable
from monitor.engine.ports import Record, Stamp

_log = logging.getLogger(__name__)

_BATCH_RECORDS: Final = 500
_FETCH_WAIT_MS: Final = 50  # how long the broker may hold a fetch back: bounds the delay of a command
_POLL_MS: Final = 500
_REOPEN_PAUSE_S: Final = 1.0
_START_S: Final = 20.0
_READ_S: Final = 30.0
_POSITION_S: Final = 0.5


class KafkaLog:
    """`Log` on Kafka. An idempotent producer keeps its own retries from doubling a record.

    After a deadline has passed the producer is given up and a new one made: one that hangs hangs for ever.
    The record may be there all the same; whoever appends again does so under the same id.
    """

    def __init__(self, access: KafkaAccess, send_deadline_s: float = 10.0) -> None:
        """Prepare; nothing connects yet. `send_deadline_s` bounds one `append`, connecting included."""
        self._access = access
        self._deadline_s = send_deadline_s
        self._producer = LazyClient(self._made)
        # It never fetches: on a reader's own connection a question waits behind the fetch that the broker holds back.
        self._ends = LazyClient(lambda: AIOKafkaConsumer(**access.client_options(), enable_auto_commit=False))

    async def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Stamp:
        """Append one record and wait until it is acknowledged by all in-sync replicas.

        Raises:
            LogUnreachable: Not acknowledged in time; the record may or may not be there.
            TopicUnusable: The broker will never take this record: too large, or not allowed.
            ValueError: Neither key nor value: Kafka has no such record.
        """
        if key is None and value is None:
            raise ValueError(f"{topic}: a record needs a key or a value")
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                producer = await self._producer.ready()
                meta = await producer.send_and_wait(
                    topic, value=value, key=None if key is None else key.encode(), headers=list(headers)
                )
        except (MessageSizeTooLargeError, TopicAuthorizationFailedError, InvalidTopicError) as error:
            raise TopicUnusable(f"{topic}: the broker refuses the record: {error!r}") from error
        except (TimeoutError, KafkaError) as error:
            self._producer.give_up(producer)
            cause = str(error) or f"not acknowledged within {self._deadline_s:g} s"
            raise LogUnreachable(f"{topic} on {self._access.bootstrap}: {cause}") from error
        return Stamp(meta.partition, meta.offset, meta.timestamp)

    def follow(self, topic: str) -> KafkaFollower:
        """Read a whole topic from its first record and go on following it."""
        return KafkaFollower(self._access, topic, self._ends)

    async def close(self) -> None:
        """Stop, within bounds; what was not acknowledged was never promised."""
        await asyncio.gather(self._producer.close(), self._ends.close())

    def _made(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._access.client_options(),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            request_timeout_ms=int(self._deadline_s * 1000),
        )


class KafkaFollower:
    """`Follower` on Kafka: a consumer without a group, on all partitions, from the first record.

    What was read is measured by positions and never by counting: compaction and transactions leave gaps. Where
    retention overtook a follower, or the topic was made anew, it goes on at the first record there is.

    Args:
        ends: Asks for the end of the topic; whoever made it closes it.
    """

    def __init__(self, access: KafkaAccess, topic: str, ends: LazyClient) -> None:
        self._access = access
        self._topic = topic
        self._ends = ends
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._held: list[Record] = []  # read, but not returned: an end was not reached in time
        self._stopped = False

    async def start(self) -> None:
        """Find the partitions and begin at their first records.

        Raises:
            LogUnreachable: No answer in time.
            TopicUnusable: There is no such topic.
        """
        raws = [TopicPartition(self._topic, number) for number in await self._partition_numbers()]
        self._positions = dict.fromkeys(raws, 0)
        consumer = await self._open()
        try:
            first = await bounded(
                consumer.beginning_offsets(raws), _START_S, f"first offsets of {self._topic}"
            )
        except LogUnreachable:
            await self.stop()
            raise
        self._seek(consumer, first)

    async def read_to_end(self) -> list[Record]:
        """Return all records not yet returned, up to the end that the topic has at the time of the call.

        Raises:
            LogUnreachable: The end was not reached in time; what was read comes with the next call.
        """
        if self._consumer is None:
            await self._reopen()
        if self._consumer is None:
            raise LogUnreachable(f"{self._topic} on {self._access.bootstrap}: not connected")
        raws = list(self._positions)
        end: Mapping[TopicPartition, int] = await self._ends.ask(
            lambda asker: asker.end_offsets(raws), f"the end of {self._topic}", _READ_S
        )
        deadline = asyncio.get_running_loop().time() + _READ_S
        while any(self._positions[partition] < offset for partition, offset in end.items()):
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnreachable(f"{self._topic}: its end was not reached within {_READ_S:g} s")
            self._held += await self._poll()
        return self._take_held()

    async def read_ahead(self) -> list[Record]:
        """Return what the client has fetched by now. It fetches on only where what it brought was taken."""
        if self._consumer is not None:
            self._held += await self._poll(timeout_ms=0)
        return self._take_held()

    async def __aiter__(self) -> AsyncIterator[list[Record]]:
        while not self._stopped:
            records = self._take_held() or await self._poll()
            if records:
                yield records

    async def stop(self) -> None:
        """Leave, within bounds; whoever iterates comes to the end."""
        self._stopped = True
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_client(consumer)

    def _take_held(self) -> list[Record]:
        held, self._held = self._held, []
        return held

    async def _partition_numbers(self) -> list[int]:
        admin = AIOKafkaAdminClient(**self._access.client_options())
        try:
            await bounded(admin.start(), _START_S, f"connecting to {self._access.bootstrap}")
            topics = await bounded(
                admin.describe_topics([self._topic]), _START_S, f"asking for {self._topic}"
            )
        finally:
            await stop_client(admin)
        (found,) = topics
        numbers = sorted(partition["partition"] for partition in found["partitions"])
        if found["error_code"] or not numbers:
            raise TopicUnusable(
                f"{self._topic} does not exist on {self._access.bootstrap}, or may not be read; create it, or let "
                "the monitor create its topics"
            )
        return numbers

    async def _open(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._access.client_options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            await bounded(consumer.start(), _START_S, f"connecting to {self._access.bootstrap}")
        except BaseException:  # also a cancellation: a half-started consumer must not stay behind
            await stop_client(consumer)
            raise
        consumer.assign(list(self._positions))
        self._consumer = consumer
        return consumer

    def _seek(self, consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)
            self._positions[partition] = offset

    async def _poll(self, timeout_ms: int = _POLL_MS) -> list[Record]:
        """Return what there is within half a second; survives any fault of the library or the broker."""
        consumer = self._consumer
        if consumer is None:
            await self._reopen()
            return []
        try:
            batches = await consumer.getmany(timeout_ms=timeout_ms, max_records=_BATCH_RECORDS)
        except ConsumerStoppedError:
            return []
        except KafkaError as error:
            _log.warning("following %s: %s; connecting anew", self._topic, error)
            self._consumer = None
            await stop_client(consumer)
            return []
        for partition, records in batches.items():
            self._positions[partition] = records[-1].offset + 1
        await self._step_over_gaps(consumer)
        self._follow_new_partitions(consumer)
        return [_record(raw) for records in batches.values() for raw in records]

    async def _step_over_gaps(self, consumer: AIOKafkaConsumer) -> None:
        """Take over the library's positions: behind the last record may be only markers of transactions."""
        with suppress(TimeoutError, KafkaError):  # a partition in reset has none; the next poll asks again
            async with asyncio.timeout(_POSITION_S):
                for partition in self._positions:
                    self._positions[partition] = await consumer.position(partition)

    def _follow_new_partitions(self, consumer: AIOKafkaConsumer) -> None:
        """A topic may get more partitions while we follow it; the library looks every five minutes."""
        known = consumer.partitions_for_topic(self._topic) or set()
        new = {TopicPartition(self._topic, number) for number in known} - self._positions.keys()
        if new:
            _log.info("%s has %d more partitions", self._topic, len(new))
            self._positions |= dict.fromkeys(new, 0)
            consumer.assign(list(self._positions))
            self._seek(consumer, dict(self._positions))

    async def _reopen(self) -> None:
        await asyncio.sleep(_REOPEN_PAUSE_S)
        if self._stopped:
            return
        try:
            self._seek(await self._open(), dict(self._positions))
        except LogUnreachable as error:
            _log.warning("following %s: %s", self._topic, error)


def _record(raw: ConsumerRecord[Any, Any]) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        at_ms=raw.timestamp,
        key=None if raw.key is None else raw.key.decode(errors="backslashreplace"),
        value=raw.value,
        headers=tuple((name, value or b"") for name, value in raw.headers),
    )
