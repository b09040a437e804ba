"""A stage without servers: a wall that moves when it is asked, and a monitor of a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from monitor.config.budget_file import load_budget
from monitor.console.demo.clock import EventClock, ending_now
from monitor.console.demo.flagfile import FlagFile
from monitor.console.demo.pools import load_pools
from monitor.console.demo.show import STEP_S, Stage
from monitor.console.demo.sightings import Sighting
from monitor.console.demo.stories import BASELINE, FLAG_KEY, Plan, budget_text
from monitor.console.demo.traffic import Traffic
from monitor.console.demo.view import LogLine, View
from tests.console.demo.said import (
    LATENCY,
    SAFETY,
    SUCCESS,
    armed,
    assessed,
    breach,
    page,
    rollback,
    verified,
)

SPEED = 60
MINUTE_MS = 60_000
_REAL = load_pools()
POOLS = replace(_REAL, arrivals=_REAL.arrivals[::8])  # the same half hour, thinner: the tests have no minutes


class Wall:
    """Moves by one step whenever the show waits for one; ends the show after `at_most` of them."""

    def __init__(self, at_most: int = 10_000) -> None:
        self._now_ms, self.steps, self._at_most = 1_795_305_600_000, 0, at_most

    def now_ms(self) -> int:
        return self._now_ms

    async def step(self) -> bool:
        self.steps += 1
        self._now_ms += round(STEP_S * 1000)
        return self.steps <= self._at_most


class StandIn:
    """Reads the events that are sent, and says what the real monitor would, some minutes after the first one."""

    def __init__(self, flag: FlagFile, *, silent: bool = False) -> None:
        self._flag, self._silent = flag, silent
        self._said: list[Sighting] = []
        self._began: dict[str, int] = {}
        self._done: set[tuple[str, str]] = set()
        self.budgets: list[tuple[str, str | None]] = []
        self.events: list[dict[str, object]] = []
        self.latest_ms = 0

    async def arm(self, release: str, budget: str | None) -> None:
        self.budgets.append((release, budget))
        if budget is not None:
            self._said += armed(release)

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        for _, value in events:
            event = json.loads(value)
            self.events.append(event)
            release, at_ms = str(event["release"]), int(event["at"])
            assert at_ms >= self.latest_ms, "event time never goes back"
            self.latest_ms = at_ms
            if release != BASELINE and not self._silent:
                self._watch(release, at_ms, event)

    def _watch(self, release: str, at_ms: int, event: dict[str, object]) -> None:
        lasted = (at_ms - self._began.setdefault(release, at_ms)) / MINUTE_MS
        if event.get("incident_severity"):
            self._roll_back(release, SAFETY, "A", "immediate")
        elif release.startswith("chat-v42"):
            self._once(release, "assessed", lasted >= 9, lambda: assessed(release))
        elif release.startswith("chat-v43"):
            self._once(release, "breach", lasted >= 6, lambda: breach(release, LATENCY, at_ms))
            deadline = at_ms + 15 * MINUTE_MS
            self._once(release, "page", lasted >= 12, lambda: page(release, LATENCY, deadline))
            if lasted >= 27:
                self._roll_back(release, LATENCY, "B", "commander_silent")
        elif release.startswith("chat-v45"):
            self._once(release, "breach", lasted >= 6, lambda: breach(release, SUCCESS, at_ms))
            if lasted >= 12:
                self._roll_back(release, SUCCESS, "A", "breach")

    def _once(self, release: str, what: str, due: bool, said: Callable[[], tuple[Sighting, ...]]) -> None:
        if due and (release, what) not in self._done:
            self._done.add((release, what))
            self._said += said()

    def _roll_back(self, release: str, objective: str, tier: str, reason: str) -> None:
        if (release, "rollback") in self._done:
            return
        self._done.add((release, "rollback"))
        self._flag.serve(BASELINE)
        self._said += rollback(release, objective, tier, reason) + verified(release)

    def heard(self) -> tuple[Sighting, ...]:
        said, self._said = tuple(self._said), []
        return said


class Crew:
    """Workers that never end, or that end at a given check."""

    def __init__(self, ends_at: int | None = None) -> None:
        self._left = ends_at

    def check(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise RuntimeError("a worker has ended")


class Watcher:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.frames: list[View] = []

    def tell(self, line: LogLine) -> None:
        self.lines.append(line)

    def show(self, frame: View) -> None:
        self.frames.append(frame)


def clock_of(wall: Wall, plan: Plan) -> EventClock:
    return ending_now(wall.now_ms(), expected_min=plan.expected_min, speed=SPEED)


def stage(
    plan: Plan, folder: Path, *, wall: Wall | None = None, silent: bool = False, crew: Crew | None = None
) -> tuple[Stage, StandIn, Watcher]:
    wall = wall or Wall()
    flag = FlagFile(folder / "flags.json", FLAG_KEY)
    monitor, watcher = StandIn(flag, silent=silent), Watcher()
    texts = {story.release: budget_text(plan, story) for story in plan.stories}
    return (
        Stage(
            clock=clock_of(wall, plan),
            pace=wall,
            broker=monitor,
            workers=crew or Crew(),
            audience=watcher,
            flag=flag,
            traffic=Traffic(POOLS, seed=1),
            budgets={release: (text, load_budget(text, release)) for release, text in texts.items()},
            run_id="test",
            footer="the last line",
        ),
        monitor,
        watcher,
    )
