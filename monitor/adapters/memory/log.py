"""The twin of the Kafka log: topics in this process, shared by everybody who holds the object."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence

from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Record, Stamp


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryLog:
    """`Log` in lists. A topic comes to be when it is first named; nothing is ever compacted or expires."""

    def __init__(self, *, partitions: int = 1, now_ms: Callable[[], int] = _now_ms) -> None:
        """Begin without any topic.

        Args:
            partitions: Of every topic; a key is always in the same one.
            now_ms: The "broker's" clock, which stamps records.
        """
        self._partitions = partitions
        self._now_ms = now_ms
        self._topics: dict[str, list[list[Record]]] = {}
        self._grown = asyncio.Event()
        self._closed = False

    async def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Stamp:
        """Append one record.

        Raises:
            LogUnreachable: The log was closed.
            ValueError: Neither key nor value: Kafka has no such record.
        """
        if self._closed:
            raise LogUnreachable(f"{topic}: the log in memory was closed")
        if key is None and value is None:
            raise ValueError(f"{topic}: a record needs a key or a value")
        partition = zlib.crc32((key or "").encode()) % self._partitions
        records = self.records(topic)[partition]
        record = Record(topic, partition, len(records), self._now_ms(), key, value, tuple(headers))
        records.append(record)
        self.wake()
        return Stamp(partition, record.offset, record.at_ms)

    def follow(self, topic: str) -> MemoryFollower:
        """Read a whole topic from its first record and go on following it."""
        return MemoryFollower(self, topic)

    async def close(self) -> None:
        """Refuse further records, and let the followers end."""
        self._closed = True
        self.wake()

    def records(self, topic: str) -> list[list[Record]]:
        """Return the topic's records per partition, the lists themselves: for followers, tests and the demo."""
        return self._topics.setdefault(topic, [[] for _ in range(self._partitions)])

    async def wait_for_more(self) -> bool:
        """Wait until a record was appended anywhere; False when the log was closed."""
        if not self._closed:
            await self._grown.wait()
        return not self._closed

    def wake(self) -> None:
        """Let every waiting follower look again."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()


class MemoryFollower:
    """`Follower` of one topic of a `MemoryLog`."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._positions = [0] * len(log.records(topic))
        self._stopped = False

    async def start(self) -> None:
        """Nothing to find: the topic is there."""

    async def read_to_end(self) -> list[Record]:
        """Return all records not yet returned."""
        return self._take()

    async def read_ahead(self) -> list[Record]:
        """Return all records not yet returned."""
        return self._take()

    async def __aiter__(self) -> AsyncIterator[list[Record]]:
        while not self._stopped:
            records = self._take()
            if records:
                yield records
            elif not await self._log.wait_for_more():
                return

    async def stop(self) -> None:
        """Leave; whoever iterates comes to the end."""
        self._stopped = True
        self._log.wake()

    def _take(self) -> list[Record]:
        taken: list[Record] = []
        for number, records in enumerate(self._log.records(self._topic)):
            taken += records[self._positions[number] :]
            self._positions[number] = len(records)
        return taken
