"""How long an incident takes to become a request to roll back: produced on one topic, consumed on another.

One worker in a process of its own, one broker and one Valkey on this machine (replication 1, append-only file fsynced
every second). Each trial is one high-severity incident of a release that nothing has been said about yet, with a clean
baseline; trials come one after the other. Every hop is a record, so its broker's time tells where the time goes.

So many releases are not armed at once anywhere: they are armed by the fifty, and disarmed when their turn is over.
First with nothing beside them, then beside a load: half of what the worker was just seen to get through at most, while
more than that was produced on the same machine. After each, the same way through a process that does the least.

`python -m benchmarks safety_latency`; `TRIALS=100` for fewer trials, `LOADS=0` for some loads (then nothing is kept).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.performance import page, results
from benchmarks.performance.incidents import (
    BUDGET,
    PARTITIONS,
    SAY_EVERY_S,
    Watcher,
    armed,
    clean_baseline,
    quantiles,
    say,
    settings,
    trial,
)
from benchmarks.performance.least import least
from benchmarks.performance.meter import QUIET_CORES, cpu_s, machine_cpu_s, tree
from benchmarks.performance.traffic import Traffic, fill
from monitor.adapters.demo.workers import Worker
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import BUDGETS, INCIDENTS, LEDGER, REQUESTS, TRACES, product_topics
from monitor.adapters.redis.keys import partition_key
from monitor.engine.codec import OFFSET_FIELD
from monitor.engine.ports import Partition

TRIALS = int(os.environ.get("TRIALS", "500"))
LOADS = [float(ratio) for ratio in os.environ.get("LOADS", "0,0.5").split(",")]
BACKLOG = int(os.environ.get("BACKLOG", "200000"))  # events that the worker's maximum is measured over
ARMED = int(os.environ.get("ARMED", "50"))  # releases at a time
WARM_UP = 20
AIM_P99_MS = 50.0
MAXIMUM_S = 15.0  # that the most is measured for
TRIALS_S = 240.0  # of one lot of releases; what is not tried by then is left out, and the report says so
PAUSE_S = 0.02  # between trials: they must not queue behind each other


@dataclass(frozen=True)
class Trial:
    """One incident's way, in milliseconds since it was produced.

    Attributes:
        logged, handed_on, recorded, published: When the broker got the trace event, the hand-over to the release's
            evaluator, the ledger's entry and the request; whole milliseconds, as brokers stamp.
        consumed: When the request was here.
    """

    logged: float
    handed_on: float
    recorded: float
    published: float
    consumed: float


async def tried(producer: AIOKafkaProducer, watcher: Watcher, releases: Sequence[str]) -> Sequence[Trial]:
    """Let incidents happen one after the other, and return the way of each."""
    begun: dict[str, tuple[float, float]] = {}
    began_s = said_s = time.monotonic()
    for number, release in enumerate(releases):
        now_s = time.monotonic()
        if now_s - said_s >= SAY_EVERY_S:
            said_s = now_s
            say(f"{number:,} of {len(releases):,} incidents")
        if now_s - began_s > TRIALS_S:
            say(f"stopped after {number:,} of {len(releases):,} incidents: {TRIALS_S:g} s are over")
            break
        begun[release] = await trial(producer, watcher, release, number)
        await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(1)  # the last records of the ledger
    return [way_of(watcher, release, *begun[release]) for release in begun]


def way_of(watcher: Watcher, release: str, began_ms: float, logged_ms: float) -> Trial:
    return Trial(
        logged=logged_ms - began_ms,
        handed_on=watcher.stamps[INCIDENTS, release] - began_ms,
        recorded=watcher.stamps[LEDGER, release] - began_ms,
        published=watcher.stamps[REQUESTS, release] - began_ms,
        consumed=watcher.consumed_ms[release] - began_ms,
    )


@dataclass(frozen=True)
class Run:
    """The trials beside one load.

    Attributes:
        load_ratio, load_per_s: Of the worker's maximum; events per second.
        least_ms: The same way through a process that does nothing but write what an incident leads to.
        foreign_cores: What other work took of this machine meanwhile.
    """

    load_ratio: float
    load_per_s: int
    trials: Sequence[Trial]
    foreign_cores: float
    least_ms: Sequence[float]


def stored(redis_url: str) -> int:
    """Return how many records the worker has stored the fate of."""
    store = redis.Redis.from_url(redis_url)
    keys = [partition_key(Partition(TRACES, number)) for number in range(PARTITIONS)]
    return sum(int(offset) for key in keys if (offset := store.hget(key, OFFSET_FIELD)))


async def alone_per_s(bootstrap: str, redis_url: str, worker: Worker) -> float:
    """Give the worker a backlog while it is held up, and return how fast it goes through it with nothing beside it."""
    before = stored(redis_url)
    traffic = Traffic(BACKLOG, partitions=PARTITIONS, span_min=1, lead="backlog")
    os.kill(worker.pid, signal.SIGSTOP)  # else it reads along, at the producer's pace
    try:
        await fill(bootstrap, TRACES, traffic, int(time.time() * 1000))
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    began = time.monotonic()
    await until_stored(redis_url, worker, before + BACKLOG)
    return BACKLOG / (time.monotonic() - began)


async def maximum_per_s(bootstrap: str, redis_url: str, worker: Worker) -> float:
    """Return the most events a second that the worker gets through while they are produced on the same machine.

    More are produced than it can take; producer, broker and worker share the cores, as they do beside the incidents.
    """
    async with load(bootstrap, await alone_per_s(bootstrap, redis_url, worker)):
        before, began = stored(redis_url), time.monotonic()
        await asyncio.sleep(MAXIMUM_S)
        most = (stored(redis_url) - before) / (time.monotonic() - began)
    await until_stored(redis_url, worker, await written(bootstrap))
    return most


async def written(bootstrap: str) -> int:
    """Return how many records are in the log."""
    consumer = AIOKafkaConsumer(**KafkaAccess(bootstrap).client_options())
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(TRACES, number) for number in range(PARTITIONS)])
    finally:
        await consumer.stop()
    return sum(ends.values())


async def until_stored(redis_url: str, worker: Worker, records: int) -> None:
    """Wait until so many are."""
    async with asyncio.timeout(900):
        while stored(redis_url) < records:
            worker.check()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def load(bootstrap: str, rate: float) -> AsyncIterator[list[int]]:
    """Have a process produce at this rate meanwhile; yields its process ids, none without a load."""
    if not rate:
        yield []
        return
    command = [sys.executable, "-m", "benchmarks.performance.load", bootstrap, TRACES, f"{rate:.0f}"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await asyncio.sleep(5)  # until it is at its rate
        yield [process.pid]
    finally:
        process.kill()
        await process.wait()


class Range:
    """Where incidents happen: the servers, one worker, and those who produce and read."""

    def __init__(self, bootstrap: str, worker: Worker, producer: AIOKafkaProducer, watcher: Watcher) -> None:
        self._bootstrap = bootstrap
        self._worker = worker
        self._producer = producer
        self._watcher = watcher

    async def arm(self, releases: Sequence[str]) -> None:
        """Arm these releases; return when the worker has nothing left to do."""
        for release in releases:
            await self._producer.send(BUDGETS, BUDGET.format(release=release).encode(), key=release.encode())
        await armed(self._watcher, self._worker, releases)

    async def disarm(self, releases: Sequence[str]) -> None:
        """Withdraw their budgets."""
        for release in releases:
            await self._producer.send(BUDGETS, None, key=release.encode())
        await self._producer.flush()

    async def run(self, place: int, rate: float, servers: Sequence[int]) -> tuple[list[Trial], float]:
        """Let incidents happen beside a load, some releases at a time; return their ways, and what others took."""
        trials, foreign, spent_s = list[Trial](), 0.0, 0.0
        for start in range(0, WARM_UP + TRIALS, ARMED):
            numbers = range(start, min(start + ARMED, WARM_UP + TRIALS))
            releases = [f"candidate-{place}-{number:04d}" for number in numbers]
            await self.arm(releases)
            async with load(self._bootstrap, rate) as others:
                own = [os.getpid(), *tree(self._worker.pid), *servers, *others]
                began, busy = time.monotonic(), machine_cpu_s() - cpu_s(own)
                trials += await tried(self._producer, self._watcher, releases)
                foreign += machine_cpu_s() - cpu_s(own) - busy
                spent_s += time.monotonic() - began
            await self.disarm(releases)
            say(f"{len(trials):,} of {WARM_UP + TRIALS:,} incidents beside {rate:,.0f} events/s")
        return trials[WARM_UP:], max(0.0, round(foreign / spent_s, 2))


async def measure(bootstrap: str, redis_url: str, folder: Path, servers: Sequence[int]) -> list[Run]:
    access = KafkaAccess(bootstrap)
    await ensure_topics(access, product_topics(trace_partitions=PARTITIONS), 1)
    producer = AIOKafkaProducer(**access.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    worker = Worker("bench", folder, settings(bootstrap, redis_url))
    worker.start()
    watcher = Watcher(access)
    here = Range(bootstrap, worker, producer, watcher)
    try:
        await watcher.start()
        async with clean_baseline(producer):
            await here.arm(["first"])  # it is ready when it has armed something
            await worker.wait_until_ready()
            most = 0.0
            if any(LOADS):
                say("the most the worker can do is measured")
                most = await maximum_per_s(bootstrap, redis_url, worker)
            runs = []
            for place, ratio in enumerate(LOADS):
                trials, foreign = await here.run(place, ratio * most, servers)
                async with load(bootstrap, ratio * most):
                    say("the least that could be done is measured")
                    least_ms = await least(bootstrap, TRIALS)
                runs.append(Run(ratio, round(ratio * most), trials, foreign, least_ms))
            return runs
    finally:
        await watcher.stop()
        await producer.stop()
        await asyncio.to_thread(worker.stop)


_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}


def report(run: Run) -> Mapping[str, Any]:
    rows = [asdict(one) for one in run.trials]
    steps = {name: quantiles([row[name] for row in rows], _SHARES, 2) for name in rows[0]}
    floor = quantiles(run.least_ms, _SHARES, 2)
    print(f"incident produced -> ..., ms since then, {len(rows)} trials, one worker, one broker")
    print(f"beside it: {run.load_per_s:,} events/s; other work took {run.foreign_cores:g} cores")
    print(f"{'':<12}{'p50':>9}{'p95':>9}{'p99':>9}{'p99.9':>9}{'max':>9}")
    for name, row in {**steps, "the least": floor}.items():
        print(f"{name:<12}" + "".join(f"{value:>9.1f}" for value in row.values()))
    met = steps["consumed"]["p99"] <= AIM_P99_MS
    print(f"aim: p99 <= {AIM_P99_MS:g} ms until consumed: {'met' if met else 'NOT met'}")
    ordered = sorted(row["consumed"] for row in rows)
    return {
        "load_ratio": run.load_ratio,
        "load_per_s": run.load_per_s,
        "trials": len(rows),
        "steps": steps,
        "consumed": steps["consumed"],
        "least": floor,
        "percentiles": [round(ordered[(len(ordered) - 1) * share // 100], 2) for share in range(101)],
        "foreign_cores": run.foreign_cores,
        "contended": run.foreign_cores > QUIET_CORES,
    }


def main() -> None:
    tame_library_logs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            EmbeddedKafka(folder / "kafka", quick_start=False) as kafka,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            servers = [kafka.pid, valkey.pid]
            runs = asyncio.run(measure(kafka.bootstrap, valkey.url, folder, servers))
    found = [report(run) for run in runs]
    if LOADS == [0, 0.5]:
        results.save("latency", {"loads": found}, f"TRIALS={TRIALS} make bench ARGS=safety_latency")
        page.PAGE.write(results.load())


if __name__ == "__main__":
    main()
