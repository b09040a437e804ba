"""One instance's tasks: the data plane, the control plane and the readers of the control topics.

A task that ends is a crash of the instance: whoever runs it starts it again, and everything is recovered from
the log. Outages are not crashes: the loops go on, wait, and say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from monitor.core.budget import Budget
from monitor.core.cell import Incident
from monitor.core.errors import MonitorError
from monitor.core.history import HistoryHour
from monitor.core.plan import Plan, plan_for
from monitor.core.window import tick_ms
from monitor.engine.barrier import Barrier
from monitor.engine.book import Command
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.feed import Feed
from monitor.engine.lookout import LOOK_S, Lookout
from monitor.engine.observer import Observer
from monitor.engine.ports import Clock, Follower, LedgerEntry, Record
from monitor.engine.seal import StateDamaged
from monitor.engine.summons import Summons

CONTROL_PAUSE_S = 0.2
OUTAGE_PAUSE_S = 1.0
SAFETY_PAUSE_S = 1.0  # without news, incidents that wait for their reference are looked at so often
SUMMONS_PAUSE_S = 1.0  # reminders and escalation are counted in minutes
SPARE_MIN = 120  # beyond a budget's window: time to recover in
KEPT_MIN = (
    24 * 60 + SPARE_MIN
)  # stored cells older than this are dropped: a day of windows and two hours to recover in
BUDGETS_AT_ONCE = 4  # before others get their turn: a millisecond or two each
ENTRIES_AT_ONCE = 50  # of the other control topics: some 50 microseconds each
STALE_S = 30.0  # without progress for so long an instance is not alive


class TaskEnded(MonitorError):
    """A task that must never end did; the instance cannot go on."""


@dataclass(frozen=True, slots=True)
class Readers:
    """How the records of the control topics become what the engine knows.

    Attributes:
        budget: A budget, None for a tombstone, or why it cannot be used; with its release.
        command: A command, or why it is none.
        hour: An hour of a release's past, or why it is none.
    """

    entry: Callable[[Record], LedgerEntry | str]
    budget: Callable[[Record], tuple[str, Budget | None] | str]
    command: Callable[[Record], Command | str]
    incident: Callable[[Record], Incident | None]
    hour: Callable[[Record], HistoryHour | str]


@dataclass(frozen=True, slots=True)
class Followers:
    """The control topics, each read whole by every instance."""

    ledger: Follower
    budgets: Follower
    commands: Follower
    incidents: Follower
    history: Follower

    def all(self) -> tuple[Follower, ...]:
        """Return all of them."""
        return self.ledger, self.history, self.budgets, self.commands, self.incidents


class Planner:
    """The plan of all budgets in force, made anew when they change."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._seen: Mapping[str, Budget] = {}
        self._digests: tuple[str, ...] = ()
        self._plan = plan_for(())

    def __call__(self) -> Plan:
        """Return the plan; the same object while no budget changed."""
        budgets = self._control.budgets.in_force
        if budgets is not self._seen:
            digests = tuple(budget.digest for budget in budgets.values())
            if digests != self._digests:
                self._plan = plan_for(tuple(budgets.values()))
            self._seen, self._digests = budgets, digests
        return self._plan


class Instance:
    """Runs the tasks and tells how far they are."""

    def __init__(
        self,
        *,
        feed: Feed,
        control: Control,
        followers: Followers,
        readers: Readers,
        fresh_commands: Callable[[], Follower],
        fresh_ledger: Callable[[], Follower],
        observer: Observer,
        clock: Clock,
        lookout: Lookout | None = None,
    ) -> None:
        self._lookout = lookout
        self._feed = feed
        self._control = control
        self._followers = followers
        self._readers = readers
        self._commands = Barrier(fresh_commands, self._note_commands)
        self._ledger = Barrier(fresh_ledger, self._note_entries)
        self._observer = observer
        self._clock = clock
        self._turned_s = dict.fromkeys(("data", "control"), time.monotonic())
        self._progressed_s = dict(self._turned_s)
        self._is_started = False
        self._dropped_before = 0
        self._summons = Summons(control, clock, observer)
        self._stopping = asyncio.Event()

    async def prepare(self) -> None:
        """Read the control topics to their ends, so that nothing is decided on half a picture."""
        follow = self._followers
        for follower in follow.all():
            await follower.start()
        for one in self._taken():
            await one.take(await one.follower.read_to_end())
        await self._control.admission.keep_up()
        self._say_what_is_forgotten()

    def _say_what_is_forgotten(self) -> None:
        """Name the releases that the ledger has as armed and no budget watches: a file that is gone disarms nothing."""
        watched = self._control.budgets.in_force
        for release in self._control.book.armed():
            if release not in watched and release not in self._control.budgets.removed():
                self._observer.forgotten(release)

    async def read_commands(self) -> None:
        """Read the commands topic to the end it has now: before a deadline nobody's word is left unread."""
        await self._commands.read()

    async def read_ledger(self) -> None:
        """Read the ledger to the end it has now: what another instance has on record by now counts."""
        await self._ledger.read()

    async def run(self) -> None:
        """Run until `stop`; raises whatever ended a task."""
        tasks = (
            self._guarded("data plane", self._feed_loop()),
            self._guarded("control plane", self._control_loop()),
            *(self._guarded(one.name, self._each(one)) for one in self._taken()),
            self._guarded("safety", self._safety_loop()),
            self._guarded("summons", self._summons_loop()),
            self._guarded("log's ends", self._look_loop()),
        )
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
            if self._lookout is not None:
                group.create_task(self._guarded("lookout", self._lookout_loop(self._lookout)))

    async def stop(self) -> None:
        """Flush what memory has ahead of the store, and end the tasks."""
        self._stopping.set()
        followers = (follower.stop() for follower in self._followers.all())
        await asyncio.gather(*followers, self._commands.stop(), self._ledger.stop())

    @property
    def is_alive(self) -> bool:
        """Tell whether both planes go round: in an outage too, which no restart of ours would end."""
        return time.monotonic() - min(self._turned_s.values()) < STALE_S

    @property
    def is_ready(self) -> bool:
        """Tell whether the control topics are read and both planes make progress."""
        return self._is_started and time.monotonic() - min(self._progressed_s.values()) < STALE_S

    def sight(self) -> Mapping[str, object]:
        """Return how well the partitions are seen, for people and probes; empty before the first look."""
        sighting = None if self._lookout is None else self._lookout.sighting
        return {} if sighting is None else sighting.as_data()

    async def _guarded(self, name: str, task: Awaitable[None]) -> None:
        await task
        if not self._stopping.is_set():
            raise TaskEnded(f"the task {name!r} ended by itself")

    async def _feed_loop(self) -> None:
        while not self._stopping.is_set():
            if await self._round("data", self._feed_step):
                self._progressed("data")
        # Unflushed records are read again: leaving in an outage loses time and nothing else.
        await self._round("data", self._feed.flush_all)

    async def _feed_step(self) -> None:
        await self._feed.step()

    async def _control_loop(self) -> None:
        while not self._stopping.is_set():
            if await self._round("control", self._control_step):
                self._progressed("control")
                self._is_started = True
            await self._pause(CONTROL_PAUSE_S)
        await self._round("control", self._control.leave)

    async def _safety_loop(self) -> None:
        """Judge incidents as they are heard, in between the steps of the control plane."""
        while not self._stopping.is_set():
            await self._control.hearing.news(SAFETY_PAUSE_S)
            await self._round("safety", self._control.decide_now)

    async def _summons_loop(self) -> None:
        """Call people again in time, whatever the control plane is busy with or waits for."""
        while not self._stopping.is_set():
            await self._round("summons", self._summons.step)
            await self._pause(SUMMONS_PAUSE_S)

    async def _look_loop(self) -> None:
        while not self._stopping.is_set():
            await self._round("look", self._feed.look_around)
            await self._pause(self._feed.interval_s)

    async def _lookout_loop(self, lookout: Lookout) -> None:
        while not self._stopping.is_set():
            await self._round("lookout", lookout.look)
            await self._pause(LOOK_S)

    async def _round(self, plane: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Do one step; False where an outage kept it from its end, after a pause."""
        self._turned_s[plane] = time.monotonic()
        try:
            await step()
            return True
        except LogUnreachable as error:
            self._observer.log_away(str(error))
        except StoreUnreachable as error:
            self._observer.store_away(str(error))
        except StateDamaged:
            pass  # its finder has said so; nothing is decided until the state adds up again
        await self._pause(OUTAGE_PAUSE_S)
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until we are to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _progressed(self, plane: str) -> None:
        self._progressed_s[plane] = time.monotonic()

    async def _control_step(self) -> None:
        began_s = time.monotonic()
        ticks = await self._control.step()
        watermark = self._control.watermark
        self._observer.ticked(
            ticks,
            time.monotonic() - began_s,
            None if watermark is None else tick_ms(watermark),
            self._clock.now_ms(),
            len(self._control.live),
        )
        if watermark is None:
            return
        windows = (budget.window_min + SPARE_MIN for budget in self._control.budgets.in_force.values())
        oldest = watermark - max(KEPT_MIN, *windows, 0)
        if oldest > self._dropped_before:
            self._dropped_before = oldest
            await self._feed.drop_old(self._dropped_before)

    def _taken(self) -> tuple[_Taken, ...]:
        """Return the control topics in the order they are read at first."""
        follow = self._followers
        return (
            _Taken("ledger", follow.ledger, self._note_entries, barrier=self._ledger),
            _Taken("history", follow.history, self._note_hours),
            _Taken("budgets", follow.budgets, self._note_budgets, at_once=BUDGETS_AT_ONCE),
            _Taken("commands", follow.commands, self._note_commands, barrier=self._commands),
            _Taken("incidents", follow.incidents, self._note_incidents),
        )

    async def _each(self, taken: _Taken) -> None:
        async for records in taken.follower:
            await taken.take(records)
            if taken.barrier is not None:
                await taken.barrier.read_ahead()

    def _note_entries(self, records: Sequence[Record]) -> None:
        for record in records:
            entry = self._readers.entry(record)
            if isinstance(entry, str):
                self._observer.refused(f"{record.topic} {record.partition}/{record.offset}", entry)
            else:
                self._control.note(entry)

    def _note_budgets(self, records: Sequence[Record]) -> None:
        for record in records:
            found = self._readers.budget(record)
            if isinstance(found, str):
                self._observer.refused(f"{record.topic} {record.partition}/{record.offset}", found)
                continue
            release, budget = found
            if budget is None:
                self._control.budgets.remove(release)
            elif self._control.budgets.put(budget):
                self._observer.refused(
                    f"the file's budget of {release}", "the topic names the same release, and the topic wins"
                )

    def _note_commands(self, records: Sequence[Record]) -> None:
        for record in records:
            command = self._readers.command(record)
            if isinstance(command, str):
                self._observer.refused(f"{record.topic} {record.partition}/{record.offset}", command)
            else:
                self._control.commands.note(command)

    def _note_hours(self, records: Sequence[Record]) -> None:
        for record in records:
            hour = self._readers.hour(record)
            if isinstance(hour, str):
                self._observer.refused(f"{record.topic} {record.partition}/{record.offset}", hour)
            else:
                self._control.history.book.note(hour)

    def _note_incidents(self, records: Sequence[Record]) -> None:
        for record in records:
            incident = self._readers.incident(record)
            if incident is not None:
                self._control.hearing.note(incident)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A control topic, who takes its records in, so many before others get their turn, and who else reads it."""

    name: str
    follower: Follower
    note: Callable[[Sequence[Record]], None]
    at_once: int = ENTRIES_AT_ONCE
    barrier: Barrier | None = None

    async def take(self, records: Sequence[Record]) -> None:
        """Take records in: a hundred budgets may come together."""
        for start in range(0, len(records), self.at_once):
            self.note(records[start : start + self.at_once])
            await asyncio.sleep(0)
