"""The data plane of one instance: its partitions, from the log through the fold into the store.

Claim, restore, re-read, fold, flush: one task drives them all, so nothing of a partition happens twice at
once. While the store is away, reading pauses and the unanswered write is sent again under the same name.
Records that were taken from the client and not folded, whatever stopped it, are read again: never stepped over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.core.plan import Plan
from monitor.engine.caution import Caution, NoTrial, Trial
from monitor.engine.errors import OffsetOutOfRange, PartitionLost, StoreUnreachable
from monitor.engine.hearing import Hearing
from monitor.engine.ingest import Flush, PartitionIngest
from monitor.engine.observer import Observer
from monitor.engine.pace import MAX_RECORDS, SLICE_RECORDS, flush_after_ms
from monitor.engine.ports import (
    BrokerClock,
    Claim,
    Clock,
    FlushAnswer,
    Outputs,
    Partition,
    Source,
    SourceRecord,
    StateStore,
)
from monitor.engine.replay import Decode
from monitor.engine.seal import StateDamaged
from monitor.engine.stay import in_turns

FENCED_WAIT_MS = 3_000  # before a fenced partition is claimed again, if the group still says it is ours


class LogTime(NamedTuple):
    """The log's own time, and when it was heard by the data plane's steady clock; milliseconds."""

    log_ms: int
    steady_ms: int


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How the data plane runs.

    Attributes:
        max_ids: Ids remembered per instance, shared by its partitions.
    """

    owner: str
    flush_interval_ms: int
    max_ids: int
    partitions_expected: int


class Feed:
    """Reads the owned partitions and keeps their state up to date.

    Args:
        hearing: Takes every incident at once, in case its release is evaluated here; whoever else evaluates it hears
            of it by the internal topic, and hearing twice changes nothing.
        trial: Where the records of a partition are decoded first that has killed its owners.

    Attributes:
        log_time: The log's time as last heard; None before the first answer.
        unread: Records of the owned partitions that were not read then.
    """

    def __init__(
        self,
        *,
        source: Source,
        store: StateStore,
        outputs: Outputs,
        decode: Decode,
        plan: Callable[[], Plan],
        event_time: Callable[[int], int],
        clock: Clock,
        broker_clock: BrokerClock,
        observer: Observer,
        options: FeedOptions,
        hearing: Hearing,
        trial: Trial = NoTrial(),  # noqa: B008 - it has no state
    ) -> None:
        self._caution = Caution(trial, observer)
        self._source = source
        self._store = store
        self._outputs = outputs
        self._decode = decode
        self._plan = plan
        self._event_time = event_time
        self._clock = clock
        self._broker_clock = broker_clock
        self._ends: tuple[int, Mapping[Partition, int]] = 0, {}
        self._observer = observer
        self._options = options
        self._hearing = hearing
        self._ingests: dict[Partition, PartitionIngest] = {}
        self._pending: dict[Partition, Flush] = {}
        self._planned: Plan | None = None
        self._flushed_ms = 0
        self._is_astray = False  # taken from the client and not folded: reading has to go back
        self._damaged: set[Partition] = set()
        self._fenced_until_ms: dict[Partition, int] = {}
        self._written: set[Partition] = set()  # what we have stored something of, at any time
        self._generation = -1
        self.log_time: LogTime | None = None
        self.unread = 0

    @property
    def event_time(self) -> Callable[[int], int]:
        """The log's time as event time."""
        return self._event_time

    @property
    def steady(self) -> Clock:
        """The clock of its waits."""
        return self._clock

    @property
    def interval_s(self) -> float:
        """How often to flush, and to look around."""
        return self._options.flush_interval_ms / 1000

    @property
    def ingests(self) -> Mapping[Partition, PartitionIngest]:
        """The partitions this instance writes now."""
        return self._ingests

    async def step(self) -> int:
        """Read once, fold, and flush if it is time; return how many records were folded."""
        await self._settle_ownership()
        self._replan()
        if not await self._is_on_course():
            return 0
        batches = await self._next_records()
        taken = 0
        self._is_astray = True
        for partition, records in batches.items():
            ingest = self._ingests.get(partition)
            if ingest is not None:
                taken += await self._take(ingest, records)
        self._is_astray = bool(self._pending)
        if not self._is_astray:
            await self._note_ends()
        due_ms = flush_after_ms(self._options.flush_interval_ms, self.unread)
        if self._clock.now_ms() - self._flushed_ms >= due_ms:
            await self.flush_all()
        return taken

    async def _next_records(self) -> Mapping[Partition, Sequence[SourceRecord]]:
        try:
            return await self._source.getmany(timeout_ms=100, max_records=MAX_RECORDS)
        except OffsetOutOfRange as damage:
            self._distrust(Partition(damage.topic, damage.number), str(damage))
            return {}

    async def _settle_ownership(self) -> None:
        owned = self._source.owned
        if self._source.generation != self._generation:
            # Between two steps a partition may have gone and come back, and somebody may have written it meanwhile.
            self._generation = self._source.generation
            self._ingests.clear()
            self._pending.clear()
        now_ms = self._clock.now_ms()
        for partition in sorted(owned - self._ingests.keys()):
            # Whoever was fenced has probably lost the partition and not heard of it yet; a claim takes time, and
            # claiming what went to somebody else meanwhile would fence its owner.
            is_ours = partition in self._source.owned
            if is_ours and self._fenced_until_ms.get(partition, 0) <= now_ms:
                await self._claim(partition)

    async def _claim(self, partition: Partition) -> None:
        """Take a partition over; what does not add up is rebuilt by the next step."""
        try:
            rebuild = partition in self._damaged
            ingest = await (self._rebuilt(partition) if rebuild else self._restored(partition))
            await self._source.seek_and_resume(partition, ingest.read_from)
        except PartitionLost as lost:
            self._damaged.discard(partition)
            self._observer.partition_lost(partition, str(lost))
            return
        except (StateDamaged, OffsetOutOfRange) as damage:
            self._distrust(partition, str(damage))
            return
        self._damaged.discard(partition)
        self._ingests[partition] = ingest
        self._observer.partition_claimed(partition, ingest.offset)

    def _distrust(self, partition: Partition, why: str) -> None:
        """Give a partition's state up; the next step begins it anew from the log."""
        self._observer.state_damaged(partition, why)
        self._ingests.pop(partition, None)
        self._pending.pop(partition, None)
        self._source.pause(partition)
        self._damaged.add(partition)

    async def _restored(self, partition: Partition) -> PartitionIngest:
        """Take the partition over where its state says it stands."""
        claim = await self._claimed(partition)
        if not claim.fields and partition in self._written:
            self._observer.state_damaged(partition, "the store has lost it; it is read again from the log")
        ingest = await self._ingest(claim)
        if not ingest.is_warm:
            await self._check_bounds(ingest)
        return ingest

    async def _claimed(self, partition: Partition) -> Claim:
        claim = await self._store.claim(partition, self._options.owner)
        self._caution.claimed(claim)
        return claim

    async def _check_bounds(self, ingest: PartitionIngest) -> None:
        """Hold what is stored to the log that it was made of, where reading begins before it."""
        partition, offset = ingest.partition, ingest.offset
        first = await self._source.first_offset(partition)
        end = (await self._source.end_offsets([partition]))[partition]
        if offset > end:  # another log: it would be read up to its end, and waited for the rest
            raise OffsetOutOfRange(partition.topic, partition.number, offset, first=first, end=end)
        if first > ingest.read_from:
            ingest.skip_warming()

    async def _rebuilt(self, partition: Partition) -> PartitionIngest:
        """Start the partition anew from the log: its state did not add up."""
        claim = await self._claimed(partition)
        await self._store.reset(claim)
        return await self._ingest(Claim(partition, claim.token, {}))

    async def _ingest(self, claim: Claim) -> PartitionIngest:
        share = max(1, self._options.partitions_expected)
        ingest = PartitionIngest(
            claim,
            self._plan(),
            self._decode,
            start_offset=await self._source.start_offset(claim.partition),
            max_ids=max(10_000, self._options.max_ids // share),
            event_time=self._event_time,
        )
        await in_turns(ingest.restoring())
        return ingest

    def _replan(self) -> None:
        plan = self._plan()
        if plan is not self._planned:
            self._planned = plan
            for ingest in self._ingests.values():
                ingest.fold.replan(plan)

    async def _take(self, ingest: PartitionIngest, records: Sequence[SourceRecord]) -> int:
        """Fold records in slices; flush where the next write would grow too large."""
        ingest.deadly.update(await self._caution.deadly(ingest.partition, records))
        done = 0
        while done < len(records):
            try:
                taken = ingest.take(records[done : done + SLICE_RECORDS])
            except StateDamaged as damage:
                self._distrust(ingest.partition, str(damage))
                break
            done += taken
            await self._hand_over(ingest)
            if ingest.is_full:
                await self._flush(ingest)
                if ingest.partition not in self._ingests or ingest.partition in self._pending:
                    break  # what is left is read again from `position` once the store is back
            await self._hearing.give_way()
        self._observer.folded(ingest.partition, done)
        return done

    async def _hand_over(self, ingest: PartitionIngest) -> None:
        """Give incidents and dead letters on before the state that counts them is stored: twice rather than never."""
        incidents, letters = ingest.incidents, ingest.letters
        for incident in incidents:
            self._hearing.note(incident)
        if incidents:
            await asyncio.gather(*(self._outputs.publish_incident(one) for one in incidents))
        if letters:
            await asyncio.gather(*(self._outputs.publish_dead_letter(one) for one in letters))
            self._observer.rejected(letters)
        ingest.handed_over(len(incidents), len(letters))

    async def look_around(self) -> None:
        """Ask how far the log has come, and tell the group how far we are.

        Runs beside `step`: an incident must not wait for answers that nothing depends on.

        Raises:
            LogUnreachable: No answer in time.
        """
        broker_ms = await self._broker_clock.now_ms()
        self.log_time = LogTime(broker_ms, self._clock.now_ms())
        ends = await self._source.end_offsets(list(self._ingests))
        self._ends = broker_ms, ends
        reached = ((self._ingests[one].position, end) for one, end in ends.items() if one in self._ingests)
        self.unread = sum(max(0, end - position) for position, end in reached)
        stored = {one.partition: one.stored_offset for one in self._ingests.values()}
        # Nothing stored is nothing to witness: a group that has committed is taken for one that had state.
        await self._source.commit({partition: offset for partition, offset in stored.items() if offset})

    async def _note_ends(self) -> None:
        """A partition read to an end asked for after the broker told its time is complete up to that time."""
        broker_ms, ends = self._ends
        self._ends = 0, {}
        for partition, end in ends.items():
            ingest = self._ingests.get(partition)
            if ingest is None:
                continue
            # Behind the last record may be what is no record: the markers of a producer's transactions.
            reached = max(ingest.position, await self._source.position(partition) or 0)
            try:
                ingest.reached(reached)
            except StateDamaged as damage:
                self._distrust(partition, str(damage))
                continue
            if ingest.is_warm and reached >= end:
                ingest.complete(self._event_time(broker_ms))

    async def flush_all(self) -> None:
        """Bring the store up to date with every partition that has news."""
        self._flushed_ms = self._clock.now_ms()
        for ingest in list(self._ingests.values()):
            if ingest.has_news and ingest.is_warm and ingest.partition not in self._pending:
                await self._hand_over(ingest)
                await self._flush(ingest)

    async def _flush(self, ingest: PartitionIngest) -> None:
        self._pending[ingest.partition] = ingest.flush()
        await self._send(ingest)

    async def _is_on_course(self) -> bool:
        """After an outage, send what was not answered again and read on where folding stopped.

        Meanwhile nothing is taken from the client, but it is polled: that keeps us in the group.
        """
        self._is_astray = self._is_astray or bool(self._pending)
        if not self._is_astray:
            return True
        for partition in self._ingests:
            self._source.pause(partition)
        for partition in list(self._pending):
            await self._send(self._ingests[partition])
        if self._pending:
            await self._source.getmany(timeout_ms=200, max_records=1)
            return False
        for ingest in list(self._ingests.values()):
            await self._hand_over(ingest)
            await self._read_on(ingest)
        self._is_astray = False
        return True

    async def _read_on(self, ingest: PartitionIngest) -> None:
        partition = ingest.partition
        try:
            await self._source.seek_and_resume(partition, ingest.position)
        except PartitionLost as lost:
            self._observer.partition_lost(partition, str(lost))
            del self._ingests[partition]
        except OffsetOutOfRange as damage:
            self._distrust(partition, str(damage))

    async def _send(self, ingest: PartitionIngest) -> None:
        flush = self._pending[ingest.partition]
        try:
            answer = await self._store.flush(
                ingest.claim,
                batch=flush.batch,
                expected_offset=flush.expected_offset,
                fields=flush.fields,
            )
        except StoreUnreachable as error:
            self._observer.store_away(str(error))
            return
        del self._pending[ingest.partition]
        self._observer.flushed(ingest.partition, answer, is_bare=flush.is_bare)
        if answer is FlushAnswer.FENCED:
            self._ingests.pop(ingest.partition, None)
            self._source.pause(ingest.partition)
            self._fenced_until_ms[ingest.partition] = self._clock.now_ms() + FENCED_WAIT_MS
            return
        before = ingest.stored_totals
        ingest.flushed(flush)
        self._written.add(ingest.partition)
        after = ingest.stored_totals
        self._observer.counted(
            accepted=after.accepted - before.accepted,
            late=after.late - before.late,
            duplicate=after.duplicates - before.duplicates,
            rejected=after.rejected - before.rejected,
        )

    async def drop_old(self, before_minute: int) -> None:
        """Delete the stored cells that no window needs any more."""
        for ingest in list(self._ingests.values()):
            fields = ingest.old_fields(before_minute)
            if fields:
                await self._store.drop(ingest.claim, fields)
