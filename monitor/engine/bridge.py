"""The bridge's order of steps: read, join, send, and only then commit. What is not acknowledged is read again.

One task does it, one step after the other: nothing is committed beside a batch that is still on its way. A second one
watches that it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from monitor.core.errors import MonitorError
from monitor.core.span import Parts
from monitor.core.span_mapping import Facts
from monitor.engine.bridge_sight import STILL_MS, UNOBSERVED, BridgeObserver, BridgeSight, BridgeState
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Clock, Partition
from monitor.engine.span_join import Place, SpanJoin

COMMIT_MS: Final = 1_000
REPORT_MS: Final = 60_000
RETRY_S: Final = 1.0
_LOOK_S: Final = 1.0


class BridgeStuck(MonitorError):
    """Nothing has moved for too long; whoever started the bridge starts it again, and nothing is lost by that."""


class SpanRecord(NamedTuple):
    """One record of the collector's topics; `is_logs` tells which."""

    place: Place
    stamp_ms: int
    value: bytes | None
    is_logs: bool


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look at the collector's topics brought.

    Attributes:
        generation: Grows with every rebalance: reading then goes on from what was committed.
        watermark_ms: Every record with an earlier stamp has been handed out; None while that is not known.
        is_standby: Other bridges have all partitions.
        is_at_end: All is handed out that was there at the start; only told where that was asked for.
        unread: Records of these partitions that are not handed out yet; None while that is not known.
        behind_ms: How far the watermark is behind the wall clock; None where there is none.
    """

    generation: int
    records: Sequence[SpanRecord]
    watermark_ms: int | None
    is_standby: bool = False
    is_at_end: bool = False
    unread: int | None = None
    behind_ms: int | None = None


class SpanTopics(Protocol):
    """The collector's topics. Calls are bounded and raise `LogUnreachable`."""

    async def poll(self) -> Polled:
        """Return the next records, or none after a short while."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell where reading goes on after a restart."""


class TraceTopic(Protocol):
    """The traces topic."""

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Append values by their keys; return when all of them are acknowledged, else raise `LogUnreachable`."""

    async def recall(self, take: Callable[[Facts], None]) -> None:
        """Hand out what was told of lately and was not handed out before, the events of a trace in their order."""


class Report(Protocol):
    """Where the bridge says what it does."""

    def info(self, event: str) -> object:
        """Write what is as it should be."""

    def warning(self, event: str) -> object:
        """Write what is not."""


@dataclass(frozen=True, slots=True)
class BridgePorts:
    """What the bridge works with.

    Attributes:
        decode: Returns what a record holds, or the reason why nothing.
        encode: Returns a trace event as the contract's bytes, or the reason why it does not fit.
    """

    spans: SpanTopics
    traces: TraceTopic
    decode: Callable[[SpanRecord], Mapping[str, Parts] | str]
    encode: Callable[[Facts], bytes | str]
    steady: Clock
    report: Report
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    observer: BridgeObserver = UNOBSERVED


class _Lag(NamedTuple):
    """What the last look at the collector's topics said of how far it is."""

    is_standby: bool = False
    unread: int | None = None
    behind_ms: int | None = None


class Bridge:
    """One bridge. `run` ends when it is told to, or with `once` at the end of what is there."""

    def __init__(self, ports: BridgePorts, join: SpanJoin, *, stuck_s: float, once: bool = False) -> None:
        self._ports, self._join, self._once = ports, join, once
        self._stuck_ms = round(stuck_s * 1000)
        self._stopping = False
        self._generation = -1
        self._watermark_ms = -1
        self._committed: dict[Partition, int] = {}
        now_ms = ports.steady.now_ms()
        self._moved_ms = self._committed_ms = self._reported_ms = now_ms
        self._reported: dict[str, int] = {}
        self._looked_ms: int | None = None
        self._lag: _Lag | None = None
        self._away: str | None = None
        self._settled: Mapping[str, int] = {}

    @property
    def is_alive(self) -> bool:
        """Whether its loop goes round. Asked from another thread: what blocks the loop would keep the answer too."""
        return self._looked_ms is None or self._ports.steady.now_ms() - self._looked_ms <= self._stuck_ms

    def sight(self) -> BridgeSight:
        """Return how it stands now; may be asked from another thread."""
        lag, away = self._lag, self._away
        still_ms = self._ports.steady.now_ms() - self._moved_ms
        if away is not None:
            state = BridgeState.AWAY
        elif lag is None:
            state = BridgeState.STARTING
        elif still_ms > STILL_MS:
            state = BridgeState.STILL
        elif lag.is_standby:
            state = BridgeState.STANDBY
        else:
            state = BridgeState.IDLE if lag.unread == 0 else BridgeState.BRIDGING
        _, unread, behind_ms = lag or _Lag()
        return BridgeSight(state, away, unread, behind_ms, still_ms, self._join.open_count)

    def stop(self) -> None:
        """End after the step that is under way: what is open stays uncommitted, and is read again."""
        self._stopping = True

    async def run(self) -> None:
        """Bridge until the end.

        Raises:
            BridgeStuck: Nothing has moved for too long.
        """
        self._moved_ms = self._ports.steady.now_ms()  # joining the group took its own time
        working = asyncio.create_task(self._work())
        watching = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
            self._ports.observer.looked(self._settled, self.sight())

    async def _watch(self) -> None:
        while True:
            self._looked_ms = self._ports.steady.now_ms()
            self._ports.observer.looked(self._settled, self.sight())
            await self._ports.sleep(_LOOK_S)
            silent_ms = self._ports.steady.now_ms() - self._moved_ms
            if silent_ms > self._stuck_ms:
                raise BridgeStuck(
                    f"nothing has moved for {silent_ms // 1000} s: neither records nor the time up to which the "
                    "collector's topics are read; look at Kafka, and start the bridge again"
                )

    async def _work(self) -> None:
        is_done = False
        while not (is_done or self._stopping):
            is_done = await self._step()
        await self._commit()
        self._report()

    async def _step(self) -> bool:
        """Read once and tell what is due; return whether that was the end."""
        try:
            polled = await self._ports.spans.poll()
        except LogUnreachable as error:
            await self._wait_for_log(error, f"{error}; trying again")
            return False
        self._away = None
        if polled.generation != self._generation:
            self._generation = polled.generation
            self._join.forget_places()
            self._committed.clear()
            await self._recall()
        for record in polled.records:
            self._take_in(record)
        if polled.watermark_ms is not None:
            self._join.close(polled.watermark_ms)
        is_end = self._once and polled.is_at_end
        if is_end:
            self._join.close_all()
        if await self._send():
            self._settled = dict(self._join.counts.of)
        self._note_progress(polled)
        now_ms = self._ports.steady.now_ms()
        if now_ms - self._committed_ms >= COMMIT_MS:
            self._committed_ms = now_ms
            await self._commit()
        if now_ms - self._reported_ms >= REPORT_MS:
            self._reported_ms = now_ms
            self._report()
        return is_end

    async def _recall(self) -> None:
        """Learn what is on the traces topic already, from before a restart or from another bridge."""
        while not self._stopping:
            try:
                await self._ports.traces.recall(self._join.recall)
                self._away = None
                break
            except LogUnreachable as error:
                await self._wait_for_log(error, f"{error}; trying again")
        self._moved_ms = self._ports.steady.now_ms()

    async def _wait_for_log(self, error: LogUnreachable, words: str) -> None:
        """Say that Kafka is away, and wait before the next try; who tries clears it."""
        self._away = str(error)
        self._ports.report.warning(words)
        await self._ports.sleep(RETRY_S)

    def _note_progress(self, polled: Polled) -> None:
        moved = polled.watermark_ms is not None and polled.watermark_ms > self._watermark_ms
        if polled.records or moved or polled.is_standby:
            self._moved_ms = self._ports.steady.now_ms()
        if polled.watermark_ms is not None:
            self._watermark_ms = polled.watermark_ms
        self._lag = _Lag(polled.is_standby, polled.unread, polled.behind_ms)

    def _take_in(self, record: SpanRecord) -> None:
        counts = self._join.counts
        counts.add("records")
        found = self._ports.decode(record)
        if isinstance(found, str):
            place = record.place
            where = f"{place.partition.topic}/{place.partition.number}@{place.offset}"
            counts.add(f"record:{found}", 1, where)
            found = {}
        if spans := sum(len(parts.spans) for parts in found.values()):
            counts.add("spans", spans)
        self._join.add(record.place, record.stamp_ms, found)

    async def _send(self) -> bool:
        """Send what is due and wait until it is acknowledged, however long that takes; False where it was not."""
        batch = self._join.take()
        values: list[tuple[str, bytes]] = []
        for trace_id, facts in batch.events:
            value = self._ports.encode(facts)
            if isinstance(value, str):
                self._join.counts.add(f"unfit:{value}", 1, f"trace {trace_id}")
            else:
                values.append((trace_id, value))
        if not await self._is_sent(values):
            return False
        self._join.acknowledged(batch)
        return True

    async def _is_sent(self, values: Sequence[tuple[str, bytes]]) -> bool:
        """Send until it is acknowledged; False where the bridge was told to end before that."""
        while values:
            try:
                await self._ports.traces.send(values)
                self._away = None
                break
            except LogUnreachable as error:
                if self._stopping:
                    return False
                await self._wait_for_log(error, f"{error}; sending {len(values)} events again")
        return True

    async def _commit(self) -> None:
        safe = self._join.safe_offsets()
        news = {
            partition: offset
            for partition, offset in safe.items()
            if self._committed.get(partition) != offset
        }
        if not news:
            return
        try:
            await self._ports.spans.commit(news)
        except LogUnreachable as error:
            self._ports.report.warning(f"{error}; committed later")
        else:
            self._committed |= news

    def _report(self) -> None:
        """Say what was counted since the last time: sums as they should be, and a line with an example for the rest."""
        counts, before = self._join.counts, self._reported
        new = {name: count - before.get(name, 0) for name, count in counts.of.items()}
        self._reported = dict(counts.of)
        told = ", ".join(f"{new.get(name, 0)} {name}" for name in ("records", "requests", "outcomes"))
        self._ports.report.info(f"{told}; {self._join.open_count} traces open")
        for name in sorted(counts.samples):
            if new.get(name):
                example = counts.samples[name]
                self._ports.report.warning(
                    f"{name}: {new[name]} more, such as {example}; docs/otlp.md has what it means"
                )
