"""The control plane through outages, crashes and take-overs: every decision once, on record before it is published."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from monitor.core.decision import Decision, Type
from monitor.engine import control as control_module
from monitor.engine.act_events import follow_up_id
from monitor.engine.book import Command
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.evaluate import Stage
from monitor.engine.hearing import SIGHT_WAIT_S
from monitor.engine.ports import LedgerEntry, Partition
from monitor.engine.unwatched import GRACE_MS
from tests.engine.logs import START_MS, TOPIC
from tests.engine.plant import Plant, budget

MINUTE_MS = 60_000


async def plant(*, minutes: int = 14, worse_from: int = 4, success: int = 19, latency_ms: int = 800) -> Plant:
    """Return a plant whose release is armed, with traffic in the store; the candidate gets worse at a minute."""
    made = Plant(budgets=(budget(),))
    arms = made.control("arms")
    await arms.step()
    await arms.leave()
    made.traffic(0, worse_from)
    made.traffic(worse_from, minutes - worse_from, success=success, latency_ms=latency_ms)
    await made.settled(made.feed(made.source()))
    return made


async def go_on(made: Plant, first: int, minutes: int, *, success: int = 19, latency_ms: int = 800) -> None:
    made.traffic(first, minutes, success=success, latency_ms=latency_ms)
    await made.settled(made.feed(made.source()))


async def step(control: Control, times: int = 1) -> None:
    for _ in range(times):
        await control.step()


async def after_a_crash(made: Plant, name: str = "w1") -> Control:
    """Return the control plane of an instance that starts anew and knows the ledger only."""
    made.clock.ms += 60_000
    return made.control(name)


def ids(made: Plant) -> Counter[str]:
    return Counter(one.decision_id for one in made.topics.said)


def deliver(made: Plant, page: Decision, at_ms: int) -> None:
    """Put the delivery of a page on record, as the effects do: it names no arming."""
    data = {"event_id": page.decision_id, "page_id": page.data["page_id"], "state": "opened"}
    kind = Type.PAGE_DELIVERED
    told = Decision(kind, follow_up_id(kind, page.decision_id), page.release, at_ms, data)
    made.topics.entries.append(LedgerEntry(told, None, True))


def command(kind: str, at_ms: int, decision: str | None = None) -> Command:
    return Command(kind, f"c-{kind}-{at_ms}", "v42", "ada", "looked at it", at_ms, decision)


async def test_a_sustained_loss_is_rolled_back_once_and_the_release_is_locked() -> None:
    made = await plant(success=8)
    control = made.control()
    await step(control, 3)
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert request.data["reason"] == "breach"
    assert control.live["v42"].evaluator.progress.stage is Stage.LOCKED
    assert max(ids(made).values()) == 1


async def test_all_is_on_record_before_anything_is_published_and_rollbacks_go_first() -> None:
    made = await plant(success=8)
    await step(made.control())
    journal = made.topics.journal
    request = journal.index("publish rollback.requested")
    assert journal.index("record evaldebt.created") < request
    assert journal.index("record rollback.requested") < request
    assert journal.index("publish evaldebt.created") > request


@pytest.mark.parametrize("away", ["outputs_away", "ledger_away"])
@pytest.mark.parametrize("calls", [1, 2, 3])
async def test_an_outage_between_record_and_publication_delays_and_repeats_nothing(
    away: str, calls: int
) -> None:
    """What fails is sent again before the next tick; each id is published once, whatever failed."""
    made = await plant(success=8)
    control = made.control()
    setattr(made.topics, away, calls)
    for _ in range(calls + 3):
        try:
            await control.step()
        except LogUnreachable:
            continue
    expected = await plant(success=8)
    await step(expected.control(), 3)
    assert ids(made) == ids(expected)
    assert {one.decision.decision_id for one in made.topics.entries if one.is_published} >= set(ids(made))


@pytest.mark.parametrize("calls", [1, 2])
async def test_what_a_crash_left_on_record_and_unpublished_is_published_by_whoever_comes_next(
    calls: int,
) -> None:
    made = await plant(success=8)
    made.topics.outputs_away = calls
    with pytest.raises(LogUnreachable):
        await made.control("dies").step()
    made.topics.outputs_away = 0
    await step(await after_a_crash(made, "next"), 3)
    expected = await plant(success=8)
    await step(expected.control(), 3)
    assert ids(made) == ids(expected)


async def test_whoever_takes_over_comes_to_the_same_state_and_says_nothing_again() -> None:
    made = await plant(minutes=14, latency_ms=2_000)
    await step(made.control("dies"), 2)
    said = ids(made)
    assert made.topics.of(Type.PAGE_OPENED)
    control = await after_a_crash(made, "next")
    await step(control, 2)
    assert ids(made) == said
    assert [page.is_open for page in control.live["v42"].evaluator.commander.pages.values()] == [True]


async def test_a_page_delivered_before_a_crash_runs_out_after_it() -> None:
    """The delivery starts the clock, names no arming, and is all the same of this arming."""
    made = await plant(minutes=14, latency_ms=2_000)
    await step(made.control("dies"), 2)
    (page,) = made.topics.of(Type.PAGE_OPENED)
    deliver(made, page, page.at_ms)
    await go_on(made, 14, 20, latency_ms=2_000)
    await step(await after_a_crash(made, "next"), 2)
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert request.data["reason"] == "commander_silent"
    assert request.at_ms == page.at_ms + 15 * MINUTE_MS


async def test_a_page_that_reached_nobody_never_runs_out() -> None:
    made = await plant(minutes=14, latency_ms=2_000)
    control = made.control()
    await step(control, 2)
    await go_on(made, 14, 20, latency_ms=2_000)
    await step(control, 2)
    assert made.topics.of(Type.PAGE_OPENED)
    assert made.topics.of(Type.ROLLBACK_REQUESTED) == []


@pytest.mark.parametrize(("minutes_after", "is_obeyed"), [(10, True), (16, False)])
async def test_a_command_counts_at_its_record_time_also_where_the_worker_was_away(
    minutes_after: int, is_obeyed: bool
) -> None:
    """`continue` in time is heard before the deadline's tick, though both are caught up on together."""
    made = await plant(minutes=14, latency_ms=2_000)
    await step(made.control("dies"), 2)
    (page,) = made.topics.of(Type.PAGE_OPENED)
    deliver(made, page, page.at_ms)
    await go_on(made, 14, 25, latency_ms=2_000)
    control = await after_a_crash(made, "next")
    control.commands.note(command("decide", page.at_ms + minutes_after * MINUTE_MS, decision="continue"))
    await step(control, 2)
    assert (made.topics.of(Type.ROLLBACK_REQUESTED) == []) is is_obeyed
    assert bool(made.topics.of(Type.OVERRIDE_CREATED)) is is_obeyed


async def test_an_incident_in_sight_is_decided_at_once() -> None:
    made = await plant()
    control = made.control()
    await step(control, 2)
    at_ms = made.log.now_ms
    feed = made.feed(made.source(), hearing=control.hearing)
    made.log.event(0, "i1", at_ms, "v42", incident_severity="high", trace_id="t1")
    await made.settled(feed)
    await control.decide_now()
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert (request.data["reason"], request.at_ms) == ("immediate", at_ms)
    for incident in made.topics.incidents:
        control.hearing.note(incident)
    await control.decide_now()
    assert max(ids(made).values()) == 1


async def test_an_incident_ahead_of_its_reference_waits_for_the_minutes_before_it() -> None:
    """Catching up, the data plane is far ahead; judged then, it would page where the same log rolls back."""
    made = await plant(minutes=3)
    control = made.control()
    await step(control, 2)
    made.traffic(3, 20)
    feed = made.feed(made.source(), hearing=control.hearing)
    made.log.event(0, "i1", made.log.now_ms, "v42", incident_severity="high")
    await feed.step()
    await control.decide_now()
    assert made.topics.said == []
    await made.settled(feed)
    await step(control)
    assert [one.type for one in made.topics.said if one.type is not Type.DEBT_CREATED] == [
        Type.ROLLBACK_REQUESTED
    ]


async def test_an_incident_does_not_wait_for_ever_for_minutes_that_cannot_be_read() -> None:
    """One partition that cannot be read must not keep an incident of another from being judged."""
    made = await plant(minutes=5)
    control = made.control()
    await step(control, 2)
    made.traffic(5, 20)
    source = made.source()
    source.rebalance([Partition(TOPIC, 0)])
    feed = made.feed(source, hearing=control.hearing)
    made.log.event(0, "i1", made.log.now_ms, "v42", incident_severity="high")
    await made.settled(feed)
    await step(control)
    assert made.topics.said == []
    made.clock.ms += int(SIGHT_WAIT_S * 1000)
    await control.decide_now()
    (request,) = made.topics.of(Type.ROLLBACK_REQUESTED)
    assert request.data["reason"] == "immediate"


async def test_before_the_first_minute_closes_budgets_and_commands_apply_all_the_same() -> None:
    """Nothing is due yet, so nothing is waited for."""
    made = await plant(minutes=1, worse_from=1)
    control = made.control()
    control.budgets.put(budget(("-10", "-12")))
    control.commands.note(command("acknowledge", made.log.now_ms))
    await step(control)
    kinds = [one.decision.type for one in made.topics.entries]
    assert Type.BUDGET_CHANGED in kinds
    assert Type.COMMAND_REFUSED in kinds
    assert control.live["v42"].next_tick is None


async def test_a_budget_taken_back_while_no_worker_ran_disarms() -> None:
    made = await plant(latency_ms=2_000)
    await step(made.control("dies"), 2)
    control = await after_a_crash(made, "next")
    control.budgets.remove("v42")
    await step(control, 2)
    kinds = [one.decision.type for one in made.topics.entries]
    assert Type.ARMING_ENDED in kinds
    assert made.topics.of(Type.PAGE_RESOLVED)
    assert control.live == {}


async def test_a_release_is_armed_again_once_though_the_answer_was_lost_on_the_way() -> None:
    made = await plant(success=8)
    control = made.control()
    await step(control, 2)
    control.commands.note(command("arm", made.log.now_ms))
    append, calls = made.topics.append, 0

    async def second_fails(entry: LedgerEntry) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LogUnreachable("the ledger is away")
        await append(entry)

    made.topics.append = second_fails  # type: ignore[method-assign]
    with pytest.raises(LogUnreachable):
        await control.step()
    await step(control, 3)
    numbers = [
        one.decision.data["arming"] for one in made.topics.entries if one.decision.type is Type.ARMING_CREATED
    ]
    assert set(numbers) == {1, 2}
    assert control.live["v42"].evaluator.arming.number == 2
    assert control.book.is_answered(f"c-arm-{made.log.now_ms}")


async def test_an_order_about_a_release_that_no_budget_names_is_refused_once() -> None:
    """Not at once: a budget that was published just before the order may not be read yet."""
    made = await plant()
    control, given_ms = made.control(), made.log.now_ms
    control.commands.note(Command("arm", "c-1", "v99", "ada", "again", given_ms))
    await step(control, 2)
    assert not control.book.is_answered("c-1")
    made.log.now_ms += GRACE_MS
    await step(control, 2)
    (refused,) = [one for one in made.topics.entries if one.command_id == "c-1"]
    assert refused.decision.type is Type.COMMAND_REFUSED
    assert "no budget in force names this release" in str(refused.decision.data["summary"])
    assert control.commands.waiting("v99", control.book) == []


async def test_only_the_holder_of_the_lease_evaluates_and_the_next_one_goes_on_when_it_is_given_back() -> (
    None
):
    made = await plant(success=8)
    holder, other = made.control("holder"), made.control("other")
    await step(holder)
    said = ids(made)
    await step(other, 2)
    assert other.live == {}
    assert ids(made) == said
    for entry in made.topics.entries:
        other.note(entry)
    await holder.leave()
    await step(other, 2)
    assert set(other.live) == {"v42"}
    assert ids(made) == said


async def test_two_owners_at_once_decide_the_same_under_the_same_ids() -> None:
    """What makes a double owner harmless is not the lease."""
    made = await plant(success=8)
    blind = made.control("two")
    await step(made.control("one"))
    first = ids(made)
    made.clock.ms += 60_000
    for entry in made.topics.entries:
        if entry.decision.type is Type.ARMING_CREATED:
            blind.note(entry)
    await step(blind)
    assert set(ids(made)) == set(first)
    assert set(ids(made).values()) == {2}


async def test_while_a_store_is_rebuilt_what_happened_between_ticks_waits_for_its_tick() -> None:
    """An override recalled before the ticks it came after would hold back what was decided before it."""
    made = await plant(minutes=14, latency_ms=2_000)
    control = made.control("dies")
    await step(control, 2)
    (page,) = made.topics.of(Type.PAGE_OPENED)
    control.commands.note(command("decide", page.at_ms + MINUTE_MS, decision="continue"))
    await step(control)
    said = ids(made)
    made.store.lose_everything()
    control = await after_a_crash(made, "next")
    await step(control)
    assert control.live["v42"].recalled
    await made.settled(made.feed(made.source()))
    await step(control, 2)
    assert not control.live["v42"].recalled
    assert ids(made) == said
    assert page.at_ms > START_MS


async def test_catching_up_asks_for_a_bounded_number_of_cells_and_lets_others_run_after_each_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody else has a turn while the names of what is asked for are put together, nor while a tick is judged."""
    monkeypatch.setattr(control_module, "CELLS_PER_READ", 100)
    made = await plant(minutes=40)
    asked: list[int] = []
    turns: list[int] = []
    loop_turns = 0
    control = made.control()
    read, tick = made.store.read, control._tick

    async def counted(partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        asked.append(len(fields))
        return await read(partitions, fields)

    async def judged(*args: Any) -> None:
        turns.append(loop_turns)
        await tick(*args)

    async def neighbour() -> None:
        nonlocal loop_turns
        while True:
            loop_turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(made.store, "read", counted)
    monkeypatch.setattr(control, "_tick", judged)
    beside = asyncio.create_task(neighbour())
    await step(control, 2)
    beside.cancel()
    assert len(turns) > 30
    assert len(set(turns)) == len(turns)
    assert 10 < max(asked) <= 200  # the cells, with their minutes' manifests and the head
