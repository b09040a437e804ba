"""What goes wrong: faults drawn from the seed, overlapping, at random moments and at marked points."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from monitor.adapters.flush_limits import BATCH, TOKEN
from monitor.adapters.kafka.topics import COMMANDS, INCIDENTS, LEDGER
from monitor.engine.ports import Partition
from tests.simulation.loop import Process, State
from tests.simulation.worker import Worker
from tests.simulation.world import World

Fault = Callable[[World, Random], Coroutine[Any, Any, None]]

POINTS = (
    "after getmany",
    "before flush",
    "after flush",
    "before flush",
    "after flush",
    "before seek",
    "before seek",
    "before claim",
    "after claim",
    "before read",
    "after read",
    "before rollback.ledger.v1",
    "after rollback.ledger.v1",
    "before rollback.requests.v1",
    "after rollback.requests.v1",
    "before rollback.incidents.v1",
    "before actuator",
    "after actuator",
    "before pager",
    "after pager",
    "after reset",
)
HOUR_MS = 3_600_000


def _some(world: World, rng: Random) -> Worker | None:
    running = [
        one for one in world.workers.values() if one.process.state is State.RUNNING and not one.is_over
    ]
    return rng.choice(running) if running else None


async def kill(world: World, rng: Random) -> None:
    worker = _some(world, rng)
    if worker is not None:
        world.kill(worker)


async def freeze(world: World, rng: Random) -> None:
    """Stop a worker and let it go on: a zombie, if it took longer than a session."""
    worker = _some(world, rng)
    if worker is not None:
        await _freeze(world, worker.process, 0.5 + rng.random() * 9.0)


async def _freeze(world: World, process: Process, seconds: float) -> None:
    world.note(f"{process.name}: frozen for {seconds:.1f} s")
    world.counts["freezes"] += 1
    world.loop.stop_process(process)
    await asyncio.sleep(seconds)
    world.loop.go_on(process)


async def roll(world: World, rng: Random) -> None:
    """Restart a worker as a deployment does."""
    worker = _some(world, rng)
    if worker is not None:
        world.note(f"{worker.name}: is asked to stop")
        world.loop.spawn(worker.process, worker.leave())


async def rebalance(world: World, rng: Random) -> None:
    world.note("the group rebalances")
    if world.group.members:
        world.group.rebalance()


async def trouble_at_takeover(world: World, rng: Random) -> None:
    """Rebalance, and let the broker not answer while a partition is taken over."""
    world.note("the group rebalances, and a seek does not come through")
    world.network.traps["before seek"] = lambda process: world.network.cut_next.add(process.name)
    await rebalance(world, rng)


async def trouble_at_effect(world: World, rng: Random) -> None:
    """Kill whoever turns a flag next, before it has written that down."""
    point = rng.choice(("after actuator", "after pager", "before actuator"))

    def strike(process: Process) -> None:
        worker = world.workers.get(process.name)
        if worker is not None and worker.process is process:
            world.note(f"at {point!r} of {process.name}: kill")
            world.kill(worker)

    world.network.traps[point] = strike


async def at_point(world: World, rng: Random) -> None:
    """Let a fault wait at a marked point for whoever comes by first."""
    point = rng.choice(POINTS)
    kind = rng.choice(("kill", "kill", "kill", "freeze", "freeze", "lose", "lose", "cut", "cut", "flush"))

    def strike(process: Process) -> None:
        world.note(f"at {point!r} of {process.name}: {kind}")
        worker = world.workers.get(process.name)
        if kind == "lose":
            _lose(world, rng)
        elif kind == "flush":
            _flush_all(world)
        elif kind == "cut":
            world.network.cut_next.add(process.name)
        elif worker is not None and worker.process is process:
            if kind == "kill":
                world.kill(worker)
            else:
                seconds = 0.5 + rng.random() * 9.0
                world.loop.spawn(world.loop.world, _freeze(world, process, seconds))
                world.loop.stop_process(process)

    world.network.traps[point] = strike
    await asyncio.sleep(4.0)
    world.network.traps.pop(point, None)


async def store_away(world: World, rng: Random) -> None:
    world.note("the store is away")
    world.store.link.away = True
    await asyncio.sleep(0.5 + rng.random() * 6.0)
    world.store.link.away = False
    world.note("the store is back")


async def store_crash(world: World, rng: Random) -> None:
    """Start the store again without its newest writes."""
    world.store.link.away = True
    _lose(world, rng)
    await asyncio.sleep(rng.random())
    world.store.link.away = False


def _lose(world: World, rng: Random) -> None:
    lost = world.store.crash(rng.choice((0, 1, 2, 3, 8, 30)))
    world.counts["lost writes"] += lost
    world.note(f"the store restarts and has lost {lost} writes")


async def store_empty(world: World, rng: Random) -> None:
    _flush_all(world)


def _flush_all(world: World) -> None:
    world.store.flush_all()
    world.counts["total losses"] += 1
    world.note("the store has lost everything")


async def store_key_gone(world: World, rng: Random) -> None:
    """Delete one partition's state behind the writers' backs."""
    partition: Partition = rng.choice(world.group.partitions)
    world.counts["total losses"] += 1
    world.store.losses += 1
    world.note(f"the state of partition {partition.number} is deleted")
    world.store.write(partition, dict.fromkeys(world.store.hashes.get(partition, {})))


async def corrupt(world: World, rng: Random) -> None:
    """Damage one field of what is stored, or take it away: in one world of four, in the others any damage is a bug."""
    if world.seed % 4:
        return
    partition: Partition = rng.choice(world.group.partitions)
    stored = world.store.hashes.get(partition, {})
    names = sorted(name for name in stored if name not in (TOKEN, BATCH))
    if not names:
        return
    name = rng.choice(names)
    value = bytearray(stored[name])
    if value and rng.random() < 0.7:
        value[int(rng.random() * len(value))] ^= 1 << int(rng.random() * 8)
    world.counts["corrupted"] += 1
    world.note(f"{name} of partition {partition.number} is damaged")
    damaged = bytes(value) if bytes(value) != stored[name] else None
    world.corrupted[partition, name] = damaged
    world.store.write(partition, {name: damaged})


async def answers_lost(world: World, rng: Random) -> None:
    link = rng.choice((world.store.link, world.broker.link))
    world.note(f"answers of the {'store' if link is world.store.link else 'broker'} get lost")
    link.lost_answers = rng.choice((0.1, 0.3, 0.6))
    await asyncio.sleep(1.0 + rng.random() * 4.0)
    link.lost_answers = 0.0


async def slow(world: World, rng: Random) -> None:
    link = rng.choice((world.store.link, world.broker.link))
    link.slow_s = rng.random() * 0.5
    await asyncio.sleep(1.0 + rng.random() * 4.0)
    link.slow_s = 0.0


async def broker_away(world: World, rng: Random) -> None:
    world.note("the broker is away")
    world.broker.link.away = True
    await asyncio.sleep(0.5 + rng.random() * 6.0)
    world.broker.link.away = False
    world.broker.wake()
    world.note("the broker is back")


async def stuck(world: World, rng: Random) -> None:
    """Let whoever follows a control topic get nothing for a while, though everything answers."""
    topic = rng.choice((COMMANDS, LEDGER, INCIDENTS))
    world.note(f"the followers of {topic} are stuck")
    world.broker.stuck.add(topic)
    await asyncio.sleep(2.0 + rng.random() * 10.0)
    world.broker.stuck.discard(topic)
    world.broker.wake(topic)


async def cut_off(world: World, rng: Random) -> None:
    """Cut one worker off one server."""
    worker, link = _some(world, rng), rng.choice((world.store.link, world.broker.link))
    if worker is None:
        return
    world.note(f"{worker.name} is cut off {'the store' if link is world.store.link else 'the broker'}")
    link.cut_off.add(worker.name)
    await asyncio.sleep(1.0 + rng.random() * 14.0)
    link.cut_off.discard(worker.name)


async def bad_effects(world: World, rng: Random) -> None:
    world.flags.bad = world.people.bad = 0.7
    await asyncio.sleep(5.0 + rng.random() * 15.0)
    world.flags.bad = world.people.bad = 0.0


async def skew(world: World, rng: Random) -> None:
    """Let a worker's wall clock jump, up to an hour of event time either way."""
    worker = _some(world, rng)
    if worker is not None:
        world.skew_ms[worker.name] = rng.randrange(-HOUR_MS // 20, HOUR_MS // 20)
        world.note(f"{worker.name}: its clock is wrong by {world.skew_ms[worker.name]} ms")


async def store_clock(world: World, rng: Random) -> None:
    """Let the store's clock jump, at times by a day."""
    world.store.skew_s += rng.choice((-5.0, 3_700.0, 86_400.0))
    world.note(f"the store's clock is wrong by {world.store.skew_s:g} s")


FAULTS: tuple[tuple[Fault, int], ...] = (
    (kill, 4),
    (freeze, 4),
    (roll, 2),
    (rebalance, 3),
    (trouble_at_takeover, 3),
    (trouble_at_effect, 3),
    (at_point, 16),
    (store_away, 2),
    (store_crash, 4),
    (store_empty, 1),
    (store_key_gone, 1),
    (corrupt, 3),
    (answers_lost, 3),
    (slow, 1),
    (broker_away, 2),
    (cut_off, 2),
    (stuck, 2),
    (bad_effects, 5),
    (skew, 2),
    (store_clock, 3),
)


MIXTURE = (0, 0, 1, 1, 8)


async def havoc(world: World) -> None:
    """Do harm until the minutes are over; then heal everything.

    Each world has its own mixture: some faults often, some never. What takes two faults of a kind close together is
    found sooner so (swarm testing, Groce et al. 2012).
    """
    rng = Random(world.rng.random())
    kinds = [fault for fault, _ in FAULTS]
    weights = [weight * rng.choice(MIXTURE) for _, weight in FAULTS]
    tasks: list[asyncio.Task[None]] = []
    while world.minute < world.setup.minutes:
        await asyncio.sleep(rng.expovariate(1.0 / world.setup.pause_s))
        (fault,) = rng.choices(kinds, weights)
        world.counts["faults"] += 1
        tasks.append(asyncio.get_running_loop().create_task(fault(world, rng)))
    await asyncio.gather(*tasks)
    heal(world)


def heal(world: World) -> None:
    """Make everything well again."""
    world.store.link.heal()
    world.broker.link.heal()
    world.broker.stuck.clear()
    world.broker.wake()
    world.network.traps.clear()
    world.network.cut_next.clear()
    world.flags.bad = world.people.bad = 0.0
    for worker in world.workers.values():
        world.loop.go_on(worker.process)
    world.is_calm = True
    world.note("all is well again")


async def peace(world: World) -> None:
    """Do no harm."""
    heal(world)
