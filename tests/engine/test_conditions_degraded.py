"""Both arms degraded: said once, over when it is, and no rollback that the shared cause explains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.core.budget import EvidenceMode
from monitor.core.decision import Type
from monitor.core.indicator import LABELS
from monitor.core.window import tick_ms
from tests.engine.test_conditions import reasons
from tests.engine.worlds import SUCCESS, Drive, budget, cell, names, objective

DAY = 24 * 60


def arms(seed: int, minutes: int, level: Any, *, per_min: int = 600, candidate_too: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    for minute in range(minutes):
        p = level(minute)
        hits = [int(rng.binomial(per_min, p * (1 - extra))) for extra in (candidate_too, 0.0)]
        yield [cell(per_min, task_success=one) for one in hits]


def test_a_provider_s_outage_pages_once_and_is_over_when_it_is() -> None:
    drive = Drive(budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)))
    for pair in arms(1, 300, lambda minute: 0.54 if 120 <= minute < 150 else 0.9):
        drive.tick(*pair)
    assert names(drive.log) == ["page.opened", "page.resolved"]
    opened, resolved = drive.log
    assert (opened.data["reason"], opened.data["objective"]) == ("both_degraded", SUCCESS)
    assert "task success of both arms is far from the 9" in str(opened.data["summary"])
    assert opened.at_ms <= tick_ms(29_000_000 + 145)
    assert (resolved.data["reason"], resolved.data["page_id"]) == ("recovered", opened.data["page_id"])


def test_a_second_outage_within_six_hours_is_not_said_again() -> None:
    drive = Drive(budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)))
    outages = (120, 300, 600)
    for pair in arms(1, 720, lambda minute: 0.54 if any(0 <= minute - at < 30 for at in outages) else 0.9):
        drive.tick(*pair)
    assert reasons(drive.log) == [(SUCCESS, "both_degraded")] * 2
    assert len(reasons(drive.log, Type.PAGE_RESOLVED)) == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_shared_daily_curve_says_nothing(seed: int) -> None:
    drive = Drive(budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)))
    height = 0.9 * 0.03  # 1.5 times the limit
    for pair in arms(
        seed, DAY - 1, lambda minute: 0.9 + height * np.sin(2 * np.pi * (minute / DAY + seed / 3))
    ):
        drive.tick(*pair)
    assert reasons(drive.log) == []


def _outage_with_harm(harm: float) -> Drive:
    """Both arms lose 10 % for good; 40 minutes later the candidate loses `harm` of the rest."""
    drive = Drive(budget(objective(hold=20, evidence=EvidenceMode.DEFAULT)))
    for minute, pair in enumerate(arms(2, 300, lambda minute: 0.81 if minute >= 120 else 0.9, per_min=3000)):
        if minute >= 160:
            place = LABELS.index("task_success")
            pair[0].hits[place] = int(pair[0].hits[place] * (1 - harm))
        drive.tick(*pair)
    return drive


def test_a_rollback_that_the_shared_cause_explains_is_withheld() -> None:
    drive = _outage_with_harm(0.05)
    assert reasons(drive.log) == [(SUCCESS, "both_degraded")] * 2
    assert "not rolled back: the baseline has lost as much" in str(
        [one for one in drive.log if one.type is Type.PAGE_OPENED][1].data["summary"]
    )
    assert "rollback.requested" not in names(drive.log)


def test_a_candidate_that_is_worse_than_the_outage_is_rolled_back() -> None:
    assert "rollback.requested" in names(_outage_with_harm(0.3).log)
