"""Worlds one after another, each with its faults from its seed; and what came of each fault."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from redis.exceptions import RedisClusterException, RedisError

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.setup import Setup
from tests.chaos.world import World, living

PAIR_RATIO = 0.25  # how many faults have a second one beside them
PAUSE_S = 1.0


@dataclass(frozen=True)
class Struck:
    """One fault that happened.

    Attributes:
        recovery_s: From its end until all that was on the log by then was in the store.
        beside: The name of the fault that happened at the same time; empty where none did.
        wrong: What was wrong about the counts, when it had to be right.
    """

    seed: int
    number: int
    name: str
    beside: str
    recovery_s: float
    lost: int
    double: int
    wrong: list[tuple[str, str]]


@dataclass
class Outcome:
    """What came of one world.

    Attributes:
        found: Which promises were broken in the end, and how.
        counts: Records, decisions, fencings and so on.
    """

    seed: int
    setup: Setup
    struck: list[Struck] = field(default_factory=list)
    found: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[float, str]] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether every promise was kept, after each fault and in the end."""
        return not self.found and not any(one.wrong for one in self.struck)

    def told(self) -> str:
        """Return what is wrong, what happened, and how to see it again."""
        lines = [f"{at_s:8.1f} s  {text}" for at_s, text in self.notes]
        wrong = [(f"after fault {one.number}, {one.name}", how) for one in self.struck for how in one.wrong]
        lines += [f"BROKEN {promise}: {how}" for promise, how in [*wrong, *self.found]]
        again = f"--seed {self.seed} --faults {self.setup.faults} --per-world {self.setup.faults}"
        if self.setup.brokers > 1:
            again += f" --brokers {self.setup.brokers}"
        if self.setup.cluster:
            again += " --cluster"
        again += "".join(f" --fault '{one}'" for one in self.setup.only)
        return "\n".join([*lines, f'replay it: make chaos ARGS="{again}"'])


def drawn(seed: int, setup: Setup) -> list[tuple[Fault, Fault | None]]:
    """Return the faults of a seed in their order: the same seed is the same faults."""
    rng = Random(f"faults {seed}")
    kinds = [fault for fault in FAULTS if fault.fits(setup)]
    weights = [fault.weight for fault in kinds]
    found: list[tuple[Fault, Fault | None]] = []
    left = setup.faults
    while left:
        (one,) = rng.choices(kinds, weights)
        (other,) = rng.choices(kinds, weights)
        is_pair = left > 1 and one.on != other.on and rng.random() < PAIR_RATIO
        found.append((one, other if is_pair else None))
        left -= 1 + is_pair
    return found


def live(
    seed: int, setup: Setup, keep: Path | None = None, on_fault: Callable[[Struck], None] = lambda _: None
) -> Outcome:
    """Live through the world of a seed, in a process of its own or not.

    Args:
        keep: Where the logs and files of all worlds stay, each in a folder named after its seed.
        on_fault: See `play`.
    """
    folder = None if keep is None else keep / str(seed)
    return asyncio.run(play(seed, setup, keep=folder, on_fault=on_fault))


async def play(
    seed: int, setup: Setup, *, keep: Path | None = None, on_fault: Callable[[Struck], None] = lambda _: None
) -> Outcome:
    """Live through the world of a seed.

    Args:
        keep: Where its logs and files stay; by default nothing stays.
        on_fault: Told of each fault when it is over.
    """
    outcome = Outcome(seed, setup)
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        async with living(seed, setup, folder) as world:
            for worker in world.running():
                await worker.ready()
            await world.recovered()  # from the start, which is no fault
            rng = Random(f"pauses {seed}")
            for number, (one, other) in enumerate(drawn(seed, setup), 1):
                await asyncio.sleep(rng.random() * PAUSE_S)
                for struck in await strike(world, number, one, other):
                    outcome.struck.append(struck)
                    on_fault(struck)
            await finish(world, outcome)
    return outcome


async def finish(world: World, outcome: Outcome) -> None:
    """Let the traffic end, and judge the whole."""
    outcome.found = await world.rest()
    outcome.notes = world.notes
    await _count(world, outcome)


async def strike(world: World, number: int, one: Fault, other: Fault | None) -> list[Struck]:
    """Let a fault, or two at once, do their harm, and see how the world comes out of it."""
    faults = [one] if other is None else [one, other]
    await asyncio.gather(*(_harm(world, fault, number) for fault in faults))
    await world.all_sent()
    recovery_s, counted = await world.recovered()
    world.note(f"recovered after {recovery_s:.1f} s from {' and '.join(fault.name for fault in faults)}")
    names = [fault.name for fault in faults]
    return [
        Struck(
            world.seed,
            number,
            name,
            beside="".join(names[1 - at : 2 - at]),
            recovery_s=recovery_s,
            lost=counted.lost,
            double=counted.double,
            wrong=counted.wrong,
        )
        for at, name in enumerate(names)
    ]


async def _harm(world: World, fault: Fault, number: int) -> None:
    try:
        await fault.harm(world, Random(f"{world.seed}/{number}/{fault.name}"))
    except (
        RedisError,
        RedisClusterException,
        OSError,
    ) as error:  # what it needed was away by the other fault
        world.note(f"{fault.name}: could not be done: {error!r}")


async def _count(world: World, outcome: Outcome) -> None:
    seen = await world.look(whole=True)
    outcome.counts.update(world.counts)
    outcome.counts.update(world.heard())
    outcome.found += [one for one in world.violations if one not in outcome.found]
    outcome.counts["records"] = sum(len(part.rows) for part in seen.broker.traces)
    outcome.counts["events published"] = sum(
        len(rows) for topic, rows in seen.broker.topics.items() if "ledger" not in topic
    )
    outcome.counts["flags turned"] = len(world.servers.flags.changes)
    outcome.counts["people told"] = len(world.servers.people.told)
    for system in (world.servers.flags, world.servers.people):
        outcome.counts["bad answers"] += system.answers.total() - system.answers["well"]
