"""A broker, a state store and the systems outside, all real, on loopback: what a world's workers run against."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from monitor.adapters.embedded.errors import EmbeddedUnavailable
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.redis.keys import partition_key
from monitor.engine.ports import Partition
from tests.adapters.receiver import loopback
from tests.chaos.brokers import Brokers
from tests.chaos.cluster import Cluster
from tests.chaos.outside import Flags, People
from tests.chaos.setup import Setup

_TORN: Final = "Unexpected end of file reading the append only file"


@dataclass
class Servers:
    """What runs besides the workers; where there is a cluster, the one store beside it is not started."""

    kafka: Brokers
    valkey: EmbeddedValkey
    flags: Flags
    people: People
    flags_url: str
    pager_url: str
    cluster: Cluster | None = None

    @property
    def access(self) -> KafkaAccess:
        """How to reach the broker."""
        return KafkaAccess(self.kafka.bootstrap)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Any]:
        """Reach the state store past every door; one moment's connection."""
        if self.cluster is not None:
            async with self.cluster.client() as cluster_client:
                yield cluster_client
            return
        client = Redis.from_url(self.valkey.url, socket_timeout=5)
        try:
            yield client
        finally:
            await client.aclose()

    async def stored(self, partition: Partition) -> Mapping[str, bytes]:
        """Return a partition's state, all of one moment; empty where there is none, or no answer."""
        try:
            async with self.redis() as client:
                found = await client.hgetall(partition_key(partition))
        except (RedisError, RedisClusterException, OSError):
            return {}
        return {name.decode(): value for name, value in found.items()}


class Valkey(EmbeddedValkey):
    """The embedded server; where its files may not grow it is told so and goes on, as on a disk that is full.

    Killed in the middle of a write it refuses its file. Then this does what docs/reliability.md tells people to do.
    """

    def start(self) -> Self:
        """Start it, with an empty store where the file is torn."""
        try:
            return super().start()
        except EmbeddedUnavailable as error:
            if _TORN not in str(error):
                raise
            shutil.rmtree(self._folder / "appendonlydir")
            return super().start()

    def _prepare(self) -> None:
        super()._prepare()
        script = self._folder / "server.sh"
        script.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec '{self._binary}' \"$@\"\n")
        script.chmod(0o700)
        self._binary = script


@asynccontextmanager
async def serving(folder: Path, rng: Random, setup: Setup) -> AsyncIterator[Servers]:
    """Start everything; end all of it afterwards."""
    kafka, valkey = Brokers(folder, setup.brokers), Valkey(folder / "valkey")
    cluster = Cluster(folder / "cluster") if setup.cluster else None
    flags, people = Flags(Random(rng.random())), People(Random(rng.random()))
    try:
        await asyncio.to_thread(kafka.start)
        await asyncio.to_thread((cluster or valkey).start)
        async with loopback(flags.handle) as flags_url, loopback(people.handle) as pager_url:
            yield Servers(kafka, valkey, flags, people, flags_url, pager_url, cluster)
    finally:
        await asyncio.to_thread((cluster or valkey).stop)
        await asyncio.to_thread(kafka.stop)
