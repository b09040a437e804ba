"""The ladder: what an observing budget says, what a paging one asks, and what a step up or down changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.config.canonical import canonical, from_canonical, with_digest
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Mode, OnNoData
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ladder import as_if
from monitor.engine.answer import answer
from monitor.engine.evaluate import Stage
from monitor.engine.ports import LedgerEntry
from monitor.engine.recall import recall
from tests.engine.plant import Plant
from tests.engine.plant import budget as plant_budget
from tests.engine.worlds import (
    BAD,
    GOOD,
    Drive,
    budget,
    command,
    handoff,
    incident,
    incidents,
    names,
    objective,
    only,
)

OBSERVED = Type.DECISION_OBSERVED


def in_mode(mode: Mode, *objectives: object, **more: object) -> Budget:
    return budget(*objectives, mode=mode, **more)  # type: ignore[arg-type]  # as `budget` takes them


def change(drive: Drive, mode: Mode) -> list[Decision]:
    return drive.note(
        drive.evaluator.change_budget(replace(drive.evaluator.budget, mode=mode), drive.at_ms + 1)
    )


def would(decisions: list[Decision]) -> list[str]:
    return [as_if(one).type.value for one in decisions if one.type is OBSERVED]


def test_an_observing_budget_says_that_it_would_roll_back_and_goes_on_watching() -> None:
    drive = Drive(in_mode(Mode.OBSERVE, objective()))
    drive.run(5)
    decisions = drive.run(20, BAD)
    assert names(decisions) == ["breach.started", "decision.observed"]
    said = only(decisions, OBSERVED)
    assert (said.data["would_be"], said.data["action"], said.data["mode"]) == (
        "rollback.requested", "watch", "observe"
    )  # fmt: skip
    assert str(said.data["summary"]).startswith("only observed, nothing is done: roll back: ")
    assert said.decision_id != said.data["would_be_id"]
    assert drive.stage() is Stage.WATCHING
    assert names(drive.run(8, GOOD)) == ["breach.cleared"]


def test_an_observing_budget_says_what_silence_would_lead_to() -> None:
    drive = Drive(in_mode(Mode.OBSERVE, handoff(), decide_within_min=5), live=True)
    drive.run(5)
    assert would(drive.run(30, BAD)) == ["page.opened", "page.expired", "rollback.requested"]


def test_an_incident_is_only_observed_too() -> None:
    drive = Drive(in_mode(Mode.OBSERVE, incidents(literal=True)))
    drive.run(5)
    assert would(drive.note(drive.evaluator.incident(incident(1, drive.at_ms + 1_000)))) == [
        "rollback.requested"
    ]
    assert drive.run(3) == []


def test_where_people_are_asked_an_incident_pages() -> None:
    drive = Drive(in_mode(Mode.PAGE, incidents(literal=True)))
    drive.run(5)
    decisions = drive.note(drive.evaluator.incident(incident(1, drive.at_ms + 1_000)))
    assert names(decisions) == ["page.opened", "evaldebt.created"]


def test_where_people_are_asked_silence_holds_and_a_person_rolls_back() -> None:
    drive = Drive(in_mode(Mode.PAGE, handoff(), decide_within_min=5))
    drive.run(5)
    decisions = drive.run(30, BAD)
    assert only(decisions, Type.PAGE_OPENED).data["on_silence"] == "hold"
    assert "held as it is" in str(only(decisions, Type.PAGE_EXPIRED).data["summary"])
    assert "rollback.requested" not in names(decisions)
    ordered = answer(drive.evaluator, command("decide", drive.at_ms, decision="rollback"))
    assert only(ordered, Type.ROLLBACK_REQUESTED).data["reason"] == "commander"


def test_where_people_are_asked_missing_traffic_pages_instead_of_rolling_back() -> None:
    drive = Drive(in_mode(Mode.PAGE, objective(on_no_data=OnNoData.ROLLBACK)))
    drive.run(5)
    assert names(drive.run(30, Aggregate())) == ["page.opened"]


@pytest.mark.parametrize(
    ("kind", "decision"), [("decide", "rollback"), ("acknowledge", None), ("extend", None)]
)
def test_who_only_observes_refuses_what_it_never_asked_for(kind: str, decision: str | None) -> None:
    drive = Drive(in_mode(Mode.OBSERVE, handoff()))
    drive.run(5)
    drive.run(6, BAD)
    (refused,) = answer(drive.evaluator, command(kind, drive.at_ms, decision=decision, by_min=5))
    assert refused.type is Type.COMMAND_REFUSED
    assert "`mode: page` or `mode: auto`" in str(refused.data["summary"])


def test_a_step_up_to_auto_acts_on_the_breach_that_stands() -> None:
    for below in (Mode.OBSERVE, Mode.PAGE):
        drive = Drive(in_mode(below, objective()))
        drive.run(5)
        drive.run(10, BAD)
        change(drive, Mode.AUTO)
        decisions = drive.tick(BAD)
        assert only(decisions, Type.ROLLBACK_REQUESTED).data["mode"] == "auto"
        assert drive.stage() is Stage.LOCKED


def test_a_step_up_from_observing_asks_people_what_it_would_have_asked_and_opens_the_debt() -> None:
    drive = Drive(in_mode(Mode.OBSERVE, handoff(), decide_within_min=30), live=True)
    drive.run(5)
    drive.run(10, BAD)
    (page,) = change(drive, Mode.PAGE)
    assert page.type is Type.PAGE_OPENED
    assert (page.data["mode"], page.data["on_silence"]) == ("page", "hold")
    assert names(drive.tick(BAD)) == ["evaldebt.created"]
    assert drive.run(5, BAD) == []


def test_between_page_and_auto_a_page_with_a_deadline_is_told_again() -> None:
    drive = Drive(in_mode(Mode.PAGE, handoff(), decide_within_min=20), live=True)
    drive.run(5)
    opened = only(drive.run(10, BAD), Type.PAGE_OPENED)
    drive.evaluator.commander.delivered(opened.decision_id, drive.at_ms)
    (again,) = change(drive, Mode.AUTO)
    assert again.data["page_id"] == opened.data["page_id"]
    assert again.data["on_silence"] == "rollback"
    assert "rollback.requested" not in names(drive.run(25, BAD))  # of the new meaning nobody has heard
    drive.evaluator.commander.delivered(again.decision_id, drive.at_ms)
    assert names(drive.run(21, BAD)) == ["page.expired", "rollback.requested", "page.resolved"]


def test_a_step_down_to_observing_ends_what_people_were_asked() -> None:
    drive = Drive(in_mode(Mode.AUTO, handoff(), decide_within_min=5), live=True)
    drive.run(5)
    opened = only(drive.run(10, BAD), Type.PAGE_OPENED)
    decisions = change(drive, Mode.OBSERVE)
    assert names(decisions) == ["page.resolved", "decision.observed"]
    assert decisions[0].data["page_id"] == opened.data["page_id"]
    assert would(drive.run(10, BAD)) == ["page.expired", "rollback.requested"]


def test_a_rollback_that_was_carried_out_is_told_of_in_every_mode() -> None:
    drive = Drive(in_mode(Mode.OBSERVE))
    drive.run(5)
    commander = drive.evaluator.commander
    drive.note(commander.open_release_page(Reason.ROLLBACK_FAILED, drive.at_ms, "still served"))
    assert names(drive.log) == ["page.opened"]


def test_a_recovered_evaluator_goes_on_where_the_ladder_was() -> None:
    """The ticks come out again; the step and the incident are put back from the ledger."""
    watched = with_digest(in_mode(Mode.OBSERVE, incidents(literal=True), handoff(), decide_within_min=20))
    drive = Drive(watched, live=True)
    drive.run(5)
    entries = [
        LedgerEntry(one, drive.now)
        for one in drive.note(drive.evaluator.incident(incident(1, drive.at_ms + 1_000)))
    ]
    drive.run(7, BAD)
    changed = with_digest(replace(watched, mode=Mode.PAGE))
    note = Decision(Type.BUDGET_CHANGED, "b", watched.release, drive.at_ms + 1, {"spec": canonical(changed)})
    said = drive.note(drive.evaluator.change_budget(changed, note.at_ms))
    entries += [LedgerEntry(one, drive.now) for one in (note, *said)]
    second = Drive(watched, live=True)
    for number in range(12):
        second.tick(BAD if number >= 5 else GOOD)
        for entry in (one for one in entries if one.after_tick == second.now):
            recall(second.evaluator, entry, from_canonical)
    pages = [drive.evaluator.commander.pages, second.evaluator.commander.pages]
    assert pages[0] == pages[1]
    assert names(drive.tick(BAD)) == names(second.tick(BAD))


async def test_a_worker_of_an_observing_budget_publishes_nothing_that_anybody_acts_upon() -> None:
    observing = plant_budget(("decision:", "mode: observe\ndecision:"))
    made = Plant(budgets=(observing,))
    arms = made.control("arms")
    await arms.step()
    await arms.leave()
    made.traffic(0, 4)
    made.traffic(4, 14, success=8)
    await made.settled(made.feed(made.source()))
    for name in ("w1", "w2"):  # the second one takes it over after a crash
        control = made.control(name)
        for _ in range(3):
            await control.step()
        made.clock.ms += 60_000
    published = {one.type for one in made.topics.said}
    assert Type.DECISION_OBSERVED in published
    assert not published & {Type.ROLLBACK_REQUESTED, Type.PAGE_OPENED, Type.DEBT_CREATED}
    assert len(made.topics.of(OBSERVED)) == len({one.decision_id for one in made.topics.of(OBSERVED)})
