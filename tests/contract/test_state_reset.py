"""Forgetting and condemning a partition's state: the real store and its twin alike, and only for whom it is meant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.adapters.memory.store import MemoryStateStore
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.ports import Claim, FlushAnswer, Partition, StateStore


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StateStore]:
    found: StateStore
    if request.param == "memory":
        found = MemoryStateStore()
    else:
        found = RedisStateStore(request.getfixturevalue(request.param), deadline_s=60, socket_timeout_s=20)
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


async def test_a_claim_knows_how_many_before_it_came_to_no_write(store: StateStore, unique: str) -> None:
    partition = Partition(unique, 0)
    assert [(await store.claim(partition, f"w{number}")).unwritten for number in range(3)] == [0, 1, 2]
    claim = await store.claim(partition, "writes")
    answer = await store.flush(claim, batch=f"{claim.token}/1", expected_offset=0, fields={"offset": b"7"})
    assert answer is FlushAnswer.APPLIED
    assert [(await store.claim(partition, f"w{number}")).unwritten for number in range(2)] == [0, 1]


async def test_a_fenced_caller_resets_nothing(store: StateStore, unique: str) -> None:
    partition = Partition(unique, 0)
    await written(store, partition)
    fenced = await store.claim(partition, "fenced")
    await store.claim(partition, "owner")
    await store.reset(fenced)
    assert len((await store.claim(partition, "next")).fields) == 6_002


async def test_a_condemned_partition_fences_its_writer_and_has_no_offset(
    store: StateStore, unique: str
) -> None:
    partition = Partition(unique, 0)
    owner = await store.claim(partition, "owner")
    assert await flushed(store, owner, "b1", 0) is FlushAnswer.APPLIED
    assert await store.condemn(partition, owner.token)
    assert await flushed(store, owner, "b2", 7) is FlushAnswer.FENCED
    offset = (await store.claim(partition, "owner")).fields["offset"]
    assert not offset.isdigit()


async def test_what_was_condemned_before_a_claim_is_not_what_comes_after_it(
    store: StateStore, unique: str
) -> None:
    """Whoever read damaged state may be late: by then it is somebody else's, and made anew."""
    partition = Partition(unique, 0)
    old = await store.claim(partition, "old")
    new = await store.claim(partition, "new")
    assert await flushed(store, new, "b1", 0) is FlushAnswer.APPLIED
    assert not await store.condemn(partition, old.token)
    assert not await store.condemn(Partition(unique, 1), "")
    assert await flushed(store, new, "b2", 7) is FlushAnswer.APPLIED
    assert (await store.claim(Partition(unique, 1), "first")).fields == {}


async def flushed(store: StateStore, claim: Claim, batch: str, expected: int) -> FlushAnswer:
    return await store.flush(claim, batch=batch, expected_offset=expected, fields={"offset": b"7"})
