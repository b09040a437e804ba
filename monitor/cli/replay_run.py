"""Runs a replay: records in, decisions as lines out, a meter on a terminal. Loaded by the verb when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, BinaryIO

from monitor.adapters.collector import looking_seldom
from monitor.adapters.kafka.decode import decode
from monitor.cli.output import let_go
from monitor.cli.replay_report import Outcome
from monitor.core.budget import Budget
from monitor.core.decision import Decision
from monitor.core.storm import StormLimit
from monitor.engine.book import Command
from monitor.engine.breaker import NO_LIMIT
from monitor.engine.replay import Replay, ReplayCounts
from monitor.wire.cloudevent import of_decision, to_line

if TYPE_CHECKING:
    from monitor.adapters.kafka.topic_range import RangeReader
    from monitor.adapters.recordings import FileRecordings
    from monitor.engine.history import HistoryBook

Meter = Callable[[int, int | None, int], None]
"""Told how far reading has come, of how much (None: not known), and how many records that were."""


class ReaderLeft(Exception):
    """Nobody reads our stdout any more, and nothing else was asked for."""


class Stage:
    """Where decisions go: one line each, and into the outcome.

    Attributes:
        seconds: Since this stage was made.
    """

    def __init__(self, out: BinaryIO, *, goes_on: bool) -> None:
        """Begin.

        Args:
            goes_on: Whether the outcome is wanted even when nobody reads the lines.
        """
        self._out = out
        self._goes_on = goes_on
        self._is_read = True
        self._began_s = perf_counter()
        self.outcome = Outcome()

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return perf_counter() - self._began_s

    def show(self, decisions: Sequence[Decision]) -> None:
        """Write decisions and let the reader have them at once.

        Raises:
            ReaderLeft: The pipe is closed.
        """
        self.outcome.note(decisions)
        if not self._is_read:
            return
        try:
            self._out.write(b"".join(to_line(of_decision(decision)) + b"\n" for decision in decisions))
            self._out.flush()
        except BrokenPipeError:
            self._is_read = False
            let_go(self._out)
            if not self._goes_on:
                raise ReaderLeft from None


def play_files(
    budgets: Sequence[Budget],
    recording: FileRecordings,
    stage: Stage,
    history: HistoryBook | None = None,
    storm: StormLimit = NO_LIMIT,
    commands: Sequence[Command] = (),
) -> ReplayCounts:
    """Replay files as one partition.

    Raises:
        RecordingUnreadable, RecordingBroken: A file cannot be read, or not to its end.
        ReaderLeft: Nobody reads the decisions.
    """
    replay = Replay(budgets, decode, history=history, storm=storm, commands=commands)
    show = stage.show
    with meter("bytes") as tell, looking_seldom():
        for batch in recording.batches():
            due = replay.feed_many(batch)
            if due:
                show(due)
            tell(recording.done_bytes, recording.total_bytes, recording.lines)
    show(replay.finish())
    return replay.counts()


async def play_topic(
    budgets: Sequence[Budget],
    reader: RangeReader,
    event_time: Callable[[int], int],
    stage: Stage,
    history: HistoryBook | None = None,
    storm: StormLimit = NO_LIMIT,
    commands: Sequence[Command] = (),
) -> ReplayCounts:
    """Replay a range of a topic, partition by partition as the live engine reads them.

    Args:
        event_time: Maps a record's own time to event time.

    Raises:
        LogUnreachable: Kafka does not answer.
        RecordingUnreadable, RecordingBroken: There is no such range, or it could not be read to its end.
        ReaderLeft: Nobody reads the decisions.
    """
    try:
        lanes = max(1, await reader.start())
        replay = Replay(budgets, decode, partitions=lanes, history=history, storm=storm, commands=commands)
        feed, show, records = replay.feed, stage.show, 0
        with meter("records") as tell, looking_seldom():
            async for batch in reader.batches():
                for lane in batch.ended:
                    show(replay.end(lane))
                for lane, at_ms, value in batch.records:
                    due = feed(value, partition=lane, record_ms=event_time(at_ms))
                    if due:
                        show(due)
                records += len(batch.records)
                tell(reader.done, reader.total, records)
    finally:
        await reader.stop()
    show(replay.finish())
    return replay.counts()


@contextmanager
def meter(unit: str) -> Iterator[Meter]:
    """Show on a terminal how far we are; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    rate = TextColumn("{task.fields[rate]:,.0f} events/s")
    progress = Progress(
        BarColumn(), amount, rate, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    )
    task = progress.add_task("replay", total=None, rate=0.0)
    began_s = perf_counter()

    def update(done: int, total: int | None, records: int) -> None:
        rate = records / max(perf_counter() - began_s, 1e-9)
        progress.update(task, completed=done, total=total, rate=rate)

    with progress:
        yield update


def _silent(_done: int, _total: int | None, _records: int) -> None:
    """Say nothing: nobody watches."""
