"""After the flag was turned: what the traffic shows comes out as events and pages, and silence is never a proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.config.canonical import from_canonical
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, FlagTarget, Scope, Verification
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, CohortKey, by_every
from monitor.core.decision import Decision, Type
from monitor.core.window import tick_ms
from monitor.engine.answer import answer
from monitor.engine.evaluate import Stage
from monitor.engine.ports import LedgerEntry
from monitor.engine.recall import recall
from tests.engine.worlds import (
    ACME,
    BAD,
    BASELINE,
    CANDIDATE,
    GOOD,
    Arm,
    Drive,
    budget,
    cell,
    command,
    incident,
    incidents,
    names,
    objective,
    only,
)

FLAG = FlagTarget("memory", "chat-model", "v41", "v42")
ALL = cell(requests=20, task_success=18)


def watched(*objectives: Any, **more: Any) -> Budget:
    return budget(*objectives, **{"flag": FLAG, "strata": (), **more})


def rolled_back(asked: Budget | None = None, **more: Any) -> Drive:
    """A release that was rolled back for its quality, in live operation, with half of the traffic."""
    drive = Drive(asked or watched(), live=True, **more)
    drive.run(4)
    drive.run(10, BAD)
    assert drive.stage() is Stage.LOCKED
    return drive


def turned(drive: Drive, at_ms: int | None = None, decision_id: str = "applied") -> LedgerEntry:
    """Put it on record that the flag was turned."""
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    data = {"request_id": request.decision_id, "arming": 1}
    when = drive.at_ms if at_ms is None else at_ms
    entry = LedgerEntry(Decision(Type.ROLLBACK_APPLIED, decision_id, CANDIDATE, when, data), None, True)
    recall(drive.evaluator, entry, from_canonical)
    return entry


def proofs(drive: Drive) -> list[str]:
    kinds = (Type.ROLLBACK_VERIFIED, Type.ROLLBACK_FAILED, Type.PAGE_OPENED, Type.PAGE_RESOLVED)
    return [
        f"{one.type.value} {one.data['reason']}" if "page" in one.type.value else one.type.value
        for one in drive.log
        if one.type in kinds
    ]


def test_when_the_candidates_traffic_is_gone_the_rollback_is_verified_with_its_seconds() -> None:
    drive = rolled_back()
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    turned(drive)
    assert drive.tick(BAD) == []
    verified = only(drive.tick(None, ALL), Type.ROLLBACK_VERIFIED)
    assert verified.data["share_before"] == 0.5
    assert verified.data["share_after"] == 0.0
    assert verified.data["seconds"] == (drive.at_ms - request.at_ms) / 1000
    assert verified.data["request_id"] == request.decision_id
    assert (verified.data["reason"], verified.data["objective"]) == ("breach", request.data["objective"])
    assert verified.at_ms == drive.at_ms
    assert drive.run(30, None, ALL) == []


def test_until_the_flag_is_on_record_as_turned_nothing_is_said_and_a_replay_never_turns_one() -> None:
    drive = rolled_back()
    assert drive.run(60, BAD) == []
    assert drive.run(60, None, ALL) == []


def test_traffic_that_stays_fails_the_rollback_and_the_page_names_who_is_served_most() -> None:
    drive = rolled_back(watched(strata=("workflow",)))
    turned(drive)
    by_workflow = by_every(OVERALL, ("workflow",))
    for _ in range(5):
        decisions = drive.tick_cells(
            {
                CellKey(drive.now, CANDIDATE, by_workflow): _parts(claims=6, chat=4),
                CellKey(drive.now, BASELINE, by_workflow): _parts(claims=2, chat=16),
            }
        )
    assert names(decisions) == ["rollback.failed", "page.opened"]
    failed, page = decisions
    assert failed.data["reason"] == "traffic_stays"
    assert failed.data["still_served"] == {"workflow": "claims"}
    assert failed.data["share_after"] == pytest.approx(10 / 28, abs=1e-6)
    assert (page.data["reason"], page.data["request_id"]) == ("rollback_failed", failed.data["request_id"])
    assert "most of them to workflow=claims (75.0%, 6 of 8)" in str(page.data["summary"])
    assert drive.run(30, BAD) == []  # once


def _parts(**requests: int) -> Aggregate:
    whole = cell(requests=0)
    whole.parts = {name: cell(requests=count) for name, count in requests.items()}
    return whole


def test_a_rollback_that_takes_effect_late_is_verified_after_all_and_its_page_resolved() -> None:
    drive = rolled_back()
    turned(drive)
    drive.run(9, BAD)
    drive.run(3, None, ALL)
    assert proofs(drive) == [
        "rollback.failed",
        "page.opened rollback_failed",
        "rollback.verified",
        "page.resolved recovered",
    ]


def test_no_traffic_at_all_is_no_proof_and_a_page_says_so() -> None:
    drive = rolled_back()
    turned(drive)
    decisions = drive.run(8, None, None)
    page = only(decisions, Type.PAGE_OPENED)
    assert page.data["reason"] == "rollback_unproven"
    assert "no traffic came of either release" in str(page.data["summary"])
    assert names(drive.run(2, None, ALL)) == ["rollback.verified", "page.resolved"]


def test_too_little_traffic_to_tell_is_said_with_what_would_be_enough() -> None:
    drive = Drive(watched(), live=True)
    drive.run(4, cell(requests=10, task_success=9), cell(requests=990, task_success=891))
    drive.run(10, cell(requests=10, task_success=1), cell(requests=990, task_success=891))
    turned(drive)
    page = only(drive.run(6, None, cell(requests=20, task_success=18)), Type.PAGE_OPENED)
    assert "100 requests are too few, 299 would tell" in str(page.data["summary"])


def test_a_candidate_that_is_served_again_is_a_page_of_its_own_while_it_lasts() -> None:
    drive = rolled_back()
    turned(drive)
    drive.run(2, None, ALL)
    drive.run(20, BAD)
    drive.run(2, None, ALL)
    assert proofs(drive) == [
        "rollback.verified",
        "page.opened rollback_undone",
        "page.resolved recovered",
    ]


def test_the_budget_says_how_much_may_stay_and_for_how_long() -> None:
    drive = rolled_back(watched(verify=Verification(share_pct=10.0, within_min=2)))
    turned(drive)
    assert names(drive.run(2, BAD)) == ["rollback.failed", "page.opened"]
    some = drive.tick(cell(requests=2, task_success=1), ALL)
    assert names(some) == ["rollback.verified", "page.resolved"]


def test_a_cohort_that_goes_back_alone_is_proven_by_its_own_traffic() -> None:
    asked = watched(objective(critical_cohorts=(ACME,), scope=Scope.COHORT))
    drive = Drive(asked, live=True)
    everybody = cell(requests=1000, task_success=900)
    drive.run(4, {OVERALL: everybody, ACME: GOOD}, {OVERALL: everybody, ACME: GOOD})
    drive.run(10, {OVERALL: everybody, ACME: BAD}, {OVERALL: everybody, ACME: GOOD})
    assert only(drive.log, Type.ROLLBACK_REQUESTED).data["cohort"] == dict(ACME)
    turned(drive)
    assert drive.stage() is Stage.WATCHING
    failed = only(
        drive.run(5, {OVERALL: everybody, ACME: BAD}, {OVERALL: everybody, ACME: GOOD}), Type.ROLLBACK_FAILED
    )
    assert failed.data["still_served"] == dict(ACME)
    decisions = drive.tick({OVERALL: everybody}, {OVERALL: everybody, ACME: ALL})
    verified, resolved = decisions
    assert (verified.type, verified.data["cohort"]) == (Type.ROLLBACK_VERIFIED, dict(ACME))
    assert "tenant=acme of model-v42" in str(resolved.data["summary"])


def test_a_critical_cohort_that_is_still_served_keeps_the_whole_release_from_being_verified() -> None:
    drive = Drive(watched(objective(critical_cohorts=(ACME,))), live=True)
    both: dict[CohortKey, Aggregate] = {OVERALL: cell(1000, task_success=900), ACME: GOOD}
    bad: dict[CohortKey, Aggregate] = {OVERALL: cell(1000, task_success=500), ACME: BAD}
    drive.run(4, both, both)
    drive.run(10, bad, both)
    turned(drive)
    rest: dict[CohortKey, Aggregate] = {OVERALL: cell(1, task_success=1), ACME: cell(1, task_success=1)}
    failed = only(drive.run(5, rest, {**both, OVERALL: cell(5000)}), Type.ROLLBACK_FAILED)
    assert failed.data["still_served"] == dict(ACME)
    assert names(drive.tick(None, both)) == ["rollback.verified", "page.resolved"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_time_the_flag_was_turned_is_what_counts_in_whatever_order_the_ledger_tells(
    order: int,
) -> None:
    drive = rolled_back()
    for place in (0, 7)[::order]:
        turned(drive, drive.at_ms + place * 60_000, f"applied-{place}")
    assert names(drive.run(5, BAD)) == ["rollback.failed", "page.opened"]


def test_a_record_that_is_heard_of_late_changes_no_decision_but_when_it_is_known() -> None:
    """What is on record counts from its own time, also where minutes after it were weighed before it was heard of."""
    early, late = rolled_back(), rolled_back()
    at_ms = early.at_ms
    turned(early, at_ms)
    for drive in (early, late):
        drive.run(3, BAD)
        drive.run(6, None, ALL)
    turned(late, at_ms)
    late.run(1, None, ALL)
    assert only(early.log, Type.ROLLBACK_VERIFIED) == only(late.log, Type.ROLLBACK_VERIFIED)


def test_the_watch_for_it_outlasts_the_window_and_its_page_too() -> None:
    drive = rolled_back(watched(window_min=15))
    turned(drive)
    drive.run(8, BAD)
    assert drive.stage() is Stage.ENDED
    assert proofs(drive) == ["rollback.failed", "page.opened rollback_failed"]
    drive.run(2, None, ALL)
    assert proofs(drive)[2:] == ["rollback.verified", "page.resolved recovered"]


def test_a_release_that_is_disarmed_is_asked_no_longer_and_its_page_is_closed() -> None:
    drive = rolled_back()
    turned(drive)
    drive.run(6, BAD)
    drive.note(answer(drive.evaluator, command("disarm", drive.at_ms)))
    assert proofs(drive)[-1] == "page.resolved disarmed"
    assert drive.run(10, None, ALL) == []


def test_a_rollback_for_an_incident_is_proven_like_any_other() -> None:
    drive = Drive(watched(incidents(0, literal=True)), live=True)
    drive.run(4)
    at_ms = drive.at_ms + 30_000
    drive.note(drive.evaluator.incident(incident(1, at_ms)))
    turned(drive, at_ms + 1_000)
    drive.run(1, GOOD)
    verified = only(drive.run(1, None, ALL), Type.ROLLBACK_VERIFIED)
    assert verified.data["share_before"] == 0.5
    assert verified.data["seconds"] == 90.0


def test_another_arming_is_another_proof() -> None:
    first, second = rolled_back(), rolled_back(number=2)
    for drive in (first, second):
        turned(drive)
        drive.run(1, None, ALL)
    ids = {only(drive.log, Type.ROLLBACK_VERIFIED).decision_id for drive in (first, second)}
    assert len(ids) == 2


def test_a_restart_at_any_minute_comes_to_the_same_proof() -> None:
    """Recovery runs the ticks again with the ledger's records known from the start."""
    whole = rolled_back()
    applied_ms = whole.at_ms + 20_000
    turned(whole, applied_ms)
    arms: Sequence[tuple[Arm, Arm]] = (
        [(BAD, GOOD)] * 7 + [(None, ALL)] * 3 + [(BAD, GOOD)] * 3 + [(None, ALL)] * 2
    )
    for arm in arms:
        whole.tick(*arm)
    again = Drive(watched(), live=True)
    request = only(whole.log, Type.ROLLBACK_REQUESTED)
    data = {"request_id": request.decision_id, "arming": 1}
    known = LedgerEntry(Decision(Type.ROLLBACK_APPLIED, "applied", CANDIDATE, applied_ms, data), None, True)
    recall(again.evaluator, known, from_canonical)
    recall(again.evaluator, known, from_canonical)
    again.run(4)
    again.run(10, BAD)
    for arm in arms:
        again.tick(*arm)
        recall(again.evaluator, LedgerEntry(request, None, True), from_canonical)
    assert again.log == whole.log


def test_what_is_read_for_it_is_what_a_tick_reads_of_the_slice_even_where_labels_come_late() -> None:
    late = objective(critical_cohorts=(ACME,), scope=Scope.COHORT, label_delay_min=30)
    drive = Drive(watched(late))
    needed = drive.evaluator.needed(drive.now)
    for release in (CANDIDATE, BASELINE):
        assert CellKey(drive.now - 1, release, ACME) in needed
    kept = Drive(watched(replace(late, scope=Scope.RELEASE)))
    assert CellKey(kept.now - 1, CANDIDATE, ACME) not in kept.evaluator.needed(kept.now)
    assert tick_ms(drive.now) == drive.at_ms
