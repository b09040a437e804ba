"""One worker as the composition root builds it, over the modelled servers: everything that decides is the product's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.history import KafkaHistory, history_hour
from monitor.adapters.kafka.ledger import KafkaLedger, ledger_entry
from monitor.adapters.kafka.outputs import KafkaOutputs, incident_of
from monitor.adapters.kafka.readers import budget_of, command_of
from monitor.adapters.kafka.topics import BUDGETS, COMMANDS, HISTORY, INCIDENTS, LEDGER, PAGES, REQUESTS
from monitor.config.canonical import canonical, from_canonical
from monitor.engine.act import Act, Outcome
from monitor.engine.book import BudgetBook
from monitor.engine.control import Control
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.errors import LogUnreachable, PagerFailed, StoreUnreachable
from monitor.engine.feed import Feed, FeedOptions
from monitor.engine.hearing import Hearing
from monitor.engine.history import History
from monitor.engine.lookout import Lookout, lookout_over
from monitor.engine.observer import Observer
from monitor.engine.ports import FlushAnswer, Partition
from monitor.engine.supervise import Followers, Instance, Planner, Readers
from monitor.engine.tenure import Tenure
from monitor.wire.cloudevent import NotACloudEvent, from_binary, of_decision, to_structured
from tests.simulation.broker import BrokerTime, LogClient
from tests.simulation.effects import PagerClient
from tests.simulation.group import SourceClient
from tests.simulation.loop import Process, State

if TYPE_CHECKING:
    from tests.simulation.world import World

FLUSH_MS = 500
LEASE_MS = 3_000
RETRY_S = 10.0
DRAIN_S = 5.0
EFFECTS_POLL_S = 0.5


@dataclass
class SkewedClock:
    """A worker's wall clock, in event time: wrong by what the world says, and at times by more."""

    world: World
    name: str

    def now_ms(self) -> int:
        return self.world.event_ms(self.world.wall_ms() + self.world.skew_ms.get(self.name, 0))


@dataclass
class SteadyClock:
    """A worker's clock that never jumps."""

    world: World

    def now_ms(self) -> int:
        return int(self.world.loop.time() * 1000)


class Told(Observer):
    """What an operator would hear of, counted by the world."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def state_damaged(self, partition: Partition, why: str) -> None:
        self._world.note(f"{self._name}: state of {partition.number} damaged: {why}")
        self._world.damaged(why)

    def halted(self, release: str, defect: Exception) -> None:
        self._world.violation("no crash", f"{self._name}: {release} is halted: {defect!r}")

    def partition_claimed(self, partition: Partition, offset: int) -> None:
        self._world.note(f"{self._name}: claimed {partition.number} at {offset}")
        self._world.counts["claimed"] += 1

    def flushed(self, partition: Partition, answer: FlushAnswer, *, is_bare: bool) -> None:
        self._world.counts[answer.value] += 1
        if answer is not FlushAnswer.APPLIED:
            self._world.note(f"{self._name}: flush of {partition.number}: {answer.value}")


class Worker:
    """One life of one worker."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.process = Process(name)
        self.is_over = False

    def start(self) -> None:
        self._build()
        self.world.loop.spawn(self.process, self._main())

    def _build(self) -> None:
        world, make = self.world, self.world.make
        log, store = LogClient(world.broker), make.store(world.store)
        self.clock = SkewedClock(world, self.name)
        steady = world.loop.time
        tenure = Tenure(store, self.name, LEASE_MS, steady)
        ledger, outputs, observer = KafkaLedger(log), KafkaOutputs(log), Told(world, self.name)
        self.source: SourceClient = make.source(world.group, self.process)
        self.control = Control(
            store=store,
            tenure=tenure,
            ledger=ledger,
            outputs=outputs,
            clock=self.clock,
            observer=observer,
            budgets=BudgetBook(world.budgets),
            encode_budget=canonical,
            decode_budget=from_canonical,
            partitions=lambda: world.group.partitions,
            hearing=Hearing(steady),
            history=History(KafkaHistory(log)),
        )
        self.feed = Feed(
            source=self.source,
            store=store,
            outputs=outputs,
            decode=decode,
            plan=Planner(self.control),
            event_time=world.event_ms,
            clock=SteadyClock(world),
            broker_clock=BrokerTime(world.broker),
            observer=observer,
            options=FeedOptions(
                owner=self.name,
                flush_interval_ms=FLUSH_MS,
                max_ids=1_000_000,
                partitions_expected=len(world.group.partitions),
            ),
            hearing=self.control.hearing,
        )
        self.instance = self._instance(
            log, lookout_over(self.control, self.feed, ledger, outputs, tenure, observer)
        )
        self.control.read_commands = self.instance.read_commands
        self.act = Act(
            {"flagd-file": make.actuator(world.flags)},
            PagerClient(world.people),
            EffectLedger(self.control, ledger, outputs, self.clock),
            clock=self.clock,
            steady=steady,
        )

    def _instance(self, log: LogClient, lookout: Lookout) -> Instance:
        follow, event_ms = log.follow, self.world.event_ms
        return Instance(
            feed=self.feed,
            control=self.control,
            followers=Followers(
                ledger=follow(LEDGER),
                budgets=follow(BUDGETS),
                commands=follow(COMMANDS),
                incidents=follow(INCIDENTS),
                history=follow(HISTORY),
            ),
            readers=Readers(
                entry=ledger_entry,
                budget=budget_of,
                command=lambda record: command_of(record, event_ms(record.at_ms)),
                incident=incident_of,
                hour=history_hour,
            ),
            fresh_commands=lambda: follow(COMMANDS),
            fresh_ledger=lambda: follow(LEDGER),
            observer=Told(self.world, self.name),
            clock=self.clock,
            lookout=lookout,
        )

    async def _main(self) -> None:
        """Run as the host does; whatever ends it is said to the world, which starts the next life."""
        why = "stopped"
        try:
            await self.instance.prepare()
            await self.source.start()
            async with asyncio.TaskGroup() as group:
                effects = group.create_task(Effects(self).run())
                await self.instance.run()
                effects.cancel()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it was ended the worker
            why = self._why(error)
        self.is_over = True
        self.process.state = State.DEAD
        self.world.note(f"{self.name}: {why}")
        self.world.worker_ended(self)

    def _why(self, error: BaseException) -> str:
        """Say what ended the worker; anything but a server that does not answer is a finding."""
        leaves = [one for one in _leaves(error) if not isinstance(one, asyncio.CancelledError)]
        if all(isinstance(one, LogUnreachable | StoreUnreachable) for one in leaves):
            return f"gave up: {leaves[0]}"
        self.world.violation("no crash", f"{self.name}: {leaves!r}")
        return f"crashed: {leaves!r}"

    async def leave(self) -> None:
        """Stop as SIGTERM does: flush, give the leases back, leave the group; after a while, like it or not."""
        await self.instance.stop()
        await asyncio.sleep(DRAIN_S)
        if not self.is_over:
            self.world.kill(self)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


class Effects:
    """Carries effects out, as the host's agents do: at least once, in turn, and what failed later again."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._world = worker, worker.world
        self._at_work: set[str] = set()

    async def run(self) -> None:
        act, book = self._worker.act, self._worker.control.book
        async with asyncio.TaskGroup() as group:
            since_ms = self._worker.clock.now_ms() - 24 * 3_600_000
            for entry in book.without_effect(since_ms):
                event = to_structured(of_decision(entry.decision))
                for call in (act.on_request, act.on_page):
                    group.create_task(self._until_done(call, event, 0.0))
            while True:
                await asyncio.sleep(EFFECTS_POLL_S)
                if self._world.effects_leader() == self._worker.name:
                    await self._take(group, REQUESTS, act.on_request)
                    await self._take(group, PAGES, act.on_page)

    async def _take(
        self,
        group: asyncio.TaskGroup,
        topic: str,
        call: Callable[[Mapping[str, Any]], Awaitable[Outcome]],
    ) -> None:
        if self._world.broker.link.away or self._worker.name in self._world.broker.link.cut_off:
            return
        begun = self._world.effects_at.get(topic, 0)
        for record in self._world.broker.flat(topic)[begun:]:
            try:
                event = to_structured(from_binary(record.value, list(record.headers)))
            except NotACloudEvent as error:
                self._world.violation("events are readable", f"{topic}/{record.offset}: {error}")
                continue
            if not await self._tried(call, event):
                group.create_task(self._until_done(call, event, RETRY_S))
            begun += 1
            self._world.effects_at[topic] = max(begun, self._world.effects_at.get(topic, 0))

    async def _until_done(
        self,
        call: Callable[[Mapping[str, Any]], Awaitable[Outcome]],
        event: Mapping[str, Any],
        wait_s: float,
    ) -> None:
        await asyncio.sleep(wait_s)
        while not await self._tried(call, event):  # noqa: ASYNC110 - a retry, not a condition
            await asyncio.sleep(RETRY_S)

    async def _tried(
        self, call: Callable[[Mapping[str, Any]], Awaitable[Outcome]], event: Mapping[str, Any]
    ) -> bool:
        key = str(event["id"])
        if key in self._at_work:
            return True
        self._at_work.add(key)
        try:
            return await call(event) is not Outcome.TRY_LATER
        except (PagerFailed, LogUnreachable):
            return False
        finally:
            self._at_work.discard(key)
