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
    """

    generation: int
    records: Sequence[SpanRecord]
    watermark_ms: int | None
    is_standby: bool = False
    is_at_end: bool = False


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

    async def _watch(self) -> None:
        while True:
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
            self._ports.report.warning(f"{error}; trying again")
            await self._ports.sleep(RETRY_S)
            return False
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
        await self._send()
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
                break
            except LogUnreachable as error:
                self._ports.report.warning(f"{error}; trying again")
                await self._ports.sleep(RETRY_S)
        self._moved_ms = self._ports.steady.now_ms()

    def _note_progress(self, polled: Polled) -> None:
        moved = polled.watermark_ms is not None and polled.watermark_ms > self._watermark_ms
        if polled.records or moved or polled.is_standby:
            self._moved_ms = self._ports.steady.now_ms()
        if polled.watermark_ms is not None:
            self._watermark_ms = polled.watermark_ms

    def _take_in(self, record: SpanRecord) -> None:
        counts = self._join.counts
        counts.add("records")
        found = self._ports.decode(record)
        if isinstance(found, str):
            place = record.place
            where = f"{place.partition.topic}/{place.partition.number}@{place.offset}"
            counts.add(f"record:{found}", 1, where)
            found = {}
        self._join.add(record.place, record.stamp_ms, found)

    async def _send(self) -> None:
        """Send what is due and wait until it is acknowledged, however long that takes."""
        batch = self._join.take()
        values: list[tuple[str, bytes]] = []
        for trace_id, facts in batch.events:
            value = self._ports.encode(facts)
            if isinstance(value, str):
                self._join.counts.add(f"unfit:{value}", 1, f"trace {trace_id}")
            else:
                values.append((trace_id, value))
        if await self._is_sent(values):
            self._join.acknowledged(batch)

    async def _is_sent(self, values: Sequence[tuple[str, bytes]]) -> bool:
        """Send until it is acknowledged; False where the bridge was told to end before that."""
        while values:
            try:
                await self._ports.traces.send(values)
                break
            except LogUnreachable as error:
                if self._stopping:
                    return False
                self._ports.report.warning(f"{error}; sending {len(values)} events again")
                await self._ports.sleep(RETRY_S)
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
