"""What happens to workers: killed, stopped, blocked, cut off the store, out of time, out of everything."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from monitor.adapters.kafka.topics import DECISIONS
from tests.chaos.door import Mode
from tests.chaos.hooked import DEADLY
from tests.chaos.limits import limited, starved
from tests.chaos.stopped import stopped
from tests.chaos.world import World
from tests.integration.workers import Worker

SESSION_S = 6.0
SET_ASIDE_S = (
    180.0  # for three deaths, each with a start and a session, on a machine that has much else to do
)


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


@asynccontextmanager
async def _one(world: World, rng: Random, what: str) -> AsyncIterator[Worker | None]:
    """Draw a worker that nothing else happens to meanwhile; None where there is none."""
    running = world.running()
    worker = rng.choice(running) if running else None
    if worker is None:
        yield None
        return
    async with world.holding(worker):
        world.note(f"{worker.name}: {what}")
        yield worker


async def _freeze(world: World, rng: Random, seconds: float) -> None:
    async with _one(world, rng, f"frozen for {seconds:.1f} s") as worker:
        if worker is not None:
            await stopped(worker.pid, seconds)


async def loop_blocked(world: World, rng: Random) -> None:
    """Let a worker's event loop hang beyond its session, while the process runs: it knows nothing of it afterwards."""
    seconds = SESSION_S + 2.0 + 2.0 * rng.random()
    async with _one(world, rng, f"its event loop hangs for {seconds:.1f} s") as worker:
        if worker is not None:
            world.hook(worker, block_s=seconds)
            await asyncio.sleep(seconds)
            world.hook(worker, signal=False)


async def clock_wrong(world: World, rng: Random) -> None:
    """Let a worker's wall clock jump by an hour, and back again."""
    skew_s = rng.choice((-3_600, 3_600))
    async with _one(world, rng, f"its clock is wrong by {skew_s} s") as worker:
        if worker is not None:
            world.hook(worker, skew_s=skew_s)
            await asyncio.sleep(4.0 + 4.0 * rng.random())
            world.hook(worker)


async def time_stolen(world: World, rng: Random) -> None:
    """Let a worker have a tenth of its time."""
    async with _one(world, rng, "has a tenth of its time") as worker:
        if worker is not None:
            await starved(worker.pid, 6.0 + 6.0 * rng.random())


async def no_more_files(world: World, rng: Random) -> None:
    """Let a worker open no further file or connection, and let the store hang up on it."""
    async with _one(world, rng, "can open nothing more") as worker:
        if worker is not None:
            await _without(world, rng, worker, resource.RLIMIT_NOFILE)


async def no_more_memory(world: World, rng: Random) -> None:
    """Let a worker get no more memory, whatever comes."""
    async with _one(world, rng, "has no memory left") as worker:
        if worker is not None:
            large = b'{"event_id": "' + b"x" * 60_000 + b'"}'
            world.extra += [(rng.randrange(len(world.partitions)), large) for _ in range(200)]
            await _without(world, rng, worker, resource.RLIMIT_AS)


async def logs_full(world: World, rng: Random) -> None:
    """Let the disk that a worker's log goes to be full, and let it have something to say."""
    async with _one(world, rng, "cannot write its log") as worker:
        if worker is not None:
            await _without(world, rng, worker, resource.RLIMIT_FSIZE)


async def _without(world: World, rng: Random, worker: Worker, what: int) -> None:
    async with limited(worker.pid, what):
        for _ in range(3):
            if worker.name in world.doors:
                world.doors[worker.name].reset()
            await asyncio.sleep(1.0 + rng.random())


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


async def decoder_crashes(world: World, rng: Random) -> None:
    """Send a record that kills whoever decodes it: after some deaths it is set aside, and its partition goes on."""
    world.note("a record that crashes the decoder")
    said = "set aside: this record kills its decoder"
    before, deaths = world.said(said), world.counts["restarts"]
    for worker in world.workers.values():
        world.hook(worker, signal=worker.has_begun, deadly=1)
    try:
        world.extra.append((rng.randrange(len(world.partitions)), DEADLY + b"%d}" % rng.randrange(10**9)))
        ends_s = time.monotonic() + SET_ASIDE_S
        while world.said(said) == before and time.monotonic() < ends_s:  # noqa: ASYNC110 - said in a file
            await asyncio.sleep(0.5)
        if world.said(said) == before:
            world.violations.append(("F21 a record that kills is set aside", f"not within {SET_ASIDE_S:g} s"))
        world.counts["deaths by a record"] += world.counts["restarts"] - deaths
    finally:
        for worker in world.workers.values():
            world.hook(worker, signal=worker.has_begun)


async def kill_as_decided(world: World, rng: Random) -> None:
    """Kill every worker the moment a further event is published: between two decisions."""
    said = world.servers.kafka.size(DECISIONS)
    for _ in range(100):
        if world.servers.kafka.size(DECISIONS) > said:
            break
        await asyncio.sleep(0.02)
    await kill_all_workers(world, rng)
