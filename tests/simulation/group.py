"""The modelled consumer group: who is told to own what, when they hear of it, and what a zombie still believes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.engine.errors import LogUnreachable, OffsetOutOfRange, PartitionLost
from monitor.engine.ports import Partition
from tests.simulation.broker import TOPIC, Broker, Row
from tests.simulation.loop import Process, State
from tests.simulation.network import Cut

SESSION_S = 4.0
MAX_POLL_S = 20.0


@dataclass
class Member:
    """One static member, by the process that speaks for it now."""

    name: str
    process: Process
    source: SourceClient
    seen_s: float
    given: frozenset[Partition] = frozenset()


class Group:
    """The coordinator. A member that shows no life for a session is out; the others share what it had."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.committed: dict[Partition, int] = {}
        self._turn = 0
        self._out: dict[str, Member] = {}  # thrown out, and not back yet

    @property
    def partitions(self) -> list[Partition]:
        return [Partition(TOPIC, number) for number in range(len(self.broker.traces))]

    def join(self, source: SourceClient, process: Process) -> None:
        """Let a process speak for its name; back within the session it gets what the name had."""
        now_s = self.broker.network.loop.time()
        known = self.members.get(process.name)
        self._out.pop(process.name, None)
        self.members[process.name] = Member(process.name, process, source, now_s)
        if known is None:
            self.rebalance()
        else:
            self._give(self.members[process.name], known.given)

    def leave(self, name: str) -> None:
        if self.members.pop(name, None) is not None:
            self.rebalance()

    def look(self) -> None:
        """Throw out who shows no life, and take back who does; to be called now and then."""
        now_s = self.broker.network.loop.time()
        for member in list(self._out.values()):
            if self._is_alive(member):
                self.join(member.source, member.process)
        for member in list(self.members.values()):
            if self._is_alive(member):
                member.seen_s = now_s
            polls = member.source.polled_s
            silent = now_s - member.seen_s > SESSION_S
            stuck = member.process.state is State.RUNNING and now_s - polls > MAX_POLL_S
            if (silent and not self.broker.link.away) or stuck:
                member.source.polled_s = now_s
                self._give(member, frozenset())  # it hears of it when it runs again
                self.leave(member.name)
                self._out[member.name] = member

    def _is_alive(self, member: Member) -> bool:
        cut_off = self.broker.link.away or member.name in self.broker.link.cut_off
        return member.process.state is State.RUNNING and not cut_off

    def rebalance(self) -> None:
        """Share the partitions anew among the members there are."""
        self.generation += 1
        self._turn += 1
        members = sorted(self.members.values(), key=lambda one: one.name)
        for place, member in enumerate(members):
            given = {
                partition
                for number, partition in enumerate(self.partitions)
                if (number + self._turn) % len(members) == place
            }
            self._give(member, frozenset(given))

    def _give(self, member: Member, given: frozenset[Partition]) -> None:
        member.given = given
        network = self.broker.network
        delay_s = network.rng.random() ** 3 * 2.0
        member.source.tell(given, self.generation, delay_s)


class SourceClient:
    """`Source` for one process: what it was told, not what is true."""

    def __init__(self, group: Group, process: Process) -> None:
        self._group, self._process = group, process
        self._network = group.broker.network
        self._owned: frozenset[Partition] = frozenset()
        self._heard = 0  # what the group said last, by number
        self._said = 0
        self._generation = 0
        self._of_group = 0
        self._positions: dict[Partition, int] = {}
        self.polled_s = self._network.loop.time()

    async def start(self) -> None:
        """Join, and wait for the first word of the group."""
        await self._reach("joining")
        self._group.join(self, self._process)
        while self._heard == 0:  # noqa: ASYNC110 - looking costs nothing where time is virtual
            await asyncio.sleep(0.05)

    def tell(self, given: frozenset[Partition], generation: int, delay_s: float) -> None:
        """Say what the member owns now; it hears of it after a while, in the order it was said."""
        self._said += 1
        number = self._said

        async def hear() -> None:
            await asyncio.sleep(delay_s)
            if number > self._heard:
                self._heard = number
                self._owned, self._of_group = given, generation
                self._positions.clear()
                self._generation += 1

        if self._process.state is not State.DEAD:
            self._network.loop.spawn(self._process, hear())

    @property
    def owned(self) -> frozenset[Partition]:
        return self._owned

    @property
    def generation(self) -> int:
        return self._generation

    async def start_offset(self, partition: Partition) -> int:
        return await self.first_offset(partition)

    async def first_offset(self, partition: Partition) -> int:
        await self._reach("first offset")
        return self._group.broker.traces[partition.number].first

    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        await self._reach("end offsets")
        return {one: self._group.broker.traces[one.number].end for one in partitions}

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        generation = self._generation
        await self._reach("seek")
        log = self._group.broker.traces[partition.number]
        if partition not in self._owned or generation != self._generation:
            raise PartitionLost(f"{partition} is somebody else's")
        if not log.first <= offset <= log.end:
            raise OffsetOutOfRange(partition.topic, partition.number, offset, first=log.first, end=log.end)
        self._positions[partition] = offset

    def pause(self, partition: Partition) -> None:
        self._positions.pop(partition, None)

    async def position(self, partition: Partition) -> int | None:
        return self._positions.get(partition)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Partition, Sequence[Row]]:
        broker, network = self._group.broker, self._network
        self.polled_s = network.loop.time()
        try:
            await network.there(broker.link, "fetch")
        except Cut:
            return {}
        found = self._fetched(max_records)
        if not found:
            await broker.grown(TOPIC, timeout_ms / 1000)
            found = self._fetched(max_records)
        if found:
            await network.point("after getmany")
        return found

    def _fetched(self, max_records: int) -> dict[Partition, Sequence[Row]]:
        found: dict[Partition, Sequence[Row]] = {}
        rng = self._network.rng
        for partition, position in sorted(self._positions.items()):
            log = self._group.broker.traces[partition.number]
            if position < log.first:
                self.pause(partition)
                raise OffsetOutOfRange(partition.topic, partition.number, position, first=log.first, end=None)
            size = min(max_records, 1 + int(rng.random() ** 2 * 200))
            start = _index_of(log.rows, position)
            rows = log.rows[start : start + size]
            if rows:
                found[partition] = rows
            is_end = not rows or rows[-1] is log.rows[-1]
            self._positions[partition] = max(position, log.end if is_end else rows[-1].offset + 1)
        return found

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        try:
            await self._network.there(self._group.broker.link, "commit")
        except Cut:
            return
        if self._of_group == self._group.generation:
            self._group.committed.update(offsets)

    async def _reach(self, what: str) -> None:
        await self._network.point(f"before {what}")
        try:
            await self._network.there(self._group.broker.link, what)
            await self._network.back(self._group.broker.link, what)
        except Cut as cut:
            raise LogUnreachable(str(cut)) from cut


def _index_of(rows: Sequence[Row], offset: int) -> int:
    """Return the place of the first row at an offset or behind it."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle].offset < offset:
            low = middle + 1
        else:
            high = middle
    return low
