"""What happens to a store that is a cluster: its primaries go, its replicas take over, its slots move."""

from __future__ import annotations

import asyncio
from random import Random

from monitor.adapters.redis.keys import partition_key
from tests.chaos.cluster import NODE_TIMEOUT_MS, Cluster, ClusterNode
from tests.chaos.harm_workers import kill_worker
from tests.chaos.stopped import stopped
from tests.chaos.world import World

TIMEOUT_S = NODE_TIMEOUT_MS / 1000


def _cluster(world: World) -> Cluster:
    assert world.servers.cluster is not None  # these are drawn where there is one
    return world.servers.cluster


async def _primary(world: World, rng: Random) -> ClusterNode:
    return rng.choice(await asyncio.to_thread(_cluster(world).primaries))


async def primary_killed(world: World, rng: Random) -> None:
    """Kill a primary; its replica takes over, and it comes back as a replica."""
    primary = await _primary(world, rng)
    world.note(f"the primary on {primary.port} is killed")
    await asyncio.to_thread(primary.kill)
    await asyncio.sleep(TIMEOUT_S * (1 + 2 * rng.random()))
    await asyncio.to_thread(primary.start)
    await _cluster(world).whole()


async def primary_stopped(world: World, rng: Random) -> None:
    """Stop a primary for so long that it is replaced: when it wakes up it does not know."""
    primary = await _primary(world, rng)
    world.note(f"the primary on {primary.port} is mute")
    await stopped(primary.pid, TIMEOUT_S * (3 + rng.random()))
    await _cluster(world).whole()


async def taken_over(world: World, rng: Random) -> None:
    """Let a replica take over without asking anybody: what its primary is told meanwhile is lost."""
    cluster, primary = _cluster(world), await _primary(world, rng)
    replica = await asyncio.to_thread(cluster.replica_of, primary)
    world.note(f"{replica.port} takes over from {primary.port} without asking")
    await asyncio.to_thread(replica.ask, "CLUSTER", "FAILOVER", "TAKEOVER")
    await cluster.whole()


async def two_primaries(world: World, rng: Random) -> None:
    """Let two nodes be the primary of the same slots for seconds: the old one hears of nothing, and takes writes.

    Who is connected to it goes on there, and who comes new is sent to the other one. When it hears again, what it took
    meanwhile is thrown away.
    """
    cluster, old = _cluster(world), await _primary(world, rng)
    new = await asyncio.to_thread(cluster.replica_of, old)
    world.note(f"{old.port} and {new.port} are primaries of the same slots")
    await asyncio.to_thread(old.hear_nothing)
    try:
        await asyncio.to_thread(new.ask, "CLUSTER", "FAILOVER", "TAKEOVER")
        await asyncio.sleep(TIMEOUT_S * rng.random())
        await kill_worker(world, rng)  # whose next life sees the other side
        await asyncio.sleep(TIMEOUT_S * (3 + 3 * rng.random()))
        roles = [(await asyncio.to_thread(one.facts, "INFO", "replication"))["role"] for one in (old, new)]
        world.counts["two primaries at once"] += roles == ["master"] * 2
    finally:
        await asyncio.to_thread(old.hear_again)
    await cluster.whole()


async def replica_behind(world: World, rng: Random) -> None:
    """Kill a primary whose replica is seconds behind: what was acknowledged since is gone for good."""
    cluster, primary = _cluster(world), await _primary(world, rng)
    replica = await asyncio.to_thread(cluster.replica_of, primary)
    world.note(f"{primary.port} is killed while its replica {replica.port} is behind")
    stop = asyncio.create_task(stopped(replica.pid, TIMEOUT_S * (1 + rng.random())))
    await asyncio.sleep(TIMEOUT_S)
    await asyncio.to_thread(primary.kill)
    await stop
    await asyncio.to_thread(replica.ask, "CLUSTER", "FAILOVER", "TAKEOVER")
    await asyncio.to_thread(primary.start)
    await cluster.whole()


async def slot_moved(world: World, rng: Random) -> None:
    """Move a partition's slot to another primary under load: clients are sent there once, then for good."""
    cluster, key = _cluster(world), partition_key(rng.choice(world.partitions))

    def move() -> None:
        primaries = cluster.primaries()
        slot = int(primaries[0].ask("CLUSTER", "KEYSLOT", key))
        source = next(one for one in primaries if one.owns(slot))
        target = rng.choice([one for one in primaries if one is not source])
        world.note(f"slot {slot} moves from {source.port} to {target.port}")
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        source.ask("MIGRATE", *target.meeting[:2], key, 0, 5_000)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    await asyncio.to_thread(move)
    await cluster.whole()
