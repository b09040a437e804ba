"""A worker is killed at each marked point of its work, early and late: forty-eight worlds with exactly one death each.

A point is a call to a server: before it arrives, or when it is done and its answer not yet read. Which of a point's
passages is the deadly one goes through the world's life from its first to its last, a seed each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.simulation.loop import Process
from tests.simulation.nemesis import heal
from tests.simulation.verdict import judge
from tests.simulation.world import Setup, World

POINTS: Mapping[str, str] = {
    "after getmany": "read, nothing folded",
    "before flush": "folded, not written",
    "after flush": "written, and the writer does not know it",
    "before claim": "partition assigned, not claimed",
    "after claim": "partition claimed, nothing put back",
    "before seek": "state put back, reading not begun",
    "before rollback.ledger.v1": "decided, not on record",
    "after rollback.ledger.v1": "on record, not published",
    "before rollback.requests.v1": "on record, the request not sent",
    "after rollback.requests.v1": "the request sent, and not known to be",
    "after actuator": "the flag turned, and that not on record",
    "after pager": "people told, and that not on record",
}
"""Where a worker dies, and what is half done there."""

POSITIONS = ((2, 0.0), (4, 0.3), (9, 0.6), (1, 0.9))
"""Which world, and which of the point's passages in it: 0 is the first, 1 the last while the group still changes."""

SMALL = Setup(minutes=12, workers=2, partitions=2, hostile=0.2)
REBALANCE_S = 3.0  # so that partitions are taken over again and again


@dataclass(frozen=True)
class Crash:
    """One death.

    Attributes:
        passage: Which passage of the point was the last, counted from 1; 0 where nobody came by.
        found: Which promises were broken, and how.
    """

    point: str
    seed: int
    passage: int
    found: list[tuple[str, str]]


def crashes(positions: tuple[tuple[int, float], ...] = POSITIONS) -> Iterator[Crash]:
    """Live through one world for each point and position."""
    for point in POINTS:
        for seed, part in positions:
            yield crash(point, seed, part)


def crash(point: str, seed: int, part: float) -> Crash:
    """Kill the worker that comes by a point for the wanted time, and judge what comes of it."""
    passages = _passages(seed).get(point, 0)
    passage = 1 + round((passages - 1) * part) if passages else 0
    with closing(World(seed, SMALL)) as world:
        world.run(_changing(_kill_at(world, point, passage)))
        found = judge(world)
        if world.counts["kills"] != 1:
            found.append(("a kill happens", f"{world.counts['kills']} kills at passage {passage}"))
    return Crash(point, seed, passage, found)


def _kill_at(world: World, point: str, passage: int) -> Callable[[], None]:
    passed = 0

    def strike(process: Process) -> None:
        nonlocal passed
        passed += 1
        worker = world.workers.get(process.name)
        if passed < passage or worker is None or worker.process is not process:
            world.network.traps[point] = strike
        else:
            world.kill(worker)

    def begin() -> None:
        world.network.traps[point] = strike

    return begin


def _changing(begin: Callable[[], None]) -> Callable[[World], Coroutine[Any, Any, None]]:
    async def nemesis(world: World) -> None:
        begin()
        while world.minute < world.setup.minutes:
            await asyncio.sleep(REBALANCE_S)
            if world.group.members:
                world.group.rebalance()
        heal(world)

    return nemesis


@cache
def _passages(seed: int) -> Mapping[str, int]:
    """Return how often each point is passed in a world where nobody dies, while the group still changes."""
    passed: dict[str, int] = {}
    with closing(World(seed, SMALL)) as world:

        async def count(world: World) -> None:
            await _changing(lambda: None)(world)
            passed.update(world.network.passed)

        world.run(count)
    return passed
