"""What happens to workers: killed, stopped, blocked, cut off the store, out of time, out of everything."""

from __future__ import annotations

import asyncio
from random import Random

from tests.chaos.door import Mode
from tests.chaos.stopped import stopped
from tests.chaos.world import World

SESSION_S = 6.0


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
        await stopped(worker.pid, seconds)


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


async def kill_as_decided(world: World, rng: Random) -> None:
    """Kill every worker the moment a further event is published: between two decisions."""
    said = world.published()
    for _ in range(100):
        if world.published() > said:
            break
        await asyncio.sleep(0.02)
    await kill_all_workers(world, rng)
