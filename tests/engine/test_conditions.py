"""Where a comparison must not be trusted: said as a page, never silent, and never acting on production by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, OnNoData, Scope, TrafficSplit
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.indicator import LABELS
from monitor.core.rederive import derive
from monitor.core.window import tick_ms
from monitor.engine.answer import answer
from monitor.engine.evaluate import Stage
from tests.engine.worlds import (
    ACME,
    BAD,
    GOOD,
    HANDOFF,
    SUCCESS,
    Drive,
    budget,
    cell,
    command,
    handoff,
    incident,
    incidents,
    names,
    objective,
    only,
)

EMPTY = Aggregate()
HALF = TrafficSplit(50.0)


def unlabelled(made: Aggregate, known: int) -> Aggregate:
    """The same minute, with the label of task success on `known` of its requests, which all succeeded."""
    place = LABELS.index("task_success")
    made.known[place] = made.hits[place] = known
    return made


def reasons(decisions: list[Decision], type_: Type = Type.PAGE_OPENED) -> list[tuple[Any, Any]]:
    return [(one.data["objective"], one.data["reason"]) for one in decisions if one.type is type_]


def verdicts(drive: Drive) -> dict[str, Any]:
    (assessed,) = drive.note(drive.evaluator.finish(drive.now, 0, complete=False))
    for row in assessed.data["objectives"]:  # type: ignore[attr-defined]
        assert not derive(row).disagreements
    return {row["objective"]: row["verdict"] for row in assessed.data["objectives"]}  # type: ignore[attr-defined]


# Labels ----------------------------------------------------------------------------------------------------------


def test_missing_labels_of_the_candidate_page_and_nothing_is_judged() -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(10, cell(100, task_success=91, human_handoff=20), cell(100, task_success=91, human_handoff=20))
    some = unlabelled(cell(100, human_handoff=20), 43)
    baseline = cell(100, task_success=90, human_handoff=20)
    drive.run(30, some, baseline)
    (opened,) = [one for one in drive.log if one.type is Type.PAGE_OPENED]
    assert (opened.data["objective"], opened.data["reason"]) == (SUCCESS, "no_data")
    assert (opened.data["deadline"], opened.data["evidence"]) == (None, None)
    assert "task success cannot be compared" in str(opened.data["summary"])
    assert "of the candidate's requests against" in str(opened.data["summary"])
    assert verdicts(drive) == {SUCCESS: "no_data", HANDOFF: "healthy"}


def test_a_breach_among_survivors_does_not_roll_back() -> None:
    """Only the worst answers are labelled: that looks like harm, and no hold completes."""
    drive = Drive(budget(objective(hold=20)))
    drive.run(20, cell(100, task_success=90), cell(100, task_success=90))
    bad = cell(100, task_success=10)
    bad.known[LABELS.index("task_success")] = 30
    drive.run(120, bad, cell(100, task_success=90))
    assert "rollback.requested" not in names(drive.log)
    assert reasons(drive.log) == [(SUCCESS, "no_data")]
    assert drive.stage() is Stage.WATCHING


def test_labels_that_are_back_resolve_the_page_and_the_rule_goes_on() -> None:
    drive = Drive(budget(objective(hold=4)))
    drive.run(10, cell(100, task_success=90), cell(100, task_success=90))
    drive.run(10, unlabelled(cell(100), 40), cell(100, task_success=90))
    drive.run(20, cell(100, task_success=90), cell(100, task_success=90))
    resolved = only(drive.log, Type.PAGE_RESOLVED)
    assert resolved.data["reason"] == "recovered"
    assert resolved.data["page_id"] == only(drive.log, Type.PAGE_OPENED).data["page_id"]
    drive.run(4, cell(100, task_success=60), cell(100, task_success=90))
    assert "rollback.requested" in names(drive.log)


def test_minutes_without_labels_are_not_spent() -> None:
    drive = Drive(budget(objective(hold=4)))
    drive.run(5, cell(100, task_success=90), cell(100, task_success=90))
    bad = cell(100, task_success=10)
    bad.known[LABELS.index("task_success")] = 30
    drive.run(60, bad, cell(100, task_success=90))
    assert drive.evaluator.watches[SUCCESS, OVERALL].spend.minutes <= 4


@pytest.mark.parametrize("policy", list(OnNoData))
def test_missing_labels_only_page_whatever_no_data_means(policy: OnNoData) -> None:
    drive = Drive(budget(objective(on_no_data=policy)))
    drive.run(60, unlabelled(cell(100), 10), cell(100, task_success=90))
    assert names(drive.log) == ["page.opened"]


def test_five_percent_of_both_arms_is_fine() -> None:
    drive = Drive(budget(objective(hold=20)))
    assert drive.run(240, unlabelled(cell(1000), 50), unlabelled(cell(1000), 50)) == []


def test_labels_that_come_later_are_waited_for() -> None:
    """With a label delay a minute is judged with what came for it until then."""
    drive = Drive(budget(objective(hold=4, label_delay_min=10)))

    def cells(minute: int) -> dict[Any, Aggregate]:
        found: dict[Any, Aggregate] = {}
        for key in drive.evaluator.needed(minute + 1):
            if key.view or key.shard:
                continue
            if key.later:
                labels = Aggregate()
                labels.known[LABELS.index("task_success")] = 90
                labels.hits[LABELS.index("task_success")] = 80
                found[key] = labels
            elif key.minute >= 0:
                found[key] = cell(100)
        return found

    for _ in range(60):
        drive.tick_cells(cells(drive.now))
    assert drive.log == []


def test_a_critical_cohort_is_covered_by_itself() -> None:
    drive = Drive(budget(objective(hold=4, critical_cohorts=(ACME,))))
    full = cell(1000, task_success=900)
    drive.run(
        40,
        {OVERALL: full, ACME: unlabelled(cell(100), 20)},
        {OVERALL: full, ACME: cell(100, task_success=90)},
    )
    assert [one.data["cohort"] for one in drive.log] == [{"tenant": "acme"}]


def test_a_commander_s_clock_waits_while_labels_are_missing() -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    page = only(drive.log, Type.PAGE_OPENED)
    assert page.data["deadline"] is not None
    dark = cell(100, human_handoff=50)
    dark.known[LABELS.index("human_handoff")] = 50
    drive.run(60, dark, cell(100, human_handoff=20))
    assert "rollback.requested" not in names(drive.log)
    assert reasons(drive.log)[1:] == [(HANDOFF, "no_data")]


# The split -------------------------------------------------------------------------------------------------------


def split_budget(*objectives: Any, **more: Any) -> Budget:
    return budget(*objectives, traffic=HALF, **more)


LITTLE, MUCH = cell(100, task_success=90, human_handoff=20), cell(900, task_success=810, human_handoff=180)
HARM = cell(100, task_success=60, human_handoff=20)


def test_a_wrong_split_pages_once_about_the_release() -> None:
    drive = Drive(split_budget(objective(hold=20)))
    drive.run(300, LITTLE, MUCH)
    (opened,) = drive.log
    assert (opened.type, opened.data["reason"], opened.data["objective"]) == (
        Type.PAGE_OPENED,
        "traffic_split",
        None,
    )
    assert (opened.data["cohort"], opened.data["deadline"], opened.data["tier"]) == ({}, None, None)
    assert "10 % of the requests reach the candidate where the budget declares 50 %" in str(
        opened.data["summary"]
    )
    assert opened.at_ms <= tick_ms(29_000_010)


def test_without_a_declared_split_there_is_no_check() -> None:
    drive = Drive(budget(objective(hold=20)))
    assert drive.run(120, LITTLE, MUCH) == []


def test_a_rollback_under_a_wrong_split_pages_instead_and_comes_when_it_is_right() -> None:
    drive = Drive(split_budget(objective()))
    drive.run(20, LITTLE, MUCH)
    drive.run(20, HARM, MUCH)
    assert reasons(drive.log) == [(None, "traffic_split"), (SUCCESS, "traffic_split")]
    assert "not rolled back: the traffic split is not the declared one" in str(drive.log[-2].data["summary"])
    assert "rollback.requested" not in names(drive.log)
    assert names(drive.log).count("evaldebt.created") == 1
    even = (cell(900, task_success=500), cell(900, task_success=810))
    drive.run(59, *even)
    assert "rollback.requested" not in names(drive.log)
    drive.run(5, *even)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.data["reason"] == "breach"
    assert reasons(drive.log, Type.PAGE_RESOLVED) == [(None, "recovered"), (SUCCESS, "rolled_back")]
    assert names(drive.log).count("evaldebt.created") == 1  # its debt is open already


def test_a_breach_that_clears_under_a_wrong_split_resolves_its_page() -> None:
    drive = Drive(split_budget(objective()))
    drive.run(20, LITTLE, MUCH)
    drive.run(20, HARM, MUCH)
    drive.run(10, LITTLE, MUCH)
    assert reasons(drive.log, Type.PAGE_RESOLVED) == [(SUCCESS, "recovered")]


def test_safety_acts_under_a_wrong_split() -> None:
    drive = Drive(split_budget(objective(), incidents()))
    drive.run(20, LITTLE, MUCH)
    drive.note(drive.evaluator.incident(incident(1, drive.at_ms)))
    assert "rollback.requested" in names(drive.log)


def test_an_order_is_carried_out_under_a_wrong_split() -> None:
    drive = Drive(split_budget(objective()))
    drive.run(20, LITTLE, MUCH)
    page = only(drive.log, Type.PAGE_OPENED).data["page_id"]
    drive.note(answer(drive.evaluator, command("decide", drive.at_ms, decision="rollback", page_id=page)))
    assert only(drive.log, Type.ROLLBACK_REQUESTED).data["reason"] == "commander"
    assert drive.stage() is Stage.LOCKED


@pytest.mark.parametrize("kind", ["acknowledge", "continue", "until"])
def test_the_page_about_the_release_can_be_answered(kind: str) -> None:
    drive = Drive(split_budget(objective(), handoff()))
    drive.run(20, LITTLE, MUCH)
    page = only(drive.log, Type.PAGE_OPENED).data["page_id"]
    until_ms = drive.at_ms + 3_600_000 if kind == "until" else None
    decision = None if kind == "acknowledge" else "continue"
    order = command(
        "acknowledge" if decision is None else "decide",
        drive.at_ms,
        decision=decision,
        page_id=page,
        until_ms=until_ms,
    )
    said = {
        "acknowledge": ["page.acknowledged"],
        "continue": ["page.resolved"],
        "until": ["override.created", "page.resolved"],
    }
    assert names(drive.note(answer(drive.evaluator, order))) == said[kind]


def test_silence_does_not_roll_back_under_a_wrong_split() -> None:
    drive = Drive(split_budget(handoff()))
    drive.run(20, LITTLE, MUCH)
    drive.run(200, cell(100, human_handoff=60), cell(900, human_handoff=180))
    assert reasons(drive.log) == [(None, "traffic_split"), (HANDOFF, "breach")]
    assert "page.expired" not in names(drive.log)


def test_a_changed_declaration_begins_anew() -> None:
    drive = Drive(split_budget(objective(hold=20)))
    drive.run(20, LITTLE, MUCH)
    declared = replace(drive.evaluator.budget, traffic=TrafficSplit(10.0))
    drive.note(drive.evaluator.change_budget(declared, drive.at_ms))
    assert reasons(drive.run(200, LITTLE, MUCH), Type.PAGE_RESOLVED) == [(None, "budget_changed")]
    assert verdicts(drive) == {SUCCESS: "healthy"}


def test_what_the_arms_show_under_a_wrong_split_is_not_healthy() -> None:
    drive = Drive(split_budget(objective(hold=20)))
    drive.run(600, LITTLE, MUCH)
    assert verdicts(drive) == {SUCCESS: "inconclusive"}
    assert "the traffic split is not the declared one" in drive.log[-1].data["warnings"][0]  # type: ignore[index]


def test_the_candidate_s_first_minute_is_not_held_against_it() -> None:
    """It began somewhere in that minute: its share of it means nothing."""
    drive = Drive(split_budget(objective(hold=20)))
    drive.tick(cell(1, task_success=1), cell(100_000, task_success=90_000))
    assert drive.run(60, LITTLE, LITTLE) == []


# Late events -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "warned"), [(0, False), (10, False), (20, True)])
def test_more_than_one_percent_late_is_a_warning(late: int, warned: bool) -> None:
    drive = Drive(budget(objective()))
    drive.run(100)  # 1,000 requests
    (assessed,) = drive.note(drive.evaluator.finish(drive.now, late, complete=True))
    assert bool(assessed.data.get("warnings")) is warned


# Together --------------------------------------------------------------------------------------------------------


def test_a_cohort_s_rollback_is_withheld_too() -> None:
    drive = Drive(split_budget(objective(critical_cohorts=(ACME,), scope=Scope.COHORT)))
    drive.run(20, {OVERALL: LITTLE, ACME: LITTLE}, {OVERALL: MUCH, ACME: MUCH})
    drive.run(20, {OVERALL: LITTLE, ACME: HARM}, {OVERALL: MUCH, ACME: MUCH})
    assert "rollback.requested" not in names(drive.log)
    assert [one.data["cohort"] for one in drive.log if one.type is Type.PAGE_OPENED] == [
        {},
        {"tenant": "acme"},
    ]


def test_running_the_same_minutes_again_gives_the_same_decisions() -> None:
    logs = []
    for _ in range(2):
        drive = Drive(split_budget(objective(), handoff()))
        drive.run(20, LITTLE, MUCH)
        drive.run(20, HARM, MUCH)
        drive.run(80, cell(900, task_success=800), cell(900, task_success=810))
        logs.append(drive.log)
    assert logs[0] == logs[1]
    assert len({one.decision_id for one in logs[0]}) == len(logs[0])


def test_nothing_is_said_of_healthy_traffic() -> None:
    drive = Drive(split_budget(objective(hold=20), handoff(hold=20)))
    assert drive.run(200, GOOD, GOOD) == []
