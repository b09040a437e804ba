"""Plays the script: traffic out, events in, the flag between them, and after every step the screen.

What the stage stands on (brokers, worker processes, the terminal) comes in through the Protocols below, so that the
whole show also runs against a monitor made of a few lines, in no time, in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.console.demo.clock import EventClock
from monitor.console.demo.flagfile import Flag, FlagFile
from monitor.console.demo.live import Recent
from monitor.console.demo.script import MINUTE_MS, Ending, Facts, Order, Progress, Task, advance, begin
from monitor.console.demo.sightings import Sighting
from monitor.console.demo.stories import BASELINE, Plan
from monitor.console.demo.traffic import Harm, Request, Traffic, trace_event
from monitor.console.demo.view import LogLine, Seen, View, view
from monitor.core.budget import Budget

STEP_S: Final = 0.1
"""Wall seconds between two batches: six seconds of event time at 60x, far below the bucket of a minute."""
VIEW_EVERY: Final = 3
"""Steps between two frames of the screen."""


class Pace(Protocol):
    """The wall, as far as the show needs it."""

    def now_ms(self) -> int:
        """Return epoch milliseconds."""

    async def step(self) -> bool:
        """Wait for the next step; False where somebody asked to end the show."""


class Broker(Protocol):
    """The topics."""

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Write trace events, (key, value) each, and return when all are acknowledged."""

    async def arm(self, release: str, budget: str | None) -> None:
        """Publish a budget, or take it back with None."""

    def heard(self) -> tuple[Sighting, ...]:
        """Return the events that came since the last call."""


class Workers(Protocol):
    """The monitor's processes."""

    def check(self) -> None:
        """Raise where one of them has ended."""


class Audience(Protocol):
    """Where the show is seen: a live screen, or lines."""

    def tell(self, line: LogLine) -> None:
        """Show one event or one remark."""

    def show(self, frame: View) -> None:
        """Show the whole state."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything a show stands on.

    Attributes:
        budgets: Per release the text that is published and the value the screen reads.
        run_id: Names this show in the ids of its events.
        footer: The last line of the screen.
    """

    clock: EventClock
    pace: Pace
    broker: Broker
    workers: Workers
    audience: Audience
    flag: FlagFile
    traffic: Traffic
    budgets: Mapping[str, tuple[str, Budget]]
    run_id: str
    footer: str


@dataclass(frozen=True, slots=True)
class Result:
    """How the show ended.

    Attributes:
        told: Every story was told; False where somebody ended the show before.
        first_breach_s: Wall seconds from the first request to the first breach seen; None = none was.
        events: Trace events sent.
    """

    endings: tuple[Ending, ...]
    told: bool
    first_breach_s: float | None
    events: int
    event_min: float

    @property
    def as_promised(self) -> bool:
        """Tell whether every story ended as promised."""
        return self.told and all(not ending.missing for ending in self.endings)


@dataclass(slots=True)
class _App:
    """The app that serves the requests: it reads the flag for each of them and reports what happened."""

    stage: Stage
    plan: Plan
    began_ms: int
    recent: Recent = field(default_factory=Recent)
    sent: int = 0
    incident_for: str | None = None

    def serve(self, now_ms: int) -> list[tuple[str, bytes]]:
        """Serve everything that came until now; return the trace events as (key, value)."""
        flag = self.stage.flag.read()
        harms = {story.release: story.harm for story in self.plan.stories}
        requests = self.stage.traffic.until(now_ms - self.began_ms)
        return [self._event(request, flag, harms) for request in requests]

    def _event(self, request: Request, flag: Flag, harms: Mapping[str, Harm]) -> tuple[str, bytes]:
        release = flag.variation(request.unit_id)
        served = self.stage.traffic.serve(request, harms.get(release, Harm.NONE))
        severity = None
        if release == self.incident_for:
            severity, self.incident_for = "high", None
        at_ms = self.began_ms + request.at_ms
        event = trace_event(
            request, served, run_id=self.stage.run_id, at_ms=at_ms, release=release, severity=severity
        )
        self.recent.add(at_ms, event)
        self.sent += 1
        return request.unit_id, json.dumps(event, separators=(",", ":")).encode()


async def play(plan: Plan, stage: Stage, *, stay: bool = False) -> Result:
    """Play all stories; with `stay`, go on serving healthy traffic until somebody asks to end."""
    stage.flag.serve(BASELINE)
    began_ms = now_ms = stage.clock.at(stage.pace.now_ms())
    app, seen = _App(stage, plan, began_ms), Seen()
    progress, orders = begin(plan, began_ms)
    steps = 0
    while True:
        for order in orders:
            await _obey(order, app)
        if steps % VIEW_EVERY == 0 or orders:
            stage.audience.show(_frame(now_ms, progress, plan, app, seen))
        if progress.is_over and not stay:
            break
        if not await stage.pace.step():
            break
        now_ms = stage.clock.at(stage.pace.now_ms())
        await stage.broker.send(app.serve(now_ms))
        stage.workers.check()
        progress, orders = advance(progress, plan, _facts(now_ms, progress, plan, app, seen))
        steps += 1
    first_ms = seen.first_breach_ms
    return Result(
        endings=progress.endings,
        told=progress.is_over,
        first_breach_s=None if first_ms is None else stage.clock.wall_seconds(first_ms - began_ms),
        events=app.sent,
        event_min=(now_ms - began_ms) / MINUTE_MS,
    )


async def _obey(order: Order, app: _App) -> None:
    stage, story = app.stage, order.story
    if order.task is Task.ARM:
        await stage.broker.arm(story.release, stage.budgets[story.release][0])
    elif order.task is Task.DISARM:
        await stage.broker.arm(story.release, None)
    elif order.task is Task.SERVE:
        stage.flag.serve(BASELINE, story.release, story.share_pct)
    elif order.task is Task.WITHDRAW:
        stage.flag.serve(BASELINE)
    else:
        app.incident_for = story.release


def _facts(now_ms: int, progress: Progress, plan: Plan, app: _App, seen: Seen) -> Facts:
    heard = app.stage.broker.heard()
    for line in seen.add(now_ms, heard):
        app.stage.audience.tell(line)
    release = progress.story(plan).release
    flag = app.stage.flag
    return Facts(now_ms, flag.read().share_pct(release), flag.changed_ms(), heard)


def _frame(now_ms: int, progress: Progress, plan: Plan, app: _App, seen: Seen) -> View:
    release, stage = progress.story(plan).release, app.stage
    return view(
        progress,
        plan,
        stage.budgets[release][1],
        now_ms=now_ms,
        speed=stage.clock.speed,
        share_pct=stage.flag.read().share_pct(release),
        recent=app.recent,
        seen=seen,
        footer=stage.footer,
    )
