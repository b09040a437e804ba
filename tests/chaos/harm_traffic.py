"""What comes in and goes out: poison, repeats, wrong clocks, crowds, broken orders; flags and pagers that fail."""

from __future__ import annotations

import asyncio
import json
from random import Random

from monitor.adapters.kafka.topics import BUDGETS, COMMANDS
from tests.chaos.world import TRACES, World
from tests.simulation.traffic import POISON, STRANGER
from tests.simulation.verdict import meta_of


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


async def history_again(world: World, rng: Random) -> None:
    """Let somebody play the oldest records of every partition into the topic again."""
    rows = await asyncio.to_thread(world.servers.kafka.rows, TRACES)
    old = [(number, row.value) for number, part in rows.items() for row in part[:250]]
    world.note(f"the first {len(old)} records come again")
    world.extra += old


async def wrong_clocks(world: World, rng: Random) -> None:
    """Let producers date their events 1970, 2038, and ten minutes ahead."""
    world.note("producers with wrong clocks")
    for number in range(120):
        at_ms = rng.choice((1_000, 2_145_916_800_000, world.now_ms() + 600_000))
        fields = {"event_id": f"clock-{at_ms}-{number}-{rng.random()}", "at": at_ms, "release": "model-2"}
        world.extra.append((rng.randrange(len(world.partitions)), json.dumps(fields).encode()))


async def source_silent(world: World, rng: Random) -> None:
    """Let nothing come into one partition any more, while the others get its traffic: it holds nothing up."""
    silent = rng.randrange(len(world.partitions))
    world.note(f"nobody sends anything to partition {silent}")
    world.silent = silent
    try:
        await asyncio.sleep(8.0 + 8.0 * rng.random())
        seen = await world.look(whole=False)
        meta = meta_of(seen.store.hashes[world.partitions[silent]])
        if meta is not None and meta.horizon_ms is not None:
            world.counts["seconds that a silent partition was behind"] += max(
                0, round((world.now_ms() - meta.horizon_ms) / 1000 / world.setup.speed)
            )
    finally:
        world.silent = None


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
