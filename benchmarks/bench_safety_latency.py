"""How long an incident takes to become a request to roll back: produced on one topic, consumed on another.

One worker in a process of its own, one broker and one Valkey on this machine (replication 1, append-only file fsynced
every second). Each trial is one high-severity incident of a release that nothing has been said about yet, with a clean
baseline; trials come one after the other. Every hop is a record, so its broker's time tells where the time goes.

So many releases are not armed at once anywhere: they are armed by the fifty, and disarmed when their turn is over.
First with nothing beside them, then beside a load: half of what the worker was just seen to get through at most.

`python -m benchmarks safety_latency`; `TRIALS=100` for fewer trials, `LOADS=0` for some loads (then nothing is kept).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.performance import page, results
from benchmarks.performance.meter import cpu_s, machine_cpu_s, tree
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
TRICKLE_PER_S = 20  # healthy requests of the baseline that are always there
WARM_UP = 20
AIM_P99_MS = 50.0
PARTITIONS = 4
WAIT_S = 60.0
REST_CORES = 0.6  # a worker that uses less has no minutes left to catch up on
ARMING_S = 600.0
TRIALS_S = 240.0  # of one lot of releases; what is not tried by then is left out, and the report says so
SAY_EVERY_S = 5.0
PAUSE_S = 0.02  # between trials: they must not queue behind each other
BASELINE = "model-v41"
BUDGET = """\
release: {release}
baseline: model-v41
window: 24h
rollback_budget:
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


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


def say(what: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


class Watcher:
    """Reads the topics on an incident's way and notes when each record was there."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self.stamps: dict[tuple[str, str], float] = {}
        self.consumed_ms: dict[str, float] = {}
        self.armed: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[AIOKafkaConsumer] = []
        self._requested = asyncio.Event()

    async def start(self) -> None:
        for topic in (INCIDENTS, LEDGER, REQUESTS):
            consumer = AIOKafkaConsumer(
                **self._access.client_options(), auto_offset_reset="earliest", fetch_max_wait_ms=20
            )
            await consumer.start()
            partitions = next(one.partitions for one in product_topics() if one.name == topic)
            consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
            self._consumers.append(consumer)
            self._tasks.append(asyncio.create_task(self._read(consumer)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for consumer in self._consumers:
            await consumer.stop()

    async def until_requested(self, release: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while release not in self.consumed_ms:
                self._requested.clear()
                await self._requested.wait()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            now_ms = time.time() * 1000
            self._take(record, now_ms)

    def _take(self, record: Any, now_ms: float) -> None:
        if record.topic == LEDGER:
            event = json.loads(record.value)["event"]
            if event["type"].endswith("arming.created.v1"):
                self.armed.add(event["subject"])
            if event["type"].endswith("rollback.requested.v1"):
                self.stamps.setdefault((LEDGER, event["subject"]), record.timestamp)
            return
        release = record.key.decode()
        self.stamps.setdefault((record.topic, release), record.timestamp)
        if record.topic == REQUESTS:
            self.consumed_ms.setdefault(release, now_ms)
            self._requested.set()


def event(name: str, release: str, at_ms: int, **more: object) -> bytes:
    return json.dumps({"event_id": name, "at": at_ms, "release": release, "status": "ok", **more}).encode()


@asynccontextmanager
async def clean_baseline(producer: AIOKafkaProducer) -> AsyncIterator[None]:
    """Write ten minutes of healthy traffic, and go on with it meanwhile: what is normal is known from it."""
    now_ms = int(time.time() * 1000)
    for number in range(600 * TRICKLE_PER_S):
        at_ms = now_ms - 600_000 + number * 1000 // TRICKLE_PER_S
        await producer.send(TRACES, event(f"b{number}", BASELINE, at_ms), partition=number % PARTITIONS)
    await producer.flush()
    going_on = asyncio.create_task(trickle(producer))
    try:
        yield
    finally:
        going_on.cancel()


async def trickle(producer: AIOKafkaProducer) -> None:
    for number in count():
        name, at_ms = f"t{number}", int(time.time() * 1000)
        await producer.send(TRACES, event(name, BASELINE, at_ms), partition=number % PARTITIONS)
        await asyncio.sleep(1 / TRICKLE_PER_S)


async def armed(watcher: Watcher, worker: Worker, releases: Sequence[str]) -> None:
    """Wait until every release is armed and the minutes of the baseline are judged.

    An incident of a release whose ticks are minutes behind waits for them, up to 30 s: that is not what is measured.
    """
    wanted, due_s = set(releases), 0.0
    async with asyncio.timeout(ARMING_S):
        while not watcher.armed.issuperset(wanted):
            worker.check()
            if time.monotonic() >= due_s:
                say(f"{len(watcher.armed & wanted):,} of {len(wanted):,} releases armed")
                due_s = time.monotonic() + SAY_EVERY_S
            await asyncio.sleep(0.2)
        spent, before = float("inf"), cpu_s(tree(worker.pid))
        while spent > REST_CORES * SAY_EVERY_S:
            await asyncio.sleep(SAY_EVERY_S)
            now = cpu_s(tree(worker.pid))
            spent, before = now - before, now


async def trial(
    producer: AIOKafkaProducer, watcher: Watcher, release: str, number: int
) -> tuple[float, float]:
    """Let one incident happen; return when it was produced and when the broker had it, epoch milliseconds."""
    began_ms = time.time() * 1000
    value = event(f"i-{release}", release, int(began_ms), incident_severity="high", trace_id=f"t-{release}")
    sent = await producer.send(TRACES, value, partition=number % PARTITIONS)
    await watcher.until_requested(release)
    return began_ms, (await sent).timestamp


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
        foreign_cores: What other work took of this machine meanwhile.
    """

    load_ratio: float
    load_per_s: int
    trials: Sequence[Trial]
    foreign_cores: float


def stored(redis_url: str) -> int:
    """Return how many records the worker has stored the fate of."""
    store = redis.Redis.from_url(redis_url)
    keys = [partition_key(Partition(TRACES, number)) for number in range(PARTITIONS)]
    return sum(int(offset) for key in keys if (offset := store.hget(key, OFFSET_FIELD)))


async def maximum_per_s(bootstrap: str, redis_url: str, worker: Worker) -> float:
    """Give the worker a backlog while it is held up, and return how fast it goes through it."""
    before = stored(redis_url)
    traffic = Traffic(BACKLOG, partitions=PARTITIONS, span_min=1, lead="backlog")
    os.kill(worker.pid, signal.SIGSTOP)  # else it reads along, at the producer's pace
    try:
        await fill(bootstrap, TRACES, traffic, int(time.time() * 1000))
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    began = time.monotonic()
    async with asyncio.timeout(900):
        while stored(redis_url) < before + BACKLOG:
            worker.check()
            await asyncio.sleep(0.05)
    return BACKLOG / (time.monotonic() - began)


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
                runs.append(Run(ratio, round(ratio * most), trials, foreign))
            return runs
    finally:
        await watcher.stop()
        await producer.stop()
        await asyncio.to_thread(worker.stop)


def settings(bootstrap: str, redis_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_BUDGET_")}
    return {
        **kept,
        "ROLLBACK_BUDGET_KAFKA_BOOTSTRAP": bootstrap,
        "ROLLBACK_BUDGET_REDIS_URL": redis_url,
        "ROLLBACK_BUDGET_TRACES_PARTITIONS": str(PARTITIONS),
        "ROLLBACK_BUDGET_BREAKER_MAX_ROLLBACKS": "100000",  # asked at each of them, and never open
        "ROLLBACK_BUDGET_LOG_FORMAT": "json",
        "ROLLBACK_BUDGET_LOG_LEVEL": "warning",
    }


def quantiles(values: Sequence[float], shares: Mapping[str, float], digits: int) -> dict[str, float]:
    """Return the value at each named share of the trials; 1 is the largest."""
    ordered, last = sorted(values), len(values) - 1
    return {
        name: round(ordered[min(last, int(len(ordered) * share))], digits) for name, share in shares.items()
    }


_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}


def report(run: Run) -> Mapping[str, Any]:
    rows = [asdict(one) for one in run.trials]
    steps = {name: quantiles([row[name] for row in rows], _SHARES, 2) for name in rows[0]}
    print(f"incident produced -> ..., ms since then, {len(rows)} trials, one worker, one broker")
    print(f"beside it: {run.load_per_s:,} events/s; other work took {run.foreign_cores:g} cores")
    print(f"{'':<12}{'p50':>9}{'p95':>9}{'p99':>9}{'p99.9':>9}{'max':>9}")
    for name, row in steps.items():
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
        "percentiles": [round(ordered[(len(ordered) - 1) * share // 100], 2) for share in range(101)],
        "foreign_cores": run.foreign_cores,
        "contended": run.foreign_cores > results.QUIET_CORES,
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
