"""A real broker whose clock is hours ahead for a moment: what comes afterwards is late until that time is reached.

Behind by an hour, and steps that the lateness covers, are faults of `make chaos` like others. After this one a world
has nothing more to decide, so it has one of its own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.adapters.flush_limits import OFFSET
from tests.chaos.setup import Setup
from tests.chaos.world import living
from tests.simulation.verdict import REQUESTED, meta_of, published

AHEAD_S = 3 * 3_600 // Setup.speed  # three hours of event time
WRONG_S = 3.0
BLIND_S = 60.0


@pytest.mark.chaos
async def test_a_brokers_clock_hours_ahead_is_told_as_a_blindness_and_rolls_nothing_back(
    tmp_path: Path,
) -> None:
    async with living(4, Setup(hostile=0.0), tmp_path) as world:
        healthy = {story.release for story in world.stories if not story.incidents}
        for worker in world.running():
            await worker.ready()
        await world.recovered()
        (node,) = world.servers.kafka.nodes
        assert node.clock is not None, "it needs a C compiler, called cc"
        async with node.clock.wrong_by(AHEAD_S):
            await asyncio.sleep(WRONG_S)
        ends_s = asyncio.get_running_loop().time() + BLIND_S
        causes: set[str] = set()
        while not causes and asyncio.get_running_loop().time() < ends_s:
            await asyncio.sleep(1.0)
            events = list(published(await world.look(whole=True)))
            causes = {one["data"]["cause"] for one in events if "monitor.blind" in one["type"]}
        seen = await world.look(whole=True)
    rows = [part.rows for part in seen.broker.traces]
    assert causes == {"clock"}
    events = list(published(seen))
    asked = [one["data"]["release"] for one in events if one["type"] == REQUESTED]
    assert not healthy.intersection(asked)
    late = 0
    for partition, stored in seen.store.hashes.items():
        meta = meta_of(stored)
        assert meta is not None
        late += meta.late
        once = meta.accepted + meta.late + meta.duplicates + meta.rejected
        assert once == int(stored[OFFSET]) == sum(row.offset < once for row in rows[partition.number])
    assert late > 0
