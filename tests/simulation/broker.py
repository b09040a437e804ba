"""The modelled log: the trace topic's partitions, the control topics, and how one process reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Record, Stamp
from tests.simulation.network import Cut, Link, Network

TOPIC = "llm.traces.v1"


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the trace topic."""

    offset: int
    timestamp: int
    value: bytes | None


@dataclass
class TracePartition:
    """One partition: its records, and the offsets behind the last one that hold markers of transactions."""

    rows: list[Row] = field(default_factory=list)
    markers: int = 0
    first: int = 0

    @property
    def end(self) -> int:
        last = self.rows[-1].offset + 1 if self.rows else self.first
        return last + self.markers


class Broker:
    """What the servers hold. Its clock stamps every record and never goes back.

    Args:
        now_ms: The broker's own time, epoch milliseconds.
    """

    def __init__(self, network: Network, partitions: int, now_ms: Callable[[], int]) -> None:
        self.network, self.now_ms = network, now_ms
        self.link = Link()
        self.traces = [TracePartition() for _ in range(partitions)]
        self.topics: dict[str, list[list[Record]]] = {}
        self.stuck: set[str] = set()  # topics whose followers live and get nothing, as some libraries' do
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def produce(self, number: int, value: bytes | None, *, markers: int = 0) -> Row:
        """Append a trace record, and so many markers behind it."""
        partition = self.traces[number]
        row = Row(partition.end, self.now_ms(), value)
        partition.rows.append(row)
        partition.markers = markers
        self.wake(TOPIC)
        return row

    def append(self, topic: str, key: str | None, value: bytes | None, headers: tuple = ()) -> Record:
        """Append a record to a control topic."""
        partitions = self.records(topic)
        number = crc32((key or "").encode()) % len(partitions)
        record = Record(topic, number, len(partitions[number]), self.now_ms(), key, value, tuple(headers))
        partitions[number].append(record)
        self.wake(topic)
        return record

    def records(self, topic: str) -> list[list[Record]]:
        return self.topics.setdefault(topic, [[]])

    def flat(self, topic: str) -> list[Record]:
        """Return a control topic's records, in order within each partition."""
        return [record for partition in self.records(topic) for record in partition]

    def wake(self, topic: str | None = None) -> None:
        """Let whoever waits for a topic, or for any, look again."""
        topics = [topic] if topic is not None else list(self._waiting)
        for future in [one for name in topics for one in self._waiting.pop(name, ())]:
            if not future.done():
                future.set_result(None)

    async def grown(self, topic: str, timeout_s: float) -> None:
        """Wait until something was appended to a topic, or for so long."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.setdefault(topic, []).append(future)
        timer = loop.call_later(timeout_s, _wake, future)
        await future
        timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class LogClient:
    """`Log` for one process. A producer that gave up may have its record appended later all the same."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Stamp:
        broker, network = self._broker, self._broker.network
        await network.point(f"before {topic}")
        try:
            await network.there(broker.link, topic)
            record = broker.append(topic, key, value, tuple(headers))
            await network.point(f"after {topic}")
            await network.back(broker.link, topic)
        except Cut as cut:
            raise LogUnreachable(str(cut)) from cut
        return Stamp(record.partition, record.offset, record.at_ms)

    def follow(self, topic: str) -> FollowerClient:
        return FollowerClient(self._broker, topic)


class FollowerClient:
    """`Follower` of a control topic for one process."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        self._positions = [0] * len(broker.records(topic))
        self._stopped = False

    async def start(self) -> None:
        try:
            await self._broker.network.there(self._broker.link, self._topic)
        except Cut as cut:
            raise LogUnreachable(str(cut)) from cut

    async def read_to_end(self) -> list[Record]:
        network = self._broker.network
        try:
            await network.there(self._broker.link, self._topic)
            ends = [len(records) for records in self._broker.records(self._topic)]
            await network.back(self._broker.link, self._topic)
        except Cut as cut:
            raise LogUnreachable(str(cut)) from cut
        return self._take(ends)

    async def read_ahead(self) -> list[Record]:
        try:
            await self._broker.network.there(self._broker.link, self._topic)
        except Cut:
            return []
        return self._take(None)

    async def __aiter__(self) -> AsyncIterator[list[Record]]:
        while not self._stopped:
            try:
                await self._broker.network.there(self._broker.link, self._topic)
            except Cut:
                continue
            records = [] if self._topic in self._broker.stuck else self._take(None)
            if records:
                yield records
            else:
                await self._broker.grown(self._topic, 2.0)

    async def stop(self) -> None:
        self._stopped = True
        self._broker.wake()

    def _take(self, ends: list[int] | None) -> list[Record]:
        taken: list[Record] = []
        for number, records in enumerate(self._broker.records(self._topic)):
            end = len(records) if ends is None else max(ends[number], self._positions[number])
            taken += records[self._positions[number] : end]
            self._positions[number] = end
        return taken


class BrokerTime:
    """`BrokerClock` for one process: the time of a probe that was acknowledged."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def now_ms(self) -> int:
        try:
            await self._broker.network.there(self._broker.link, "clock")
            now_ms = self._broker.now_ms()
            await self._broker.network.back(self._broker.link, "clock")
        except Cut as cut:
            raise LogUnreachable(str(cut)) from cut
        return now_ms
