"""The stage all systems stand on: one embedded Kafka and one Valkey, and the product's own `run` before them."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.performance.meter import Meter, Sample, tree
from monitor.adapters.demo.workers import Worker
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.client import stop_client
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import product_topics
from monitor.adapters.redis.keys import partition_key
from monitor.engine.codec import OFFSET_FIELD
from monitor.engine.ports import Partition

LOOK_EVERY_S = 0.1
MOST_S = 900.0
HEAP_MB = 512


@dataclass(frozen=True)
class Stage:
    """The servers, and a folder that goes with them."""

    kafka: EmbeddedKafka
    valkey: EmbeddedValkey
    folder: Path

    @property
    def log_dir(self) -> Path:
        """Where the broker keeps its segment files."""
        return self.folder / "kafka" / "topics"

    @property
    def servers(self) -> Mapping[str, int]:
        """Process ids by name."""
        return {"kafka": self.kafka.pid, "valkey": self.valkey.pid}

    def settings(self, **more: str) -> dict[str, str]:
        """Return the environment of a worker here; what is set for workers outside does not count."""
        own = {"KAFKA_BOOTSTRAP": self.kafka.bootstrap, "REDIS_URL": self.valkey.url} | {
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "warning",
            **more,
        }
        return clean() | {f"ROLLBACK_BUDGET_{name}": value for name, value in own.items()}

    def empty_store(self) -> None:
        """Forget all state and free its memory at once: by itself the server does that beside what follows."""
        redis.Redis.from_url(self.valkey.url).execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]

    def budgets(self, name: str, texts: Sequence[str]) -> Path:
        """Write budgets into a folder of their own."""
        folder = self.folder / f"budgets-{name}"
        folder.mkdir()
        for number, text in enumerate(texts):
            (folder / f"{number:04d}.yaml").write_text(text, encoding="utf-8")
        return folder


def clean() -> dict[str, str]:
    """Return the environment without anybody's settings of workers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_BUDGET_")}


@contextmanager
def stage(beneath: Path | None = None) -> Iterator[Stage]:
    """Start the servers, and end them in any case; their files go with them.

    Args:
        beneath: An existing folder for the files, where the usual one is too small for them.
    """
    with tempfile.TemporaryDirectory(dir=beneath) as name:
        folder = Path(name)
        kafka = EmbeddedKafka(folder / "kafka", heap_mb=HEAP_MB, quick_start=False)
        with kafka, EmbeddedValkey(folder / "valkey") as valkey:
            yield Stage(kafka, valkey, folder)


async def forget(here: Stage) -> None:
    """Put the product where it was before its first start; the topics of traces stay."""
    here.empty_store()
    admin = AIOKafkaAdminClient(**KafkaAccess(here.kafka.bootstrap).client_options())
    await admin.start()
    try:
        own = {topic.name for topic in product_topics()[1:]}
        if there := own & set(await admin.list_topics()):
            await admin.delete_topics(sorted(there))
        async with asyncio.timeout(60):
            while own & set(await admin.list_topics()):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.1)
    finally:
        await stop_client(admin)


@dataclass(frozen=True)
class Job:
    """What the product is to do.

    Attributes:
        name: Of this run; another one each time.
        topic, events: Where the traces are, and how many.
        workers: How many processes share the partitions.
        ticks: How many minutes have to be judged too before it is at its end.
        at_end: Called with the stage once all is stored, before anything stops.
    """

    name: str
    topic: str
    events: int
    budgets: Sequence[str]
    settings: Mapping[str, str]
    partitions: int = 4
    workers: int = 1
    ticks: int = 0
    at_end: Callable[[], None] = lambda: None


class Stuck(Exception):
    """The product did not come to the end of the topic in time."""


async def run_product(here: Stage, job: Job) -> Sample:
    """Let the product's own `run` read the whole topic; from the first event stored to the last.

    Raises:
        Stuck: It did not count every event once within `MOST_S`.
    """
    await forget(here)
    settings = here.settings(
        TRACES_TOPIC=job.topic,
        GROUP=f"bench-{job.name}",
        BUDGETS=str(here.budgets(job.name, job.budgets)),
        **job.settings,
    )
    workers = [Worker(f"{job.name}-{number}", here.folder, settings) for number in range(job.workers)]
    for worker in workers:
        worker.start()
    try:
        return await _until_stored(here, workers, job)
    finally:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))


async def _until_stored(here: Stage, workers: Sequence[Worker], job: Job) -> Sample:
    """Watch the stored offsets, which costs the workers nothing; at the end ask them what became of the events.

    What is stored has to be judged too: a worker that catches up writes, and so judges, in large steps.
    """
    meter, deadline = Meter(here.servers), time.monotonic() + MOST_S
    store, done = redis.Redis.from_url(here.valkey.url), 0
    while time.monotonic() < deadline:
        for worker in workers:
            worker.check()
        pids = [pid for worker in workers for pid in tree(worker.pid)]
        done = stored_records(store, job.topic, job.partitions)
        # The first write comes after the first batch; with several workers, what one does alone is start-up.
        if not meter.has_begun and done and await _all_at_work(workers):
            meter.begin(pids, done)
        if done >= job.events and await _ticks(workers, job) >= job.ticks:
            sample = meter.end(pids, done)
            await _check(workers, job)
            job.at_end()
            return sample
        await asyncio.sleep(LOOK_EVERY_S)
    raise Stuck(f"{job.name}: {done} of {job.events} events after {MOST_S:g} s")


def stored_records(store: redis.Redis, topic: str, partitions: int) -> int:
    """Return how many records of a topic are in the store, by its offsets: looking costs the workers nothing."""
    offsets = (
        store.hget(partition_key(Partition(topic, number)), OFFSET_FIELD) for number in range(partitions)
    )
    return sum(int(offset) for offset in offsets if offset)


async def _all_at_work(workers: Sequence[Worker]) -> bool:
    if len(workers) == 1:
        return True
    return all([sum((await _counts(worker)).values()) for worker in workers])


async def _check(workers: Sequence[Worker], job: Job) -> None:
    """Every event is in a window: a figure for events that were dropped would be worth nothing."""
    found: Counter[str] = Counter()
    for worker in workers:
        found.update(await _counts(worker))
    if found["accepted"] < job.events:
        raise Stuck(f"{job.name}: {job.events} events, and the workers say {dict(found)}")


async def _ticks(workers: Sequence[Worker], job: Job) -> int:
    """Return how many minutes the workers have judged, of all releases; nothing is asked where none have to be."""
    if not job.ticks:
        return 0
    return sum([(await _counts(worker, "ticks")).get("decided", 0) for worker in workers])


async def _counts(worker: Worker, what: str = "events") -> dict[str, int]:
    """Return what became of the events a worker has stored (or of ticks); nothing while it starts."""
    async with httpx.AsyncClient(timeout=30) as client:
        try:
            text = (await client.get(f"{worker.url}/metrics")).text
        except httpx.TransportError:
            return {}
    pattern = rf'^rollback_budget_{what}_total\{{.*result="(\w+)".*\}} (\S+)$'
    return {result: int(float(count)) for result, count in re.findall(pattern, text, re.MULTILINE)}
