"""What the volumes have in common: a filled topic with its truth, workers that are watched from outside, a killer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import redis

from benchmarks.performance.meter import cpu_s, peak_mib, tree
from benchmarks.performance.stage import Stage, stored_records
from benchmarks.performance.traffic import budget, fill
from monitor.adapters.kafka.topics import DEAD_LETTERS
from monitor.adapters.redis.keys import partition_key
from monitor.engine.ports import Partition
from tests.chaos.recount import Counted, Difference, difference, letters_of, recounted
from tests.chaos.volume_traffic import Mixed
from tests.integration.workers import Worker

LOOK_S = 0.2
SETTLE_S = 60.0  # for what is told beside the counts, dead letters above all, once the last offset is stored
# A case has failed that takes longer than a start, its records at this pace, and so long for each kill.
START_S, SLOWEST_PER_S, KILL_S = 300.0, 2_000, 60.0
PROCESSES = 2  # that recount
LAST_KILL = 0.9  # of the records: after it there still is work, so that the last kill strikes one at work
PAUSE_S = (
    8.0  # the longest between two kills: beyond a session, so that they strike take-overs and starts too
)
WATCHED = ("tenant",)
_PREFIX = "ROLLBACK_BUDGET_"

Tell = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much."""


@dataclass(frozen=True)
class Filled:
    """A topic and its truth."""

    topic: str
    mixed: Mixed
    truth: Mapping[int, Counted]

    @property
    def records(self) -> int:
        """How many there are."""
        return self.mixed.counts["records"]


def filled(here: Stage, topic: str, mixed: Mixed, tell: Tell) -> Filled:
    """Fill a topic, and count what is in it.

    Raises:
        ValueError: The recount finds another number of records, or of hostile ones, than were made.
    """
    made = _Told(mixed, lambda done: tell(f"{topic}: written", done, mixed.requests + mixed.hostile))
    asyncio.run(fill(here.kafka.bootstrap, topic, made, int(time.time() * 1000)))
    tell(f"{topic}: recounting", 0, mixed.counts["records"])
    truth = recounted(here.log_dir, topic, mixed.partitions, PROCESSES)
    found = sum(one.end for one in truth.values()), sum(len(one.letters) for one in truth.values())
    if found != (mixed.counts["records"], mixed.counts["hostile"]):
        raise ValueError(f"{topic}: the recount has {found}, and {mixed.counts} were made")
    return Filled(topic, mixed, truth)


@dataclass(frozen=True)
class _Told:
    """Traffic that says how far it is."""

    mixed: Mixed
    tell: Callable[[int], None]

    @property
    def partitions(self) -> int:
        return self.mixed.partitions

    @property
    def compression(self) -> str | None:
        return self.mixed.compression

    def rows(self, end_ms: int) -> Iterator[tuple[int, bytes | None]]:
        for number, row in enumerate(self.mixed.rows(end_ms)):
            if number % 10_000 == 0:
                self.tell(number)
            yield row


class Crew:
    """The workers of a case, and what is seen of them from outside."""

    def __init__(
        self,
        here: Stage,
        there: Filled,
        name: str,
        count: int,
        settings: Mapping[str, str],
        tell: Tell,
        watched: tuple[str, ...] = WATCHED,
    ) -> None:
        """Describe them; nothing starts yet."""
        own = here.settings(
            TRACES_TOPIC=there.topic,
            GROUP=f"volume-{name}",
            TRACES_PARTITIONS=str(there.mixed.partitions),
            BUDGETS=str(here.budgets(name, [budget(cohorts=watched)])),
            **settings,
        )
        texts = {key.removeprefix(_PREFIX): value for key, value in own.items() if key.startswith(_PREFIX)}
        self.workers = [Worker(f"{name}-{number + 1}", here.folder, texts) for number in range(count)]
        self.kills, self.peak_mib, self.ended = 0, 0.0, list[str]()
        self._here, self._there, self._tell = here, there, tell
        self._store = redis.Redis.from_url(here.valkey.url)

    def __enter__(self) -> Crew:
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()

    @property
    def stored(self) -> int:
        """How many records are in the store."""
        return stored_records(self._store, self._there.topic, self._there.mixed.partitions)

    @property
    def cpu_s(self) -> float:
        """What all workers that run took of processors so far."""
        return cpu_s(pid for worker in self.workers if worker.has_begun for pid in tree(worker.pid))

    def kill(self, worker: Worker) -> None:
        """Kill a worker, wherever it is, and start it again at once."""
        worker.kill()
        self.kills += 1
        worker.start()

    def until_stored(
        self, what: str, each: Callable[[int], None] = lambda _done: None, kills: int = 0
    ) -> float:
        """Return after how many seconds everything is stored.

        Args:
            each: Called with how much is, again and again.
            kills: How many it is going to make.

        Raises:
            TimeoutError: It takes too long.
        """
        began_s, total = time.monotonic(), self._there.records
        most_s = START_S + total / SLOWEST_PER_S + kills * KILL_S
        while (done := self.stored) < total:
            self._look()
            self._tell(f"{what}: stored" + (f", {self.kills} kills" if self.kills else ""), done, total)
            each(done)
            if time.monotonic() - began_s > most_s:
                raise TimeoutError(f"{what}: {done:,} of {total:,} records are stored after {most_s:.0f} s")
            time.sleep(LOOK_S)
        took_s = time.monotonic() - began_s
        self._look()
        return took_s

    def _look(self) -> None:
        """Note the most memory a worker had, and whether one ended that nobody killed: it is started again."""
        for worker in self.workers:
            if worker.has_begun:
                self.peak_mib = max(self.peak_mib, peak_mib(tree(worker.pid)))
            elif not worker.is_running:
                self.ended.append(f"{worker.name} has ended by itself: {worker.log[-500:]}")
                worker.start()

    def differs(self) -> Difference:
        """Hold what is stored against the truth, for as long as what is told beside may still be on its way."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            stored = {number: self._hash(number) for number in self._there.truth}
            letters = letters_of(self._here.log_dir, DEAD_LETTERS, self._there.topic)
            found = difference(self._there.truth, stored, letters)
            if not found.wrong or time.monotonic() > deadline:
                return found
            time.sleep(1.0)

    def _hash(self, number: int) -> dict[str, bytes]:
        found: Mapping[Any, Any] = self._store.hgetall(partition_key(Partition(self._there.topic, number)))
        return {name.decode(): value for name, value in found.items()}

    def lose_everything(self) -> None:
        """Empty the store."""
        self._store.flushall()


class Victims(Protocol):
    """Whoever can be killed."""

    @property
    def workers(self) -> Sequence[Worker]:
        """All of them."""
        ...

    def kill(self, worker: Worker) -> None:
        """Kill one, and start it again."""
        ...


@dataclass
class Killer:
    """Kills workers at moments from the seed: so many stored records each, and a pause after the last kill.

    The pauses reach from none to beyond a session, so that kills also strike starts, take-overs and the one that is
    left. None is left out: where progress leaps, they come one after another.
    """

    rng: Random
    crew: Victims
    records: int
    kills: int
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.at = sorted(self.rng.random() * LAST_KILL * self.records for _ in range(self.kills))
        self._not_before_s = self.clock()

    def __call__(self, done: int) -> None:
        """Kill somebody, if it is time to."""
        if self.at and done >= self.at[0] and self.clock() >= self._not_before_s:
            self.at.pop(0)
            self.crew.kill(self.rng.choice(self.crew.workers))
            self._not_before_s = self.clock() + self.rng.random() * PAUSE_S
