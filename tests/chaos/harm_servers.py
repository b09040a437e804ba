"""What happens to brokers, to the store and to the state in it."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack, suppress
from random import Random

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from monitor.adapters.flush_limits import BATCH, TOKEN
from monitor.adapters.kafka.client import bounded, silent_library, stop_client
from monitor.adapters.redis.keys import lease_key, partition_key
from monitor.engine.errors import LogUnreachable
from tests.chaos.limits import failing, limited
from tests.chaos.stopped import stopped
from tests.chaos.world import GROUP, World

HOUR_S, HOUR_MS = 3_600, 3_600_000
STEP_S = 3  # a minute of event time: two may be lost between a minute's end and its closing
NOTICE_S = 60.0  # for a worker to say that the store is not to be relied on


async def broker_killed(world: World, rng: Random) -> None:
    """Kill one broker, and start it again after a while. Producers are silent, so that nothing is late by it."""
    node = rng.choice(world.servers.kafka.nodes)
    async with world.quiet:
        world.note(f"broker {node.number} is killed")
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(rng.random() * 3.0)
        await asyncio.to_thread(node.start)
        world.note(f"broker {node.number} is back")


async def broker_frozen(world: World, rng: Random) -> None:
    node, seconds = rng.choice(world.servers.kafka.nodes), 3.0 + rng.random() * 7.0
    async with world.quiet:
        world.note(f"broker {node.number} is mute for {seconds:.1f} s")
        await stopped(node.pid, seconds)


async def brokers_rolled(world: World, rng: Random) -> None:
    """Restart every broker in turn, as an upgrade does, while everything goes on."""
    for node in world.servers.kafka.nodes:
        world.note(f"broker {node.number} is restarted")
        await asyncio.to_thread(node.stop)
        await asyncio.to_thread(node.start)


async def majority_killed(world: World, rng: Random) -> None:
    """Kill two of three brokers: what is left takes no writes."""
    dead = rng.sample(world.servers.kafka.nodes, 2)
    async with world.quiet:
        world.note(f"brokers {[node.number for node in dead]} are killed")
        for node in dead:
            await asyncio.to_thread(node.kill)
        await asyncio.sleep(rng.random() * 5.0)
        await asyncio.gather(*(asyncio.to_thread(node.start) for node in dead))


async def broker_clock_behind(world: World, rng: Random) -> None:
    """Let one broker's clock be an hour behind: by the log's own time what comes meanwhile is from the future."""
    await _clock_wrong(world, rng, -HOUR_S, 2.0 + 3.0 * rng.random())


async def broker_clock_steps(world: World, rng: Random) -> None:
    """Let one broker's clock step ahead and back by less than the lateness allows."""
    await _clock_wrong(world, rng, STEP_S, 2.0 + 6.0 * rng.random())


async def _clock_wrong(world: World, rng: Random, by_s: int, for_s: float) -> None:
    node = rng.choice(world.servers.kafka.nodes)
    assert node.clock is not None  # the fault is not drawn where there is no compiler
    world.note(f"the clock of broker {node.number} is wrong by {by_s} s for {for_s:.1f} s")
    async with node.clock.wrong_by(by_s):
        await asyncio.sleep(for_s)


async def store_killed(world: World, rng: Random) -> None:
    world.note("the store is killed")
    await asyncio.to_thread(world.servers.valkey.kill)
    await asyncio.sleep(rng.random() * 4.0)
    await asyncio.to_thread(world.servers.valkey.start)


async def store_frozen(world: World, rng: Random) -> None:
    seconds = 2.0 + rng.random() * 6.0
    world.note(f"the store is mute for {seconds:.1f} s")
    await stopped(world.servers.valkey.pid, seconds)


async def store_refuses_writes(world: World, rng: Random) -> None:
    """Let its memory be full: a write is refused whole, and it reads on."""
    world.note("the store's memory is full")
    async with world.servers.redis() as client:
        await client.config_set("maxmemory", "1")
        await asyncio.sleep(2.0 + rng.random() * 3.0)
        await client.config_set("maxmemory", "0")


async def store_evicts(world: World, rng: Random) -> None:
    """Let somebody set a policy that evicts, and the memory be full: state goes without an error, and it is noticed."""
    world.note("the store evicts what it has")
    noticed = "state store not relied on"
    before = world.said(noticed)
    async with world.servers.redis() as client:
        try:
            await client.config_set("maxmemory-policy", "allkeys-random")
            await client.config_set("maxmemory", "1")
            await asyncio.sleep(rng.random())
            await client.config_set("maxmemory", "0")
            ends_s = time.monotonic() + NOTICE_S
            while world.said(noticed) == before and time.monotonic() < ends_s:  # noqa: ASYNC110 - said in a file
                await asyncio.sleep(0.5)
            if world.said(noticed) == before:
                world.violations.append(("F18 a policy that evicts is noticed", f"not within {NOTICE_S:g} s"))
        finally:
            await client.config_set("maxmemory", "0")
            await client.config_set("maxmemory-policy", "noeviction")


async def state_flushed(world: World, rng: Random) -> None:
    world.note("FLUSHALL")
    async with world.servers.redis() as client:
        await client.flushall()


async def partition_deleted(world: World, rng: Random) -> None:
    partition = rng.choice(world.partitions)
    world.note(f"the state of partition {partition.number} is deleted")
    async with world.servers.redis() as client:
        await client.delete(partition_key(partition))


async def bit_flipped(world: World, rng: Random) -> None:
    """Flip a bit, or take the field away, while every worker is down: whoever takes over has to see it."""
    async with world.nobody_at_work():
        key = partition_key(rng.choice(world.partitions))
        async with world.servers.redis() as client:
            stored = await client.hgetall(key)
            fields = sorted(name for name in stored if name.decode() not in (TOKEN, BATCH))
            if fields:
                name = rng.choice(fields)
                value = bytearray(stored[name])
                if value and rng.random() < 0.7:
                    value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
                    await client.hset(key, name, bytes(value))
                else:
                    await client.hdel(key, name)
                world.note(f"{name!r} of {key} is damaged")


async def yesterday_restored(world: World, rng: Random) -> None:
    """Put a partition's whole state back to what it was some seconds ago, as from a backup."""
    partition = rng.choice(world.partitions)
    key = partition_key(partition)
    with suppress(RedisError):
        async with world.servers.redis() as client:
            old = await client.dump(key)
            await asyncio.sleep(2.0)
            if old is not None:
                await client.restore(key, 0, old, replace=True)
                world.note(f"the state of partition {partition.number} is put back by 2 s")


async def disk_full(world: World, rng: Random) -> None:
    """Let the store's append-only file grow no further: writes are refused, and it reads on."""
    world.note("the store's disk is full")
    async with limited(world.servers.valkey.pid, resource.RLIMIT_FSIZE):
        await asyncio.sleep(3.0 + 3.0 * rng.random())


async def store_clock_wrong(world: World, rng: Random) -> None:
    """Let the store's clock jump by an hour, as far as it tells time: leases end at once, or live an hour longer.

    A worker that held some is gone meanwhile: in an hour that its leases live longer nobody would judge its releases.
    """
    goes_back = rng.random() < 0.7
    world.note(f"the store's clock is an hour {'behind' if goes_back else 'ahead'}")
    running = world.running()
    async with AsyncExitStack() as held, world.servers.redis() as client:
        if goes_back and running:
            worker = rng.choice(running)
            await held.enter_async_context(world.holding(worker))
            await asyncio.to_thread(worker.kill)
        async for key in client.scan_iter(match=lease_key("*")):
            await (client.pexpire(key, HOUR_MS) if goes_back else client.delete(key))
            world.counts["leases of a wrong clock"] += 1
        await asyncio.sleep(2.0 + 6.0 * rng.random())


async def syncs_fail(world: World, rng: Random) -> None:
    """Let the store's disk fail to keep what is written: writes are refused, until the server is on another disk."""
    world.note("the store's disk does not sync")
    refused = "Errors writing to the AOF file"
    async with failing(world.servers.valkey.pid, "fsync", "fdatasync"):
        for _ in range(100):
            try:
                async with world.servers.redis() as client:
                    await client.set("chaos:asked", b"")
            except RedisError as error:
                if refused in str(error):
                    world.counts["syncs that failed"] += 1
                    break
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0 + 2.0 * rng.random())
    await asyncio.to_thread(
        world.servers.valkey.kill
    )  # a failed sync is not tried again by the server itself
    await asyncio.to_thread(world.servers.valkey.start)


async def file_rewritten(world: World, rng: Random) -> None:
    """Let the store rewrite its append-only file under load, and be killed in the middle of it or after it."""
    world.note("the store rewrites its append-only file")
    async with world.servers.redis() as client:
        await client.bgrewriteaof()
    await asyncio.sleep(rng.random())
    await asyncio.to_thread(world.servers.valkey.kill)
    await asyncio.to_thread(world.servers.valkey.start)


async def group_set_back(world: World, rng: Random) -> None:
    """Let the group's committed offsets say that nothing was read: they are a witness, and nothing follows them."""
    async with world.nobody_at_work():
        raws = {TopicPartition(one.topic, one.number): 0 for one in world.partitions}
        consumer = AIOKafkaConsumer(
            **world.servers.access.client_options(), group_id=GROUP, enable_auto_commit=False
        )
        try:
            await bounded(consumer.start(), 30.0, "the group's offsets")
            consumer.assign(list(raws))
            with silent_library():
                for _ in range(60):  # until the members' session is over
                    with suppress(LogUnreachable):
                        await bounded(consumer.commit(raws), 10.0, "setting the group back")
                        break
                    await asyncio.sleep(0.5)
            world.note("the group is set back to the first record")
        finally:
            await stop_client(consumer)
