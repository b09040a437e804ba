"""Forgetting a partition's state: the real store and its twin alike, and never for a fenced caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.adapters.memory.store import MemoryStateStore
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.ports import FlushAnswer, Partition, StateStore


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StateStore]:
    found: StateStore
    if request.param == "memory":
        found = MemoryStateStore()
    else:
        found = RedisStateStore(request.getfixturevalue("valkey"), deadline_s=20, socket_timeout_s=10)
    yield found
    await found.close()


async def written(store: StateStore, partition: Partition) -> None:
    """Fill the partition's hash with more fields than one delete takes."""
    claim = await store.claim(partition, "before")
    for part in range(3):
        fields = {f"c|{part}|{number}": b"x" for number in range(2_000)}
        offset = str(part + 1).encode()
        answer = await store.flush(
            claim, batch=f"b{part}", expected_offset=part, fields={**fields, "offset": offset}
        )
        assert answer is FlushAnswer.APPLIED


async def test_after_a_reset_a_partition_begins_as_at_its_first_start(store: StateStore, unique: str) -> None:
    partition = Partition(unique, 0)
    await written(store, partition)
    claim = await store.claim(partition, "resets")
    await store.reset(claim)
    answer = await store.flush(claim, batch="new", expected_offset=0, fields={"offset": b"7"})
    assert answer is FlushAnswer.APPLIED
    assert (await store.claim(partition, "next")).fields == {"offset": b"7", "batch": b"new"}


async def test_a_fenced_caller_resets_nothing(store: StateStore, unique: str) -> None:
    partition = Partition(unique, 0)
    await written(store, partition)
    fenced = await store.claim(partition, "fenced")
    await store.claim(partition, "owner")
    await store.reset(fenced)
    assert len((await store.claim(partition, "next")).fields) == 6_002
