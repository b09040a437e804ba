"""The promises of `Lease`, kept by the real one and by its twin alike."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from monitor.adapters.memory.lease import MemoryLease
from monitor.adapters.redis.lease import RedisLease

LONG_MS = 600_000
SHORT_MS = 5


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def lease(request: pytest.FixtureRequest) -> AsyncIterator[RedisLease | MemoryLease]:
    found: RedisLease | MemoryLease
    if request.param == "memory":
        found = MemoryLease()
    else:
        found = RedisLease(request.getfixturevalue(request.param), deadline_s=60, socket_timeout_s=20)
    yield found
    await found.close()


async def acquired_at_last(lease: RedisLease | MemoryLease, name: str, owner: str) -> bool:
    """Ask until the answer is yes, for a minute at most."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await lease.acquire(name, owner, LONG_MS):
            return True
    return False


async def test_only_one_owner_at_a_time(lease: RedisLease | MemoryLease, unique: str) -> None:
    assert await lease.acquire(unique, "a", LONG_MS)
    assert not await lease.acquire(unique, "b", LONG_MS)


async def test_the_owner_renews(lease: RedisLease | MemoryLease, unique: str) -> None:
    assert await lease.acquire(unique, "a", SHORT_MS)
    assert await lease.acquire(unique, "a", LONG_MS)
    assert not await lease.acquire(unique, "b", LONG_MS)


async def test_an_owner_that_does_not_renew_loses_it(lease: RedisLease | MemoryLease, unique: str) -> None:
    assert await lease.acquire(unique, "a", SHORT_MS)
    assert await acquired_at_last(lease, unique, "b")
    assert not await lease.acquire(unique, "a", LONG_MS)


async def test_a_renewal_can_shorten_it(lease: RedisLease | MemoryLease, unique: str) -> None:
    assert await lease.acquire(unique, "a", LONG_MS)
    assert await lease.acquire(unique, "a", SHORT_MS)
    assert await acquired_at_last(lease, unique, "b")


async def test_it_lives_no_longer_than_whoever_asks_would_take_it_for(
    lease: RedisLease | MemoryLease, unique: str
) -> None:
    """Where the server's clock went back by an hour, the lease of one who is gone would live an hour longer."""
    assert await lease.acquire(unique, "a", LONG_MS)
    assert not await lease.acquire(unique, "b", SHORT_MS)
    assert await acquired_at_last(lease, unique, "b")


async def test_what_is_released_is_free_at_once(lease: RedisLease | MemoryLease, unique: str) -> None:
    await lease.acquire(unique, "a", LONG_MS)
    await lease.release(unique, "a")
    assert await lease.acquire(unique, "b", LONG_MS)


async def test_only_the_owner_releases(lease: RedisLease | MemoryLease, unique: str) -> None:
    await lease.acquire(unique, "a", LONG_MS)
    await lease.release(unique, "b")
    assert not await lease.acquire(unique, "b", LONG_MS)
    await lease.release(f"{unique}-never", "b")


async def test_names_do_not_touch_one_another(lease: RedisLease | MemoryLease, unique: str) -> None:
    assert await lease.acquire(f"{unique}-1", "a", LONG_MS)
    assert await lease.acquire(f"{unique}-2", "b", LONG_MS)
