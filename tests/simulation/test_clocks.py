"""Brokers whose clock is wrong by hours for a while: it is the log's own time, so what that does is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing

import pytest

from tests.simulation.nemesis import heal
from tests.simulation.traffic import MINUTE_MS
from tests.simulation.verdict import REQUESTED, judge, meta_of, published
from tests.simulation.world import SPEED, Setup, World

QUIET = Setup(minutes=14, workers=2, partitions=2, hostile=0.0)
WRONG_S = 3.0
HOUR_MS = 60 * MINUTE_MS // SPEED  # of event time


def wrong_by(ms: int) -> Callable[[World], Coroutine[None, None, None]]:
    async def nemesis(world: World) -> None:
        while world.minute < 6:  # noqa: ASYNC110 - looking costs nothing where time is virtual
            await asyncio.sleep(0.1)
        right = world.broker.now_ms
        world.broker.now_ms = lambda: right() + ms
        await asyncio.sleep(WRONG_S)
        world.broker.now_ms = right
        heal(world)

    return nemesis


@pytest.mark.parametrize("seed", [1, 2])
def test_a_brokers_clock_an_hour_behind_makes_dead_letters_and_no_other_decision(seed: int) -> None:
    """What comes meanwhile is from the future by the log's own time; every promise holds on what the log then says."""
    with closing(World(seed, QUIET)) as world:
        world.run(wrong_by(-HOUR_MS))
        assert judge(world) == []
        metas = [meta_of(stored) for stored in world.store.hashes.values()]
        assert sum(meta.rejected for meta in metas if meta is not None) > 0


def test_a_brokers_clock_hours_ahead_is_a_blindness_that_is_told_and_rolls_nothing_back() -> None:
    """What comes afterwards is late: counted, in no minute that decides, until the time is reached."""
    with closing(World(4, QUIET, is_simulated=False)) as world:
        healthy = {story.release for story in world.stories if not story.incidents}
        world.run(wrong_by(3 * HOUR_MS))
        events = list(published(world))
        assert {event["data"]["cause"] for event in events if "monitor.blind" in event["type"]} == {"clock"}
        asked = [event for event in events if event["type"] == REQUESTED]
        assert not [event for event in asked if event["data"]["release"] in healthy]
        for number, log in enumerate(world.broker.traces):
            meta = meta_of(world.store.hashes[world.group.partitions[number]])
            assert meta is not None
            assert meta.late > 0
            assert meta.accepted + meta.late + meta.duplicates + meta.rejected == len(log.rows)
