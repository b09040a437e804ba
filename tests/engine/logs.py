"""The trace topic in memory: what producers wrote, and how a member of the group reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.engine.errors import OffsetOutOfRange, PartitionLost
from monitor.engine.ports import Partition

START_MIN = 29_000_000  # a minute of 2025; event time of all tests begins here
START_MS = START_MIN * 60_000
TOPIC = "llm.traces.v1"


@dataclass(frozen=True)
class Row:
    """One record of the log."""

    offset: int
    timestamp: int
    value: bytes | None


@dataclass
class Log:
    """The trace topic: what producers wrote, and the broker's time.

    Attributes:
        markers: Per partition, how many offsets behind the last record hold no record.
    """

    partitions: int = 2
    now_ms: int = START_MS
    rows: dict[Partition, list[Row]] = field(default_factory=dict)
    first: dict[Partition, int] = field(default_factory=dict)
    markers: dict[Partition, int] = field(default_factory=dict)

    @property
    def names(self) -> list[Partition]:
        return [Partition(TOPIC, number) for number in range(self.partitions)]

    def end(self, partition: Partition) -> int:
        rows = self.rows.get(partition, [])
        return (rows[-1].offset + 1 if rows else 0) + self.markers.get(partition, 0)

    def write(self, number: int, value: bytes | None, at_ms: int | None = None) -> None:
        """Append a record; the broker's time moves up to `at_ms`."""
        partition = Partition(TOPIC, number)
        self.now_ms = max(self.now_ms, at_ms or 0)
        row = Row(self.end(partition), self.now_ms, value)
        self.rows.setdefault(partition, []).append(row)
        self.markers[partition] = 0

    def event(self, number: int, event_id: str, at_ms: int, release: str, **more: object) -> None:
        """Append an event that has just happened."""
        fields = {"event_id": event_id, "at": at_ms, "release": release, **more}
        self.write(number, json.dumps(fields).encode(), at_ms)


class LogSource:
    """`Source` on the log, for one member; `fail` is raised by the next calls."""

    def __init__(self, log: Log, owned: Iterable[Partition]) -> None:
        self.log = log
        self._owned = frozenset(owned)
        self._generation = 0
        self._positions: dict[Partition, int] = {}

    @property
    def owned(self) -> frozenset[Partition]:
        return self._owned

    @property
    def generation(self) -> int:
        return self._generation

    def rebalance(self, owned: Iterable[Partition]) -> None:
        """Give partitions, or take them away; whatever is given comes paused."""
        self._owned = frozenset(owned)
        self._positions.clear()
        self._generation += 1

    async def start_offset(self, partition: Partition) -> int:
        return await self.first_offset(partition)

    async def first_offset(self, partition: Partition) -> int:
        return self.log.first.get(partition, 0)

    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return {one: self.log.end(one) for one in partitions}

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        if partition not in self._owned:
            raise PartitionLost(f"{partition} is somebody else's")
        first, end = await self.first_offset(partition), self.log.end(partition)
        if not first <= offset <= end:
            raise OffsetOutOfRange(partition.topic, partition.number, offset, first=first, end=end)
        self._positions[partition] = offset

    def pause(self, partition: Partition) -> None:
        self._positions.pop(partition, None)

    async def position(self, partition: Partition) -> int | None:
        return self._positions.get(partition)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Partition, Sequence[Row]]:
        found: dict[Partition, Sequence[Row]] = {}
        for partition, position in sorted(self._positions.items()):
            if not self.log.first.get(partition, 0) <= position <= self.log.end(partition):
                self.pause(partition)
                raise OffsetOutOfRange(partition.topic, partition.number, position, first=None, end=None)
            rows = [row for row in self.log.rows.get(partition, []) if row.offset >= position][:max_records]
            if rows:
                found[partition] = rows
            at_end = not rows or rows[-1] is self.log.rows[partition][-1]
            self._positions[partition] = self.log.end(partition) if at_end else rows[-1].offset + 1
        return found

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Nobody looks at it."""


class LogNow:
    """`BrokerClock` of the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def now_ms(self) -> int:
        return self._log.now_ms
