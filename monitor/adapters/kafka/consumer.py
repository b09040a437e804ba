"""The trace topic's consumer group: who owns which partition, and reading it from exactly the offset we say.

Kafka's committed offsets are a witness only; the truth about a position is in the state store. Three habits of the
library shape this class (aiokafka 0.14, read in its source and tried):
- an exception in the rebalance listener is logged and swallowed, so the listener only notes and pauses;
- `assignment()` goes on naming partitions that were lost, so ownership is our own set;
- a cancelled `getmany` switches the library's poll-interval check off for good, so a call that takes long is never
  cancelled but waited for again;
- one that has stopped fetching says nothing, so progress is looked at, and a client that makes none is made anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.drain import drain_bare
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.stuck import STUCK_S, Progress, ReaderStuck
from monitor.engine.errors import LogUnreachable, OffsetOutOfRange, PartitionLost
from monitor.engine.ports import Partition, SourceRecord

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
OnPartitions = Callable[[frozenset[Partition]], None]
"""Told about partitions; called between two steps of the event loop, so it only notes and never waits."""

_ASK_S: Final = 10.0
_COMMIT_S: Final = 5.0
_START_MARGIN_S: Final = 30.0
_POLL_MARGIN_S: Final = 0.05


def ignore_partitions(_partitions: frozenset[Partition]) -> None:
    """Do nothing."""


class TraceConsumer:
    """One member of the group that shares the trace topic's partitions.

    A partition comes paused. Its owner claims the state, learns the offset, and calls `seek_and_resume`; only then
    does `getmany` return its records. The member is static: a restart within the session does not rebalance.
    """

    def __init__(
        self,
        access: KafkaAccess,
        topic: str,
        group: str,
        worker_id: str,
        session_timeout_ms: int = 10_000,
        on_assigned: OnPartitions = ignore_partitions,
        on_revoked: OnPartitions = ignore_partitions,
        *,
        max_poll_interval_ms: int = 60_000,
        fetch_max_wait_ms: int = 50,
        max_partition_fetch_bytes: int = 1 << 20,
        fetch_max_bytes: int = 16 << 20,
        stuck_s: float = STUCK_S,
    ) -> None:
        """Prepare; nothing connects yet.

        Args:
            worker_id: Names this member for good: unique among running workers, the same after a restart.
            session_timeout_ms: How long the group waits for a lost member before it gives its partitions away.
            max_poll_interval_ms: A member that does not call `getmany` for so long gives its partitions up.
            fetch_max_wait_ms: How long the broker may hold a fetch back while there is nothing: a record ends the wait.
                Asking ten times as often makes an incident later, not sooner: it waits for the answers of the others.
            stuck_s: A partition that stands still for so long, while the log goes on, is read by a new client.
        """
        self._topic = topic
        self._session_s = session_timeout_ms / 1000
        self._options: dict[str, Any] = {
            **access.client_options(),
            "group_id": group,
            "group_instance_id": worker_id,
            "client_id": worker_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "session_timeout_ms": session_timeout_ms,
            "heartbeat_interval_ms": max(200, session_timeout_ms // 5),
            "max_poll_interval_ms": max_poll_interval_ms,
            "fetch_max_wait_ms": fetch_max_wait_ms,
            "max_partition_fetch_bytes": max_partition_fetch_bytes,
            "fetch_max_bytes": fetch_max_bytes,
        }
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._consumer: AIOKafkaConsumer | None = None
        self._owned: set[Partition] = set()
        self._ready: set[Partition] = set()
        self._generation = 0
        # Grows with every change of owner or position: records fetched under an older one are not delivered.
        self._versions: dict[Partition, int] = {}
        self._poll: asyncio.Task[dict[TopicPartition, list[SourceRecord]]] | None = None
        self._poll_versions: dict[Partition, int] = {}
        self._progress = Progress(stuck_s)
        self._renewed: dict[Partition, int] = {}  # what was stuck when the client was made anew, and where
        self._is_renewing = False
        self.failed_commits = 0

    async def start(self) -> None:
        """Join the group and wait for the first assignment (which may be empty).

        Raises:
            LogUnreachable: Not in the group within a session and half a minute.
        """
        # Made here and not earlier: a consumer older than its poll interval at its start never joins.
        consumer = self._consumer = AIOKafkaConsumer(**self._options)
        consumer.subscribe([self._topic], listener=_Listener(self._assigned, self._revoked))
        deadline_s = self._session_s + _START_MARGIN_S
        try:
            await bounded(consumer.start(), deadline_s, f"joining the group on {self._topic}")
        except BaseException:  # also a cancellation: a half-started consumer must not stay in the group
            await self.stop()
            raise
        drain_bare(consumer)

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions the group gave us, as far as we know; only the state store's token proves it."""
        return frozenset(self._owned)

    @property
    def generation(self) -> int:
        """Grows with every rebalance, also one that gives back what we had: partitions then come paused again."""
        return self._generation

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        """Go on at exactly this offset; records come from the next `getmany` on.

        Raises:
            PartitionLost: It is not ours (any more).
            OffsetOutOfRange: The log does not hold the offset; the partition stays paused.
            LogUnreachable: The log's bounds could not be asked for.
        """
        version = self._versions.get(partition)
        first, end = await self.beginning_offset(partition), await self.end_offset(partition)
        if partition not in self._owned or self._versions.get(partition) != version:
            raise PartitionLost(f"{partition.topic}/{partition.number} was given to somebody else meanwhile")
        if not first <= offset <= end:
            raise OffsetOutOfRange(partition.topic, partition.number, offset, first=first, end=end)
        consumer, raw = self._running, _raw(partition)
        self._renew(partition)
        consumer.seek(raw, offset)
        position = await consumer.position(raw)  # does not wait: a position was just set
        if position != offset or partition not in self._owned:
            raise PartitionLost(
                f"{partition.topic}/{partition.number}: at {position} after a seek to {offset}"
            )
        consumer.resume(raw)
        self._ready.add(partition)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver no more of these for now; keep calling `getmany`, which keeps us in the group."""
        for partition in self._owned.intersection(partitions):
            self._running.pause(_raw(partition))
            self._ready.discard(partition)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Go on where `pause` left off; only for partitions that `seek_and_resume` has placed before."""
        for partition in self._owned.intersection(partitions):
            self._running.resume(_raw(partition))
            self._ready.add(partition)

    async def getmany(
        self, timeout_ms: int = 200, max_records: int | None = None
    ) -> dict[Partition, list[SourceRecord]]:
        """Return records of partitions that are owned and resumed, in order; nothing after `timeout_ms`.

        Call it often, also while everything is paused: it is the sign of life that keeps the partitions ours.

        Raises:
            OffsetOutOfRange: For one partition, which is paused by that; the others go on with the next call.
            LogUnreachable: The library gave up on something; calling again is right.
            ReaderStuck: Nothing comes although the log goes on, also after the client was made anew.
        """
        if self._is_renewing or (self._poll is None and self._progress.is_due and await self._is_stuck()):
            await self._renew_client()
            return {}
        if self._poll is None:
            self._poll_versions = dict(self._versions)
            # Without any partition `getmany` would mean all of them: -1 is one that nobody ever has.
            wanted = [_raw(partition) for partition in self._ready] or [TopicPartition(self._topic, -1)]
            self._poll = asyncio.create_task(
                self._running.getmany(*wanted, timeout_ms=timeout_ms, max_records=max_records)
            )
        done, _ = await asyncio.wait({self._poll}, timeout=timeout_ms / 1000 + _POLL_MARGIN_S)
        if not done:
            return {}  # a rebalance takes its time; the next call waits for the same answer
        poll, self._poll = self._poll, None
        try:
            batches = poll.result()
        except NoOffsetForPartitionError:
            return {}  # from before our seek: a new group has no commit, and we do not want one
        except OffsetOutOfRangeError as error:
            await self._out_of_range(error)
            return {}
        except KafkaError as error:
            self._progress.excused()
            raise LogUnreachable(f"reading {self._topic}: {error}") from error
        return {
            partition: records
            for raw, records in batches.items()
            if (partition := Partition(raw.topic, raw.partition)) in self._owned
            and self._poll_versions.get(partition) == self._versions.get(partition)
        }

    async def position(self, partition: Partition) -> int | None:
        """Return the offset of the next record to be delivered; None while it is not ours or not placed."""
        if (
            partition not in self._ready or self._poll is not None
        ):  # an unclaimed answer is ahead of what we gave
            return None
        try:
            return int(await self._running.position(_raw(partition)))
        except IllegalStateError:
            return None

    async def is_at_end(self, partition: Partition) -> bool:
        """Whether everything has been delivered that the log held at the last fetch."""
        position = await self.position(partition)
        return position is not None and position == self._fact(partition, self._running.highwater)

    def last_fetch_ms(self, partition: Partition) -> int | None:
        """Return when a fetch of the partition was last answered: our own wall clock, epoch milliseconds.

        For showing how fresh we are. To know that a partition is complete, use `BrokerClock` and `end_offsets`.
        """
        return self._fact(partition, self._running.last_poll_timestamp)

    async def beginning_offset(self, partition: Partition) -> int:
        """Return the first offset the log still holds.

        Raises:
            LogUnreachable: No answer in time.
        """
        raw = _raw(partition)
        found = await self._ask(self._running.beginning_offsets([raw]), f"the first offset of {raw}")
        return int(found[raw])

    async def end_offset(self, partition: Partition) -> int:
        """Return the offset the next record will get. Raises as `beginning_offset`."""
        return (await self.end_offsets([partition]))[partition]

    async def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the offsets the next records will get, as they are *after* this call was made.

        A partition whose `position` has come to such an end is complete up to any `BrokerClock` reading that was
        acknowledged before the call. Raises as `beginning_offset`.
        """
        if not partitions:
            return {}
        raws = [_raw(partition) for partition in partitions]
        found = await self._ask(self._running.end_offsets(raws), f"the end of {self._topic}")
        ends = {partition: int(found[_raw(partition)]) for partition in partitions}
        self._progress.ends(ends)
        return ends

    async def offset_for_time(self, partition: Partition, at_ms: int) -> int | None:
        """Return the first offset whose record is not older than `at_ms`; None where there is none.

        Raises as `beginning_offset`.
        """
        raw = _raw(partition)
        found = await self._ask(self._running.offsets_for_times({raw: at_ms}), f"an offset of {raw} by time")
        entry = found.get(raw)
        return None if entry is None else int(entry.offset)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group how far we are: for lag displays and as a witness. Failing is counted, never raised."""
        ours = {_raw(partition): offset for partition, offset in offsets.items() if partition in self._owned}
        if not ours:
            return
        try:
            async with asyncio.timeout(_COMMIT_S):
                await self._running.commit(ours)
        except (KafkaError, TimeoutError) as error:
            self.failed_commits += 1
            _log.warning("offsets of %s were not committed (harmless): %r", self._topic, error)

    async def committed(self, partition: Partition) -> int | None:
        """Return what the group was told last: tells a lost store from a first start. Raises as above."""
        raw = _raw(partition)
        found = await self._ask(self._running.committed(raw), f"the committed offset of {raw}")
        return None if found is None else int(found)

    async def stop(self) -> None:
        """Stop, within bounds. Being static, we stay a member until the session ends: a restart finds its place."""
        consumer, self._consumer = self._consumer, None
        self._owned.clear()
        self._ready.clear()
        if consumer is not None:
            await stop_client(consumer)
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.cancel()
            await asyncio.wait({poll})

    async def _is_stuck(self) -> bool:
        """Tell whether a partition stands still; of one that stood there before, also with another client, raise."""
        found = {one: at for one in self._ready if (at := await self.position(one)) is not None}
        stuck = {one: found[one] for one in self._progress.stuck(found)}
        again = [one for one, at in stuck.items() if self._renewed.get(one) == at]
        if again:
            named = ", ".join(f"{one.topic}/{one.number} at {stuck[one]}" for one in sorted(again))
            raise ReaderStuck(
                f"reading stands still although the log goes on, with a new client too: {named}"
            )
        self._renewed = {one: at for one, at in self._renewed.items() if found.get(one, at) == at} | stuck
        return bool(stuck)

    async def _renew_client(self) -> None:
        """Give the client up and make another; whatever was being read is placed anew by its owner."""
        if not self._is_renewing:
            _log.error("%s: nothing comes although the log goes on; its reader is made anew", self._topic)
        self._is_renewing = True
        self._progress.excused()
        self._generation += 1
        await self.stop()
        await self.start()
        self._is_renewing = False

    @property
    def _running(self) -> AIOKafkaConsumer:
        if self._consumer is None and self._is_renewing:
            raise LogUnreachable(f"the reader of {self._topic} is being made anew")
        assert self._consumer is not None, "start() first, and not after stop()"
        return self._consumer

    async def _ask(self, call: Awaitable[_T], what: str) -> _T:
        return await bounded(call, _ASK_S, what)

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        given = frozenset(Partition(raw.topic, raw.partition) for raw in partitions)
        self._owned, self._ready = set(given), set()
        self._generation += 1
        for partition in given:
            self._renew(partition)
        self._running.pause(*partitions)
        self._on_assigned(given)

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        taken = frozenset(Partition(raw.topic, raw.partition) for raw in partitions)
        self._owned, self._ready = set(), set()  # an eager rebalance always takes everything
        self._generation += 1
        for partition in taken:
            self._renew(partition)
        self._on_revoked(taken)

    def _renew(self, partition: Partition) -> None:
        self._versions[partition] = self._versions.get(partition, 0) + 1

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Raise for the partition it is about, unless the error is from before a seek."""
        (offsets,) = error.args
        for raw, offset in offsets.items():
            partition = Partition(raw.topic, raw.partition)
            if await self.position(partition) == offset:
                self.pause([partition])
                raise OffsetOutOfRange(
                    partition.topic, partition.number, offset, first=None, end=None
                ) from error

    def _fact(self, partition: Partition, ask: Callable[[TopicPartition], int | None]) -> int | None:
        if partition not in self._owned:
            return None
        return ask(_raw(partition))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Hands the library's two calls on."""

    def __init__(
        self,
        assigned: Callable[[Collection[TopicPartition]], None],
        revoked: Callable[[Collection[TopicPartition]], None],
    ) -> None:
        self._assigned, self._revoked = assigned, revoked

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._assigned(assigned)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._revoked(revoked)


def _raw(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)
