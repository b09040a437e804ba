"""What a commander ordered before a tick holds at it (I13), where the order and the tick meet in the worst way."""

from __future__ import annotations

import asyncio
import json

import pytest

from monitor.adapters.kafka.topics import COMMANDS, LEDGER
from monitor.engine.tenure import Tenure
from tests.simulation.nemesis import heal
from tests.simulation.test_simulation import SMALL
from tests.simulation.traffic import Story
from tests.simulation.verdict import judge
from tests.simulation.worker import LEASE_MS
from tests.simulation.world import World

HELD = Story("model-4", bad=((6, 12),), held_at=6)
HELD_WHEN_FINE = Story("model-4", held_at=6)
SOON_S = 0.05


def world_with(story: Story, seed: int) -> World:
    """Return a world in which this happens, and nothing else."""
    world = World(seed, SMALL)
    others = [Story(one.release) for one in world.stories if one.release != story.release]
    world.stories[:] = [*others, story]
    return world


async def deafness(world: World) -> None:
    """Nobody who follows the commands hears any: only who asks does."""
    world.broker.stuck.add(COMMANDS)


async def incident(world: World) -> None:
    """Nobody who follows the commands hears any, and an incident comes before the next tick asks for them."""
    await deafness(world)
    while HELD_WHEN_FINE.release not in world.held_ms:  # noqa: ASYNC110 - looking costs nothing where time is virtual
        await asyncio.sleep(SOON_S)
    await asyncio.sleep(SOON_S)
    event = {
        "event_id": "severe",
        "at": world.event_ms(world.wall_ms()),
        "release": HELD_WHEN_FINE.release,
        "incident_severity": "critical",
    }
    world.broker.produce(0, json.dumps(event).encode())


async def lapse(world: World) -> None:
    """Let a lease lapse and come back, and the order be answered by whoever has it in between."""
    while world.minute < 4:  # noqa: ASYNC110 - looking costs nothing where time is virtual
        await asyncio.sleep(SOON_S)
    first = next(name for name, one in world.workers.items() if HELD.release in one.control.live)
    _cut_off(world, first)
    while not any(b"override.created" in (one.value or b"") for one in world.broker.flat(LEDGER)):  # noqa: ASYNC110
        await asyncio.sleep(SOON_S)
    _cut_off(world, next(name for name in world.workers if name != first))
    await asyncio.sleep(1.5 * LEASE_MS / 1000)
    for link in (world.store.link, world.broker.link):
        link.cut_off.discard(first)
    world.broker.wake()
    await asyncio.sleep(12.0)
    heal(world)


def _cut_off(world: World, name: str) -> None:
    world.store.link.cut_off.add(name)
    world.broker.link.cut_off.add(name)


@pytest.mark.parametrize("nemesis", [deafness, lapse], ids=lambda one: one.__name__)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_held_back_before_a_tick_is_held_at_it(nemesis, seed: int) -> None:
    """Whoever follows the commands is behind; or another worker answered the order, and its lease came back here."""
    world = world_with(HELD, seed)
    world.run(nemesis)
    assert judge(world) == []
    world.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_held_back_before_an_incident_is_held_at_it(seed: int) -> None:
    """An incident waits for no tick, and reads the orders to their end all the same."""
    world = world_with(HELD_WHEN_FINE, seed)
    world.run(incident)
    assert judge(world) == []
    world.close()


class Answering:
    """A lease that is given to whoever asks, as after a lapse that nobody used."""

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        return True

    async def release(self, name: str, owner: str) -> None:
        """Nobody wants it."""


@pytest.mark.parametrize(("asked_s", "terms"), [((0, 1, 2, 3, 4), 1), ((0, 1, 4, 5), 2), ((0, 3, 6), 3)])
async def test_a_lease_that_lapsed_begins_another_term(asked_s: tuple[int, ...], terms: int) -> None:
    now_s = [0.0]
    tenure = Tenure(Answering(), "w1", 3_000, lambda: now_s[0])
    seen = set()
    for second in asked_s:
        now_s[0] = float(second)
        assert await tenure.holds("model-4")
        seen.add(tenure.term("model-4"))
    assert len(seen) == terms
