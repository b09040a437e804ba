"""What goes wrong in a real world: each fault does its harm, undoes it, and returns; the numbers are the campaign's.

The letters are those of the fault plan: F1 a killed worker, F12 lost state, F31 an actuator that fails, and so on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from redis.exceptions import RedisError

from monitor.adapters.flush_limits import BATCH, TOKEN
from monitor.adapters.kafka.topics import BUDGETS, COMMANDS
from monitor.adapters.redis.keys import partition_key
from tests.chaos.door import Mode
from tests.chaos.world import World
from tests.simulation.traffic import POISON, STRANGER

Harm = Callable[[World, Random], Coroutine[Any, Any, None]]

SESSION_S = 6.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        code: Its number in the fault plan.
        on: What it strikes; two that strike the same do not happen at once.
        weight: How often it is drawn, against the others.
        target_s: Within how many seconds all that is on the log has to be in the store again.
        brokers: How many it needs.
    """

    code: str
    name: str
    harm: Harm
    on: str
    weight: int
    target_s: float
    brokers: int = 1


async def kill_worker(world: World, rng: Random) -> None:
    running = world.running()
    if running:
        worker = rng.choice(running)
        world.note(f"{worker.name}: killed")
        await asyncio.to_thread(worker.kill)


async def kill_all_workers(world: World, rng: Random) -> None:
    for worker in world.running():
        world.note(f"{worker.name}: killed")
        await asyncio.to_thread(worker.kill)


async def freeze_briefly(world: World, rng: Random) -> None:
    await _freeze(world, rng, 1.0 + 2.0 * rng.random())


async def freeze_beyond_session(world: World, rng: Random) -> None:
    await _freeze(world, rng, SESSION_S + 2.0 + 2.0 * rng.random())


async def _freeze(world: World, rng: Random, seconds: float) -> None:
    running = world.running()
    if not running:
        return
    worker = rng.choice(running)
    async with world.holding(worker):
        world.note(f"{worker.name}: frozen for {seconds:.1f} s")
        worker.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            worker.thaw()


async def roll(world: World, rng: Random) -> None:
    """Restart every worker in turn, as a deployment does."""
    for worker in world.running():
        async with world.holding(worker):
            world.note(f"{worker.name}: asked to end")
            await worker.terminate()
            worker.start()
            await worker.ready()


async def storm(world: World, rng: Random) -> None:
    """Let a further worker join and be killed, twice in a row: the group rebalances each time."""
    name = "guest"
    for _ in range(2):
        if name not in world.workers:
            guest = await world.add_worker(name)
        else:
            guest = world.workers[name].start()
        world.held.add(name)
        await guest.ready()
        await asyncio.to_thread(guest.kill)
    world.note("a guest came and went, twice")


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
        node.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            node.thaw()


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


async def store_killed(world: World, rng: Random) -> None:
    world.note("the store is killed")
    await asyncio.to_thread(world.servers.valkey.kill)
    await asyncio.sleep(rng.random() * 4.0)
    await asyncio.to_thread(world.servers.valkey.start)


async def store_frozen(world: World, rng: Random) -> None:
    seconds = 2.0 + rng.random() * 6.0
    world.note(f"the store is mute for {seconds:.1f} s")
    pid = world.servers.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        world.servers.thaw(pid)


async def store_refuses_writes(world: World, rng: Random) -> None:
    """Let its memory be full: a write is refused whole, and it reads on."""
    world.note("the store's memory is full")
    async with world.servers.redis() as client:
        await client.config_set("maxmemory", "1")
        await asyncio.sleep(2.0 + rng.random() * 3.0)
        await client.config_set("maxmemory", "0")


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
    names = {worker.name for worker in world.running()}
    world.held |= names
    for name in names:
        await asyncio.to_thread(world.workers[name].kill)
    try:
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
    finally:
        world.held -= names


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


async def _way(world: World, rng: Random, mode: Mode, seconds: float, slow_s: float = 0.0) -> None:
    running = world.running()
    if not running:
        return
    name = rng.choice(running).name
    world.note(f"{name}: its way to the store is {mode.value} for {seconds:.1f} s")
    world.doors[name].set(mode, slow_s)
    try:
        await asyncio.sleep(seconds)
    finally:
        world.doors[name].set(Mode.OPEN)


async def way_slow(world: World, rng: Random) -> None:
    await _way(world, rng, Mode.SLOW, 2.0 + rng.random() * 3.0, 0.1 + rng.random() * 0.4)


async def way_shut(world: World, rng: Random) -> None:
    await _way(world, rng, Mode.SHUT, 1.0 + rng.random() * 7.0)


async def way_deaf(world: World, rng: Random) -> None:
    await _way(world, rng, Mode.DEAF, 1.0 + rng.random() * 7.0)


async def answers_lost(world: World, rng: Random) -> None:
    await _way(world, rng, Mode.LOSES_ANSWERS, 1.0 + rng.random() * 2.0)


async def answers_cut(world: World, rng: Random) -> None:
    await _way(world, rng, Mode.CUTS_ANSWERS, 1.0 + rng.random() * 2.0)


async def poison(world: World, rng: Random) -> None:
    """Send a burst of records that no contract fits, to every partition, between good ones."""
    world.note("a burst of poison")
    odd = [*POISON, rng.randbytes(200), b"\xed\xa0\x80", b'{"a":' * 5_000, b'{"at": "1e999"}']
    world.extra += [(rng.randrange(len(world.partitions)), rng.choice(odd)) for _ in range(200)]


async def repeats(world: World, rng: Random) -> None:
    """Let a producer send whole batches again."""
    world.note("a producer sends its last batches again")
    now_ms = world.now_ms()
    for number, recent in world.producer.recent.items():
        world.extra += [(number, value) for at_ms, value in recent if now_ms - at_ms < 100_000]


async def wrong_clocks(world: World, rng: Random) -> None:
    """Let producers date their events 1970, 2038, and ten minutes ahead."""
    world.note("producers with wrong clocks")
    for number in range(120):
        at_ms = rng.choice((1_000, 2_145_916_800_000, world.now_ms() + 600_000))
        fields = {"event_id": f"clock-{at_ms}-{number}-{rng.random()}", "at": at_ms, "release": "model-2"}
        world.extra.append((rng.randrange(len(world.partitions)), json.dumps(fields).encode()))


async def crowd(world: World, rng: Random) -> None:
    """Send a burst to one partition, each with a cohort and a release that nobody has seen before."""
    world.note("a burst of new cohorts and releases to one partition")
    hot, now_ms = rng.randrange(len(world.partitions)), world.now_ms()
    for _ in range(1_500):
        fields = {
            "event_id": f"crowd-{rng.random()}",
            "at": now_ms,
            "release": f"{STRANGER}-{rng.randrange(10**6)}",
            "cohort": {"tenant": f"t{rng.randrange(10**6)}"},
        }
        world.extra.append((hot, json.dumps(fields).encode()))


async def actuator_fails(world: World, rng: Random) -> None:
    world.note("the flag system answers badly")
    world.servers.flags.bad = 0.7
    await asyncio.sleep(6.0 + rng.random() * 6.0)
    world.servers.flags.bad = 0.0


async def pager_fails(world: World, rng: Random) -> None:
    world.note("the paging system answers badly")
    world.servers.people.bad = 0.8
    await asyncio.sleep(6.0 + rng.random() * 6.0)
    world.servers.people.bad = 0.0


async def broken_orders(world: World, rng: Random) -> None:
    """Publish budgets and commands that cannot be read: those in force stay."""
    world.note("broken budgets and commands")
    release = rng.choice(world.stories).release
    odd = (b"release: [", b"\xff", b"{}", b'{"release": "other"}', b"null")
    async with world.quiet:
        for topic in (BUDGETS, COMMANDS):
            await world.publish(topic, release, rng.choice(odd))


async def kill_as_decided(world: World, rng: Random) -> None:
    """Kill every worker the moment a further event is published: between two decisions."""
    said = world.published()
    for _ in range(100):
        if world.published() > said:
            break
        await asyncio.sleep(0.02)
    await kill_all_workers(world, rng)


FAULTS: tuple[Fault, ...] = (
    Fault("F1", "worker killed", kill_worker, "workers", 6, SESSION_S + 5),
    Fault("F1", "all workers killed", kill_all_workers, "workers", 2, SESSION_S + 5),
    Fault("F2", "all killed as a decision is published", kill_as_decided, "workers", 4, SESSION_S + 5),
    Fault("F3", "worker stopped for 1-3 s", freeze_briefly, "workers", 2, SESSION_S + 5),
    Fault("F3", "worker stopped beyond its session", freeze_beyond_session, "workers", 4, SESSION_S + 5),
    Fault("F5", "rolling restart", roll, "workers", 2, SESSION_S + 5),
    Fault("F6", "rebalance storm", storm, "workers", 1, SESSION_S + 5),
    Fault("F7", "broker killed", broker_killed, "broker", 2, 15.0),
    Fault("F8", "brokers restarted in turn", brokers_rolled, "broker", 2, 15.0, brokers=3),
    Fault("F8", "two of three brokers killed", majority_killed, "broker", 2, 15.0, brokers=3),
    Fault("F9", "broker stopped for 3-10 s", broker_frozen, "broker", 2, 15.0),
    Fault("F11", "store killed", store_killed, "store", 3, 10.0),
    Fault("F12", "FLUSHALL", state_flushed, "store", 2, 90.0),
    Fault("F12", "a partition's state deleted", partition_deleted, "store", 2, 90.0),
    Fault("F12", "a bit or a field damaged", bit_flipped, "store", 2, 90.0),
    Fault("F12", "an older state put back", yesterday_restored, "store", 2, 90.0),
    Fault("F18", "store's memory full", store_refuses_writes, "store", 2, 10.0),
    Fault("F19", "store stopped for 2-8 s", store_frozen, "store", 2, 10.0),
    Fault("F19", "way to the store slow", way_slow, "workers", 2, 10.0),
    Fault("F19", "answers of the store lost", answers_lost, "workers", 2, 10.0),
    Fault("F19", "answers of the store cut", answers_cut, "workers", 2, 10.0),
    Fault("F19", "way to the store deaf", way_deaf, "workers", 2, 10.0),
    Fault("F29", "worker cut off the store", way_shut, "workers", 2, 10.0),
    Fault("F20", "200 records of poison", poison, "traffic", 2, 10.0),
    Fault("F22", "batches sent again", repeats, "traffic", 2, 10.0),
    Fault("F24", "1,500 new cohorts to one partition", crowd, "traffic", 1, 10.0),
    Fault("F28", "producers' clocks wrong", wrong_clocks, "traffic", 2, 10.0),
    Fault("F31", "flag system fails", actuator_fails, "effects", 3, 15.0),
    Fault("F33", "paging system fails", pager_fails, "effects", 2, 15.0),
    Fault("F35", "broken budgets and commands", broken_orders, "traffic", 1, 10.0),
)
"""Every kind, in the order of the table."""
