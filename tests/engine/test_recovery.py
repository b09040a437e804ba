"""After a proven rollback the metric is watched on: one page says that it did not come back, whoever evaluates."""

from __future__ import annotations

from typing import Any

from monitor.core.budget import BaselineMode, Budget, Scope
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Reason, Type
from monitor.core.recovery import RECOVERY_MIN
from monitor.core.reference import Layout, Reference
from monitor.core.window import tick_ms
from monitor.engine.answer import answer
from tests.engine.test_verify import ALL, rolled_back, turned, watched
from tests.engine.worlds import (
    ACME,
    BAD,
    GOOD,
    Arm,
    Drive,
    cell,
    command,
    handoff,
    incident,
    incidents,
    objective,
    only,
)

STILL = cell(requests=20, task_success=14)  # all of the traffic, as bad as the candidate was
DID_NOT_HELP = Reason.ROLLBACK_DID_NOT_HELP.value


def proven(asked: Budget | None = None, then: Arm = STILL, **more: Any) -> Drive:
    """A rollback that the traffic has proven; `then` is what the baseline serves from now on."""
    drive = rolled_back(asked, **more)
    turned(drive)
    only(drive.tick(None, then), Type.ROLLBACK_VERIFIED)
    return drive


def about_help(decisions: list[Decision]) -> list[tuple[str, str]]:
    return [
        (one.type.value, str(one.data["reason"]))
        for one in decisions
        if one.type in (Type.PAGE_OPENED, Type.PAGE_RESOLVED)
    ]


def test_a_metric_that_stays_bad_is_paged_once_half_an_hour_after_the_proof() -> None:
    drive = proven()
    since = drive.at_ms
    assert drive.run(RECOVERY_MIN - 1, None, STILL) == []
    (page,) = drive.tick(None, STILL)
    assert (page.type, page.data["reason"]) == (Type.PAGE_OPENED, DID_NOT_HELP)
    assert page.at_ms == since + RECOVERY_MIN * 60_000 == drive.at_ms
    assert page.data["request_id"] == only(drive.log, Type.ROLLBACK_REQUESTED).decision_id
    assert (page.data["deadline"], page.data["objective"]) == (None, None)
    assert "the rollback of model-v42 did not help: 30 min after" in str(page.data["summary"])
    assert drive.run(120, None, STILL) == []


def test_a_metric_that_came_back_is_not_paged() -> None:
    assert proven(then=ALL).run(120, None, ALL) == []


def test_its_page_is_resolved_when_the_metric_is_back_after_all() -> None:
    drive = proven()
    drive.run(RECOVERY_MIN, None, STILL)
    after = drive.run(30, None, ALL)
    assert about_help(after) == [("page.resolved", "recovered")]
    assert "task success is back within its limit" in str(after[0].data["summary"])
    assert drive.run(60, None, STILL) == []


def test_without_traffic_nothing_is_said() -> None:
    drive = proven()
    assert drive.run(120, None, None) == []


def test_a_rollback_that_is_undone_is_asked_about_anew_after_its_next_proof() -> None:
    drive = proven()
    drive.run(10, None, STILL)
    back = drive.run(3, BAD, STILL)
    assert [reason for _, reason in about_help(back)] == ["rollback_undone"]
    gone = drive.run(RECOVERY_MIN, None, STILL)
    assert [reason for _, reason in about_help(gone)] == ["recovered"]
    (page,) = drive.run(5, None, STILL)
    assert page.data["reason"] == DID_NOT_HELP


def test_who_takes_the_release_over_comes_to_the_same_page() -> None:
    drive = proven()
    drive.run(RECOVERY_MIN + 5, None, STILL)
    page = next(one for one in drive.log if one.data.get("reason") == DID_NOT_HELP)
    applied_ms = drive.log[-1].at_ms
    again = rolled_back()
    late = turned(again, at_ms=tick_ms(again.now))
    assert late.decision.at_ms <= applied_ms
    again.run(RECOVERY_MIN + 6, None, STILL)
    assert page.decision_id in [one.decision_id for one in again.log]


def test_the_flag_may_become_known_late() -> None:
    """The page then has the time of its own minutes, not of the tick that found it out."""
    known, late = proven(), rolled_back()
    known.run(RECOVERY_MIN + 10, None, STILL)
    at_ms = late.at_ms
    late.run(RECOVERY_MIN + 5, None, STILL)
    turned(late, at_ms=at_ms)
    late.run(6, None, STILL)
    pages = [[one for one in drive.log if one.data.get("reason") == DID_NOT_HELP] for drive in (known, late)]
    assert pages[0] == pages[1] != []


def test_without_a_turned_flag_nothing_is_asked() -> None:
    drive = rolled_back()
    assert drive.run(120, None, STILL) == []


def test_what_a_commander_ordered_for_other_reasons_is_not_asked_about() -> None:
    drive = Drive(watched(), live=True)
    drive.run(10)
    drive.note(answer(drive.evaluator, command("decide", drive.at_ms, decision="rollback")))
    turned(drive)
    drive.tick(None, STILL)
    assert DID_NOT_HELP not in [one.data.get("reason") for one in drive.log]
    assert drive.run(60, None, STILL) == []


def test_incidents_have_no_level_to_come_back_to() -> None:
    drive = Drive(watched(incidents()), live=True)
    drive.run(4)
    drive.note(drive.evaluator.incident(incident(1, drive.at_ms)))
    turned(drive)
    drive.run(60, None, STILL)
    assert DID_NOT_HELP not in [one.data.get("reason") for one in drive.log]


def test_labels_that_come_later_are_waited_for() -> None:
    drive = proven(watched(objective(label_delay_min=0), handoff(label_delay_min=10)))
    (page,) = drive.run(60, None, STILL)
    assert page.data["reason"] == DID_NOT_HELP


def test_a_cohort_that_went_back_alone_is_asked_about_alone() -> None:
    asked = watched(objective(scope=Scope.COHORT, critical_cohorts=(ACME,)))
    bad, good = {OVERALL: GOOD, ACME: BAD}, {OVERALL: GOOD, ACME: GOOD}
    drive = Drive(asked, live=True)
    drive.run(4, good, good)
    drive.run(10, bad, good)
    turned(drive)
    log = drive.run(RECOVERY_MIN + 5, {OVERALL: GOOD}, {OVERALL: GOOD, ACME: STILL})
    (page,) = [one for one in log if one.data.get("reason") == DID_NOT_HELP]
    assert page.data["cohort"] == {"tenant": "acme"}
    assert "task success for tenant=acme is still" in str(page.data["summary"])


def test_at_full_traffic_the_captured_past_says_what_the_baseline_is_like() -> None:
    """Before the rollback the baseline served nobody: its own hour is empty."""
    slots = tuple(cell(1_200, task_success=1_080) for _ in range(24))
    asked = watched(objective(baseline_mode=BaselineMode.FROZEN))
    logs = []
    for then in (STILL, ALL):
        drive = Drive(asked, live=True)
        drive.evaluator.reference.adopt(Reference(asked.baseline, 7, Layout(24, 1), slots, 1.0, 0, 0))
        drive.run(4, GOOD, None)
        drive.run(10, BAD, None)
        assert only(drive.log, Type.ROLLBACK_REQUESTED).data["baseline_mode"] == "frozen"
        turned(drive)
        logs.append(drive.run(RECOVERY_MIN + 5, None, then))
    assert [[one.data.get("reason") for one in about] for about in map(pages, logs)] == [[DID_NOT_HELP], []]
    assert about_help(drive.run(60, None, ALL)) == []


def pages(decisions: list[Decision]) -> list[Decision]:
    return [one for one in decisions if one.type is Type.PAGE_OPENED]
