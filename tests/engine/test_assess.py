"""The assessment: every objective on every slice has a verdict, whatever became of the release."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import EvidenceMode
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.rederive import derive
from monitor.core.window import tick_ms
from tests.engine.worlds import (
    ACME,
    BAD,
    CANDIDATE,
    GOOD,
    HANDOFF,
    SAFETY,
    SUCCESS,
    T0,
    THOUSAND,
    Drive,
    budget,
    cell,
    handoff,
    incidents,
    names,
    objective,
    only,
)

GUARDED: dict[str, Any] = {"hold": 20, "evidence": EvidenceMode.DEFAULT}
EMPTY = Aggregate()


def _finish(drive: Drive, late: int = 0) -> Decision:
    (assessed,) = drive.note(drive.evaluator.finish(drive.now, late, complete=False))
    return assessed


def _rows(assessed: Decision) -> dict[tuple[str, str], dict[str, Any]]:
    rows = assessed.data["objectives"]
    assert isinstance(rows, list)
    return {(row["objective"], ",".join(row["cohort"].values())): row for row in rows}


@pytest.mark.parametrize(
    "candidate, verdict",
    [
        (cell(1000, task_success=900), "healthy"),
        (cell(1000, task_success=882), "inconclusive"),
        (GOOD, "inconclusive"),
        (cell(1000, task_success=700), "breach"),
        (EMPTY, "no_data"),
    ],
)
def test_verdicts(candidate: Aggregate, verdict: str) -> None:
    drive = Drive(budget(objective(**GUARDED)))
    drive.tick(cell(1), THOUSAND)
    drive.run(60, candidate, THOUSAND)
    row = _rows(_finish(drive))[SUCCESS, ""]
    assert row["verdict"] == verdict
    assert row["samples"]["baseline"] == 61_000
    if verdict in ("healthy", "inconclusive"):
        assert row["mde"] < 0  # the smallest fall that would have been found
        assert row["observed"]["lower"] < row["observed"]["upper"]


def test_little_traffic_is_inconclusive_with_a_larger_mde() -> None:
    mdes = []
    for requests in (100, 1000):
        drive = Drive(budget(objective(**GUARDED)))
        drive.run(60, cell(requests, task_success=requests * 9 // 10), THOUSAND)
        mdes.append(_rows(_finish(drive))[SUCCESS, ""]["mde"])
    assert mdes[0] < mdes[1] < 0


def test_a_breach_that_cleared_stays_one() -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    drive.run(200, cell(1000, human_handoff=100), THOUSAND)
    row = _rows(_finish(drive))[HANDOFF, ""]
    assert (row["verdict"], row["minutes_spent"]) == ("breach", 4)


def test_every_objective_and_slice_has_a_row() -> None:
    drive = Drive(budget(objective(critical_cohorts=(ACME,)), handoff(), incidents()))
    drive.run(5)
    expected = {(SUCCESS, ""), (SUCCESS, "acme"), (HANDOFF, ""), (SAFETY, "")}
    assert set(_rows(_finish(drive))) == expected


@pytest.mark.parametrize("minutes", [0, 1, 30])
def test_a_candidate_that_never_came_is_no_data_everywhere(minutes: int) -> None:
    drive = Drive(budget(objective(critical_cohorts=(ACME,)), handoff(label_delay_min=5), incidents()))
    drive.run(minutes, EMPTY)
    rows = _rows(_finish(drive))
    assert set(rows) == {(SUCCESS, ""), (SUCCESS, "acme"), (HANDOFF, ""), (SAFETY, "")}
    assert {row["verdict"] for row in rows.values()} == {"no_data"}


def test_a_row_says_what_was_judged_and_what_its_verdict_rests_on() -> None:
    drive = Drive(budget(objective(**GUARDED), handoff(), incidents()))
    drive.run(60, cell(1000, task_success=900, human_handoff=200), THOUSAND)
    rows = _rows(_finish(drive))
    told = {key[0]: (row["metric"], row["tier"], row["limit"]) for key, row in rows.items()}
    assert told == {
        SUCCESS: ("task_success", "A", -2.0),
        HANDOFF: ("human_handoff", "B", 8.0),
        SAFETY: ("high_severity_incidents", "A", 0),
    }
    for row in rows.values():
        assert derive(row).disagreements == []
    evidence = rows[SUCCESS, ""]["evidence"]
    assert min(evidence["within"], evidence["within_recent"]) >= evidence["needed"]
    assert (evidence["has_fired"], evidence["answer"]) == (False, "recovered")


@pytest.mark.parametrize("candidate", [BAD, EMPTY, GOOD])
def test_every_verdict_follows_from_its_row(candidate: Aggregate) -> None:
    drive = Drive(budget(objective(), handoff(label_delay_min=5), incidents()))
    drive.run(3, EMPTY if candidate is EMPTY else GOOD)
    drive.run(9, candidate)
    for row in _rows(_finish(drive)).values():
        assert derive(row).disagreements == []


def test_late_events_are_shown() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    assessed = _finish(drive, late=7)
    assert assessed.data["late_count"] == 7
    assert _rows(assessed)[SUCCESS, ""]["late_count"] == 7


def test_the_end_of_the_window_ends_the_watch() -> None:
    drive = Drive(budget(handoff(), window_min=30))
    drive.run(4, EMPTY)  # the window begins with the candidate
    drive.run(26)
    assert drive.run(3, BAD) == drive.log
    decisions = drive.tick(BAD)
    assert names(decisions) == ["page.opened", "evaldebt.created", "page.resolved", "release.assessed"]
    assessed = only(decisions, Type.RELEASE_ASSESSED)
    assert (assessed.data["complete"], assessed.data["stage"]) == (True, "window")
    assert assessed.data["decided_at"] == rfc3339(tick_ms(T0 + 34))
    expected = decision_id("release.assessed", CANDIDATE, 1, None, {}, tick_ms(T0 + 34))
    assert assessed.decision_id == expected
    assert drive.run(5, BAD) == []
    assert drive.evaluator.finish(drive.now, 0, complete=False) == []


def test_the_end_of_the_input_is_not_the_end_of_the_window() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    assessed = _finish(drive)
    assert (assessed.data["complete"], assessed.data["stage"]) == (False, "input")


def test_the_summary_counts_verdicts_and_names_a_request() -> None:
    drive = Drive(budget(objective(), handoff(limit=900.0)))
    drive.run(5)
    drive.run(4, BAD)
    assert _finish(drive).data["summary"] == (f"{CANDIDATE}: 1 breach, 1 healthy; a rollback was requested")


def test_a_day_and_more_can_be_assessed() -> None:
    drive = Drive(budget(objective(critical_cohorts=(ACME,)), window_min=2_000))
    both = {OVERALL: GOOD, ACME: GOOD}
    drive.run(2_000, both, both)
    assert _rows(only(drive.log, Type.RELEASE_ASSESSED))[SUCCESS, "acme"]["samples"]["candidate"] == 14_400
