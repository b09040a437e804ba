"""From the request to its proof through the control plane: turned, seen gone, once, and not lost by a restart."""

from __future__ import annotations

from typing import Any

from monitor.adapters.memory.actuator import MemoryActuator, MemoryFlag
from monitor.adapters.memory.pager import MemoryPager
from monitor.core.budget import FlagTarget
from monitor.core.decision import Decision, Type
from monitor.core.ids import event_type
from monitor.engine.act import Act, Outcome
from monitor.engine.book import Command
from monitor.engine.control import Control
from monitor.engine.effect_ledger import EffectLedger
from tests.engine.logs import START_MS
from tests.engine.plant import LogWall, Plant, budget

MINUTE_MS = 60_000
TURNED = 16  # minutes since the beginning: the control plane is at most two behind


def flagged() -> Any:
    from dataclasses import replace

    from monitor.config.canonical import with_digest

    return with_digest(replace(budget(), flag=FlagTarget("memory", "chat-model", "v41", "v42")))


class Site:
    """A plant whose rollback was asked for at its sixteenth minute, and its flag."""

    def __init__(self) -> None:
        self.plant = Plant(budgets=(flagged(),))
        self.flag = MemoryFlag(("v41", "v42"), serving="v42")
        self.pager = MemoryPager()
        self.minutes = 0

    async def begun(self) -> Control:
        arms = self.plant.control("arms")
        await arms.step()
        await arms.leave()
        self.plant.traffic(0, 4)
        self.plant.traffic(4, TURNED - 4, success=8)
        self.minutes = TURNED
        await self.plant.settled(self.plant.feed(self.plant.source()))
        control = self.plant.control()
        await steps(control)
        return control

    async def pass_by(self, minutes: int, *, is_served: bool) -> None:
        """Let traffic come: forty requests a minute, half of them the candidate's while it is served."""
        for minute in range(self.minutes, self.minutes + minutes):
            for number in range(40):
                release = "v42" if is_served and number % 2 else "v41"
                at_ms = START_MS + minute * MINUTE_MS + number * 1_000
                self.plant.log.event(
                    number % self.plant.log.partitions,
                    f"p{minute}-{number}",
                    at_ms,
                    release,
                    task_success=True,
                )
        self.minutes += minutes
        self.plant.log.now_ms = START_MS + self.minutes * MINUTE_MS
        await self.plant.settled(self.plant.feed(self.plant.source()))

    def act(self, control: Control) -> Act:
        clock = LogWall(self.plant.log)
        topics = self.plant.topics
        ledger = EffectLedger(control, topics, topics, clock)
        actuators = {"memory": MemoryActuator({"chat-model": self.flag}, [])}
        return Act(actuators, {"memory": self.pager}, ledger, clock=clock)

    def one(self, type_: Type) -> Decision:
        (found,) = self.plant.topics.of(type_)
        return found

    def event(self, type_: Type) -> dict[str, Any]:
        decision = self.one(type_)
        return {"type": event_type(type_.value), "id": decision.decision_id, "data": decision.data}

    def said(self, type_: Type) -> int:
        return len(self.plant.topics.of(type_))


async def steps(control: Control, times: int = 3) -> None:
    for _ in range(times):
        await control.step()


async def test_the_proof_follows_the_turned_flag_and_comes_once_also_after_a_restart() -> None:
    site = Site()
    control = await site.begun()
    assert await site.act(control).on_request(site.event(Type.ROLLBACK_REQUESTED)) is Outcome.DONE
    await site.pass_by(5, is_served=False)
    await steps(control)
    verified = site.one(Type.ROLLBACK_VERIFIED)
    assert verified.data["share_after"] == 0.0
    site.plant.clock.ms += 60_000
    again = site.plant.control("w2")
    await steps(again)
    await site.pass_by(5, is_served=False)
    await steps(again)
    assert site.one(Type.ROLLBACK_VERIFIED) == verified
    assert site.said(Type.PAGE_OPENED) == site.said(Type.ROLLBACK_FAILED) == 0


async def test_who_takes_over_between_the_flag_and_its_proof_finds_the_same_proof() -> None:
    told = []
    for is_restarted in (False, True):
        site = Site()
        control = await site.begun()
        await site.act(control).on_request(site.event(Type.ROLLBACK_REQUESTED))
        if is_restarted:
            site.plant.clock.ms += 60_000
            control = site.plant.control("w2")
        await site.pass_by(5, is_served=False)
        await steps(control)
        told.append(site.one(Type.ROLLBACK_VERIFIED))
    assert told[0] == told[1]


async def test_a_flag_that_did_not_help_is_turned_once_more_and_the_page_ends_with_the_proof() -> None:
    site = Site()
    control = await site.begun()
    act = site.act(control)
    await act.on_request(site.event(Type.ROLLBACK_REQUESTED))
    site.flag.serving = "v42"
    await site.pass_by(9, is_served=True)
    await steps(control)
    failed = site.one(Type.ROLLBACK_FAILED)
    assert failed.data["reason"] == "traffic_stays"
    assert await act.on_page(site.event(Type.PAGE_OPENED)) is Outcome.DONE
    assert site.flag.serving == "v41"
    assert site.said(Type.ROLLBACK_APPLIED) == 2
    site.plant.clock.ms += 60_000
    again = site.plant.control("w2")  # which hears of both times before it ticks
    await site.pass_by(5, is_served=False)
    await steps(again)
    assert (site.said(Type.ROLLBACK_FAILED), site.said(Type.ROLLBACK_VERIFIED)) == (1, 1)
    assert site.one(Type.PAGE_RESOLVED).data["page_id"] == site.one(Type.PAGE_OPENED).data["page_id"]


async def test_arming_it_again_closes_the_page_about_the_rollback() -> None:
    site = Site()
    control = await site.begun()
    await site.act(control).on_request(site.event(Type.ROLLBACK_REQUESTED))
    await site.pass_by(9, is_served=True)
    await steps(control)
    at_ms = START_MS + site.minutes * MINUTE_MS
    control.commands.note(Command("arm", "c-arm", "v42", "ada", "mended", at_ms))
    await steps(control)
    assert control.live["v42"].evaluator.arming.number == 2
    assert site.one(Type.PAGE_RESOLVED).data["page_id"] == site.one(Type.PAGE_OPENED).data["page_id"]
