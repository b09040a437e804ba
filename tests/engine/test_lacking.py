"""A budget that has nothing to compare says so, whatever it lacks, and never acts for it."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Mode, OnNoData
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.rederive import derive
from tests.engine.worlds import (
    ACME,
    GOOD,
    HANDOFF,
    SUCCESS,
    Drive,
    budget,
    cell,
    handoff,
    names,
    objective,
    only,
)

EMPTY = Aggregate()
BARE = cell(200, human_handoff=20)  # nobody says whether the tasks succeeded
FULL = cell(200, task_success=180, human_handoff=20)


def pages(decisions: list[Decision]) -> list[tuple[Any, Any]]:
    return [(one.data["objective"], one.data["reason"]) for one in decisions if one.type is Type.PAGE_OPENED]


def verdicts(drive: Drive) -> dict[Any, Any]:
    (assessed,) = drive.note(drive.evaluator.finish(drive.now, 0, complete=False))
    rows: Any = assessed.data["objectives"]
    assert all(not derive(row).disagreements for row in rows)
    return {row["objective"]: row["verdict"] for row in rows}


@pytest.mark.parametrize("policy", list(OnNoData))
def test_labels_that_neither_release_ever_carries_page_once_after_twice_the_duration(
    policy: OnNoData,
) -> None:
    drive = Drive(budget(objective(on_no_data=policy), handoff()))
    assert drive.run(7, BARE, BARE) == []
    opened = only(drive.tick(BARE, BARE), Type.PAGE_OPENED)
    assert (opened.data["objective"], opened.data["reason"]) == (SUCCESS, "no_data")
    assert (opened.data["deadline"], opened.data["evidence"]) == (None, None)
    assert str(opened.data["summary"]).startswith(
        "none of 3,200 requests of either release in 8 min carries what task success is measured by"
    )
    assert drive.run(200, BARE, BARE) == []
    assert verdicts(drive)[SUCCESS] == "no_data"


def test_what_nobody_ever_measured_wakes_nobody_in_tier_b() -> None:
    drive = Drive(budget(objective(), handoff()))
    labelled = cell(200, task_success=180)
    assert drive.run(200, labelled, labelled) == []
    assert verdicts(drive) == {SUCCESS: "healthy", HANDOFF: "no_data"}
    drive = Drive(budget(objective(), handoff()))
    drive.run(20, FULL, FULL)
    drive.run(20, labelled, labelled)
    assert pages(drive.log) == [(HANDOFF, "no_data")]  # it was measured before


@pytest.mark.parametrize(
    "candidate, baseline, whose", [(BARE, BARE, "either release"), (FULL, BARE, "the baseline")]
)
def test_labels_that_stop_page_and_what_was_healthy_is_no_data(
    candidate: Aggregate, baseline: Aggregate, whose: str
) -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(60, FULL, FULL)
    drive.run(8, candidate, baseline)
    opened = only(drive.log, Type.PAGE_OPENED)
    assert f"requests of {whose} in 8 min" in str(opened.data["summary"])
    assert verdicts(drive) == {SUCCESS: "no_data", HANDOFF: "healthy"}


def test_labels_that_are_back_resolve_the_page() -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(20, FULL, FULL)
    drive.run(20, BARE, BARE)
    resolved = only(drive.tick(FULL, FULL), Type.PAGE_RESOLVED)
    assert resolved.data["page_id"] == only(drive.log, Type.PAGE_OPENED).data["page_id"]
    assert resolved.data["summary"] == "task success can be compared again"
    assert verdicts(drive)[SUCCESS] == "healthy"


def test_a_baseline_that_nobody_is_sent_to_is_said_once_for_all_objectives() -> None:
    drive = Drive(budget(objective(), handoff(), objective("error", 8.0)))
    drive.run(5)
    assert drive.run(29, GOOD, EMPTY) == []
    opened = only(drive.tick(GOOD, EMPTY), Type.PAGE_OPENED)
    assert "no request to the baseline model-v41 for 30 min, beside 300 of the candidate's" in str(
        opened.data["summary"]
    )
    assert drive.run(100, GOOD, EMPTY) == []
    assert names(drive.tick(GOOD, GOOD)) == ["page.resolved"]


def test_a_baseline_that_never_came_is_said_too() -> None:
    """A slip in the budget's `baseline` would be a stop-loss that compares nothing."""
    drive = Drive(budget(objective()))
    drive.run(60, FULL, EMPTY)
    assert pages(drive.log) == [(SUCCESS, "no_data")]
    assert verdicts(drive)[SUCCESS] == "no_data"


def test_a_slice_says_what_it_lacks_unless_the_release_does() -> None:
    drive = Drive(budget(objective(critical_cohorts=(ACME,))))
    both = {OVERALL: FULL, ACME: FULL}
    drive.run(40, both, both)
    (opened,) = drive.run(40, both, {OVERALL: FULL, ACME: BARE})
    assert opened.data["cohort"] == {"tenant": "acme"}
    whole = Drive(budget(objective(critical_cohorts=(ACME,))))
    whole.run(40, both, both)
    bare = {OVERALL: BARE, ACME: BARE}
    assert [one.data["cohort"] for one in whole.run(40, bare, bare)] == [{}]


def test_a_candidate_that_is_quiet_lacks_nothing_but_traffic() -> None:
    drive = Drive(budget(objective()))
    drive.run(40, FULL, FULL)
    drive.run(40, EMPTY, FULL)
    assert "no candidate traffic" in str(only(drive.log, Type.PAGE_OPENED).data["summary"])


def test_a_budget_that_observes_wakes_nobody() -> None:
    drive = Drive(budget(objective(), mode=Mode.OBSERVE))
    assert set(names(drive.run(60, BARE, BARE))) == {"decision.observed"}
