"""Incidents between the ticks: each is judged once, also by a release whose evaluation is begun anew meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from monitor.core.cell import Incident
from monitor.core.decision import Type
from monitor.engine import hearing as hearing_module
from monitor.engine.hearing import Hearing
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
    feed = made.feed(made.source(), hearing=control.hearing)
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


async def test_reading_and_other_releases_stand_back_while_incidents_are_judged() -> None:
    hearing, said = Hearing(), list[str]()
    hearing.note(Incident("v42", "i1", 0, 0, "high", "", "", ()))

    async def other(name: str, release: str | None) -> None:
        await hearing.give_way(release)
        said.append(name)

    with hearing.judging() as releases:
        assert releases == ["v42"]
        others = [asyncio.create_task(other("reading", None)), asyncio.create_task(other("v41", "v41"))]
        await other("v42 itself", "v42")  # it is waited for: standing back it would keep the incident waiting
        for _ in range(10):
            await asyncio.sleep(0)
        said.append("judged")
    await asyncio.gather(*others)
    await other("later", None)
    assert said == ["v42 itself", "judged", "reading", "v41", "later"]


async def test_incidents_that_take_long_stop_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing_module, "WAY_S", 0.01)
    hearing = Hearing()
    hearing.note(Incident("v42", "i1", 0, 0, "high", "", "", ()))
    with hearing.judging():
        await hearing.give_way()
