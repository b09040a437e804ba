"""What a bridge shows of itself: what it does, how far it is, and nothing that is not acknowledged yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from monitor.engine.bridge import BridgeStuck, Polled
from monitor.engine.bridge_sight import STILL_MS, BridgeState
from monitor.engine.errors import LogUnreachable
from tests.engine.test_bridge import LATER_MS, World, asked


def states(world: World) -> list[BridgeState]:
    """Return what was seen, each change once."""
    seen = [sight.state for _, sight in world.looks]
    return [one for at, one in enumerate(seen) if at == 0 or one is not seen[at - 1]]


async def test_it_starts_then_bridges_and_is_idle_when_all_is_read() -> None:
    world = World(
        [
            Polled(1, [asked(0, 0)], 0, unread=7, behind_ms=90_000),
            Polled(1, [asked(1, 1)], 5, unread=None, behind_ms=None),
            Polled(1, (), LATER_MS, unread=0, behind_ms=2_000),
        ]
    )
    bridge = world.bridge()
    assert (bridge.sight().state, bridge.sight().is_ready) == (BridgeState.STARTING, False)
    await bridge.run()
    assert states(world) == [BridgeState.STARTING, BridgeState.BRIDGING, BridgeState.IDLE]
    first, last = (
        next(sight for _, sight in world.looks if sight.state is state)
        for state in (BridgeState.BRIDGING, BridgeState.IDLE)
    )
    assert (first.is_ready, first.unread, first.behind_ms, first.open_traces) == (True, 7, 90_000, 1)
    assert (last.is_ready, last.unread, last.behind_ms, last.open_traces) == (True, 0, 2_000, 0)


async def test_what_was_read_counts_when_it_is_acknowledged_and_once() -> None:
    world = World([Polled(1, [asked(0, 0)], LATER_MS, unread=0)], refusals=3)
    await world.bridge().run()
    assert states(world) == [BridgeState.STARTING, BridgeState.AWAY, BridgeState.IDLE]
    assert [counts for counts, sight in world.looks if sight.state is BridgeState.AWAY] == [{}] * 3
    assert world.looks[-1][0] == {"records": 1, "spans": 2, "requests": 1}


async def test_what_is_being_sent_does_not_count_yet() -> None:
    class Second(World):
        async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
            self.refusals -= bool(self.sent and events)
            if self.sent and events and self.refusals >= 0:
                raise LogUnreachable("the broker is away")
            self.sent += events

    polls: list[Polled | LogUnreachable] = [
        Polled(1, [asked(number, number)], (1 + number) * LATER_MS) for number in range(2)
    ]
    world = Second(polls, refusals=3)
    await world.bridge().run()
    one = {"records": 1, "spans": 2, "requests": 1}
    assert [counts for counts, sight in world.looks if sight.state is BridgeState.AWAY] == [one] * 3
    assert world.looks[-1][0] == {name: 2 * count for name, count in one.items()}


async def test_what_it_did_last_is_shown_before_it_leaves() -> None:
    class Short(World):
        async def sleep(self, _: float) -> None:
            await asyncio.Event().wait()  # it has left before the next look

    world = Short([Polled(1, [asked(0, 0)], 0, is_at_end=True, unread=0)])
    await world.bridge(once=True).run()
    assert world.looks[-1][0] == {"records": 1, "spans": 2, "requests": 1}
    assert world.looks[-1][1].open_traces == 0


async def test_kafka_that_is_away_is_named_with_its_cause_until_it_answers() -> None:
    away = LogUnreachable("asking for the ends: no answer within 10 s")
    world = World([away, Polled(1, (), 5, unread=0), away, Polled(1, (), 6, unread=0)])
    await world.bridge().run()
    told = [sight for _, sight in world.looks if sight.state is BridgeState.AWAY]
    assert {(one.is_ready, one.cause) for one in told} == {(False, str(away))}
    assert states(world)[-2:] == [BridgeState.AWAY, BridgeState.IDLE]
    assert world.looks[-1][1].cause is None


async def test_standing_by_is_ready_and_standing_still_is_not() -> None:
    by = World([Polled(1, (), None, is_standby=True, unread=0)] * 3)
    await by.bridge().run()
    assert states(by)[:2] == [BridgeState.STARTING, BridgeState.STANDBY]
    assert {sight.is_ready for _, sight in by.looks if sight.state is BridgeState.STANDBY} == {True}
    still = World([Polled(1, (), 5, unread=3)] * 100)
    with pytest.raises(BridgeStuck):
        await still.bridge().run()
    assert states(still) == [BridgeState.STARTING, BridgeState.BRIDGING, BridgeState.STILL]
    assert {sight.is_ready for _, sight in still.looks if sight.still_ms > STILL_MS} == {False}


async def test_a_loop_that_does_not_go_round_is_not_alive() -> None:
    world = World([Polled(1, (), 5, unread=0)])
    bridge = world.bridge()
    world.now += 10**9
    assert bridge.is_alive, "it has not begun: joining takes what it takes"
    await bridge.run()
    assert bridge.is_alive
    world.now += 60_001
    assert not bridge.is_alive
