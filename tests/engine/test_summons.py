"""Calling people again: once each, in time, by whoever has the release, and not after somebody has seen the page."""

from __future__ import annotations

from collections import Counter

import pytest

from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.engine.act_events import follow_up_id
from monitor.engine.book import Command
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import LedgerEntry
from monitor.engine.summons import Summons
from tests.engine.plant import LogWall, Plant, budget
from tests.engine.worlds import held

MINUTE_MS = 60_000
STEPS = """\
escalation:
  - {after: 5m, pagers: [slack]}
  - {after: 10m, on_call: platform lead}
"""
WATCHED = budget(("rollback_budget:", f"{STEPS}rollback_budget:"))
CALLS = (Type.PAGE_REMINDED, Type.PAGE_ESCALATED)


class Watch:
    """A plant with an open tier-B page, an instance that has it, and the calls that it makes."""

    def __init__(self, made: Plant, control: Control) -> None:
        self.made, self.control = made, control
        self.summons = Summons(control, LogWall(made.log), made.told)
        (self.page,) = made.topics.of(Type.PAGE_OPENED)

    @classmethod
    async def begun(cls, *, delivered: bool = True) -> Watch:
        made = Plant(budgets=(WATCHED,))
        arms = made.control("arms")
        await arms.step()
        await arms.leave()
        made.traffic(0, 4)
        made.traffic(4, 10, latency_ms=2_000)
        await made.settled(made.feed(made.source()))
        control = made.control()
        await control.step()
        watch = cls(made, control)
        if delivered:
            watch.deliver()
        return watch

    def deliver(self) -> None:
        """Put the page's delivery on record; it reaches people when it is opened."""
        data = {"event_id": self.page.decision_id, "page_id": self.page.data["page_id"], "state": "opened"}
        told_id = follow_up_id(Type.PAGE_DELIVERED, self.page.decision_id)
        told = Decision(Type.PAGE_DELIVERED, told_id, "v42", self.page.at_ms, data)
        self.note(LedgerEntry(told, None, True))

    def note(self, entry: LedgerEntry) -> None:
        self.made.topics.entries.append(entry)
        self.control.note(entry)

    async def at(self, minutes: float) -> list[str]:
        """Return the calls that are made so long after the page was opened: `reminded`, or the step's number."""
        self.made.log.now_ms = self.page.at_ms + int(minutes * MINUTE_MS)
        before = len(self.made.topics.said)
        await self.summons.step()
        return [_name(one) for one in self.made.topics.said[before:] if one.type in CALLS]

    async def taken_over(self) -> Watch:
        """Return the same page as another instance has it, after this one has crashed."""
        self.made.clock.ms += 60_000
        control = self.made.control("next")
        await control.step()
        return Watch(self.made, control)

    async def order(self, kind: str, **more: object) -> Command:
        at_ms = self.made.log.now_ms
        command = Command(kind, f"c-{kind}-{at_ms}", "v42", "ada", "looking", at_ms, **more)  # type: ignore[arg-type]
        self.control.commands.note(command)
        await self.control.step()
        return command


def _name(call: Decision) -> str:
    return "reminded" if call.type is Type.PAGE_REMINDED else str(call.data["step"])


async def test_each_call_is_made_once_and_in_time() -> None:
    watch = await Watch.begun()
    heard = {minutes: await watch.at(minutes) for minutes in (1, 4.9, 5, 7, 7.5, 9.9, 10, 11, 14)}
    assert {minutes: calls for minutes, calls in heard.items() if calls} == {
        5: ["1"],
        7.5: ["reminded"],
        10: ["2"],
    }
    first, second = watch.made.topics.of(Type.PAGE_ESCALATED)
    assert (first.data["pagers"], first.data["on_call"]) == (["slack"], None)
    assert (second.data["pagers"], second.data["on_call"]) == ([], "platform lead")
    (reminder,) = watch.made.topics.of(Type.PAGE_REMINDED)
    assert reminder.data["deadline"] == rfc3339(watch.page.at_ms + 15 * MINUTE_MS)
    assert {one.data["page_id"] for one in (first, second, reminder)} == {watch.page.data["page_id"]}


@pytest.mark.parametrize("crash_after", [0, 5, 7.5, 10])
async def test_whoever_takes_over_says_nothing_again_and_leaves_nothing_out(crash_after: float) -> None:
    watch = await Watch.begun()
    for minutes in (5, 7.5, 10):
        await watch.at(minutes)
        if minutes == crash_after:
            watch = await watch.taken_over()
            assert await watch.at(minutes) == []
    if not crash_after:
        watch = await watch.taken_over()
        assert await watch.at(10) == []
    ids = Counter(one.decision_id for one in watch.made.topics.said if one.type in CALLS)
    assert sorted(ids.values()) == [1, 1, 1]


async def test_what_fails_on_its_way_out_goes_out_once() -> None:
    watch = await Watch.begun()
    watch.made.topics.outputs_away = 2
    for _ in range(2):
        with pytest.raises(LogUnreachable):
            await watch.at(5)
    assert await watch.at(5) == ["1"]
    assert await watch.at(6) == []


async def test_acknowledging_stops_the_calls_and_not_the_deadline() -> None:
    watch = await Watch.begun()
    assert await watch.at(5) == ["1"]
    await watch.order("acknowledge")
    assert await watch.at(10) == []
    (page,) = watch.control.live["v42"].evaluator.commander.pages.values()
    assert page.deadline_ms == watch.page.at_ms + 15 * MINUTE_MS


async def test_an_acknowledgement_that_nobody_has_read_yet_is_read_first() -> None:
    watch = await Watch.begun()
    seen = Command("acknowledge", "c-seen", "v42", "ada", "", watch.page.at_ms + MINUTE_MS)

    async def read() -> None:
        watch.control.commands.note(seen)

    watch.control.read_commands = read
    assert await watch.at(5) == []
    assert watch.made.topics.of(Type.PAGE_ACKNOWLEDGED)


async def test_a_page_that_reached_nobody_is_escalated_by_when_it_is_known_and_nobody_is_reminded() -> None:
    """Catching up after an outage opens pages of long ago; they are about to be told, not to be escalated."""
    watch = await Watch.begun(delivered=False)
    assert await watch.at(60) == []
    assert await watch.at(64) == []
    assert await watch.at(65) == ["1"]
    assert await watch.at(70) == ["2"]


async def test_a_deadline_that_waits_is_said_once() -> None:
    """What the page is about is unknown: silence does not act, so somebody has to."""
    watch = await Watch.begun()
    live = watch.control.live["v42"]
    live.evaluator.progress.tick = (watch.page.at_ms + 16 * MINUTE_MS) // MINUTE_MS
    assert await watch.at(17) == ["reminded", "1", "2", "None"]
    assert await watch.at(18) == []
    overdue = watch.made.topics.of(Type.PAGE_ESCALATED)[-1]
    assert (overdue.data["reason"], overdue.data["pagers"]) == ("overdue", [])


async def test_more_time_moves_the_reminder_and_the_deadline() -> None:
    watch = await Watch.begun()
    await watch.at(1)
    await watch.order("extend", by_min=5)
    assert await watch.at(7.5) == ["1"]
    assert await watch.at(10) == ["reminded", "2"]
    after = await watch.taken_over()
    (page,) = after.control.live["v42"].evaluator.commander.pages.values()
    assert page.deadline_ms == watch.page.at_ms + 20 * MINUTE_MS


async def test_a_release_that_is_gone_calls_nobody() -> None:
    watch = await Watch.begun()
    await watch.control.leave()
    assert await watch.at(60) == []


class NotApplied(Watch):
    """A release that a commander rolls back, whose flag nobody can turn."""

    async def rolled_back(self) -> None:
        await self.order("decide", decision="rollback")
        (request,) = self.made.topics.of(Type.ROLLBACK_REQUESTED)
        data = {
            **request.data,
            "request_id": request.decision_id,
            "message": "no token",
            "reason": "actuator",
        }
        failed_id = follow_up_id(Type.ROLLBACK_FAILED, request.decision_id)
        self.page = Decision(Type.ROLLBACK_FAILED, failed_id, "v42", self.made.log.now_ms, data)
        self.note(LedgerEntry(self.page, None, True))

    def deliver(self) -> None:
        data = {"event_id": self.page.decision_id, "page_id": self.page.decision_id, "state": "opened"}
        told_id = follow_up_id(Type.PAGE_DELIVERED, self.page.decision_id)
        self.note(
            LedgerEntry(Decision(Type.PAGE_DELIVERED, told_id, "v42", self.made.log.now_ms, data), None, True)
        )

    async def turned(self) -> None:
        """Let somebody turn the flag after all."""
        applied_id = follow_up_id(Type.ROLLBACK_APPLIED, str(self.page.data["request_id"]))
        data = {**self.page.data, "actuator": "webhook", "flag": "chat", "changed": True}
        self.note(
            LedgerEntry(Decision(Type.ROLLBACK_APPLIED, applied_id, "v42", self.page.at_ms, data), None, True)
        )


async def not_applied() -> NotApplied:
    watch = await NotApplied.begun(delivered=False)
    assert isinstance(watch, NotApplied)
    await watch.rolled_back()
    return watch


async def test_a_rollback_that_is_not_applied_is_escalated_until_somebody_has_seen_it() -> None:
    """It is the loudest page there is, and no objective's: the budget's path is walked for it all the same."""
    watch = await not_applied()
    watch.deliver()
    heard = {minutes: await watch.at(minutes) for minutes in (1, 4.9, 5, 6)}
    assert {minutes: calls for minutes, calls in heard.items() if calls} == {5: ["1"]}
    (call,) = watch.made.topics.of(Type.PAGE_ESCALATED)
    assert (call.data["page_id"], call.data["pagers"]) == (watch.page.decision_id, ["slack"])
    assert (call.data["request_id"], call.data["deadline"]) == (watch.page.data["request_id"], None)
    assert "NOT APPLIED for 5 min: it goes to slack (step 1 of 2)" in str(call.data["summary"])
    held(call)
    await watch.order("acknowledge")
    assert await watch.at(60) == []


async def test_whoever_takes_over_escalates_it_no_second_time() -> None:
    watch = await not_applied()
    watch.deliver()
    assert await watch.at(5) == ["1"]
    page = watch.page
    watch.made.clock.ms += 60_000
    control = watch.made.control("next")
    await control.step()
    after = Watch(watch.made, control)
    after.page = page
    assert await after.at(6) == []
    assert await after.at(10) == ["2"]


async def test_a_flag_that_is_turned_calls_nobody_any_more() -> None:
    watch = await not_applied()
    watch.deliver()
    assert await watch.at(5) == ["1"]
    await watch.turned()
    assert await watch.at(10) == []


async def test_a_failure_that_nobody_was_told_of_is_escalated_by_when_it_is_known() -> None:
    watch = await not_applied()
    assert await watch.at(60) == []
    assert await watch.at(64) == []
    assert await watch.at(65) == ["1"]
