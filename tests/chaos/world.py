"""A real world: broker, state store, workers as processes, producers that write all the time, and a supervisor.

Event time runs faster than the clock, as the demo's does, so that a breach of minutes takes seconds. Its traffic, its
budgets and its verdict are those of the simulated worlds; only that here everything is real.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from monitor.adapters.flush_limits import OFFSET
from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import (
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVAL_DEBT,
    LEDGER,
    PAGES,
    REQUESTS,
    product_topics,
)
from monitor.config.budget_file import load_budget
from monitor.core.moment import rfc3339
from monitor.engine.ports import Partition
from tests.adapters.receiver import SECRET
from tests.chaos.door import Door
from tests.chaos.hooked import LOOK
from tests.chaos.seen import Counted, Group, Log, Part, Seen, Store, counted
from tests.chaos.servers import Servers, serving
from tests.chaos.setup import Setup
from tests.integration.workers import Worker
from tests.simulation.traffic import MINUTE_MS, Producer, stories
from tests.simulation.verdict import judge
from tests.simulation.world import BEGIN_MS, BUDGET, CALM_MIN

TRACES = "llm.traces.v1"
GROUP = "chaos"
PRODUCE_S = 0.25
LOOK_S = 0.1
RECOVER_S = 120.0  # for everything to be read again after a fault, on a machine that has much else to do
SETTLE_S = 120.0  # for everything to be judged and carried out in the end
SEND_S = 30.0
DELAY_MS = 40_000  # of event time: what a request may be old, so that an answer may take a second or two
_SAID = (DEAD_LETTERS, DECISIONS, REQUESTS, PAGES, EVAL_DEBT, LEDGER)


@dataclass
class World:
    """Everything there is while it runs."""

    seed: int
    setup: Setup
    servers: Servers
    folder: Path
    rng: Random
    workers: dict[str, Worker] = field(default_factory=dict)
    doors: dict[str, Door] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[float, str]] = field(default_factory=list)
    extra: list[tuple[int, bytes | None]] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    held_ms: dict[str, int] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    silent: int | None = None  # the partition that nobody sends anything to

    def __post_init__(self) -> None:
        self.partitions = tuple(Partition(TRACES, number) for number in range(self.setup.partitions))
        self.stories = stories(Random(self.rng.random()), self.setup.minutes)
        texts = {
            story.release: BUDGET.format(release=story.release).replace("flagd-file", "webhook")
            for story in self.stories
        }
        (self.folder / "budgets").mkdir()
        for release, text in texts.items():
            (self.folder / "budgets" / f"{release}.yaml").write_text(text, encoding="utf-8")
            self.servers.flags.serving[f"flag-{release}"] = "new"
        self.budgets = tuple(load_budget(text, f"{release}.yaml") for release, text in texts.items())
        self.quiet = asyncio.Lock()  # whoever holds it keeps the producers silent
        self.wall_ms = 0
        self.producer = Producer(
            Random(self.rng.random()),
            self.stories,
            BEGIN_MS,
            self.setup.partitions,
            hostile=self.setup.hostile,
            per_min=self.setup.per_min,
            delay_ms=DELAY_MS,
        )
        self.is_over = False

    # Time -------------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the event time."""
        return BEGIN_MS + (_wall_ms() - self.wall_ms) * self.setup.speed

    @property
    def minute(self) -> int:
        """The minute of event time that it is, counted from the beginning."""
        return (self.now_ms() - BEGIN_MS) // MINUTE_MS

    def note(self, text: str) -> None:
        """Note what happens."""
        self.notes.append(((_wall_ms() - self.wall_ms) / 1000, text))

    # Workers ----------------------------------------------------------------------------------------------------------

    async def add_worker(self, name: str) -> Worker:
        """Start a worker, with a way of its own to a store that is one server."""
        if self.servers.cluster is not None:
            url = self.servers.cluster.url  # its nodes tell their own addresses: no door stands before them
        else:
            door = self.doors[name] = await Door(self.servers.valkey.port).open()
            url = f"redis://127.0.0.1:{door.port}/0"
        settings = {
            "kafka_bootstrap": self.servers.kafka.bootstrap,
            "redis_url": url,
            "traces_topic": TRACES,
            "traces_partitions": self.setup.partitions,
            "group": GROUP,
            "budgets": self.folder / "budgets",
            "session_timeout_ms": 6_000,
            "lease_ttl_ms": 3_000,
            "flush_interval_ms": 250,
            "event_time_speed": self.setup.speed,
            "event_time_origin_ms": BEGIN_MS,
            "wall_origin_ms": self.wall_ms,
            "actuator_webhook_url": self.servers.flags_url,
            "actuator_webhook_secret": SECRET,
            "actuator_webhook_verify_url": self.servers.flags_url,
            "pager_webhook_url": self.servers.pager_url,
            "pager_webhook_secret": SECRET,
            "webhook_allow_private": True,
            "log_format": "json",
        }
        texts = {setting.upper(): str(value) for setting, value in settings.items()}
        (hooks := self.folder / f"{name}.hooks").write_text("{}")
        beside = self.setup.beside if name == "w2" else None
        # Another version has no hooks: what is meant to hang or to be wrong dies there.
        program = ("monitor",) if beside is not None else ("tests.chaos.hooked", str(hooks))
        self.workers[name] = Worker(name, self.folder, texts, program=program, checkout=beside).start()
        return self.workers[name]

    def hook(self, worker: Worker, *, signal: bool = True, **said: float) -> None:
        """Say what goes wrong within a worker from now on, instead of what was said before; also to its next life."""
        (self.folder / f"{worker.name}.hooks").write_text(json.dumps(said))
        if signal:
            worker.signal(LOOK)

    def running(self) -> list[Worker]:
        """Return the workers that are there and not held by a fault, by name."""
        return [
            self.workers[name]
            for name in sorted(self.workers)
            if name not in self.held and self.workers[name].has_begun
        ]

    @asynccontextmanager
    async def holding(self, worker: Worker) -> AsyncIterator[None]:
        """Keep other faults and the supervisor away from a worker."""
        self.held.add(worker.name)
        try:
            yield
        finally:
            self.held.discard(worker.name)

    @asynccontextmanager
    async def nobody_at_work(self) -> AsyncIterator[None]:
        """Kill every worker, and keep them from being started again for as long as this is entered."""
        names = {worker.name for worker in self.running()}
        self.held |= names
        try:
            for name in names:
                await asyncio.to_thread(self.workers[name].kill)
            yield
        finally:
            self.held -= names

    async def _supervise(self) -> None:
        """Start again whoever has ended, as an orchestrator does."""
        while not self.is_over:
            for name, worker in self.workers.items():
                if name not in self.held and not worker.is_running:
                    self.counts["restarts"] += 1
                    worker.start()
            await asyncio.sleep(LOOK_S)

    # Traffic ----------------------------------------------------------------------------------------------------------

    async def _produce(self) -> None:
        last_ms, most_ms = self.now_ms(), int(4 * PRODUCE_S * 1000 * self.setup.speed)
        while not self.is_over:
            await asyncio.sleep(PRODUCE_S)  # the pace of the traffic, nothing is waited for
            async with self.quiet:
                now_ms = self.now_ms()
                # While producers were silent nobody asked anything: there is nothing to catch up with.
                rows = self.producer.events(now_ms, min(now_ms - last_ms, most_ms))
                rows, self.extra, last_ms = [*rows, *self.extra], [], now_ms
                count, silent = self.setup.partitions, self.silent  # whose traffic goes to the next one
                await self._send([((at + 1) % count if at == silent else at, value) for at, value in rows])

    async def _send(self, rows: list[tuple[int, bytes | None]]) -> None:
        """Write records; one that is not acknowledged may be on the log all the same, which is what counts."""
        try:
            async with asyncio.timeout(SEND_S):
                sent = [
                    await self._kafka.send(TRACES, value, key=b"any", partition=number)
                    for number, value in rows
                ]
                for meta in await asyncio.gather(*sent):
                    self.ends[meta.partition] = max(self.ends.get(meta.partition, 0), meta.offset + 1)
        except (KafkaError, TimeoutError) as error:
            self.note(f"a producer gives up: {error!r}")
            with suppress(KafkaError, TimeoutError):
                await stop_client(self._kafka)
            await self._connect()

    async def all_sent(self) -> None:
        """Return when what faults wanted to be sent is on the log."""
        while self.extra:  # noqa: ASYNC110 - the producers come by at their own pace
            await asyncio.sleep(LOOK_S)
        async with self.quiet:
            pass

    async def _connect(self) -> None:
        self._kafka = AIOKafkaProducer(
            **self.servers.access.client_options(), enable_idempotence=True, linger_ms=5
        )
        await bounded(self._kafka.start(), SEND_S, "the producers")

    async def _command(self) -> None:
        """Let a commander hold back what a story says, in its minute."""
        for story in sorted(self.stories, key=lambda one: one.held_at or 0):
            if story.held_at is None:
                continue
            while self.minute < story.held_at:  # noqa: ASYNC110 - a moment of the story, nothing to be waited for
                await asyncio.sleep(LOOK_S)
            order = {
                "command": "override",
                "command_id": f"hold-{story.release}",
                "release": story.release,
                "author": "ada",
                "reason": "a provider's outage",
                "until": rfc3339(BEGIN_MS + 24 * 60 * MINUTE_MS),
            }
            async with self.quiet:
                at_ms = await self.publish(COMMANDS, story.release, json.dumps(order).encode())
            self.held_ms[story.release] = BEGIN_MS + (at_ms - self.wall_ms) * self.setup.speed
            self.note(f"a commander holds {story.release} back")

    async def publish(self, topic: str, key: str, value: bytes) -> int:
        """Write a record to a control topic; returns the broker's time of it."""
        meta = await bounded(
            self._kafka.send_and_wait(topic, value, key=key.encode()), SEND_S, f"writing to {topic}"
        )
        return int(meta.timestamp)

    # Looking ----------------------------------------------------------------------------------------------------------

    async def offsets(self) -> dict[int, int]:
        """Return the stored offset of each partition that has one."""
        found = {}
        for partition in self.partitions:
            offset = (await self.servers.stored(partition)).get(OFFSET, b"")
            if offset.isdigit():
                found[partition.number] = int(offset)
        return found

    async def recovered(self, limit_s: float = RECOVER_S) -> tuple[float, Counted]:
        """Return after how many seconds all that is on the log by now is in the store, counted right.

        Where it does not come to that in time, what is wrong then is what is returned.
        """
        ends, began = dict(self.ends), time.monotonic()
        while True:
            passed_s = time.monotonic() - began
            stored = await self.offsets()
            if all(stored.get(number, -1) >= end for number, end in ends.items()):
                found = counted(await self.look(whole=False))
                if not found.wrong:
                    return passed_s, found
            elif passed_s > limit_s:
                behind = {n: (stored.get(n), end) for n, end in ends.items() if stored.get(n, -1) < end}
                found = Counted(
                    0, 0, 0, [("I9 it goes on after a fault", f"stored, and on the log: {behind}")]
                )
            if passed_s > limit_s:
                return passed_s, found
            await asyncio.sleep(LOOK_S)

    async def look(self, *, whole: bool) -> Seen:
        """Return what is seen now; the control topics only where `whole` is asked for."""
        hashes = {one: dict(await self.servers.stored(one)) for one in self.partitions}
        rows = await asyncio.to_thread(self.servers.kafka.rows, TRACES)
        topics = {}
        for topic in _SAID if whole else ():
            parts = await asyncio.to_thread(self.servers.kafka.rows, topic)
            topics[topic] = [row for number in sorted(parts) for row in parts[number]]
        return Seen(
            broker=Log([Part(rows.get(one.number, [])) for one in self.partitions], topics),
            store=Store(hashes),
            group=Group(self.partitions),
            flags=self.servers.flags,
            people=self.servers.people,
            stories=self.stories,
            budgets=self.budgets,
            minute=self.minute,
            speed=self.setup.speed,
            begin_ms=BEGIN_MS,
            wall_ms=self.wall_ms,
            held_ms=self.held_ms,
            violations=list(self.violations),
        )

    # The whole run ----------------------------------------------------------------------------------------------------

    async def rest(self) -> list[tuple[str, str]]:
        """Let the traffic end, everything be read, judged and carried out; return what is wrong then."""
        last = max(self.setup.minutes, self.minute) + CALM_MIN
        while self.minute < last:  # noqa: ASYNC110 - the traffic takes its time
            await asyncio.sleep(LOOK_S)
        self.is_over = True
        async with self.quiet:
            last = self.minute
        await self.recovered()
        deadline = time.monotonic() + SETTLE_S
        while True:
            seen = await self.look(whole=True)
            seen.minute = last
            found = await asyncio.to_thread(judge, seen)
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(1.0)

    def said(self, text: str) -> int:
        """Return how often the workers' logs have a text."""
        return sum(log.count(text) for worker in self.workers.values() for log in worker.logs)

    def heard(self) -> dict[str, int]:
        """Return what the workers' logs tell of: writes fenced, state rebuilt; and note what they must not."""
        told: Counter[str] = Counter()
        for name, worker in self.workers.items():
            for log in worker.logs:
                told["fenced"] += log.count('"event": "fenced"')
                told["rebuilt"] += log.count("state damaged: rebuilding")
                told["workers gave up"] += log.count("the worker cannot go on")
                if "halted" in log:
                    self.violations.append(("no crash", f"{name} halted a release"))
        return dict(told)


@asynccontextmanager
async def living(seed: int, setup: Setup, folder: Path) -> AsyncIterator[World]:
    """Start a world and keep it going; end all of it afterwards."""
    rng = Random(seed)
    async with serving(folder, rng, setup) as servers:
        world = World(seed, setup, servers, folder, rng)
        await ensure_topics(servers.access, product_topics(traces=TRACES, trace_partitions=setup.partitions))
        world.wall_ms = _wall_ms()
        await world._connect()
        tasks: list[asyncio.Task[None]] = []
        try:
            for number in range(setup.workers):
                await world.add_worker(f"w{number + 1}")
            for job in (world._produce(), world._supervise(), world._command()):
                tasks.append(asyncio.create_task(job))
            yield world
        finally:
            world.is_over = True
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for worker in world.workers.values():
                await asyncio.to_thread(worker.close)
            for door in world.doors.values():
                await door.close()
            with suppress(KafkaError, TimeoutError):
                await stop_client(world._kafka)
            for error in ended:
                if isinstance(error, Exception):
                    world.note(f"the harness broke: {error!r}")
                    raise error


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
