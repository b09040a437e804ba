"""The simulated world: servers, workers, producers and a nemesis on one loop, all of it drawn from one seed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

from monitor.adapters.kafka.topics import COMMANDS
from monitor.config.budget_file import load_budget
from monitor.core.budget import Budget
from monitor.engine.ports import Partition
from tests.simulation.broker import Broker
from tests.simulation.effects import ActuatorClient, Flags, People
from tests.simulation.group import Group, SourceClient
from tests.simulation.loop import SimulatedLoop, State, new_loop
from tests.simulation.network import Network
from tests.simulation.store import Server, StoreClient
from tests.simulation.traffic import MINUTE_MS, Producer, Story, stories
from tests.simulation.worker import Worker

SPEED = 30  # event time runs so much faster than the machines' time, as the demo's does
BEGIN_MS = 1_793_610_000_000  # 2026-11-02T09:00:00Z, a whole minute
PRODUCE_S = 0.25
CALM_MIN = 8  # minutes of traffic after the last fault
SETTLE_S = (
    90.0  # for everything to be read, decided and carried out, once all is well and no more traffic comes
)
HOLD_MIN, LIMIT_PCT = 4, 10  # as the budget below says

BUDGET = """\
release: {release}
baseline: model-1
window: 24h
rollback_budget:
  quality:
    task_success_delta_pct: -10
    max_duration_min: 4
    evidence: off
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
    literal: true
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_60m
flag: {{actuator: flagd-file, key: flag-{release}, baseline_variation: old, candidate_variation: new}}
"""


@dataclass(frozen=True)
class Setup:
    """How large a world is.

    Attributes:
        minutes: Of traffic while the nemesis is at work; event time.
        pause_s: Between two faults, on average.
    """

    minutes: int = 24
    workers: int = 3
    partitions: int = 3
    hostile: float = 0.08
    pause_s: float = 1.5


@dataclass(frozen=True)
class Make:
    """What the workers' clients are made of; a planted bug puts another one in."""

    store: Callable[[Server], StoreClient] = StoreClient
    source: Callable[..., SourceClient] = SourceClient
    actuator: Callable[[Flags], ActuatorClient] = ActuatorClient


@dataclass
class World:
    """Everything there is.

    Attributes:
        violations: Which promise was broken, and how.
        notes: What happened, for people: (seconds, text).
        held_ms: Since when a commander holds a release's rollbacks back.
        corrupted: The fields that were damaged, and what they were damaged to.
    """

    seed: int
    setup: Setup = Setup()
    make: Make = Make()
    wants_notes: bool = False
    is_simulated: bool = True
    violations: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    skew_ms: dict[str, int] = field(default_factory=dict)
    corrupted: dict[tuple[Partition, str], bytes | None] = field(default_factory=dict)
    held_ms: dict[str, int] = field(default_factory=dict)
    effects_at: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.loop = new_loop(Random(self.rng.random()))
        self.network = Network(self.loop, Random(self.rng.random()))
        self.broker = Broker(self.network, self.setup.partitions, self.wall_ms)
        self.store = Server(self.network)
        self.group = Group(self.broker)
        self.flags, self.people = Flags(self.network), People(self.network)
        self.stories: list[Story] = stories(self.rng, self.setup.minutes)
        self.producer = Producer(
            Random(self.rng.random()),
            self.stories,
            BEGIN_MS,
            self.setup.partitions,
            hostile=self.setup.hostile,
        )
        self.budgets: tuple[Budget, ...] = tuple(
            load_budget(BUDGET.format(release=story.release), f"{story.release}.yaml")
            for story in self.stories
        )
        for story in self.stories:
            self.flags.serving[f"flag-{story.release}"] = "new"
        self.workers: dict[str, Worker] = {}
        self.is_calm = False
        self.is_traffic_over = False
        self.is_at_rest = False

    # Time -------------------------------------------------------------------------------------------------------------

    def wall_ms(self) -> int:
        """Return the servers' time, epoch milliseconds."""
        return BEGIN_MS + int(self.loop.time() * 1000)

    def event_ms(self, wall_ms: int) -> int:
        """Return the event time of a record's own time."""
        return BEGIN_MS + (wall_ms - BEGIN_MS) * SPEED

    @property
    def minute(self) -> int:
        """The minute of event time that it is, counted from the beginning."""
        return (self.event_ms(self.wall_ms()) - BEGIN_MS) // MINUTE_MS

    # What happens -----------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        if self.wants_notes:
            self.notes.append((self.loop.time(), text))

    def violation(self, promise: str, how: str) -> None:
        self.violations.append((promise, how))
        self.note(f"VIOLATED {promise}: {how}")

    def damaged(self, why: str) -> None:
        """Hear that state does not add up: nobody but a fault that damages state may cause that."""
        self.counts["damaged"] += 1
        is_lost = self.store.losses > 0 and "lost it" in why
        if not is_lost and not self.counts["corrupted"]:
            self.violation("I2 offset and aggregates move together", why)

    def start_worker(self, name: str) -> None:
        self.workers[name] = Worker(self, name)
        self.note(f"{name}: starts")
        self.workers[name].start()

    def kill(self, worker: Worker) -> None:
        """End a worker as SIGKILL does."""
        self.loop.kill(worker.process)
        worker.is_over = True
        self.counts["kills"] += 1
        self.note(f"{worker.name}: killed")
        self.worker_ended(worker)

    def worker_ended(self, worker: Worker) -> None:
        """Let the supervisor start the next life after a while."""
        delay_s = 0.1 + self.network.rng.random() ** 2 * 6.0

        def again() -> None:
            if self.workers[worker.name] is worker and not self.is_at_rest:
                self.start_worker(worker.name)

        self.loop.later(self.loop.world, delay_s, again)

    def effects_leader(self) -> str:
        """Return whose turn the effect topics are: one member of the group."""
        return min(self.group.members, default="")

    # The whole run ----------------------------------------------------------------------------------------------------

    async def _produce(self) -> None:
        total = self.setup.minutes + CALM_MIN
        while self.minute < total:
            await asyncio.sleep(PRODUCE_S)
            now_ms = self.event_ms(self.wall_ms())
            for number, value in self.producer.events(now_ms, int(PRODUCE_S * 1000 * SPEED)):
                self.broker.produce(number, value, markers=self.network.rng.random() < 0.02)
        self.is_traffic_over = True
        self.note("no more traffic")

    async def _command(self, story: Story, held_at: int) -> None:
        """Let a commander hold the rollbacks of a release back from a minute on."""
        while self.minute < held_at:  # noqa: ASYNC110 - looking costs nothing where time is virtual
            await asyncio.sleep(0.1)
        order = {
            "command": "override",
            "command_id": f"hold-{story.release}",
            "release": story.release,
            "author": "ada",
            "reason": "a provider's outage",
            "until": BEGIN_MS + 24 * 60 * MINUTE_MS,
        }
        record = self.broker.append(COMMANDS, story.release, json.dumps(order).encode())
        self.held_ms[story.release] = self.event_ms(record.at_ms)
        self.note(f"a commander holds {story.release} back")

    async def _coordinate(self) -> None:
        while not self.is_at_rest:
            await asyncio.sleep(0.5)
            self.group.look()

    async def _rest(self) -> None:
        """Wait until everything is read and judged; say what is not, when it takes too long."""
        while not self.is_traffic_over:  # noqa: ASYNC110 - looking costs nothing where time is virtual
            await asyncio.sleep(0.5)
        last_minute = BEGIN_MS // MINUTE_MS + self.minute
        deadline_s = self.loop.time() + SETTLE_S
        while (waits := self._waits_for(last_minute)) and self.loop.time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
        if waits:
            self.violation("I9 it goes on after a fault", waits)
        self.is_at_rest = True

    def _waits_for(self, last_minute: int) -> str:
        """Return what is not done yet; empty when everything is."""
        for number, log in enumerate(self.broker.traces):
            stored = self.store.hashes.get(self.group.partitions[number], {}).get("offset", b"0")
            last = log.rows[-1].offset + 1 if log.rows else 0
            if not stored.isdigit() or int(stored) < last:
                return f"partition {number} is stored up to {stored!r} of {last}"
        for story in self.stories:
            lives = [worker.control.live.get(story.release) for worker in self._running()]
            ticks = [live.next_tick or 0 for live in lives if live is not None and not live.unsent]
            if max(ticks, default=0) < last_minute:
                return f"{story.release} is judged up to {max(ticks, default=0)} of {last_minute}"
        for worker in self._running():
            left = worker.control.book.without_effect(0)
            if left:
                return f"{worker.name} knows of {len(left)} decisions without effect"
        return ""

    def _running(self) -> Iterator[Worker]:
        return (
            one for one in self.workers.values() if one.process.state is State.RUNNING and not one.is_over
        )

    def run(
        self,
        nemesis: Callable[[World], Coroutine[Any, Any, None]],
        max_steps: int | None = None,
        *,
        is_hunt: bool = False,
    ) -> None:
        """Live through it all, up to rest; what is wrong is in `violations`.

        Args:
            is_hunt: End with the first promise that is broken.
        """
        with borrowed_time(self.loop):
            loop = self.loop
            for number in range(self.setup.workers):
                self.start_worker(f"w{number + 1}")
            loop.spawn(loop.world, self._produce())
            loop.spawn(loop.world, self._coordinate())
            for story in self.stories:
                if story.held_at is not None:
                    loop.spawn(loop.world, self._command(story, story.held_at))
            loop.spawn(loop.world, nemesis(self))
            loop.spawn(loop.world, self._rest())
            loop.run_until(lambda: self.is_at_rest or (is_hunt and bool(self.violations)), max_steps)
            for unseen in loop.unseen:
                self.violation("no crash", unseen)

    def close(self) -> None:
        """End what still runs."""
        self.is_at_rest = True
        with borrowed_time(self.loop):
            self.loop.close_down()


@contextmanager
def borrowed_time(loop: SimulatedLoop) -> Iterator[None]:
    """Let the product's modules read the loop's clock wherever they would read the machine's."""
    shim = SimpleNamespace(
        monotonic=loop.time,
        perf_counter=loop.time,
        monotonic_ns=lambda: int(loop.time() * 1e9),
        time=lambda: BEGIN_MS / 1000 + loop.time(),
        time_ns=lambda: BEGIN_MS * 1_000_000 + int(loop.time() * 1e9),
    )
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("monitor.") and getattr(module, "time", None) is time
    ]
    for module in modules:
        module.time = shim  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in modules:
            module.time = time  # type: ignore[attr-defined]
