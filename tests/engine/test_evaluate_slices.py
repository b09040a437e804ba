"""Slices, cohorts that go back alone, and budgets that change while they are armed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Objective, OnNoData, Scope, Tier
from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.decision import Type
from monitor.core.ids import decision_id
from monitor.engine.evaluate import Stage
from tests.engine.worlds import (
    ACME,
    BAD,
    CANDIDATE,
    GOOD,
    SUCCESS,
    T0,
    Arm,
    Drive,
    budget,
    cell,
    handoff,
    incidents,
    names,
    objective,
    only,
)

EMPTY = Aggregate()
GLOBEX = cohort_key({"tenant": "globex"})
CRITICAL = cohort_key({"task": "critical"})


# Slices ----------------------------------------------------------------------------------------------------------


def _slices(**cells: Aggregate) -> Arm:
    known = {"overall": OVERALL, "acme": ACME, "globex": GLOBEX, "critical": CRITICAL}
    return {known[name]: one for name, one in cells.items()}


def test_an_objective_with_where_judges_only_its_slice() -> None:
    drive = Drive(budget(objective(where=CRITICAL)))
    drive.run(30, _slices(overall=BAD, critical=GOOD), _slices(overall=GOOD, critical=GOOD))
    assert drive.log == []
    drive.run(4, _slices(overall=GOOD, critical=BAD), _slices(overall=GOOD, critical=GOOD))
    assert only(drive.log, Type.ROLLBACK_REQUESTED).data["cohort"] == {"task": "critical"}


def test_a_critical_cohort_acts_for_the_release() -> None:
    drive = Drive(budget(objective(critical_cohorts=(ACME,))))
    drive.run(30, _slices(overall=GOOD, acme=BAD), _slices(overall=GOOD, acme=GOOD))
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.decision_id == decision_id("rollback.requested", CANDIDATE, 1)
    assert (request.data["cohort"], request.data["scope"]) == ({"tenant": "acme"}, "release")


def _cohort_drive(**more: Any) -> Drive:
    judged = objective(critical_cohorts=(ACME, GLOBEX), scope=Scope.COHORT, on_no_data=OnNoData.PAGE)
    return Drive(budget(replace(judged, **more), handoff(), window_min=120))


FINE = _slices(overall=GOOD, acme=GOOD, globex=GOOD)


def test_a_cohort_goes_back_alone_and_the_rest_stays_watched() -> None:
    drive = _cohort_drive()
    drive.run(5, FINE, FINE)
    drive.run(4, _slices(overall=GOOD, acme=BAD, globex=GOOD), FINE)
    first = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert (first.data["scope"], first.data["cohort"]) == ("cohort", {"tenant": "acme"})
    assert first.decision_id == decision_id("rollback.requested", CANDIDATE, 1, cohort={"tenant": "acme"})
    assert drive.stage() is Stage.WATCHING
    # Nobody of acme is served by the candidate any more: that silence is our own doing.
    assert drive.run(30, _slices(overall=GOOD, globex=GOOD), FINE) == []
    drive.run(4, _slices(overall=GOOD, globex=BAD), FINE)
    assert drive.log[-1].data["cohort"] == {"tenant": "globex"}
    drive.run(4, _slices(overall=BAD), FINE)
    assert names(drive.log).count("rollback.requested") == 3
    assert drive.log[-1].decision_id == decision_id("rollback.requested", CANDIDATE, 1)
    assert drive.stage() is Stage.LOCKED


def test_a_cohort_is_asked_back_once_per_arming() -> None:
    drive = _cohort_drive()
    drive.run(5, FINE, FINE)
    for _ in range(3):
        drive.run(6, _slices(overall=GOOD, acme=BAD, globex=GOOD), FINE)
        drive.run(6, FINE, FINE)
    assert names(drive.log).count("rollback.requested") == 1


def test_the_objective_s_own_slice_does_not_narrow_who_goes_back() -> None:
    both = cohort_key({"task": "critical", "tenant": "acme"})
    drive = Drive(budget(objective(where=CRITICAL, critical_cohorts=(ACME,), scope=Scope.COHORT)))
    arms = {OVERALL: GOOD, CRITICAL: GOOD, both: GOOD}
    drive.run(5, arms, arms)
    drive.run(4, arms | {both: BAD}, arms)
    assert only(drive.log, Type.ROLLBACK_REQUESTED).data["cohort"] == {"tenant": "acme"}


def test_silence_about_a_cohort_rolls_back_that_cohort() -> None:
    drive = _cohort_drive(tier=Tier.B)
    drive.run(5, FINE, FINE)
    drive.run(20, _slices(overall=GOOD, acme=BAD, globex=GOOD), FINE)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert (request.data["reason"], request.data["cohort"]) == ("commander_silent", {"tenant": "acme"})
    assert only(drive.log, Type.PAGE_RESOLVED).data["cohort"] == {"tenant": "acme"}


def test_a_rolled_back_cohort_does_not_end_the_assessment() -> None:
    drive = _cohort_drive()
    drive.run(5, FINE, FINE)
    drive.run(4, _slices(overall=GOOD, acme=BAD, globex=GOOD), FINE)
    drive.run(111, _slices(overall=GOOD, globex=GOOD), FINE)
    rows = only(drive.log, Type.RELEASE_ASSESSED).data["objectives"]
    assert isinstance(rows, list)
    verdicts = {(row["objective"], str(row["cohort"])): row["verdict"] for row in rows}
    assert verdicts[SUCCESS, "{'tenant': 'acme'}"] == "breach"
    assert verdicts[SUCCESS, "{'tenant': 'globex'}"] != "breach"


# A budget that changes -------------------------------------------------------------------------------------------


def _changed(drive: Drive, *objectives: Objective, **more: Any) -> list[str]:
    return names(drive.note(drive.evaluator.change_budget(budget(*objectives, **more), drive.at_ms)))


def test_an_unchanged_objective_keeps_its_state() -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(5)
    drive.run(3, BAD)
    assert _changed(drive, objective(), handoff(limit=50.0), digest="f" * 64) == []
    assert "rollback.requested" in names(drive.tick(BAD))
    assert drive.log[-1].data["budget_digest"] == "f" * 64


def test_a_changed_objective_starts_anew() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    drive.run(3, BAD)
    _changed(drive, objective(limit=-3.0))
    assert "rollback.requested" not in names(drive.run(3, BAD))
    assert "rollback.requested" in names(drive.tick(BAD))


@pytest.mark.parametrize("kept", [(), (handoff(limit=9.0),)])
def test_a_removed_or_changed_objective_resolves_its_page(kept: tuple[Objective, ...]) -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    assert _changed(drive, objective("error", 5.0), *kept) == ["page.resolved"]
    assert drive.log[-1].data["reason"] == "budget_changed"


def test_a_removed_safety_objective_resolves_its_page() -> None:
    drive = Drive(budget(incidents(), handoff()))
    drive.tick(cell(10, 1), EMPTY)  # nothing is known of the baseline: it pages
    assert names(drive.log) == ["page.opened", "evaldebt.created"]
    assert _changed(drive, handoff()) == ["page.resolved"]


def test_against_another_baseline_everything_starts_anew() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    drive.run(3, BAD)
    other = replace(budget(objective()), baseline="model-v40")
    drive.note(drive.evaluator.change_budget(other, drive.at_ms))
    assert drive.run(1, BAD) == []


def test_a_changed_budget_keeps_the_lock_and_the_window() -> None:
    drive = Drive(budget(objective(), window_min=30))
    drive.run(5)
    drive.run(4, BAD)
    _changed(drive, objective(limit=-3.0), window_min=40)
    assert drive.run(30, BAD) == []
    assert names(drive.tick(BAD)) == ["release.assessed"]
    assert drive.now == T0 + 40


def test_a_disarmed_release_decides_nothing_more() -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    decisions = drive.note(drive.evaluator.disarm(drive.at_ms, "ada", "not today"))
    assert names(decisions) == ["arming.ended", "page.resolved"]
    assert drive.run(60, BAD) == []
    assert drive.evaluator.disarm(drive.at_ms, "ada", "again") == []
