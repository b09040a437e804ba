"""Incidents between the ticks: each is judged once, also by a release whose evaluation is begun anew meanwhile."""

from __future__ import annotations

import asyncio

from monitor.core.decision import Type
from monitor.engine.ports import LedgerEntry
from tests.engine.plant import Plant, Topics, budget


class Gate(Topics):
    """A ledger whose first record waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def append(self, entry: LedgerEntry) -> None:
        if entry.decision.type is Type.ROLLBACK_REQUESTED:
            self.asked.set()
            await self.open.wait()
        await super().append(entry)


async def test_a_lease_that_lapses_while_incidents_are_judged_halts_nothing_and_repeats_nothing() -> None:
    """After a pause of the machine two evaluations of a release would take turns at what was heard."""
    made = Plant(budgets=(budget(),), topics=Gate())
    assert isinstance(made.topics, Gate)
    control = made.control()
    await control.step()
    made.traffic(0, 10)
    feed = made.feed(made.source(), hear=control.hear)
    await made.settled(feed)
    await control.step()
    for number in range(2):
        name = f"i{number}"
        made.log.event(0, name, made.log.now_ms, "v42", incident_severity="high", trace_id=name)
    await made.settled(feed)
    judging = asyncio.create_task(control.decide_now())
    await made.topics.asked.wait()
    made.clock.ms += 60_000
    stepping = asyncio.create_task(control.step())
    for _ in range(20):
        await asyncio.sleep(0)
    made.topics.open.set()
    await asyncio.gather(judging, stepping)
    await control.step()
    await control.decide_now()
    assert made.told.defects == []
    assert len(made.topics.of(Type.ROLLBACK_REQUESTED)) == 1
