"""The trace topic as the engine's data plane reads it: the group's consumer behind the port `Source`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from monitor.adapters.kafka.clock import BrokerClock
from monitor.adapters.kafka.consumer import TraceConsumer
from monitor.engine.ports import Clock, Partition, SourceRecord

StartFrom = Literal["window", "earliest", "latest"]
START_WINDOW_MS = 25 * 3_600_000  # the longest window a rule looks at, and an hour


class KafkaSource:
    """`Source` on a consumer group.

    Args:
        wall: Wall time, to find where a window ago begins in the log.
    """

    def __init__(self, consumer: TraceConsumer, start_from: StartFrom, wall: Clock) -> None:
        self._consumer = consumer
        self._start_from = start_from
        self._wall = wall

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions the group gave us and has not taken back."""
        return self._consumer.owned

    @property
    def generation(self) -> int:
        """Grows with every rebalance."""
        return self._consumer.generation

    async def start_offset(self, partition: Partition) -> int:
        """Return where a partition begins that has no state yet.

        A group that has committed was here before: its state was lost, and a window of it is read again, also by who
        began at the end.
        """
        begins_at_end = self._start_from == "latest"
        if begins_at_end and await self._consumer.committed(partition) is None:
            return await self._consumer.end_offset(partition)
        if begins_at_end or self._start_from == "window":
            # The end first: a record that comes between the two questions lies behind it, and is read.
            end = await self._consumer.end_offset(partition)
            at = await self._consumer.offset_for_time(partition, self._wall.now_ms() - START_WINDOW_MS)
            return end if at is None else at
        return await self._consumer.beginning_offset(partition)

    async def first_offset(self, partition: Partition) -> int:
        """Return the oldest offset that the log still has."""
        return await self._consumer.beginning_offset(partition)

    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the offsets the next records will get."""
        return await self._consumer.end_offsets(partitions)

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        """Go on reading at an offset, proven before any record comes."""
        await self._consumer.seek_and_resume(partition, offset)

    def pause(self, partition: Partition) -> None:
        """Hand out no more records of the partition until it is resumed."""
        self._consumer.pause([partition])

    async def position(self, partition: Partition) -> int | None:
        """Return the offset of the next record; behind the last one may be what is no record."""
        return await self._consumer.position(partition)

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> Mapping[Partition, Sequence[SourceRecord]]:
        """Return the next records of the owned, resumed partitions."""
        return await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group how far we are."""
        await self._consumer.commit(offsets)


class LogTime:
    """`BrokerClock` of the engine, by probes."""

    def __init__(self, clock: BrokerClock) -> None:
        self._clock = clock

    async def now_ms(self) -> int:
        """Return the broker's time of a probe that was acknowledged."""
        return (await self._clock.probe()).broker_ms
