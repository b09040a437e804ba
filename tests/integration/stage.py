"""A test's own corner of the shared broker: names of its own, a Valkey of its own, and the workers it starts.

The control topics have fixed names, so all tests that run workers share one broker and stay apart by names: each stage
has its own traces topic, consumer group and releases, which begin with its name. Leases are in its own Valkey.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.flush_limits import CONDEMNED
from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import BUDGETS, COMMANDS, product_topics
from monitor.adapters.redis.keys import partition_key
from monitor.core.cohort import OVERALL, by_every
from monitor.core.indicator import LABELS
from monitor.engine.codec import META_FIELD, OFFSET_FIELD, Meta, cell_key, decode_cell, decode_meta
from monitor.engine.ports import Partition
from tests.integration.heard import Heard
from tests.integration.traffic import Tally
from tests.integration.workers import WAIT_S, Worker, eventually


@dataclass
class Stage:
    """Where one test plays."""

    access: KafkaAccess
    valkey: EmbeddedValkey
    folder: Path
    name: str
    partitions: int = 4
    workers: list[Worker] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)

    @property
    def traces(self) -> str:
        """Its traces topic."""
        return f"{self.name}-traces"

    def release(self, name: str) -> str:
        """Return a release's name here."""
        return f"{self.name}-{name}"

    async def make_topics(self) -> None:
        """Create what the product needs, and the stage's traces topic."""
        await ensure_topics(
            self.access, product_topics(traces=self.traces, trace_partitions=self.partitions), 1
        )

    def worker(self, name: str, **settings: object) -> Worker:
        """Start a worker; settings by their names in lower case, with quick defaults for tests."""
        quick: dict[str, object] = {
            "kafka_bootstrap": self.access.bootstrap,
            "redis_url": self.valkey.url,
            "traces_topic": self.traces,
            "traces_partitions": self.partitions,
            "group": self.name,
            "session_timeout_ms": 6_000,
            "lease_ttl_ms": 2_000,
            "flush_interval_ms": 100,
            "log_format": "json",
        }
        texts = {name.upper(): str(value) for name, value in {**quick, **settings}.items()}
        worker = Worker(f"{self.name}-{name}", self.folder, texts)
        self.workers.append(worker)
        return worker.start()

    @property
    def budgets(self) -> Path:
        """The folder of its budget files."""
        return self.folder / "budgets"

    def budget(self, name: str, text: str) -> None:
        """Write a budget file."""
        self.budgets.mkdir(exist_ok=True)
        (self.budgets / f"{name}.yaml").write_text(text, encoding="utf-8")

    async def produce(self, rows: Iterable[tuple[int, bytes | None]]) -> list[tuple[int, int]]:
        """Write records to the traces topic; returns the partition and offset of each."""
        return await self._send((self.traces, partition, b"any", value) for partition, value in rows)

    async def publish(self, topic: str, release: str, value: bytes | None) -> None:
        """Write a record, keyed by release, to a control topic."""
        await self._send([(topic, None, release.encode(), value)])

    async def load(self, release: str, text: str | None) -> None:
        """Publish a budget, or a tombstone."""
        self.loaded.add(release)
        await self.publish(BUDGETS, release, None if text is None else text.encode())

    async def command(self, kind: str, release: str, **fields: object) -> str:
        """Order something as a commander; returns the command's id."""
        command_id = f"{release}-{kind}-{fields.get('decision', '')}"
        order = {"command": kind, "command_id": command_id, "release": release, "author": "ada", **fields}
        order.setdefault("reason", "looked at the traces")
        await self.publish(COMMANDS, release, json.dumps(order).encode())
        return command_id

    async def _send(
        self, rows: Iterable[tuple[str, int | None, bytes | None, bytes | None]]
    ) -> list[tuple[int, int]]:
        async with self.producer() as producer:
            sent = [
                await producer.send(topic, value, key=key, partition=partition)
                for topic, partition, key, value in rows
            ]
            return [(meta.partition, meta.offset) for meta in await asyncio.gather(*sent)]

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """Connect a producer, for a test that writes all the time."""
        producer = AIOKafkaProducer(**self.access.client_options(), enable_idempotence=True, linger_ms=5)
        await bounded(producer.start(), WAIT_S, "the test's producer")
        try:
            yield producer
        finally:
            await stop_client(producer)

    async def stored(self) -> Stored:
        """Return the state in Valkey."""
        async with self._store() as redis:
            hashes = [await redis.hgetall(name) for name in self._keys]
        return Stored([{name.decode(): value for name, value in one.items()} for one in hashes])

    @property
    def _keys(self) -> list[str]:
        return [partition_key(Partition(self.traces, number)) for number in range(self.partitions)]

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Any]:
        redis = Redis.from_url(self.valkey.url)
        try:
            yield redis
        finally:
            await redis.aclose()

    async def members(self, count: int) -> None:
        """Return when so many workers share the partitions."""
        admin = AIOKafkaAdminClient(**self.access.client_options())
        await bounded(admin.start(), WAIT_S, "the test's admin client")

        async def are_there() -> bool:
            assert all(worker.is_running for worker in self.workers), [
                one.log[-3_000:] for one in self.workers
            ]
            try:
                (answer,) = await admin.describe_consumer_groups([self.name])
            except KafkaError:  # the first group of a broker: its coordinator is being made
                return False
            (group,) = answer.groups
            return group[2] == "Stable" and len(group[5]) == count

        try:
            await eventually(are_there, f"{count} workers are in the group")
        finally:
            await stop_client(admin)

    async def consumed(self, records: int) -> None:
        """Return when the stored offsets add up to so many records."""
        async with self._store() as redis:

            async def is_there() -> bool:
                assert any(one.is_running for one in self.workers), [one.log[-3_000:] for one in self.workers]
                offsets = [await redis.hget(name, OFFSET_FIELD) for name in self._keys]
                return sum(map(_position, offsets)) >= records

            await eventually(is_there, f"{records} records are in the store")

    async def close(self) -> None:
        """End the workers, and take the budgets back: the workers of the next test would see them."""
        for worker in self.workers:
            worker.close()
        for release in self.loaded:
            await self.publish(BUDGETS, release, None)


@dataclass(frozen=True)
class Stored:
    """The hashes of a stage's partitions."""

    hashes: Sequence[Mapping[str, bytes]]

    @property
    def offset(self) -> int:
        """Sum of the stored offsets."""
        return sum(_position(one.get(OFFSET_FIELD)) for one in self.hashes)

    @property
    def metas(self) -> list[Meta]:
        """What the hashes say beside their cells."""
        return [decode_meta(one[META_FIELD]) for one in self.hashes if META_FIELD in one]

    def tally(self) -> Tally:
        """Return totals and overall cells, their strata together, to be compared with a recount."""
        metas = self.metas
        tally = Tally(
            accepted=sum(one.accepted for one in metas),
            late=sum(one.late for one in metas),
            duplicates=sum(one.duplicates for one in metas),
            rejected=sum(one.rejected for one in metas),
        )
        for stored in self.hashes:
            for name, packed in stored.items():
                key = cell_key(name)
                if key is not None and key.view == by_every(OVERALL, ("workflow",)):
                    cell = tally.cells.setdefault((key.minute, key.release), Counter())
                    cell.update(_cell(packed))
        tally.cells = {key: +cell for key, cell in tally.cells.items() if +cell}
        return tally


def _position(stored: bytes | None) -> int:
    """How far a partition is read; a state that was struck out, until it is rebuilt, counts for nothing."""
    return 0 if stored is None or stored == CONDEMNED.encode() else int(stored)


def _cell(packed: bytes) -> dict[str, int]:
    cell, success = decode_cell(packed).total(), LABELS.index("task_success")
    return {
        "requests": cell.requests,
        "errors": cell.errors,
        "timeouts": cell.timeouts,
        "incidents": cell.incidents,
        "measured": cell.known[success],
        "successes": cell.hits[success],
    }


@asynccontextmanager
async def staged(bootstrap: str, folder: Path, name: str, *, partitions: int = 4) -> AsyncIterator[Stage]:
    """Set a stage on a running broker, topics made; clear it at the end."""
    with EmbeddedValkey(folder / "valkey") as valkey:
        stage = Stage(KafkaAccess(bootstrap), valkey, folder, name, partitions)
        try:
            await stage.make_topics()
            yield stage
        finally:
            await stage.close()


@asynccontextmanager
async def listening(stage: Stage) -> AsyncIterator[Heard]:
    """Read what the monitor says about the stage's releases, from the first record on."""
    heard = Heard(stage.access, stage.name)
    try:
        yield await heard.start()
    finally:
        await heard.stop()
